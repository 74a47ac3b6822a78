"""Scripts and data migrations: planned first, written in judged batches, refused where they would do harm."""

from datetime import timedelta
from functools import partial

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from consent.bulk import Instruction
from consent.models import Consent, Decision
from consent.services import record, set_guard
from incidents.changes import applying, deciding, judging, planning, staging
from incidents.changes.migrating import SCRIPT, NotApplied, change_set, guarded_change, take_back
from incidents.changes.operations import problems_of
from incidents.models import ChangeSet, Incident
from tests.factories import incident, opt_out
from tests.incidents.change_sets import LISTED, OUT, drifted, imported, leaves, officer, states

pytestmark = pytest.mark.django_db
State = ChangeSet.State
FACTS = {"reason": "The import lost its opt-outs."}


KEY = {"purpose": "marketing", "channel": "email"}


@pytest.fixture
def people():
    return imported(2)


def keys(people):
    return [(person, "marketing", "email") for person in people]


def test_a_script_writes_what_it_was_given_as_one_set():
    people = imported(5)
    fire = incident()

    with change_set("Backfill", incident=fire, batch_size=2, **FACTS) as change:
        change.opt_out(keys(people))
        assert states(*people) == ["opt_in"] * 5  # nothing is written before the block has ended

    assert states(*people) == ["opt_out"] * 5
    assert (change.change_set.state, change.change_set.kind) == (State.APPLIED, "migration")
    assert [batch.written_count for batch in change.change_set.batches.all()] == [2, 2, 1]
    assert {d.cause for d in Decision.objects.filter(actor=f"system:{change.change_set.ref}")} == {"automated_script"}
    assert fire.timeline.filter(new="applied").exists()


def test_a_script_that_would_undo_peoples_own_opt_outs_is_refused_before_it_writes_and_told_as_a_near_miss():
    first, second = imported(2, choice="opt_out")
    leaves(first)

    with pytest.raises(ValidationError, match="never written"), change_set("Re-subscribe", **FACTS) as change:
        change.opt_in(keys([first, second]))

    assert states(first, second) == ["opt_out", "opt_out"]
    kept = ChangeSet.objects.get()
    assert (kept.state, kept.protected_touched) == (State.CANCELLED, 1)
    assert Incident.objects.near_misses().get().caused_by_change_set == kept.ref


def test_a_script_may_say_that_it_leaves_them_out():
    first, second = imported(2, choice="opt_out")
    leaves(first)

    with change_set("Re-subscribe", leave_protected=True, **FACTS) as change:
        change.opt_in(keys([first, second]))

    assert states(first, second) == ["opt_out", "opt_in"]
    assert Consent.objects.get(subject=first).explicit
    assert not Incident.objects.near_misses().exists()


def test_a_script_that_does_harm_is_taken_back_by_itself(monkeypatch):
    people = imported(4)
    monkeypatch.setattr(judging, "UNGUARDED", "SELECT 7 WHERE %(change)s + %(first)s + %(last)s + %(since)s > -9")

    with (
        pytest.raises(NotApplied, match="I10: 7 decisions") as refused,
        change_set("Bad", batch_size=2, **FACTS) as change,
    ):
        change.opt_out(keys(people))

    assert refused.value.change_set.state == State.ROLLED_BACK
    assert states(*people) == ["opt_in"] * 4
    assert change.change_set.batches.count() == 1
    assert drifted() == 0


def test_a_script_at_freeze_stands_still_and_says_so():
    people = imported(2, choice="opt_out")
    set_guard("freeze", reason="Mass re-subscription", by="user:ben")

    with pytest.raises(NotApplied, match="guard") as refused, change_set("Back in", **FACTS) as change:
        change.opt_in(keys(people))

    assert refused.value.change_set.state == State.PAUSED
    assert states(*people) == ["opt_out"] * 2


@pytest.fixture
def left_behind(people):
    """Its process was killed before it was submitted."""
    change = deciding.write("Back in", operations=[{"operation": "rows"}], by=SCRIPT, is_scripted=True, **FACTS)
    staging.bring(change, [Instruction(person, "marketing", "email", "opt_out") for person in people])
    return planning.plan(change, by=SCRIPT)


