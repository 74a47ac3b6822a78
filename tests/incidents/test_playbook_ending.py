"""Runs that outlive their incident, calls whose end nobody knows, attempts that have an end, and who takes back."""

from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import ValidationError
from django.utils import timezone

from consent.services import guard_level
from incidents import facts, lifecycle
from incidents.models import PlaybookRun
from incidents.playbooks import hands, running
from incidents.playbooks.actions import Action, Done, Later, Unknown
from messaging.models import SendHold
from messaging.propagation import endpoints
from tests.factories import UserFactory, incident, playbook
from tests.incidents.test_playbooks import (
    AGREE,
    BROKEN,
    CALL,
    GUARD,
    HOLD,
    LOOK,
    POST,
    WAIT,
    fresh,
    officer,
    registered,
    started,
    states,
    time_passes,
    too_late,
)  # fmt: skip
from tests.messaging.hooks import DROP, receiver

pytestmark = pytest.mark.django_db


def closed(incident):
    lifecycle.close(incident, reason="Over", by="user:anna")


def declined(incident):
    lifecycle.decline(incident, reason="None", by="user:anna")


def merged(burning):
    lifecycle.merge_into(burning, incident("Another"), reason="Same", by="user:anna")


def lines(run, words):
    return run.incident.timeline.filter(text__contains=words).count()


# Incidents that end


@pytest.mark.parametrize("end", [closed, declined, merged])
@pytest.mark.parametrize("step", [WAIT, LOOK, AGREE], ids=lambda step: step["kind"])
def test_a_run_that_waits_ends_at_once_with_its_incident(end, step):
    run = started(POST, step)
    end(run.incident)

    running.run_due()

    assert (fresh(run).state, states(run)) == ("cancelled", ["succeeded", "skipped"])


@pytest.mark.parametrize("end", [closed, declined, merged])
def test_where_something_is_in_force_a_person_takes_it_back_although_the_incident_is_over(end):
    run = started(GUARD, HOLD, LOOK)
    end(run.incident)

    running.run_due()
    running.run_due()

    run = fresh(run)
    assert (run.state, states(run)) == ("stopped", ["succeeded", "succeeded", "failed"])
    assert lines(run, "Still in force: Protect, Hold bulk. Take it back, or cancel.") == 1
    with pytest.raises(ValidationError, match="take it back, or cancel it"):
        hands.retry(run, reason="x", by="user:anna")
    hands.undo(run, reason="Over", by="user:anna")
    running.run_due()
    assert (fresh(run).state, guard_level()) == ("undone", "observe")
    assert not SendHold.objects.active(timezone.now()).exists()


def test_a_stopped_run_ends_with_its_incident_and_keeps_what_failed():
    SendHold.objects.create(scope="lane", value="bulk", reason="Mine", held_by="user:eve")
    run = started(BROKEN, POST)
    closed(run.incident)

    running.run_due()

    assert (fresh(run).state, states(run)) == ("cancelled", ["failed", "pending"])
    assert "user:eve holds" in run.step_runs.get(key="broken").reason


def test_what_is_just_being_called_is_not_ended_under_the_callers_hands():
    with registered("call", Action("Call", lambda context: Done("x"), is_local=False, tells=True)):
        run, _ = hands.start(incident(), playbook(CALL), reason="x", by="user:anna")
        claimed = running.claim()
        running._once(claimed)
        closed(run.incident)

        running.run_due()
        assert fresh(run).state == "running"
        PlaybookRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        running.run_due()

    assert (fresh(run).state, states(run)) == ("cancelled", ["unknown"])


# Calls


@pytest.fixture
def pager(settings):
    with receiver() as server:
        settings.WEBHOOK_ALLOWED_HOSTS = [server.place]
        endpoints.create("pager", url=server.url, owner="SRE", by="user:anna")
        yield server


PAGER = CALL | {"action": "call_webhook", "args": {"endpoint": "pager"}, "retries": 1, "retry_after": 0}


@pytest.mark.parametrize("is_safe", [False, True])
def test_a_call_whose_answer_never_came_is_made_again_only_where_that_is_safe(pager, is_safe):
    pager.answers = [DROP]

    run = started(PAGER | ({"safe_to_repeat": True} if is_safe else {}))
    if run.is_open and is_safe:
        run = time_passes(run)

    if is_safe:
        assert (run.state, len(pager.calls)) == ("succeeded", 2)
    else:
        assert (run.state, states(run), len(pager.calls)) == ("stopped", ["unknown"], 1)
        assert "may have it" in run.step_runs.get().reason


def test_a_call_that_never_left_is_made_again(pager):
    pager.shutdown()
    pager.server_close()

    run = started(PAGER | {"retry_after": 5})

    assert states(run) == ["waiting"]
    assert "did not take it: no connection" in run.step_runs.get().reason


def test_a_restricted_incidents_title_is_not_told_to_a_service(pager):
    hidden = facts.restrict(incident("Leak of the list"), is_restricted=True, reason="Names", by="user:lea")

    started(PAGER, of=hidden)
    started(PAGER, of=incident("Relay down"))

    assert [call.event["data"]["title"] for call in pager.calls] == ["", "Relay down"]
    assert b"Leak" not in pager.calls[0].body


