"""Batch after batch, each judged before the next; what people choose meanwhile stands."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent.bulk import Instruction
from consent.models import ANY, Consent, Decision, Purpose
from consent.services import guard_level, merge, record, set_guard
from incidents.changes import applying, deciding, judging, planning, rolling_back, running, staging, undeclared
from incidents.models import ChangeBatch, ChangeSet, Incident, Rollback
from messaging.models import SendHold
from tests.factories import PurposeFactory, SubjectFactory, incident, opt_out
from tests.incidents.change_sets import (
    IN,
    LISTED,
    OUT,
    applied,
    approved,
    begun,
    draft,
    drifted,
    fresh,
    imported,
    leaves,
    officer,
    one_step,
    states,
    stays,
)

pytestmark = pytest.mark.django_db
State = ChangeSet.State


def outcomes(change):
    return dict(change.writes.exclude(outcome=None).values_list("subject_id", "outcome"))


def restore_opt_in(*people, **facts):
    """A set that opts in whoever a list opted out."""
    return begun(IN, selector={"purpose": "marketing", "explicit": False}, **facts)


def test_a_set_is_written_in_batches_each_a_batch_of_the_log():
    people = imported(5)

    change = applied(OUT, batch_size=2)

    assert change.state == State.APPLIED
    assert states(*people) == ["opt_out"] * 5
    assert list(change.batches.values_list("number", "written_count", "state")) == [
        (1, 2, "passed"), (2, 2, "passed"), (3, 1, "passed"),
    ]  # fmt: skip
    written = Decision.objects.filter(batch__in=change.batches.values("batch"))
    assert {(d.explicit, d.cause, d.actor) for d in written} == {(False, "default", f"system:{change.ref}")}
    assert drifted() == 0


def test_an_explicit_opt_out_between_plan_and_apply_survives_and_is_counted_as_moved():
    leaver, other = imported(2, choice="opt_out")
    change = approved(IN, selector={"purpose": "marketing", "explicit": False})
    own = leaves(leaver)

    change = applying.apply(change, by="user:anna")
    running.run_due()

    assert fresh(change).state == State.APPLIED
    assert outcomes(change) == {leaver: "moved", other: "written"}
    consent = Consent.objects.get(subject=leaver)
    assert (consent.state, consent.explicit, consent.decision_id) == ("opt_out", True, own.id)
    assert change.batches.get().moved_count == 1


def test_an_opt_out_of_everything_that_came_meanwhile_covers_what_was_planned():
    leaver, other = imported(2, choice="opt_out")
    change = approved(IN, selector={"purpose": "marketing", "explicit": False})
    record([opt_out(leaver, purpose=ANY, channel=ANY)])

    applying.apply(change, by="user:anna")
    running.run_due()

    assert outcomes(change) == {leaver: "refused", other: "written"}
    assert states(leaver) == ["opt_out"]


def test_whoever_was_merged_meanwhile_is_left_out():
    merged, other = imported(2)
    into = SubjectFactory()
    change = approved(OUT)
    merge(merged, into.pk, reason="The same person", by="user:anna")

    applying.apply(change, by="user:anna")
    running.run_due()

    assert outcomes(change)[other] == "written"
    assert outcomes(change)[merged] in ("refused", "moved")
    assert fresh(change).state == State.APPLIED


def test_a_set_whose_plan_does_not_hold_writes_nothing():
    first, second = imported(2)
    change = approved(OUT)
    record([opt_out(first, explicit=False, cause="import", actor="system:job")])

    change = applying.apply(change, by="user:anna")

    assert change.state == State.STALE
    assert states(second) == ["opt_in"]


def test_a_worker_that_dies_between_batches_leaves_what_the_next_one_goes_on_with():
    people = imported(4)
    change = begun(OUT, batch_size=1)

    for _ in range(20):
        one_step()
        if fresh(change).state == State.APPLIED:
            break

    assert fresh(change).state == State.APPLIED
    assert states(*people) == ["opt_out"] * 4
    assert Decision.objects.filter(actor=f"system:{change.ref}").count() == 4
    assert list(change.batches.values_list("number", flat=True)) == [1, 2, 3, 4]


def test_a_worker_that_died_under_its_lease_is_followed_when_the_lease_ends():
    imported(2)
    change = begun(OUT, batch_size=1)
    claimed = running.claim(running.SETS)
    running.go_on(claimed, most=1)
    ChangeSet.objects.filter(pk=change.pk).update(
        lease=claimed.lease, lease_until=timezone.now() + timedelta(minutes=1)
    )

    assert running.run_due() == 0
    ChangeSet.objects.filter(pk=change.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    running.run_due()

    assert fresh(change).state == State.APPLIED
    assert change.batches.count() == 2


def test_whoever_lost_the_lease_writes_nothing():
    imported(1)
    begun(OUT)
    first = running.claim(running.SETS)
    ChangeSet.objects.update(lease=None, lease_until=None)
    second = running.claim(running.SETS)

    running.go_on(first)
    assert not ChangeBatch.objects.exists()
    running.go_on(second)

    assert ChangeBatch.objects.count() == 1


def test_a_set_is_paused_and_goes_on_where_it_stopped():
    people = imported(4)
    change = begun(OUT, batch_size=1)
    one_step()
    one_step()

    change = applying.pause(fresh(change), reason="Look at the numbers first.", by=officer())
    running.run_due()
    assert change.batches.count() == 1
    with pytest.raises(ValidationError, match="Say why"):
        applying.resume(change, reason=" ", by=officer())

    applying.resume(change, reason="They are fine.", by=officer())
    running.run_due()

    assert fresh(change).state == State.APPLIED
    assert states(*people) == ["opt_out"] * 4


def test_the_waits_between_batches_are_kept():
    imported(2)
    change = begun(OUT, batch_size=1, validation_policy={"interval_s": 60, "count": 1})

    running.run_due()
    change = fresh(change)
    assert (change.state, change.batches.count()) == (State.APPLYING, 1)
    assert change.next_at > timezone.now() + timedelta(seconds=50)
    for _ in range(3):
        ChangeSet.objects.filter(pk=change.pk).update(next_at=timezone.now())
        running.run_due()

    assert fresh(change).state == State.APPLIED


# The guard


def test_at_freeze_opt_outs_are_written_and_opt_ins_pause_the_set_with_words():
    goes, comes = imported(1)[0], imported(1, choice="opt_out")[0]
    change = draft({"operation": "import"}, selector={})
    staging.bring(
        change,
        [Instruction(comes, "marketing", "email", "opt_in"), Instruction(goes, "marketing", "email", "opt_out")],
    )
    change = deciding.submit(planning.plan(change, by="user:anna"), by="user:anna")
    change = applying.apply(deciding.approve(change, by=officer()), by="user:anna")
    set_guard("freeze", reason="Mass re-subscription", by="user:ben")

    running.run_due()

    change = fresh(change)
    assert change.state == State.PAUSED
    assert "guard" in change.paused_reason
    assert states(goes, comes) == ["opt_out", "opt_out"]
    assert outcomes(change) == {goes: "written"}
    set_guard("protect", reason="It is over", by="user:ben")
    applying.resume(change, reason="The guard was lowered.", by=officer())
    running.run_due()
    assert fresh(change).state == State.APPLIED
    assert states(comes) == ["opt_in"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    level=st.sampled_from(["observe", "protect", "freeze"]),
    before=st.lists(
        st.sampled_from(["opt_in", "opt_out", "none", "own opt_in", "own opt_out"]), min_size=1, max_size=6
    ),
    choosing=st.sets(st.integers(0, 5)),
    size=st.integers(1, 4),
)
def test_opt_outs_of_a_set_are_taken_at_every_level_and_no_explicit_one_is_ever_lifted(level, before, choosing, size):
    """Whatever stood before, and whoever opts out while it runs: their own opt-outs stand when it is over."""
    with transaction.atomic():
        PurposeFactory(code="marketing")
        people, own = [], set()
        for was in before:
            person = imported(1, choice="opt_out" if "out" in was else "opt_in")[0] if was != "none" else None
            people.append(person or SubjectFactory().pk)
            if was == "own opt_out":
                leaves(people[-1])
                own.add(people[-1])
            elif was == "own opt_in":
                stays(people[-1])
        change = draft({"operation": "import"}, selector={}, batch_size=size, leaves_protected=True)
        wanted = [(person, "opt_in" if number % 2 else "opt_out") for number, person in enumerate(people)]
        staging.bring(change, [Instruction(person, "marketing", "email", choice) for person, choice in wanted])
        change = deciding.submit(planning.plan(change, by="user:anna"), by="user:anna")
        change = applying.apply(deciding.approve(change, by=officer()), by="user:anna")
        set_guard(level, reason="An exercise", by="user:ben")
        for number in choosing & set(range(len(people))):
            leaves(people[number])
            own.add(people[number])

        running.run_due()

        assert set(states(*own)) <= {"opt_out"}
        assert Consent.objects.explicitly_opted_out().filter(subject__in=own).count() == len(own)
        opted_out = [
            p for (p, choice), was in zip(wanted, before, strict=True) if choice == "opt_out" and was != "own opt_in"
        ]
        assert set(states(*opted_out)) <= {"opt_out"}
        assert drifted() == 0
        assert fresh(change).state in (State.APPLIED, State.PAUSED)
        assert guard_level() == level
        transaction.set_rollback(True)


# Judged


def test_a_decision_that_was_not_planned_is_a_breach_of_i10():
    first, _ = imported(2)
    change = begun(OUT, selector=LISTED | {"subjects": [str(first)]})
    one_step()
    stranger = imported(1)[0]
    record(
        [opt_out(stranger, explicit=False, cause="default", actor="system:job", batch_id=change.batches.get().batch_id)]
    )

    verdict = judging.verdict(fresh(change), judging.of_batch(change.batches.get()))

    assert verdict.verdict == judging.BREACHED
    assert "I10: 1 decisions" in " ".join(verdict.words)


def test_what_cannot_be_judged_waits_for_a_person_who_has_it_judged_again(monkeypatch):
    people = imported(2)
    monkeypatch.setattr(judging, "KEYS", "SELECT 1 / 0 WHERE %(change)s + %(first)s + %(last)s + %(since)s > 0")
    change = begun(OUT)

    running.run_due()

    change = fresh(change)
    assert change.state == State.PAUSED
    assert "could not be asked" in change.paused_reason
    assert change.batches.get().state == "inconclusive"
    monkeypatch.undo()
    applying.resume(change, reason="The database is well again.", by=officer())
    running.run_due()
    assert fresh(change).state == State.APPLIED
    assert states(*people) == ["opt_out"] * 2


def test_a_policy_may_take_back_what_cannot_be_judged(monkeypatch):
    people = imported(2)
    monkeypatch.setattr(judging, "KEYS", "SELECT 1 / 0 WHERE %(change)s + %(first)s + %(last)s + %(since)s > 0")

    change = applied(OUT, validation_policy={"inconclusive": "roll_back"})
    running.run_due()

    assert fresh(change).state == State.ROLLED_BACK
    assert states(*people) == ["opt_in"] * 2


def test_a_policy_says_how_many_breaches_are_borne():
    with pytest.raises(ValidationError, match="failure_limit"):
        draft(OUT, validation_policy={"failure_limit": -1})
    people = imported(2)
    change = begun(OUT, batch_size=1, validation_policy={"failure_limit": 1})
    one_step()
    stranger = imported(1)[0]
    record(
        [opt_out(stranger, explicit=False, cause="default", actor="system:job", batch_id=change.batches.get().batch_id)]
    )

    one_step()

    change = fresh(change)
    assert (change.state, change.failures) == (State.APPLYING, 1)
    assert Incident.objects.filter(caused_by_change_set=change.ref).exists()
    assert states(*people).count("opt_out") == 1


def test_a_look_at_the_whole_goes_through_all_of_it(monkeypatch):
    people = imported(5)
    monkeypatch.setattr(judging, "SLICE", 2)
    seen = []

    def look(change, part):
        seen.append((part.first, part.last))
        return judging.Finding(judging.MET, "Seen.")

    monkeypatch.setattr(judging, "CHECKS", [look])

    change = applied(OUT, batch_size=5, validation_policy={"count": 2})

    assert change.state == State.APPLIED
    assert seen == [(1, 5), *[(1, 2), (3, 4), (5, 5)] * 2]
    assert states(*people) == ["opt_out"] * 5


def test_what_happens_to_the_first_rows_while_the_whole_is_watched_is_found(monkeypatch):
    imported(5)
    monkeypatch.setattr(judging, "SLICE", 2)
    change = begun(OUT, batch_size=2, validation_policy={"count": 1})
    while fresh(change).state != State.VALIDATING:
        one_step()
    stranger = imported(1)[0]
    batch = change.batches.get(number=1).batch_id
    record([opt_out(stranger, explicit=False, cause="default", actor="system:job", batch_id=batch)])

    running.run_due()
    running.run_due()

    assert fresh(change).state == State.ROLLED_BACK


def test_no_policy_bears_that_an_opt_out_was_reversed(monkeypatch):
    imported(2)
    change = begun(OUT, batch_size=1, validation_policy={"failure_limit": 10})
    monkeypatch.setattr(judging, "REVERSED_SINCE", "SELECT 1 WHERE %(consents)s <> '{}' AND %(since)s > -9")

    one_step()
    one_step()

    assert fresh(change).state == State.ROLLING_BACK


# Configuration


def rule(code="news", **to):
    return {"operation": "set_purpose", "args": {"code": code, "to": to}}


def test_configuration_is_changed_told_and_taken_back():
    PurposeFactory(code="news", name="News", regime="opt_in")
    fire = incident()
    change = applied(rule(regime="opt_out"), rule(name="All news"), selector={}, incident=fire)

    assert change.state == State.APPLIED
    purpose = Purpose.objects.get(pk="news")
    assert (purpose.regime, purpose.name) == ("opt_out", "All news")
    assert purpose.history.first().history_user_id == f"system:{change.ref}"

    rolling_back.roll_back(change, reason="It was the wrong purpose.", by=officer())
    running.run_due()

    assert fresh(change).state == State.ROLLED_BACK
    purpose.refresh_from_db()
    assert (purpose.regime, purpose.name) == ("opt_in", "News")


def test_a_rule_that_a_set_made_stricter_is_loosened_again_by_two():
    PurposeFactory(code="news", regime="opt_out")
    change = applied(rule(regime="opt_in"), selector={})

    made = rolling_back.roll_back(change, reason="It was the wrong purpose.", by=officer())
    running.run_due()
    assert (made.state, Purpose.objects.get(pk="news").regime) == (Rollback.State.WAITING, "opt_in")

    undeclared.confirm(made, by=officer())
    running.run_due()
    assert Purpose.objects.get(pk="news").regime == "opt_out"


def test_what_somebody_set_since_is_not_taken_back():
    PurposeFactory(code="news", name="News", description="Old")
    change = applied(rule(name="All news", description="New"), selector={})
    purpose = Purpose.objects.get(pk="news")
    purpose.name = "Theirs"
    purpose.save()

    rolling_back.roll_back(change, reason="Wrong.", by=officer())
    running.run_due()

    purpose.refresh_from_db()
    assert (purpose.name, purpose.description) == ("Theirs", "Old")
    assert "name was changed by somebody since" in " ".join(change.batches.get().words)


def test_configuration_that_somebody_changed_while_it_was_watched_waits_for_a_person():
    PurposeFactory(code="news", name="News")
    change = begun(rule(name="All news"), selector={})
    one_step()
    Purpose.objects.filter(pk="news").update(name="Theirs")

    running.run_due()

    assert fresh(change).state == State.PAUSED


def test_a_setting_changed_elsewhere_is_told_watched_and_taken_back_by_words_and_a_hold():
    args = {"name": "mail.rate", "before": "100", "after": "900", "hold_lane": "bulk"}
    change = applied({"operation": "declare_setting", "args": args}, selector={})
    assert change.state == State.APPLIED

    rolling_back.roll_back(change, reason="The relay gives up.", by=officer())
    running.run_due()

    assert SendHold.objects.filter(scope="lane", value="bulk", released_at=None).exists()
    assert "by hand" in " ".join(change.batches.get().words)


def test_an_incident_hears_of_each_step():
    imported(1)
    fire = incident()

    change = applied(OUT, incident=fire)

    moves = fire.timeline.filter(kind="change_set").exclude(new="").order_by("seq").values_list("new", flat=True)
    assert list(moves) == ["draft", "in_review", "approved", "applying", "validating", "applied"]
    assert not Rollback.objects.exists()
    assert change.applied_at


def test_an_applied_set_is_not_applied_again():
    imported(1)
    change = applied(OUT)

    with pytest.raises(ValidationError, match="cannot be done"):
        applying.apply(change, by="user:anna")
    with pytest.raises(DatabaseError), transaction.atomic():
        ChangeSet.objects.filter(pk=change.pk).update(state="applying", next_at=timezone.now())
