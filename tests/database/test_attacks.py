"""Attacks on what is recorded: none of them changes a state, whoever tries. Each says which refusal it meets."""

import psycopg
import pytest

from tests.database.conftest import NEW_DECISION, REFUSED

APP, ONCALL, OWNER = "holdfast_app", "holdfast_oncall", "owner"
ACCEPTED = None  # kept in the log, and changes nothing
APPENDED, BY_HAND, STANDS, EXPLICIT, TWO_STEPS, FIXED = "HF001", "HF009", "HF004", "HF006", "HF007", "HF008"

ATTACKS = {
    # consent itself: name: (statements, as the app, as on-call, as the owner)
    "update": ("UPDATE consent_consent SET state = 'opt_in'", REFUSED, REFUSED, BY_HAND),
    "update to nothing": ("UPDATE consent_consent SET state = NULL, explicit = false", REFUSED, REFUSED, BY_HAND),
    "update that changes nothing": ("UPDATE consent_consent SET state = state", REFUSED, REFUSED, BY_HAND),
    "update of a key": ("UPDATE consent_consent SET subject_id = %(erin)s", REFUSED, REFUSED, BY_HAND),
    "delete": ("DELETE FROM consent_consent", REFUSED, REFUSED, APPENDED),
    "truncate": ("TRUNCATE consent_consent", REFUSED, REFUSED, APPENDED),
    "truncate from afar": ("TRUNCATE config_user CASCADE", REFUSED, REFUSED, APPENDED),
    "insert by hand": (
        ("INSERT INTO consent_consent (subject_id, purpose, channel, state, explicit, version) "
        "VALUES (%(erin)s, 'marketing', 'email', 'opt_in', true, 1)"),
        REFUSED, REFUSED, BY_HAND,
    ),
    "insert of an empty state": (
        "INSERT INTO consent_consent (subject_id, purpose, channel, version) VALUES (%(erin)s, 'news', 'sms', 1)",
        REFUSED, REFUSED, BY_HAND,
    ),
    "upsert": (
        ("INSERT INTO consent_consent AS c (subject_id, purpose, channel, state, version) "
        "VALUES (%(anna)s, 'marketing', 'email', 'opt_in', 1) "
        "ON CONFLICT (subject_id, purpose, channel) DO UPDATE SET state = EXCLUDED.state"),
        REFUSED, REFUSED, BY_HAND,
    ),
    "merge": (
        ("MERGE INTO consent_consent c USING (SELECT %(anna)s::uuid AS id) s ON c.subject_id = s.id "
        "WHEN MATCHED THEN UPDATE SET state = 'opt_in'"),
        REFUSED, REFUSED, BY_HAND,
    ),
    "merge that deletes": (
        ("MERGE INTO consent_consent c USING (SELECT %(anna)s::uuid AS id) s ON c.subject_id = s.id "
        "WHEN MATCHED THEN DELETE"),
        REFUSED, REFUSED, APPENDED,
    ),
    "write in a CTE": (
        "WITH w AS (UPDATE consent_consent SET state = 'opt_in' RETURNING id) SELECT count(*) FROM w",
        REFUSED, REFUSED, BY_HAND,
    ),
    "copy": (
        ("COPY consent_consent (subject_id, purpose, channel, state, version) FROM STDIN WITH (FORMAT csv)\n"
        "%(erin)s,marketing,email,opt_in,1"),
        REFUSED, REFUSED, BY_HAND,
    ),
    # the log
    "update a decision": ("UPDATE consent_decision SET choice = 'opt_in'", REFUSED, REFUSED, APPENDED),
    "make a decision an import": ("UPDATE consent_decision SET explicit = false", REFUSED, REFUSED, APPENDED),
    "delete a decision": ("DELETE FROM consent_decision WHERE id = %(anna_out)s", REFUSED, REFUSED, APPENDED),
    "truncate the log": ("TRUNCATE consent_decision CASCADE", REFUSED, REFUSED, APPENDED),
    "upsert a decision": (
        ("INSERT INTO consent_decision (id, subject_id, purpose, channel, choice, cause, decided_at, actor) VALUES "
        "(%(anna_out)s, %(anna)s, 'marketing', 'email', 'opt_out', 'support', now(), 'x') "
        "ON CONFLICT (id) DO UPDATE SET choice = 'opt_in'"),
        REFUSED, REFUSED, APPENDED,
    ),
    "name the log's own facts": (
        ("INSERT INTO consent_decision (subject_id, purpose, channel, choice, cause, decided_at, actor, "
        "received_at, tx, db_user) VALUES "
        "(%(anna)s, 'marketing', 'email', 'opt_in', 'support', '2050-01-01', 'x', '2050-01-01', 1, 'nobody')"),
        REFUSED, REFUSED, "23514",
    ),
    # choices that nobody made
    "one step back in": (
        f"{NEW_DECISION} VALUES (%(anna)s, 'marketing', 'email', 'opt_in', true, 'support', now(), 'x')",
        STANDS, REFUSED, STANDS,
    ),
    "one step back in below a wider opt-out": (
        f"{NEW_DECISION} VALUES (%(dora)s, 'marketing', 'email', 'opt_in', true, 'support', now(), 'x')",
        STANDS, REFUSED, STANDS,
    ),
    "one step back in by copy": (
        ("COPY consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor) "
        "FROM STDIN WITH (FORMAT csv)\n%(anna)s,marketing,email,opt_in,t,support,now,x"),
        STANDS, REFUSED, STANDS,
    ),
    "one step back in by merge": (
        ("MERGE INTO consent_decision d USING (SELECT %(anna)s::uuid AS id) s ON false WHEN NOT MATCHED THEN "
        "INSERT (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor) "
        "VALUES (s.id, 'marketing', 'email', 'opt_in', true, 'support', now(), 'x')"),
        STANDS, REFUSED, STANDS,
    ),
    "one step back in between others": (
        f"{NEW_DECISION} SELECT id, 'news', 'sms', 'opt_in', true, 'support', now(), 'x' FROM consent_subject",
        STANDS, REFUSED, STANDS,
    ),
    "a few minutes ahead": (
        f"{NEW_DECISION} VALUES (%(anna)s, 'marketing', 'email', 'opt_in', true, 'support', now() + '4 min', 'x')",
        STANDS, REFUSED, STANDS,
    ),
    "from the future": (
        f"{NEW_DECISION} VALUES (%(anna)s, 'marketing', 'email', 'opt_in', true, 'support', 'infinity', 'x')",
        "23514", REFUSED, "23514",
    ),
    "back-dated": (
        f"{NEW_DECISION} VALUES (%(anna)s, 'marketing', 'email', 'opt_in', true, 'support', '2001-01-01', 'x')",
        ACCEPTED, REFUSED, ACCEPTED,
    ),
    "before time began": (
        f"{NEW_DECISION} VALUES (%(anna)s, 'marketing', 'email', 'opt_in', true, 'support', '-infinity', 'x')",
        "23514", REFUSED, "23514",
    ),
    "an import over the opt-out": (
        ("INSERT INTO consent_decision (subject_id, purpose, channel, choice, cause, decided_at, actor, batch_id) "
        "VALUES (%(anna)s, 'marketing', 'email', 'opt_in', 'import', now(), 'x', %(batch)s)"),
        ACCEPTED, "HF003", "HF003",
    ),
    "an old snapshot": (
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1; "
        "INSERT INTO consent_decision (subject_id, purpose, channel, choice, cause, decided_at, actor, batch_id) "
        "VALUES (%(cem)s, 'marketing', 'email', 'opt_in', 'import', now(), 'x', %(batch)s)"),
        "HF011", "HF011", "HF011",
    ),
    # voids
    "void an opt-out": (
        "INSERT INTO consent_decisionvoid (decision_id, reason, voided_by) VALUES (%(anna_out)s, 'x', 'x')",
        EXPLICIT, EXPLICIT, EXPLICIT,
    ),
    "void an opt-out that is yet to come": (
        ("INSERT INTO consent_decisionvoid (decision_id, reason, voided_by) SELECT max(id) + 1, 'x', 'x' "
        "FROM consent_decision"),
        EXPLICIT, EXPLICIT, EXPLICIT,
    ),
    "record and void at once": (
        (f"WITH d AS ({NEW_DECISION} VALUES (%(erin)s, 'news', 'sms', 'opt_out', true, 'support', now(), 'x') "
        "RETURNING id) INSERT INTO consent_decisionvoid (decision_id, reason, voided_by) SELECT id, 'x', 'x' FROM d"),
        EXPLICIT, REFUSED, EXPLICIT,
    ),
    # history
    "forge history": (
        ("INSERT INTO consent_historicalconsent SELECT (h).* FROM (SELECT h FROM consent_historicalconsent h "
        "LIMIT 1) one ON CONFLICT DO NOTHING"),
        REFUSED, REFUSED, BY_HAND,
    ),
    "rewrite history": ("UPDATE consent_historicalconsent SET state = 'opt_in'", REFUSED, REFUSED, APPENDED),
    "delete history": ("DELETE FROM consent_historicalconsent", REFUSED, REFUSED, APPENDED),
    "truncate history": ("TRUNCATE consent_historicalconsent", REFUSED, REFUSED, APPENDED),
    # the two steps
    "the second step before the first": (
        ("INSERT INTO consent_reversalconfirmation (reversal_id, confirmed_by) "
        "VALUES ('00000000-0000-0000-0000-000000000001', 'subject')"),
        TWO_STEPS, REFUSED, TWO_STEPS,
    ),
    "both steps at once": (
        ("INSERT INTO consent_reversal (id, subject_id, purpose, channel, kind, reason, evidence, requested_by) VALUES "
        "('00000000-0000-0000-0000-000000000002', %(anna)s, 'marketing', 'email', 'subject', '', '', 'subject'); "
        "INSERT INTO consent_reversalconfirmation (reversal_id, confirmed_by) "
        "VALUES ('00000000-0000-0000-0000-000000000002', 'subject')"),
        TWO_STEPS, REFUSED, TWO_STEPS,
    ),
    "both steps at once, dated back": (
        (
            "INSERT INTO consent_reversal (id, subject_id, purpose, channel, kind, reason, evidence, requested_by, tx, "
            "requested_at) VALUES ('00000000-0000-0000-0000-000000000003', %(anna)s, 'marketing', 'email', 'subject', "
            "'', '', 'subject', 1, now()); "
            "INSERT INTO consent_reversalconfirmation (reversal_id, confirmed_by, tx) "
            "VALUES ('00000000-0000-0000-0000-000000000003', 'subject', 2)"
        ),
        TWO_STEPS, REFUSED, TWO_STEPS,
    ),
    "agreeing with oneself": (
        "INSERT INTO consent_reversalconfirmation (reversal_id, confirmed_by) VALUES (%(reversal)s, 'user:eve')",
        TWO_STEPS, REFUSED, TWO_STEPS,
    ),
    "agreeing as nobody": (
        "INSERT INTO consent_reversalconfirmation (reversal_id, confirmed_by) VALUES (%(reversal)s, 'subject')",
        TWO_STEPS, REFUSED, TWO_STEPS,
    ),
    "asking as another": (
        "UPDATE consent_reversal SET requested_by = 'user:mallory', requested_at = now(), tx = 1",
        REFUSED, REFUSED, APPENDED,
    ),
    "staff as the person": (
        ("INSERT INTO consent_reversal (id, subject_id, purpose, channel, kind, reason, evidence, requested_by) VALUES "
        "(gen_random_uuid(), %(anna)s, 'marketing', 'email', 'subject', '', '', 'user:eve')"),
        TWO_STEPS, REFUSED, TWO_STEPS,
    ),
    # the way from an address to an answer
    "merge into a blank person": (
        "UPDATE consent_subject SET merged_into_id = %(erin)s WHERE id = %(anna)s", STANDS, REFUSED, STANDS
    ),
    "give the id to another": ("UPDATE consent_subject SET id = gen_random_uuid()", FIXED, REFUSED, FIXED),
    "delete the person": ("DELETE FROM consent_subject", REFUSED, REFUSED, APPENDED),
    "point the address at a blank person": (
        "UPDATE consent_identifier SET subject_id = %(erin)s", FIXED, REFUSED, FIXED
    ),
    "change the address": ("UPDATE consent_identifier SET digest = sha256(digest)", FIXED, REFUSED, FIXED),
    "forget the address": ("DELETE FROM consent_identifier", REFUSED, REFUSED, APPENDED),
    "make the purpose mandatory": (
        "UPDATE consent_purpose SET regime = 'mandatory' WHERE code = 'marketing'", FIXED, REFUSED, FIXED
    ),
    "rename the purpose": ("UPDATE consent_purpose SET code = 'x' WHERE code = 'news'", FIXED, REFUSED, FIXED),
    "delete the purpose": ("DELETE FROM consent_purpose", REFUSED, REFUSED, APPENDED),
    "rename the way out": ("UPDATE consent_exitpath SET code = code || '-x'", FIXED, REFUSED, FIXED),
}  # fmt: skip
CASES = [
    pytest.param(role, statements, refusal, id=f"{name}, as {role.removeprefix('holdfast_')}")
    for name, (statements, *refusals) in ATTACKS.items()
    for role, refusal in zip((APP, ONCALL, OWNER), refusals, strict=True)
]


@pytest.mark.parametrize(("role", "statements", "refusal"), CASES)
def test_no_attack_changes_a_state(siege, role, statements, refusal):
    before = siege.held()

    met = None
    try:
        siege.run(role, statements)
    except psycopg.Error as error:
        met = error.sqlstate

    assert siege.held() == before
    assert met == refusal