def failing(error):
    def call(context):
        raise error

    return registered("call", Action("Call", call, is_local=False, tells=True))


def test_a_call_that_breaks_in_our_own_hands_is_unknown():
    with failing(KeyError("missing")):
        run = started(CALL)

    assert (run.state, states(run)) == ("stopped", ["unknown"])


def test_a_worker_whose_time_is_up_in_a_call_says_nothing_and_the_next_does_not_know():
    with failing(SoftTimeLimitExceeded()):
        run, _ = hands.start(incident(), playbook(CALL), reason="x", by="user:anna")
        with pytest.raises(SoftTimeLimitExceeded):
            running.run_due()
        assert states(run) == ["running"]

        PlaybookRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        running.run_due()

    assert states(run) == ["unknown"]


def test_a_call_has_all_of_a_lease_and_nothing_is_begun_after_twenty_seconds(monkeypatch):
    leases = []

    def call(context):
        leases.append(fresh(run).lease_until - timezone.now())
        monkeypatch.setattr(running, "time", late)
        return Done("Called.")

    class late:
        monotonic = staticmethod(lambda: float("inf"))

    with registered("call", Action("Call", call, is_local=False, tells=True)):
        run, _ = hands.start(incident(), playbook(CALL, CALL | {"key": "again"}), reason="x", by="user:anna")
        another, _ = hands.start(incident(), playbook(CALL), reason="x", by="user:anna")
        claimed = running.claim()
        PlaybookRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() + timedelta(seconds=1))
        running.go_on(claimed, until=running.time.monotonic() + running.LONGEST)
        assert running.run_due() == 0

    assert leases[0] > timedelta(seconds=90)
    assert states(run)[1] == "pending"
    assert states(another) == ["pending"]


def test_what_is_begun_when_the_time_is_up_is_still_done():
    with registered("call", Action("Call", lambda context: Done("Called."), is_local=False, tells=True)):
        run, _ = hands.start(incident(), playbook(CALL, CALL | {"key": "again"}), reason="x", by="user:anna")

        running.go_on(running.claim(), until=float("-inf"))

    assert states(run) == ["succeeded", "pending"]


# Attempts that have an end


def test_what_is_begun_and_then_fails_counts_its_attempts_and_is_given_up():
    told = []

    def order(context):
        told.append(context.output)
        if len(told) == 1:
            return Later("Begun.", {"order": 7}, 1)
        raise ValidationError("Out of stock.")

    with registered("order", Action("Order", order)):
        run = started({"key": "order", "title": "Order", "kind": "action", "action": "order", "retries": 2,
                       "retry_after": 0})  # fmt: skip
        for _ in range(6):
            if run.state == "running":
                run = time_passes(run)

        assert (run.state, run.step_runs.get().attempt) == ("stopped", 3)
        hands.retry(run, reason="Bought more", by="user:anna")
        running.run_due()

    assert told[0] == {}
    assert all(output == {"order": 7} for output in told[1:])  # what it began it is told at every attempt
    assert len(told) > 4


def test_no_attempt_is_made_after_the_time_of_the_step():
    SendHold.objects.create(scope="lane", value="bulk", reason="Mine", held_by="user:eve")
    run = started(BROKEN | {"retries": 10, "retry_after": 60, "timeout": 90})
    assert states(run) == ["waiting"]

    run = too_late(run)

    assert (run.state, run.step_runs.get().attempt) == ("stopped", 2)


# Who takes back


def test_what_took_two_people_is_taken_back_by_two():
    anna, ben = officer(username="anna"), officer(username="ben")
    run = started(GUARD | {"approval": True}, LOOK, by=anna)
    hands.approve(run, reason="Fine", by=ben)
    running.run_due()

    support = UserFactory(role="Support")
    for nobody, words in ((anna, "somebody else"), (support, "may approve"), ("service:x", "person")):
        assert words in hands.refusal("undo", fresh(run), None, nobody)
        with pytest.raises(ValidationError, match=words):
            hands.undo(run, reason="x", by=nobody)
    assert hands.refusal("cancel", fresh(run), None, anna) == ""
    hands.undo(run, reason="x", by=ben)
    running.run_due()

    assert (fresh(run).state, guard_level()) == ("undone", "observe")


# Words


def test_spans_and_times_are_said_as_people_say_them():
    run = started(WAIT | {"seconds": 259_200})
    until = run.step_runs.get().wait_until
    assert run.step_runs.get().reason == f"Until {until:%Y-%m-%d %H:%M} UTC."

    late = too_late(started(LOOK | {"timeout": 259_200}))

    assert "longer than 3 days" in late.step_runs.get().reason


def test_a_step_says_whom_it_waits_for_in_words():
    run = started(LOOK | {"role": "incidents.close_incident"})

    assert run.step_runs.get().reason.startswith("For those who can close")
    with pytest.raises(ValidationError, match=r"those who can close.*ask one of them") as refused:
        hands.confirm(run, reason="x", by=UserFactory())
    assert "_incident" not in refused.value.message


def test_an_outcome_that_nobody_knows_is_told_in_the_calls_own_words():
    with registered("call", Action("Call", lambda context: Unknown("They hung up."), is_local=False, tells=True)):
        run = started(CALL)

    assert run.step_runs.get().reason == "They hung up. Find out, then mark it done or try it again."
