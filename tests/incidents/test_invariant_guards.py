"""The database's own rules, held against those that were shipped: whoever changes one is found out.

After a migration that brings or changes a trigger, a function, a table, a constraint or a grant:
SHIP_GUARDS=1 pytest tests/incidents/test_invariant_guards.py -k shipped
"""

import os

import pytest
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from incidents import invariants
from incidents.invariants import INVARIANTS, guards
from incidents.models import Alarm, Incident
from incidents.validation import run


@pytest.mark.django_db
def test_what_is_shipped_is_what_the_migrations_make():
    if os.environ.get("SHIP_GUARDS"):
        guards.ship()

    assert [change.words for change in guards.changes()] == [], __doc__
    assert set(guards.shipped_digests()) == set(guards.live_digests()), __doc__
    assert guards.not_comparable() == ""


CHANGES = {
    "a trigger that sleeps": (
        "ALTER TABLE consent_decision DISABLE TRIGGER refuse_change",
        "trigger consent_decision.refuse_change was changed",
    ),
    "a trigger that replication passes by": (
        "ALTER TABLE consent_consent ENABLE TRIGGER a_guard",
        "trigger consent_consent.a_guard was changed",
    ),
    "a trigger that is gone": (
        "DROP TRIGGER b_project ON consent_decision",
        "trigger consent_decision.b_project is gone",
    ),
    "a function that says nothing": (
        (
            "CREATE OR REPLACE FUNCTION consent_guard_opt_out() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RETURN NEW; END $$"
        ),
        "function consent_guard_opt_out() was changed",
    ),
    "a right of a login": (
        "GRANT UPDATE ON consent_consent TO holdfast_oncall",
        "table consent_consent was changed",
    ),
    "a right on a column": (
        "GRANT INSERT (explicit) ON consent_decision TO holdfast_oncall",
        "table consent_decision was changed",
    ),
    "a rule in a trigger's way": (
        "CREATE RULE lost AS ON INSERT TO consent_decision DO INSTEAD NOTHING",
        "rule consent_decision.lost was added",
    ),
    "a default that proves nothing any more": (
        "ALTER TABLE consent_decision ALTER COLUMN db_user SET DEFAULT 'holdfast_app'",
        "default consent_decision.db_user was changed",
    ),
    "a default that is gone": (
        "ALTER TABLE consent_decision ALTER COLUMN received_at DROP DEFAULT",
        "default consent_decision.received_at is gone",
    ),
    "a column that may be empty": (
        "ALTER TABLE consent_decision ALTER COLUMN cause DROP NOT NULL",
        "column consent_decision.cause was changed",
    ),
    "a number that nobody gives out": (
        "ALTER TABLE consent_decision ALTER COLUMN id DROP IDENTITY",
        "column consent_decision.id was changed",
    ),
    "a policy that hides rows": (
        "ALTER TABLE consent_decision ENABLE ROW LEVEL SECURITY",
        "table consent_decision was changed",
    ),
    "an owner who serves": (
        "ALTER TABLE consent_consent OWNER TO holdfast_app",
        "table consent_consent was changed",
    ),
    "a function of an owner who serves": (
        "ALTER FUNCTION consent_guard_opt_out() OWNER TO holdfast_app",
        "function consent_guard_opt_out() was changed",
    ),
    "a constraint that is gone": (
        "ALTER TABLE consent_decision DROP CONSTRAINT decision_import_is_not_explicit",
        "constraint consent_decision.decision_import_is_not_explicit is gone",
    ),
    "a constraint that means something else": (
        (
            "ALTER TABLE consent_decision DROP CONSTRAINT decision_confidence_is_a_percentage, "
            "ADD CONSTRAINT decision_confidence_is_a_percentage CHECK (confidence <= 1000)"
        ),
        "constraint consent_decision.decision_confidence_is_a_percentage was changed",
    ),
    "a unique index that is gone": (
        "DROP INDEX decision_recorded_once",
        "index consent_decision.decision_recorded_once is gone",
    ),
    "a default that nobody shipped": (
        "ALTER TABLE consent_decision ALTER COLUMN choice SET DEFAULT 'opt_in'",
        "default consent_decision.choice was added",
    ),
    "a constraint that refuses choices": (
        "ALTER TABLE consent_decision ADD CONSTRAINT stop CHECK (purpose <> 'marketing') NOT VALID",
        "constraint consent_decision.stop was added",
    ),
    "a unique index that takes one choice a person": (
        "CREATE UNIQUE INDEX dedupe ON consent_decision (subject_id, purpose, channel)",
        "index consent_decision.dedupe was added",
    ),
    "a table whose rows are read as ours": (
        "CREATE TABLE more () INHERITS (consent_consent)",
        "inheriting table consent_consent.more was added",
    ),
    "a path that leads to other tables": (
        "ALTER ROLE holdfast_app IN DATABASE holdfast_test SET search_path = other, public",
        "setting holdfast_app.search_path was added",
    ),
    "a database that is only read": (
        "ALTER DATABASE holdfast_test SET default_transaction_read_only = on",
        "setting database.default_transaction_read_only was added",
    ),
    "a trigger of one's own": (
        "CREATE TRIGGER mine BEFORE INSERT ON consent_decision FOR EACH ROW EXECUTE FUNCTION holdfast_refuse_change()",
        "trigger consent_decision.mine was added",
    ),
}


@pytest.mark.parametrize(("statement", "told"), CHANGES.values(), ids=CHANGES)
def test_a_rule_that_was_changed_is_named(committed, statement, told):
    with committed.connect("superuser", autocommit=False) as session:
        session.execute(statement)
        session.commit()
    connections.close_all()

    assert told in [change.words for change in guards.changes()]


def test_a_login_that_was_made_one_of_the_owners_is_named(committed):
    with committed.connect("superuser") as session:
        session.execute("GRANT holdfast_owner TO holdfast_app")
        try:
            told = [change.words for change in guards.changes()]
        finally:
            session.execute("REVOKE holdfast_owner FROM holdfast_app")

    assert told == ["role holdfast_app was changed"]
    assert guards.changes() == []


def test_a_column_that_somebody_added_is_theirs(committed):
    with committed.connect("superuser") as session:
        session.execute("ALTER TABLE consent_decision ADD COLUMN note text")

    assert guards.changes() == []


def test_a_changed_rule_breaks_i5_and_opens_an_incident_once(committed):
    with committed.connect("superuser") as session:
        session.execute("ALTER TABLE consent_decision DISABLE TRIGGER refuse_change")

    made = run()
    again = run()

    check = made.checks.get(invariant="I5")
    assert (check.verdict, check.count) == ("breached", 1)
    assert "trigger consent_decision.refuse_change was changed" in check.words
    assert Incident.objects.get().dedup_key == "zero:I5"
    assert Alarm.objects.count() == 1
    assert again.checks.get(invariant="I5").verdict == "breached"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows.filter(app="incidents").order_by("-pk").first().delete(), "Migrations are missing"),
        (lambda rows: rows.create(app="consent", name="9999_later"), "restart it"),
    ],
)
def test_while_a_version_is_rolled_out_the_rules_are_unmeasured(change, why):
    change(MigrationRecorder.Migration.objects)

    found = INVARIANTS["I5"].ask(invariants.news())

    assert found.verdict == "unmeasured"
    assert why in found.words
