"""What was written is taken back: of a set, and of a session that declared nothing. Playbooks freeze what writes."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.utils import timezone

from consent.models import Consent, Decision, DecisionVoid
from consent.services import open_batch, record, set_guard, void_batch
from incidents.changes import applying, deciding, rolling_back, running, undeclared
from incidents.changes.allowing import refusal
from incidents.models import ChangeSet, Rollback
from incidents.playbooks import hands
from incidents.playbooks import running as playbooks
from incidents.relations import name_cause
from tests.factories import UserFactory, incident, opt_in, opt_out, playbook
from tests.incidents.change_sets import (
    IN,
    OUT,
    applied,
    approved,
    begun,
    drifted,
    fresh,
    imported,
    leaves,
    officer,
    one_step,
    responder,
    states,
    stays,
    taken_back,
)

pytestmark = pytest.mark.django_db
State = ChangeSet.State
LISTED_OUT = {"purpose": "marketing", "explicit": False}
PATCH = {"cause": "default", "explicit": False, "actor": "user:anna"}


def test_each_person_gets_back_their_own_last_state():
    people = imported(3)
    fire = incident()
    change = applied(OUT, incident=fire)
    leaves(people[0])

    made = taken_back(change, "The wrong list.")
    assert fresh(change).state == State.ROLLING_BACK
    running.run_due()

    assert states(*people) == ["opt_out", "opt_in", "opt_in"]
    assert Consent.objects.get(subject=people[0]).explicit
    made, change = fresh(made), fresh(change)
    assert (made.state, made.item_count, made.voided_count) == (Rollback.State.DONE, 3, 3)
    assert (change.state, change.rolled_back_by) == (State.ROLLED_BACK, made.started_by)
    assert set(DecisionVoid.objects.values_list("voided_by", "confirmed_by")) == {(made.started_by, made.confirmed_by)}
    assert "weakened" in fire.timeline.order_by("-seq").first().text


@pytest.mark.parametrize("by", ["service:crm", "an officer"])
def test_opt_outs_of_a_set_that_was_applied_are_lifted_by_two(by):
    people, asks = imported(2), officer() if by == "an officer" else by
    change = applied(OUT, incident=incident())

    made = rolling_back.roll_back(change, reason="The wrong list.", by=asks)
    running.run_due()

    assert (made.state, fresh(change).state) == (Rollback.State.WAITING, State.APPLIED)
    assert states(*people) == ["opt_out", "opt_out"]
    with pytest.raises(ValidationError, match="has asked for that"):
        rolling_back.roll_back(change, reason="Again.", by=officer())
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        ChangeSet.objects.filter(pk=change.pk).update(state="rolling_back")
    assert error.value.__cause__.sqlstate == "HF014"
    with pytest.raises(ValidationError, match=r"second person|no program"):
        undeclared.confirm(made, by=asks)
    undeclared.confirm(made, by=officer())
    running.run_due()
    assert fresh(change).state == State.ROLLED_BACK
    assert states(*people) == ["opt_in", "opt_in"]


def test_a_take_back_that_nobody_confirms_is_given_up_and_may_be_asked_for_again():
    imported(1)
    change = applied(OUT)
    made = rolling_back.roll_back(change, reason="The wrong list.", by=officer())

    undeclared.cancel(made, reason="It was right.", by=officer())

    assert fresh(change).state == State.APPLIED
    assert refusal("roll_back", change, officer()) == ""


def test_a_set_is_taken_back_by_its_own_door_only(monkeypatch):
    people = imported(2)
    change = applied(OUT)
    batch = change.batches.get().batch

    for facts in ({"by": "system:x"}, {"by": "user:ben", "confirmed_by": "user:cleo"}):
        with pytest.raises(ValidationError, match="take that back, as a whole"):
            void_batch(batch, reason="Behind its back.", **facts)
    with pytest.raises(ValidationError, match=f"{change.ref} wrote this batch"):
        undeclared.look({"batch": str(batch.pk)})
    tx = Decision.objects.filter(batch=batch).first().tx
    assert undeclared.look({"tx": tx}).item_count == 2  # in a test also what the list said, and nothing of the set
    assert states(*people) == ["opt_out", "opt_out"]


def test_a_set_is_taken_back_in_the_middle_of_it():
    people = imported(4)
    change = begun(OUT, batch_size=1)
    one_step()
    one_step()
    one_step()

    rolling_back.roll_back(fresh(change), reason="Stop.", by=officer())
    running.run_due()

    assert fresh(change).state == State.ROLLED_BACK
    assert states(*people) == ["opt_in"] * 4
    assert change.batches.count() == 2


def test_a_paused_set_is_taken_back_and_what_was_not_applied_is_not():
    imported(1)
    waiting = approved(OUT)
    with pytest.raises(ValidationError, match="cannot be done"):
        rolling_back.roll_back(waiting, reason="Stop.", by=officer())
    change = applying.pause(applying.apply(waiting, by=officer()), reason="Wait.", by=officer())

    rolling_back.roll_back(change, reason="Stop.", by=officer())
    running.run_due()

    assert fresh(change).state == State.ROLLED_BACK


def test_who_may_not_take_back_does_not():
    imported(1)
    change = applied(OUT)

    for by in (UserFactory(role="Support"), UserFactory(role="Auditor")):
        assert refusal("roll_back", change, by)
        with pytest.raises(ValidationError, match="may not"):
            rolling_back.roll_back(change, reason="Stop.", by=by)
        with pytest.raises(ValidationError, match="may not"):
            undeclared.roll_back_undeclared({"tx": 1}, reason="Stop.", by=by)


def test_later_writes_about_the_same_people_are_shown_and_left_alone():
    first, second = imported(2)
    change = applied(OUT)
    (job,) = record([opt_out(first, **PATCH)])

    made = taken_back(change, "The wrong list.")
    running.run_due()

    made = fresh(made)
    assert (made.later_count, made.later_sample) == (1, [job.id])
    assert states(first, second) == ["opt_out", "opt_in"]


# A session that declared nothing


def test_a_session_is_found_by_its_login_and_interval_and_peoples_own_choices_stay():
    people = imported(3, choice="opt_out")
    since = timezone.now()
    record([opt_in(person, **PATCH) for person in people])
    stays(people[2])
    predicate = {"db_user": "holdfast_app", "since": since.isoformat(), "until": timezone.now().isoformat()}

    made = undeclared.roll_back_undeclared(predicate, reason="Somebody patched at night.", by=officer())
    running.run_due()

    made = fresh(made)
    assert (made.state, made.item_count, made.explicit_count) == (Rollback.State.DONE, 3, 1)
    assert states(*people) == ["opt_out", "opt_out", "opt_in"]
    assert "undeclared decisions" in " ".join(made.incident.timeline.values_list("text", flat=True))
    assert drifted() == 0


def test_a_transaction_or_a_batch_is_taken_back():
    people = imported(2, choice="opt_out")
    batch = open_batch("patch", reason="At night", by="user:anna")
    record([opt_in(people[0], **PATCH, batch_id=batch.pk)])
    tx = Decision.objects.get(batch=batch).tx

    made = undeclared.roll_back_undeclared({"batch": str(batch.pk)}, reason="Wrong.", by=officer())
    running.run_due()
    assert states(*people) == ["opt_out", "opt_out"]

    with pytest.raises(ValidationError, match="nothing to take back"):
        undeclared.roll_back_undeclared({"batch": str(batch.pk)}, reason="Again.", by=officer())
    # In a test one transaction holds it all: the lists of people are found by its number too, and wait.
    waiting = undeclared.roll_back_undeclared({"tx": tx}, reason="Wrong.", by=officer())
    assert (waiting.state, waiting.opt_out_count) == (Rollback.State.WAITING, 2)
    assert fresh(made).state == Rollback.State.DONE


def test_what_would_lift_opt_outs_that_nobody_chose_waits_for_a_second_person():
    people = imported(2)
    since, began = timezone.now(), officer()
    record([opt_out(person, **PATCH) for person in people])
    predicate = {"db_user": "holdfast_app", "since": since.isoformat(), "until": timezone.now().isoformat()}

    made = undeclared.roll_back_undeclared(predicate, reason="Not meant.", by=began)
    running.run_due()
    assert states(*people) == ["opt_out"] * 2
    with pytest.raises(ValidationError, match="second person"):
        undeclared.confirm(made, by=began)
    with pytest.raises(ValidationError, match="no program"):
        undeclared.confirm(made, by="service:shop")
    with pytest.raises(DatabaseError), transaction.atomic():
        Rollback.objects.filter(pk=made.pk).update(confirmed_at=timezone.now(), confirmed_by=began.actor)
    undeclared.confirm(made, by=responder())
    running.run_due()

    assert states(*people) == ["opt_in"] * 2


def test_many_writes_wait_for_a_second_person_and_can_be_given_up(monkeypatch):
    people = imported(3, choice="opt_out")
    monkeypatch.setattr(undeclared, "ALONE", 2)
    batch = open_batch("patch", reason="At night", by="user:anna")
    record([opt_in(person, **PATCH, batch_id=batch.pk) for person in people])

    made = undeclared.roll_back_undeclared({"batch": str(batch.pk)}, reason="Wrong.", by=officer())
    assert made.state == Rollback.State.WAITING
    made = undeclared.cancel(made, reason="It was right.", by=officer())

    assert made.state == Rollback.State.CANCELLED
    with pytest.raises(ValidationError, match="waits for nobody"):
        undeclared.confirm(made, by=responder())
    assert states(*people) == ["opt_in"] * 3


@pytest.mark.parametrize(
    "predicate",
    [
        {},
        {"tx": "many"},
        {"batch": "B"},
        {"db_user": "holdfast_oncall"},
        {"db_user": "x", "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"db_user": "x", "since": "2026-01-01", "until": "2026-01-02T00:00:00Z"},
    ],
)
def test_what_is_no_predicate_is_refused_in_words(predicate):
    with pytest.raises(ValidationError):
        undeclared.roll_back_undeclared(predicate, reason="Wrong.", by=officer())


def test_a_rollback_says_for_ever_what_it_was_about():
    imported(1)
    change = applied(OUT)
    made = taken_back(change, "The wrong list.")
    running.run_due()

    for facts in ({"reason": "Another"}, {"predicate": {}}, {"voided_count": 0}):
        with pytest.raises(DatabaseError) as error, transaction.atomic():
            Rollback.objects.filter(pk=made.pk).update(**facts)
        assert error.value.__cause__.sqlstate == "HF013"
    with pytest.raises(DatabaseError), transaction.atomic():
        Rollback.objects.filter(pk=made.pk).delete()


# Playbooks


def frozen(fire, which="cause"):
    step = {
        "key": "freeze",
        "title": "Freeze",
        "kind": "action",
        "action": "freeze_change_set",
        "args": {"which": which},
    }
    run, _ = hands.start(fire, playbook(step), reason="It burns", by="user:anna")
    playbooks.run_due()
    run.refresh_from_db()
    return run


def test_a_playbook_freezes_the_set_that_caused_the_incident_and_lets_it_go_on():
    people = imported(2)
    cause, other = begun(OUT, batch_size=1), begun(OUT, selector=LISTED_OUT | {"state": "opt_in"}, batch_size=1)
    fire = incident()
    name_cause(fire, cause.ref, reason="It began with it.", by="user:anna")

    run = frozen(fire)

    assert run.state == "succeeded"
    assert (fresh(cause).state, fresh(other).state) == (State.PAUSED, State.APPLYING)
    assert run.step_runs.get().output == {"change_sets": [cause.ref]}
    assert states(*people) == ["opt_in"] * 2


def test_taking_the_playbook_back_lets_the_set_go_on_unless_somebody_else_paused_it():
    imported(2)
    change = begun(OUT)
    fire = incident()
    wait = {"key": "wait", "title": "Wait", "kind": "wait", "seconds": 600}
    step = {
        "key": "freeze",
        "title": "Freeze",
        "kind": "action",
        "action": "freeze_change_set",
        "args": {"which": "all"},
    }
    run, _ = hands.start(fire, playbook(step, wait), reason="It burns", by="user:anna")
    playbooks.run_due()
    assert fresh(change).state == State.PAUSED

    hands.undo(run, reason="A false alarm.", by="user:anna")
    playbooks.run_due()
    assert fresh(change).state == State.APPLYING
    running.run_due()
    assert fresh(change).state == State.APPLIED


def test_a_set_that_waits_for_its_time_loses_it():
    imported(1)
    change = deciding.schedule(approved(OUT), timezone.now() + timedelta(hours=1), by=officer())

    frozen(incident(), "all")

    assert fresh(change).state == State.APPROVED


def test_freezing_the_cause_asks_for_its_name():
    run = frozen(incident())

    assert "No change set is named" in run.step_runs.get().reason


def test_with_nothing_to_freeze_a_playbook_goes_on():
    assert frozen(incident(), "all").state == "succeeded"


def test_opt_ins_are_taken_back_even_where_the_guard_is_at_freeze():
    people = imported(2, choice="opt_out")
    change = applied(IN, selector=LISTED_OUT)
    assert states(*people) == ["opt_in"] * 2

    set_guard("freeze", reason="Mass re-subscription", by="user:ben")
    rolling_back.roll_back(change, reason="They never agreed.", by=responder())
    running.run_due()

    assert states(*people) == ["opt_out"] * 2
