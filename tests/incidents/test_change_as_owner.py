"""Data migrations as `migrate` runs them: by an administrator who acts as the owner of the tables."""

from contextlib import contextmanager

import psycopg
import pytest
from django.db import DatabaseError, connection, migrations
from django.db.migrations.state import ProjectState

from config.database import OWNER
from consent.models import Consent
from incidents.changes import judging
from incidents.changes.migrating import NotApplied, guarded_change
from incidents.invariants import INVARIANTS, everything
from incidents.models import ChangeSet
from tests.factories import PurposeFactory, SubjectFactory
from tests.incidents.change_sets import drifted, imported, leaves, states

State = ChangeSet.State
NEWEST = "(SELECT id FROM consent_subject ORDER BY created_at DESC LIMIT 1)"


@contextmanager
def as_the_owner(cluster):
    settings = connection.settings_dict
    before = {name: settings[name] for name in ("USER", "PASSWORD", "OPTIONS")}
    administrator = psycopg.conninfo.conninfo_to_dict(cluster.admin_url)["user"]
    connection.close()
    settings.update(USER=administrator, PASSWORD="", OPTIONS={"options": f"-c role={OWNER}"})
    try:
        yield
    finally:
        connection.close()
        settings.update(before)


@guarded_change("Opt out everybody of March", reason="The list of March was bought.", batch_size=2)
def forwards(apps, schema_editor, change):
    change.select("SELECT subject_id, purpose, channel, 'opt_out', NULL::timestamptz FROM consent_consent", [])


def migration_of(function, *, is_atomic):
    class Migration(migrations.Migration):
        atomic = is_atomic
        operations = [migrations.RunPython(function, function.back)]

    return Migration("0001_march", "incidents")


def migrate(function, *, is_atomic, backwards=False):
    migration = migration_of(function, is_atomic=is_atomic)
    with connection.schema_editor(atomic=is_atomic) as editor:
        assert connection.in_atomic_block is is_atomic
        (migration.unapply if backwards else migration.apply)(ProjectState(), editor)


@pytest.mark.parametrize("is_atomic", [False, True])
def test_a_migration_goes_forth_and_back_as_the_owner(committed, is_atomic):
    people = imported(3)

    with as_the_owner(committed):
        migrate(forwards, is_atomic=is_atomic)
        assert states(*people) == ["opt_out"] * 3
        assert is_guarded()
        migrate(forwards, is_atomic=is_atomic, backwards=True)

    assert states(*people) == ["opt_in"] * 3
    assert ChangeSet.objects.get().state == State.ROLLED_BACK
    assert drifted() == 0
    assert is_guarded()


def is_guarded():
    return INVARIANTS["I10"].ask(everything()).verdict == "met"


@pytest.mark.parametrize(
    ("column", "value"), [("choice", "'opt_in'"), ("purpose", "'product_news'"), ("subject_id", NEWEST)]
)
def test_what_the_owner_writes_beside_the_plan_is_found(committed, column, value):
    imported(1)
    SubjectFactory()
    PurposeFactory(code="product_news")
    with as_the_owner(committed):
        migrate(forwards, is_atomic=True)
    facts = {name: name for name in ("subject_id", "purpose", "channel", "choice", "cause", "actor", "batch_id")}

    with committed.connect("superuser") as by_hand:
        by_hand.execute("SET session_replication_role = replica")
        by_hand.execute(
            f"INSERT INTO consent_decision ({', '.join(facts)}, decided_at) "
            f"SELECT {', '.join((facts | {column: value}).values())}, now() FROM consent_decision "
            "WHERE choice = 'opt_out' LIMIT 1"
        )

    assert not is_guarded()


def test_a_migration_that_does_harm_is_taken_back_at_once_by_the_owner_who_runs_it(committed, monkeypatch):
    people = imported(4)
    leaves(people[0])
    monkeypatch.setattr(judging, "UNGUARDED", "SELECT 7 WHERE %(change)s + %(first)s + %(last)s + %(since)s > -9")

    with as_the_owner(committed), pytest.raises(NotApplied, match="I10: 7 decisions") as refused:
        migrate(forwards, is_atomic=False)

    assert refused.value.change_set.state == State.ROLLED_BACK
    assert states(*people) == ["opt_out", "opt_in", "opt_in", "opt_in"]
    taken_back = ChangeSet.objects.get().rollbacks.get()
    assert (taken_back.voided_count, taken_back.rewritten_again, taken_back.weakened_count) == (2, 0, 0)
    assert drifted() == 0


def test_the_owner_who_migrates_still_writes_no_consent_by_hand(committed):
    people = imported(1)

    with as_the_owner(committed), pytest.raises(DatabaseError, match="written by the database alone"):
        Consent.objects.filter(subject=people[0]).update(state="opt_out")

    assert states(*people) == ["opt_in"]