@pytest.mark.parametrize(
    "verb",
    [
        lambda change, by: deciding.edit(change, operations=[OUT], selector=LISTED, by=by),
        planning.plan,
        deciding.submit,
    ],
)
def test_what_a_script_left_behind_is_carried_on_by_nobody_else(left_behind, verb):
    with pytest.raises(ValidationError, match="run the script again"):
        verb(left_behind, by=officer())


def test_what_a_script_submitted_is_applied_and_given_a_time_by_nobody_else(left_behind):
    change = deciding.submit(left_behind, by=SCRIPT)

    for verb in (applying.apply, partial(deciding.schedule, at=timezone.now() + timedelta(hours=1))):
        with pytest.raises(ValidationError, match="run the script again"):
            verb(change, by=officer())

    assert applying.apply(change, by=SCRIPT).state == State.APPLYING


def test_the_rows_of_a_script_stand_alone_and_nothing_else_goes_without_approvals(left_behind):
    beside = [{"operation": "rows"}, {"operation": "sync_segment", "args": {**KEY, "choice": "opt_in"}}]
    assert problems_of(beside, {}) == ["operations: the rows of a script stand alone. Make two sets of it."]

    for facts in ({"operations": [OUT]}, {"kind": "bulk_edit"}):
        with pytest.raises(IntegrityError, match="only_a_script_needs_nobody"), transaction.atomic():
            ChangeSet.objects.filter(pk=left_behind.pk).update(**facts)


def test_a_script_that_fails_writes_nothing_and_its_set_is_given_up():
    people = imported(2)

    def script():
        with change_set("Broken", **FACTS) as change:
            change.opt_out(keys(people))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        script()

    assert states(*people) == ["opt_in"] * 2
    assert ChangeSet.objects.get().state == State.CANCELLED


def test_a_script_without_rows_has_nothing_to_do():
    with change_set("Empty", **FACTS) as change:
        change.opt_out([])

    assert change.change_set.state == State.CANCELLED


def test_rows_may_lie_in_a_table_and_say_when_they_were_decided():
    older, newer = imported(2)
    long_ago = timezone.now() - timedelta(days=30)

    with change_set("From a table", **FACTS) as change:
        change.select(
            "SELECT subject_id, purpose, channel, 'opt_out', NULL::timestamptz FROM consent_consent "
            "WHERE subject_id = %s",
            [newer],
        )
        change.opt_out([(older, "marketing", "email", long_ago)])

    assert states(older, newer) == ["opt_in", "opt_out"]  # an older word of nobody's changes nothing
    assert change.change_set.same_count == 1


@guarded_change("Opt out everybody of March", reason="The list of March was bought.", batch_size=2)
def forwards(apps, schema_editor, change):
    """What a migration's function looks like."""
    change.select("SELECT subject_id, purpose, channel, 'opt_out', NULL::timestamptz FROM consent_consent", [])


def test_a_migrations_function_goes_forth_and_back_and_peoples_choices_stay():
    people = imported(3)

    forwards(None, None)
    assert states(*people) == ["opt_out"] * 3
    leaves(people[0])
    forwards.back(None, None)

    assert states(*people) == ["opt_out", "opt_in", "opt_in"]
    change = ChangeSet.objects.get()
    assert (change.state, change.created_by) == (State.ROLLED_BACK, "system:migration")
    assert forwards.__doc__ == "What a migration's function looks like."


def test_going_back_without_having_been_there_does_nothing():
    assert take_back("Never applied", reason="An exercise") is None


def test_a_plan_that_something_else_made_stale_in_that_moment_is_told(monkeypatch):
    first, _ = imported(2)
    submit_it = deciding.submit

    def submit(change, by):
        change = submit_it(change, by=by)
        record([opt_out(first, explicit=False, cause="import", actor="system:job")])
        return change

    monkeypatch.setattr("incidents.changes.migrating.deciding.submit", submit)

    with pytest.raises(NotApplied, match="Run it again"), change_set("Raced", **FACTS) as change:
        change.opt_out(keys([first]))
