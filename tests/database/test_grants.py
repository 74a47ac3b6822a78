"""What each login may read, write and call, asked of the catalogue, and that every trigger of ours always fires."""

from itertools import chain

import psycopg
import pytest
from django.apps import apps

APP, ONCALL, AUDITOR = "holdfast_app", "holdfast_oncall", "holdfast_auditor"
OURS = ("config", "consent", "messaging", "incidents")


def test_the_only_functions_that_logins_may_call_are_those_that_cannot_harm(siege):
    calls = siege.observer.execute(
        "SELECT r.rolname, p.proname FROM pg_proc p, pg_roles r WHERE p.pronamespace = 'public'::regnamespace "
        "AND r.rolname IN ('holdfast_app', 'holdfast_oncall', 'holdfast_auditor') "
        "AND has_function_privilege(r.oid, p.oid, 'EXECUTE') ORDER BY 1, 2"
    ).fetchall()

    assert calls == [
        (APP, "consent_effective"),
        (APP, "consent_reproject"),
        (APP, "consent_restore"),
        (APP, "messaging_content_hash"),
        (APP, "messaging_end_attempt"),
        (APP, "messaging_pass_on"),
        (APP, "messaging_pass_point"),
        (AUDITOR, "consent_effective"),
        (AUDITOR, "messaging_content_hash"),
        (ONCALL, "consent_effective"),
        (ONCALL, "consent_reproject"),
        (ONCALL, "messaging_content_hash"),
        (ONCALL, "messaging_end_attempt"),
        (ONCALL, "messaging_pass_on"),
        (ONCALL, "messaging_pass_point"),
    ]


def test_every_function_of_ours_looks_names_up_in_its_own_path(siege):
    loose = siege.observer.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
        "AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']"
    ).fetchall()

    assert loose == []


def test_every_trigger_of_ours_fires_for_a_replica_too(siege):
    triggers = siege.observer.execute(
        "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid "
        "WHERE NOT tgisinternal AND c.relnamespace = 'public'::regnamespace"
    ).fetchall()

    assert len(triggers) > 60
    assert [t for t in triggers if t[2] != "A"] == []


def test_a_table_of_the_log_refuses_update_delete_and_truncate(siege):
    """tgtype: 2 before, 8 delete, 16 update, 32 truncate."""
    covered = dict(
        siege.observer.execute(
            "SELECT tgrelid::regclass::text, bit_or(tgtype & 56) FROM pg_trigger "
            "WHERE NOT tgisinternal AND tgname LIKE 'refuse\\_%' GROUP BY 1"
        ).fetchall()
    )

    for table in ("decision", "decisionvoid", "guardchange", "historicalconsent", "reversal", "reversalconfirmation"):
        assert covered[f"consent_{table}"] == 56
    for table in ("consent", "subject", "identifier", "purpose", "exitpath"):
        assert covered[f"consent_{table}"] == 40


def test_nobody_but_the_projector_may_write_consent_and_nobody_can_become_it(siege):
    assert siege.observer.execute(
        "SELECT rolcanlogin, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = 'holdfast_projector'"
    ).fetchone() == (False, False, False)
    members = siege.observer.execute(
        "SELECT m.rolname FROM pg_auth_members JOIN pg_roles m ON m.oid = member "
        "JOIN pg_roles r ON r.oid = roleid WHERE r.rolname = 'holdfast_projector' AND m.rolname LIKE 'holdfast%'"
    ).fetchall()
    assert members == []


SECRETS = [
    ("config_user", "password"),
    ("config_servicekey", "digest"),
    ("config_historicalservicekey", "digest"),
    ("django_session", "session_data"),
    ("consent_identifier", "digest"),
    ("consent_evidence", "salt"),
    ("incidents_alertsource", "token_digest"),
    ("incidents_alertsecret", "sealed"),
]


def personal_columns():
    """Each model's own, and those of the versions that simple-history keeps of it."""
    for model in apps.get_models():
        if model._meta.app_label in OURS:
            kept = getattr(model, "instance_type", model)
            for field in getattr(kept, "personal", ()):
                yield model._meta.db_table, field


def test_an_auditor_reads_nothing_that_names_people_or_opens_a_door(siege):
    columns = [*personal_columns(), *SECRETS]

    readable = [
        column
        for column in columns
        if siege.observer.execute(
            "SELECT has_column_privilege('holdfast_auditor', %s, %s, 'SELECT')", column
        ).fetchone()[0]
    ]

    assert len(columns) > 15
    assert readable == []


def test_an_auditor_reads_the_proof_and_writes_nothing(siege):
    with siege.cluster.connect(AUDITOR) as auditor:
        for table in (
            "decision",
            "decisionvoid",
            "consent",
            "historicalconsent",
            "guardchange",
            "batch",
            "subjectmerge",
        ):
            auditor.execute(f"SELECT * FROM consent_{table} LIMIT 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            auditor.execute("SELECT * FROM consent_identifier")
    granted = siege.observer.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND "
        "has_any_column_privilege('holdfast_auditor', oid, 'INSERT, UPDATE, REFERENCES') "
        "OR relkind = 'r' AND has_table_privilege('holdfast_auditor', oid, 'DELETE, TRUNCATE, TRIGGER')"
    ).fetchall()
    assert granted == []


def test_on_call_writes_four_tables_and_no_person_s_choice(siege):
    """Explicit choices, reversals and keys of others are not columns that the 2 a.m. login may name."""
    columns = siege.observer.execute(
        "SELECT table_name, column_name FROM information_schema.column_privileges "
        "WHERE grantee = 'holdfast_oncall' AND privilege_type <> 'SELECT'"
    ).fetchall()

    assert {table for table, _ in columns} == {
        "consent_decision", "consent_decisionvoid", "consent_batch", "consent_guardchange"
    }  # fmt: skip
    named = set(chain.from_iterable(columns))
    assert not named & {"explicit", "reversal_id", "idempotency_key", "received_at", "tx", "db_user"}
