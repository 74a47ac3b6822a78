"""Logins and functions: nobody becomes more than they are, switches a rule off, or has one of ours work for them."""

import psycopg
import pytest
from django.db import connections

from consent.services import may_contact
from tests.database.conftest import NEW_DECISION, REFUSED

APP, ONCALL, AUDITOR, OWNER = "holdfast_app", "holdfast_oncall", "holdfast_auditor", "owner"
ONE_STEP = f"{NEW_DECISION} VALUES (%(anna)s, 'marketing', 'email', 'opt_in', true, 'support', now(), 'x')"
NOT_CALLED_BUT_FIRED, BY_HAND, STANDS = "0A000", "HF009", "HF004"

ATTEMPTS = {
    # name: (statements, {role: refusal}); None: it is allowed, and moves nothing
    "replica": ("SET session_replication_role = replica", dict.fromkeys([APP, ONCALL, AUDITOR, OWNER], REFUSED)),
    "replica by function": (
        "SELECT set_config('session_replication_role', 'replica', true)",
        dict.fromkeys([APP, ONCALL, AUDITOR, OWNER], REFUSED),
    ),
    "become the owner": ("SET ROLE holdfast_owner", dict.fromkeys([APP, ONCALL, AUDITOR], REFUSED)),
    "become the projector": ("SET ROLE holdfast_projector", dict.fromkeys([APP, ONCALL, AUDITOR, OWNER], REFUSED)),
    "become the app": ("SET ROLE holdfast_app", dict.fromkeys([ONCALL, AUDITOR, OWNER], REFUSED)),
    "log in as the owner": (
        "SET SESSION AUTHORIZATION holdfast_owner",
        dict.fromkeys([APP, ONCALL, AUDITOR], REFUSED),
    ),
    "grant oneself the projector": (
        "GRANT holdfast_projector TO CURRENT_USER",
        dict.fromkeys([APP, ONCALL, AUDITOR, OWNER], REFUSED),
    ),
    "switch a trigger off": (
        "ALTER TABLE consent_consent DISABLE TRIGGER a_guard",
        dict.fromkeys([APP, ONCALL, AUDITOR], REFUSED),
    ),
    "a rule of one's own": (
        "CREATE RULE r AS ON INSERT TO consent_decision DO INSTEAD NOTHING",
        dict.fromkeys([APP, ONCALL, AUDITOR], REFUSED),
    ),
    "a schema of one's own": ("CREATE SCHEMA evil", dict.fromkeys([APP, ONCALL, AUDITOR], REFUSED)),
    "a function of one's own": (
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        dict.fromkeys([APP, ONCALL, AUDITOR], REFUSED),
    ),
    "turn the log's clock back": (
        "SELECT setval('consent_decision_id_seq', 1)",
        dict.fromkeys([APP, ONCALL, AUDITOR], REFUSED),
    ),
    "a temporary table in the place of ours": (
        "CREATE TEMP TABLE consent_consent (LIKE public.consent_consent)",
        dict.fromkeys([APP, ONCALL, AUDITOR], REFUSED),
    ),
    "temporary tables that shadow ours": (
        "CREATE TEMP TABLE consent_consent AS SELECT * FROM public.consent_consent LIMIT 0; "
        "CREATE TEMP TABLE consent_decision AS SELECT * FROM public.consent_decision LIMIT 0; "
        "CREATE TEMP TABLE consent_subject AS SELECT * FROM public.consent_subject; " + ONE_STEP,
        {OWNER: STANDS},
    ),
    "operators that shadow PostgreSQL's": (
        "CREATE SCHEMA evil; "
        "CREATE FUNCTION evil.no(uuid, uuid) RETURNS bool LANGUAGE sql AS 'SELECT false'; "
        "CREATE FUNCTION evil.no(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false'; "
        "CREATE FUNCTION evil.no(timestamptz, timestamptz) RETURNS bool LANGUAGE sql AS 'SELECT false'; "
        "CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'; "
        "CREATE OPERATOR evil.= (FUNCTION = evil.no, LEFTARG = uuid, RIGHTARG = uuid); "
        "CREATE OPERATOR evil.= (FUNCTION = evil.no, LEFTARG = text, RIGHTARG = text); "
        "CREATE OPERATOR evil.<> (FUNCTION = evil.no, LEFTARG = text, RIGHTARG = text); "
        "CREATE OPERATOR evil.< (FUNCTION = evil.no, LEFTARG = timestamptz, RIGHTARG = timestamptz); "
        "CREATE OPERATOR evil.> (FUNCTION = evil.no, LEFTARG = timestamptz, RIGHTARG = timestamptz); "
        "SET LOCAL search_path = evil, pg_catalog, public; " + ONE_STEP,
        {OWNER: STANDS},
    ),
    "operators that shadow PostgreSQL's, by hand": (
        (
            "CREATE SCHEMA evil; CREATE FUNCTION evil.no(name, text) RETURNS bool LANGUAGE sql AS 'SELECT false'; "
            "CREATE OPERATOR evil.<> (FUNCTION = evil.no, LEFTARG = name, RIGHTARG = text); "
            "SET LOCAL search_path = evil, pg_catalog, public; UPDATE consent_consent SET state = 'opt_in'"
        ),
        {OWNER: BY_HAND},
    ),
    "from inside a trigger of one's own": (
        (
            "CREATE TEMP TABLE t (i int); CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN UPDATE public.consent_consent SET state = 'opt_in'; RETURN NULL; END $$; "
            "CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.f(); INSERT INTO t VALUES (1)"
        ),
        {OWNER: BY_HAND},
    ),
    "history from inside a trigger of one's own": (
        (
            "CREATE TEMP TABLE t (i int); CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO public.consent_historicalconsent SELECT * FROM public.consent_historicalconsent "
            "ON CONFLICT DO NOTHING; RETURN NULL; END $$; "
            "CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.f(); INSERT INTO t VALUES (1)"
        ),
        {OWNER: BY_HAND},
    ),
    "by a rule": (
        (
            "CREATE TEMP TABLE t (i int); CREATE RULE r AS ON INSERT TO t DO ALSO "
            "UPDATE public.consent_consent SET state = 'opt_in'; INSERT INTO t VALUES (1)"
        ),
        {OWNER: BY_HAND},
    ),
    "the projection on a table of one's own": (
        (
            "CREATE TEMP TABLE t (LIKE public.consent_decision); CREATE TRIGGER t AFTER INSERT ON t "
            "REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.consent_project()"
        ),
        {OWNER: REFUSED, "superuser": None},
    ),
    "forged decisions through the projection": (
        (
            "CREATE TEMP TABLE t AS SELECT * FROM public.consent_decision WHERE false; "
            "CREATE TRIGGER t AFTER INSERT ON t REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT "
            "EXECUTE FUNCTION public.consent_project(); "
            "INSERT INTO t SELECT * FROM public.consent_decision"
        ),
        {"superuser": BY_HAND},
    ),
    "forged history through its writer": (
        (
            "CREATE TEMP TABLE t AS SELECT * FROM public.consent_consent WHERE false; "
            "CREATE TRIGGER t AFTER INSERT ON t REFERENCING NEW TABLE AS changed FOR EACH STATEMENT "
            "EXECUTE FUNCTION public.consent_write_history(); "
            "INSERT INTO t SELECT * FROM public.consent_consent"
        ),
        {OWNER: REFUSED, "superuser": BY_HAND},
    ),
    "replace the projection": (
        "CREATE OR REPLACE FUNCTION consent_project() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        {APP: REFUSED, ONCALL: REFUSED, OWNER: REFUSED},
    ),
    "call the projection": ("SELECT consent_project()", dict.fromkeys([APP, ONCALL, AUDITOR, OWNER], REFUSED)),
    "call the history's writer": (
        "SELECT consent_write_history()",
        dict.fromkeys([APP, ONCALL, AUDITOR, OWNER], REFUSED),
    ),
    "call a guard": (
        "SELECT consent_guard_opt_out()",
        {APP: REFUSED, ONCALL: REFUSED, AUDITOR: REFUSED, OWNER: NOT_CALLED_BUT_FIRED},
    ),
    "project everything again": (
        "SELECT consent_reproject((SELECT array_agg(id) FROM consent_consent))",
        {APP: None, ONCALL: None, AUDITOR: REFUSED, OWNER: None},
    ),
    "project what is not there": (
        "SELECT consent_reproject(NULL), consent_reproject('{}'), consent_reproject('{-1, NULL, 9223372036854775807}')",
        {APP: None, ONCALL: None, OWNER: None},
    ),
    "project again with an old snapshot": (
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT consent_reproject('{1}')",
        {APP: "HF011", ONCALL: "HF011", OWNER: "HF011"},
    ),
}
CASES = [
    pytest.param(role, statements, refusal, id=f"{name}, as {role.removeprefix('holdfast_')}")
    for name, (statements, refusals) in ATTEMPTS.items()
    for role, refusal in refusals.items()
]

SHADOWS = {
    "in the schema that a login's name opens": "holdfast_app",
    "on a path that the database sets for all": "other",
}


@pytest.mark.parametrize("schema", SHADOWS.values(), ids=SHADOWS)
def test_tables_that_the_owner_makes_elsewhere_do_not_answer_in_the_place_of_ours(world, schema):
    with world.cluster.connect("owner") as owner:
        owner.execute(
            f"CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO holdfast_app; "
            f"CREATE TABLE {schema}.consent_consent (LIKE public.consent_consent); "
            f"GRANT SELECT ON {schema}.consent_consent TO holdfast_app; "
            "ALTER DATABASE holdfast_test SET search_path = other, public"
        )
    connections.close_all()

    assert not may_contact(world.ids["anna"], "marketing", "email")


@pytest.mark.parametrize(("role", "statements", "refusal"), CASES)
def test_no_login_reaches_further_than_its_own(siege, role, statements, refusal):
    before = siege.held()

    met = None
    try:
        siege.run(role, statements)
    except psycopg.Error as error:
        met = error.sqlstate

    assert siege.held() == before
    assert met == refusal
