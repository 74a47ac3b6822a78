"""Who says what about a change set: never its author alone, and for one plan of one revision only."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.utils import timezone

from consent.services import record
from incidents.changes import applying, deciding, planning, running
from incidents.changes.allowing import VERBS, refusal
from incidents.models import ChangeApproval, ChangeSet, Incident
from tests.factories import UserFactory, incident, opt_out
from tests.incidents.change_sets import (
    IN,
    LISTED,
    OUT,
    approved,
    draft,
    fresh,
    imported,
    in_review,
    leaves,
    officer,
    planned,
    responder,
    states,
)

pytestmark = pytest.mark.django_db
State = ChangeSet.State


def refuses(words, verb, *args, **facts):
    with pytest.raises(ValidationError) as error:
        verb(*args, **facts)
    assert words in " ".join(error.value.messages)


@pytest.fixture
def people():
    return imported(2)


def test_a_second_person_approves_and_then_it_may_be_applied(people):
    change = in_review(OUT)

    change = deciding.approve(change, by=officer(), comment="Read line by line.")

    assert change.state == State.APPROVED
    assert change.approvals.get().comment == "Read line by line."


def test_nobody_approves_their_own(people):
    author = officer()
    change = deciding.submit(planning.plan(draft(OUT, by=author), by=author), by=author)

    refuses("somebody else", deciding.approve, change, by=author)
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        ChangeApproval.objects.create(
            change_set=change, verdict="approve", revision=1, plan_digest=change.plan_digest, given_by=author.actor
        )
    assert error.value.__cause__.sqlstate == "HF014"


def test_whoever_edits_a_set_wrote_it_too(people):
    ben = officer()
    change = deciding.edit(in_review(OUT), by=ben, selector=LISTED | {"state": "opt_in"})
    change = deciding.edit(change, by="user:anna", title="As Anna wants it")  # what Ben wrote is in it still
    change = deciding.submit(planning.plan(change, by=ben), by=ben)

    assert change.editors == [ben.actor]
    refuses("wrote or edited it", deciding.approve, change, by=ben)
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        ChangeApproval.objects.create(
            change_set=change, verdict="approve", revision=3, plan_digest=change.plan_digest, given_by=ben.actor
        )
    assert error.value.__cause__.sqlstate == "HF014"
    assert deciding.approve(change, by=officer()).state == State.APPROVED


def test_who_edited_a_set_is_not_forgotten_and_their_approval_counts_for_nothing(people):
    change, ben = approved(OUT), officer()
    ChangeSet.objects.filter(pk=change.pk).update(editors=[change.approvals.get().given_by])

    with pytest.raises(DatabaseError) as error, transaction.atomic():
        ChangeSet.objects.filter(pk=change.pk).update(state="applying", next_at=timezone.now())
    assert error.value.__cause__.sqlstate == "HF014"
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        ChangeSet.objects.filter(pk=change.pk).update(editors=[ben.actor])
    assert error.value.__cause__.sqlstate == "HF013"


def test_two_approvals_are_of_two_people(people, monkeypatch):
    monkeypatch.setattr("incidents.changes.policy.LARGE", 1)
    change, first = in_review(OUT), officer()

    change = deciding.approve(change, by=first)
    assert change.state == State.IN_REVIEW
    refuses("answered for this plan already", deciding.approve, change, by=first)

    assert deciding.approve(change, by=responder()).state == State.APPROVED


@pytest.mark.parametrize("role", ["Support", "Auditor", None])
def test_who_may_not_approve_does_not(people, role):
    change = in_review(OUT)

    refuses("may not", deciding.approve, change, by=UserFactory(role=role))
    refuses("no program", deciding.approve, change, by="service:shop")


def test_an_edit_revokes_approvals_and_the_plan_with_them(people):
    change = approved(OUT)

    change = deciding.edit(change, by="user:anna", selector=LISTED | {"state": "opt_in"})

    assert (change.state, change.revision, change.plan_digest) == (State.DRAFT, 2, None)
    assert change.writes.count() == 0
    refuses("Plan it first", deciding.submit, change, by="user:anna")
    change = deciding.submit(planning.plan(change, by="user:anna"), by="user:anna")
    assert change.state == State.IN_REVIEW
    assert change.approvals.count() == 1
    assert not deciding.approvals_of(change).exists()


def test_an_approval_is_of_the_plan_that_was_read(people):
    change = in_review(OUT)
    read = bytes(change.plan_digest)
    change = deciding.edit(change, by="user:anna", batch_size=1)
    change = deciding.submit(planning.plan(change, by="user:anna"), by="user:anna")

    refuses("Another plan", deciding.approve, change, by=officer(), plan_digest=read)


def test_the_database_applies_nothing_without_the_approvals_of_this_plan(people):
    waiting, agreed = in_review(OUT), approved(OUT)
    ChangeSet.objects.filter(pk=waiting.pk).update(state="approved")

    with pytest.raises(DatabaseError) as error, transaction.atomic():
        ChangeSet.objects.filter(pk=waiting.pk).update(state="applying", next_at=timezone.now())
    assert error.value.__cause__.sqlstate == "HF014"
    refuses("not approved by enough", applying.apply, waiting, by="user:anna")
    assert ChangeSet.objects.filter(pk=agreed.pk).update(state="applying", next_at=timezone.now()) == 1


def test_a_decline_blocks_whatever_others_said(people, monkeypatch):
    monkeypatch.setattr("incidents.changes.policy.LARGE", 1)
    change = deciding.approve(in_review(OUT), by=officer())

    refuses("Say why", deciding.decline, change, by=officer(), comment=" ")
    change = deciding.decline(change, by=officer(), comment="The list is of last year.")

    assert change.state == State.REJECTED
    assert change.ended_reason == "The list is of last year."
    refuses("rejected", deciding.approve, change, by=officer())
    assert deciding.edit(change, by="user:anna", title="Another list").state == State.DRAFT


def test_an_approved_set_is_declined_too(people):
    assert deciding.decline(approved(OUT), by=officer(), comment="Stop.").state == State.REJECTED


def test_declining_what_reaches_people_who_opted_out_is_a_near_miss():
    first, _ = imported(2, choice="opt_out")
    leaves(first)
    change = in_review(IN, selector={"purpose": "marketing"}, leaves_protected=True)

    deciding.decline(change, by=officer(), comment="Not these people.")

    told = Incident.objects.near_misses().get()
    assert told.caused_by_change_set == change.ref
    assert "declined it before it was applied" in told.near_miss_prevented_by


def test_a_plan_that_does_not_hold_any_more_is_not_approved_but_planned_again(people):
    change = in_review(OUT)
    record([opt_out(people[0], explicit=False, cause="import", actor="system:job")])

    change = deciding.approve(change, by=officer())

    assert change.state == State.STALE
    assert not change.approvals.exists()
    change = planning.plan(change, by="user:anna")
    assert (change.state, change.revision, change.same_count) == (State.DRAFT, 2, 1)


def test_a_set_gets_a_time_and_is_applied_then(people):
    change = approved(OUT)
    refuses("lies ahead", deciding.schedule, change, timezone.now(), by=officer())
    refuses("Its plan holds until", deciding.schedule, change, timezone.now() + timedelta(hours=25), by=officer())

    change = deciding.schedule(change, timezone.now() + timedelta(hours=1), by=officer())
    assert running.run_due() == 0
    ChangeSet.objects.filter(pk=change.pk).update(next_at=timezone.now())
    running.run_due()

    assert fresh(change).state == State.APPLIED
    assert states(*people) == ["opt_out", "opt_out"]


def test_a_time_given_by_somebody_who_left_applies_nothing(people):
    gone = officer()
    change = deciding.schedule(approved(OUT), timezone.now() + timedelta(hours=1), by=gone)
    gone.is_active = False
    gone.save()
    ChangeSet.objects.filter(pk=change.pk).update(next_at=timezone.now())

    running.run_due()

    assert fresh(change).state == State.STALE
    assert states(*people) == ["opt_in", "opt_in"]


def test_a_scheduled_set_whose_plan_does_not_hold_becomes_stale_at_its_time(people):
    change = deciding.schedule(approved(OUT), timezone.now() + timedelta(hours=1), by=officer())
    record([opt_out(people[0], explicit=False, cause="import", actor="system:job")])
    ChangeSet.objects.filter(pk=change.pk).update(next_at=timezone.now())

    running.run_due()

    assert fresh(change).state == State.STALE
    assert states(*people) == ["opt_out", "opt_in"]


def test_a_time_can_be_taken_away_and_a_set_given_up(people):
    change = deciding.schedule(approved(OUT), timezone.now() + timedelta(hours=1), by=officer())

    change = deciding.unschedule(change, by=officer())
    assert (change.state, change.next_at) == (State.APPROVED, None)
    change = deciding.cancel(change, by="user:anna", reason="Not needed any more.")

    assert change.state == State.CANCELLED
    refuses("cancelled", deciding.edit, change, by="user:anna", title="Again")


# Emergencies


@pytest.fixture
def burning(people):
    return in_review(OUT, incident=incident(minutes_ago=5))


def test_a_bypass_takes_a_second_person_who_was_named(burning):
    asks, seconds = responder(), officer()
    change = deciding.bypass(burning, by=asks, reason="It burns", second=seconds)

    assert change.state == State.IN_REVIEW
    refuses("cannot be done", applying.apply, change, by=asks)
    refuses("second person", deciding.second, change, by=asks)
    refuses("was named", deciding.second, change, by=officer())
    change = deciding.second(change, by=seconds)
    assert change.is_bypassed

    applying.apply(change, by=asks)
    running.run_due()

    assert fresh(change).state == State.APPLIED
    told = " ".join(change.incident.timeline.values_list("text", flat=True))
    assert "APPROVALS BYPASSED" in told
    assert "WITHOUT APPROVALS" in told


def test_a_bypass_is_for_an_emergency_and_for_those_who_may(people, burning):
    refuses("open incident", deciding.bypass, in_review(OUT), by=responder(), reason="It burns", second=officer())
    refuses("may not", deciding.bypass, burning, by=officer(), reason="It burns", second=officer())
    asks = responder()
    refuses("second person", deciding.bypass, burning, by=asks, reason="It burns", second=asks)
    nobody = UserFactory(role="Support")
    refuses("may not confirm", deciding.bypass, burning, by=asks, reason="It burns", second=nobody)
    refuses("Say why", deciding.bypass, burning, by=asks, reason="", second=officer())


def test_whoever_edited_a_set_neither_confirms_its_bypass_nor_looks_at_it_afterwards(burning):
    asks, edits, seconds = responder(), officer(), officer()
    change = deciding.edit(burning, by=edits, batch_size=1)
    change = deciding.submit(planning.plan(change, by=edits), by=edits)

    refuses("wrote or edited it", deciding.bypass, change, by=asks, reason="It burns", second=edits)
    change = deciding.bypass(change, by=asks, reason="It burns", second=seconds)
    refuses("wrote or edited it", deciding.second, change, by=edits)
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        ChangeSet.objects.filter(pk=change.pk).update(seconded_at=timezone.now(), seconded_by=edits.actor)
    assert error.value.__cause__.sqlstate == "HF014"

    change = deciding.second(change, by=seconds)
    refuses("no part", deciding.review, change, by=edits, result="Fine")


def test_a_bypass_skips_no_plan_and_an_edit_ends_it(burning):
    asks, seconds = responder(), officer()
    change = deciding.second(deciding.bypass(burning, by=asks, reason="It burns", second=seconds), by=seconds)

    change = deciding.edit(change, by="user:anna", title="More of it")

    assert not change.is_bypassed
    assert change.review_due_at is None
    refuses("Plan it first", deciding.submit, change, by="user:anna")


def test_a_bypass_is_of_the_plan_that_it_was_asked_for(burning, people):
    asks, seconds = responder(), officer()
    read = bytes(burning.plan_digest)
    change = deciding.bypass(burning, by=asks, reason="It burns", second=seconds)
    refuses("Another plan", deciding.second, change, by=seconds, plan_digest=bytes(32))
    record([opt_out(people[0], explicit=False, cause="import", actor="system:job")])

    change = deciding.second(change, by=seconds, plan_digest=read)
    assert (change.state, change.is_bypassed) == (State.STALE, False)
    change = deciding.submit(planning.plan(change, by="user:anna"), by="user:anna")

    assert refusal("second", change, seconds) == "Nobody waits for a second person here."
    change = deciding.bypass(change, by=asks, reason="It burns still", second=seconds)
    assert deciding.second(change, by=seconds, plan_digest=bytes(change.plan_digest)).is_bypassed


def test_a_confirmed_bypass_does_not_outlive_its_plan(burning, people):
    asks, seconds = responder(), officer()
    change = deciding.second(deciding.bypass(burning, by=asks, reason="It burns", second=seconds), by=seconds)
    record([opt_out(people[0], explicit=False, cause="import", actor="system:job")])
    assert applying.apply(change, by=asks).state == State.STALE

    change = planning.plan(change, by="user:anna")
    assert (change.bypassed_by, change.seconded_by, change.review_due_at) == ("", "", None)
    change = deciding.approve(deciding.submit(change, by="user:anna"), by=officer())

    assert (change.state, change.is_bypassed) == (State.APPROVED, False)


def test_the_database_lets_no_other_plan_through_with_a_bypass(burning):
    facts = {"bypassed_at": timezone.now(), "bypassed_by": "user:ben", "bypass_reason": "It burns",
             "review_due_at": timezone.now(), "seconded_at": timezone.now(), "seconded_by": "user:cleo"}  # fmt: skip
    ChangeSet.objects.filter(pk=burning.pk).update(state="approved", bypass_digest=bytes(32), **facts)

    with pytest.raises(DatabaseError) as error, transaction.atomic():
        ChangeSet.objects.filter(pk=burning.pk).update(state="applying", next_at=timezone.now())
    assert error.value.__cause__.sqlstate == "HF014"


def test_a_bypass_is_reviewed_by_somebody_who_had_no_part_in_it(burning):
    asks, seconds, reviews = responder(), officer(), officer()
    change = deciding.second(deciding.bypass(burning, by=asks, reason="It burns", second=seconds), by=seconds)
    assert timedelta(days=2) < change.review_due_at - timezone.now() < timedelta(days=6)

    refuses("no part", deciding.review, change, by=seconds, result="Fine")
    change = deciding.review(change, by=reviews, result="It was right; the import is mended.")

    assert change.reviewed_by == reviews.actor
    refuses("nothing to look at", deciding.review, change, by=officer(), result="Again")
    later = change.review_due_at + timedelta(days=1)
    assert not ChangeSet.objects.review_overdue(later).exists()


# What pages ask


def test_what_pages_hide_is_what_the_verbs_refuse(people):
    """One answer for both: a verb that is refused says the words that the page was told."""
    change, someone = planned(OUT), UserFactory(role="Support")
    calls = {
        "edit": lambda by: deciding.edit(change, by=by),
        "plan": lambda by: planning.plan(change, by=by),
        "submit": lambda by: deciding.submit(change, by=by),
        "approve": lambda by: deciding.approve(change, by=by),
        "decline": lambda by: deciding.decline(change, by=by, comment="No"),
        "schedule": lambda by: deciding.schedule(change, timezone.now() + timedelta(hours=1), by=by),
        "unschedule": lambda by: deciding.unschedule(change, by=by),
        "apply": lambda by: applying.apply(change, by=by),
        "pause": lambda by: applying.pause(change, by=by, reason="x"),
        "resume": lambda by: applying.resume(change, by=by, reason="x"),
        "cancel": lambda by: deciding.cancel(change, by=by, reason="x"),
        "second": lambda by: deciding.second(change, by=by),
        "review": lambda by: deciding.review(change, by=by, result="x"),
    }

    assert set(calls) == set(VERBS) - {"bypass", "roll_back"}
    for verb, call in calls.items():
        words = refusal(verb, change, someone)
        assert words
        refuses(words, call, someone)


def test_who_did_what_is_in_its_history(people):
    change = approved(OUT)

    reasons = [row.history_change_reason for row in change.history.order_by("history_id")]

    assert reasons[0] == "Written"
    assert reasons[1] == "Planned"
    assert change.history.first().history_user_id.startswith("user:")
