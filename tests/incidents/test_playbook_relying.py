"""The guard and holds are everybody's: what one playbook lets go, another may need, and the last one lets it go."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consent.services import guard_level, record, set_guard
from incidents import linking, roles
from incidents.models import Playbook, PlaybookRun
from incidents.playbooks import hands, running, steps
from incidents.playbooks.relying import in_force
from messaging import notices
from messaging.holding import hold_sending, let_go
from messaging.models import Notice, SendHold
from tests.factories import PurposeFactory, SendHoldFactory, UserFactory, incident, opt_out, playbook
from tests.incidents.test_playbooks import AGREE, GUARD, HOLD, LOOK, fresh, started, states, time_passes, too_late

pytestmark = pytest.mark.django_db
LET_GO = HOLD | {"key": "let-go", "title": "Let bulk go", "action": "release_sending"}
LOWER = GUARD | {"key": "lower", "title": "Lower", "args": {"level": "observe", "may_lower": True}}
NOTICE = {
    "key": "tell", "title": "Tell them", "kind": "notify", "action": "send_notice", "timeout": 3600,
    "args": {"template": "apology_correction", "title": "What happened", "facts": {
        "ref": "{ref}", "what_went_wrong": "A list.", "what_we_did": "Mended it.", "your_choice": "It stands."}},
}  # fmt: skip


def held():
    return list(SendHold.objects.active(timezone.now()).values_list("scope", "value"))


def taken_back(run, by="user:ben"):
    hands.undo(run, reason="A mistake", by=by)
    running.run_due()
    return fresh(run)


def confirmed(run):
    hands.confirm(run, reason="Looked", by="user:anna")
    running.run_due()
    return fresh(run)


def reason_of(run, key):
    return run.step_runs.get(key=key).reason


def followed_to(run, key, by):
    """As people would, up to that step."""
    while fresh(run).step["key"] != key:
        run = fresh(run)
        step = run.step_runs.get(position=run.position)
        if step.kind == "decision":
            hands.decide(run, run.step["choices"][-1]["value"], reason="Looked", by=by)
        elif step.kind == "wait":
            time_passes(run)
        else:
            hands.confirm(run, reason="Done", by=by)
        running.run_due()
    return fresh(run)


def test_two_shipped_playbooks_for_one_incident_the_last_one_lets_go():
    anna, ben = UserFactory(role="Officer", username="anna"), UserFactory(role="Officer", username="ben")
    burning = incident()
    roles.assign_commander(burning, ben, by=anna)
    first, second = (
        hands.start(burning, Playbook.objects.get(slug=slug), reason="It burns", by=anna)[0]
        for slug in ("mass-re-subscribe", "stale-restore")
    )
    running.run_due()
    assert (guard_level(), held()) == ("freeze", [("lane", "bulk")])

    hands.approve(followed_to(first, "agree", ben), reason="Agreed", by=ben)
    running.run_due()
    assert fresh(first).state == "succeeded"
    assert (guard_level(), held()) == ("freeze", [("lane", "bulk")])
    assert "needs it" in reason_of(first, "thaw")
    assert "needs it" in reason_of(first, "let-go")

    hands.approve(followed_to(second, "agree", ben), reason="Agreed", by=ben)
    running.run_due()
    assert fresh(second).state == "succeeded"
    assert (guard_level(), held()) == ("protect", [])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the first first", "the last first"])
@pytest.mark.parametrize("second", ["protect", "freeze"])
def test_taken_back_in_any_order_the_guard_is_as_it_was_before_both(second, order):
    runs = [started(GUARD, LOOK), started(GUARD | {"args": {"level": second}}, LOOK)]
    needed = ["protect", second]

    taken_back(runs[order[0]])
    assert guard_level() == needed[order[1]]
    taken_back(runs[order[1]])

    assert guard_level() == "observe"


def test_taken_back_a_guard_is_as_it_was_although_another_playbook_lowered_it_meanwhile():
    first, second = started(GUARD | {"args": {"level": "freeze"}}, LOOK, LOWER), started(GUARD, LOOK)
    confirmed(first)
    assert guard_level() == "protect"

    taken_back(second)

    assert guard_level() == "observe"


def test_what_a_finished_playbook_made_stricter_stays_so():
    run = started(GUARD, LOOK)
    started(GUARD | {"args": {"level": "freeze"}})

    taken_back(run)

    assert guard_level() == "freeze"
    assert "stays so" in reason_of(run, "guard")


def test_a_hold_that_two_rely_on_is_let_go_by_the_last():
    first, second = started(HOLD, LOOK, LET_GO), started(HOLD, LOOK, LET_GO)

    confirmed(first)
    assert held() == [("lane", "bulk")]
    confirmed(second)

    assert held() == []


@pytest.mark.parametrize("by", ["system:playbook", "user:eve"])
def test_a_hold_that_ends_soon_does_not_do_for_a_longer_one(by):
    hold_sending("lane", "bulk", reason="Short", by=by, until=timezone.now() + timedelta(minutes=1))

    run = started(HOLD, LOOK)

    [standing] = SendHold.objects.active(timezone.now())
    assert (standing.until, standing.held_by) == (None, "system:playbook")
    taken_back(run)
    [again] = SendHold.objects.active(timezone.now())
    assert again.until < timezone.now() + timedelta(minutes=1)
    assert by in again.reason


def test_a_hold_that_lasts_longer_does_for_a_shorter_one():
    hold_sending("lane", "bulk", reason="Mine", by="user:eve")

    run = started(HOLD | {"args": {"scope": "lane", "value": "bulk", "minutes": 30}}, LOOK)

    assert "held already, by user:eve" in reason_of(run, "hold")
    taken_back(run)
    assert held() == [("lane", "bulk")]


@pytest.mark.parametrize(("scope", "value"), [("template", "opt_out_confirmation"), ("transport", "relay")])
def test_a_text_and_a_transport_are_held_and_taken_back(scope, value):
    run = started(HOLD | {"args": {"scope": scope, "value": value}}, LOOK)
    assert held() == [(scope, value)]

    taken_back(run)

    assert (held(), states(run)) == ([], ["compensated", "skipped"])


def test_what_was_let_go_is_held_again_when_that_is_taken_back():
    other = started(HOLD)
    run = started(LET_GO, LOOK)
    assert held() == []

    taken_back(run)

    assert other.state == "succeeded"
    assert held() == [("lane", "bulk")]


def test_what_is_in_force_is_what_stands_now():
    run = started(GUARD, HOLD, GUARD | {"key": "again"}, AGREE)
    assert [step.key for step in in_force(run)] == ["guard", "hold"]

    let_go(SendHold.objects.get(), reason="Over", by="user:eve")
    set_guard("observe", reason="Over", by="user:eve")

    assert in_force(run) == []


# A notice that nobody waits for any more


@pytest.fixture
def touched():
    """An incident that touched somebody who can be written to."""
    PurposeFactory(code="marketing")
    burning = incident(detected_at=timezone.now() - timedelta(minutes=5))
    record([opt_out("reader@example.org")])
    linking.read_log()
    while linking.backfill():
        pass
    return burning


def approved(notice):
    Notice.objects.filter(pk=notice.pk).update(
        state="approved", approved_at=timezone.now(), approved_by="user:zoe", approved_fingerprint=notice.fingerprint
    )


def test_a_notice_that_timed_out_and_is_tried_again_is_one_notice(touched):
    run = too_late(started(NOTICE, of=touched))
    assert run.state == "stopped"
    assert [notice.state for notice in Notice.objects.all()] == ["cancelled"]

    hands.retry(run, reason="We wait on", by="user:anna")
    running.run_due()

    assert sorted(notice.state for notice in Notice.objects.all()) == ["cancelled", "counted"]
    approved(Notice.objects.get(state="counted"))
    assert time_passes(run).state == "succeeded"


@pytest.mark.parametrize("verb", [hands.cancel, hands.skip, hands.undo])
def test_a_notice_is_not_approved_after_its_run_went_on_without_it(touched, verb):
    run = started(NOTICE, of=touched)

    verb(run, reason="Not needed", by="user:anna")
    running.run_due()

    assert Notice.objects.get().state == "cancelled"
    assert "Nobody waits for it" in str(Notice.objects.get().events.order_by("-pk").first().reason)


def test_a_notice_whose_writer_went_away_is_found_again_and_not_written_twice(touched):
    run, _ = hands.start(touched, playbook(NOTICE), reason="x", by="user:anna")
    claimed = running.claim()
    running._once(claimed)
    step = run.step_runs.get()
    steps.call(PlaybookRun.objects.get(pk=run.pk), step)  # and then nobody heard of the worker again
    PlaybookRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))

    running.run_due()

    step.refresh_from_db()
    assert (step.state, step.output["notice"]) == ("waiting", Notice.objects.get().pk)


def test_a_notice_that_is_being_sent_is_cancelled_when_that_is_taken_back(touched):
    run = started(NOTICE, LOOK, of=touched)
    approved(Notice.objects.get())
    run = time_passes(run)
    assert states(run) == ["succeeded", "waiting"]

    taken_back(run)

    assert Notice.objects.get().state == "cancelled"
    assert "what was sent stays sent" in reason_of(run, "tell")


def test_a_notice_that_somebody_cancelled_fails_its_step(touched):
    run = started(NOTICE, of=touched)
    notices.cancel(Notice.objects.get(), reason="Not so", by="user:zoe")

    run = time_passes(run)

    assert run.state == "stopped"
    assert "cancelled by user:zoe" in reason_of(run, "tell")


def test_a_hold_of_a_persons_own_is_let_go_by_no_playbook():
    SendHoldFactory(scope="lane", value="bulk", held_by="user:eve")

    run = started(LET_GO)

    assert (run.state, held()) == ("stopped", [("lane", "bulk")])
    assert "user:eve holds" in reason_of(run, "let-go")
