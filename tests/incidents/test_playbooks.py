"""Playbooks: approved by another, frozen when started, step after step, each once, and taken back in reverse."""

from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from consent.models import GuardChange
from consent.services import guard_level, record, set_guard
from incidents import lifecycle, linking, roles, validation
from incidents.models import FollowUp, Playbook, PlaybookRun, PlaybookVersion, StepRun, TimelineEntry, ValidationRun
from incidents.playbooks import attaching, hands, publishing, running
from incidents.playbooks.actions import REGISTRY, Action, Done, register
from incidents.playbooks.definition import digest_of, problems_of
from incidents.playbooks.signals import SIGNALS, Asked
from messaging.models import Notice, SendHold
from tests.factories import PlaybookFactory, PurposeFactory, UserFactory, incident, opt_out, playbook

pytestmark = pytest.mark.django_db
Step, State = StepRun.State, PlaybookRun.State

WAIT = {"key": "wait", "title": "Wait", "kind": "wait", "seconds": 600}
GUARD = {"key": "guard", "title": "Protect", "kind": "action", "action": "set_guard", "args": {"level": "protect"}}
HOLD = {
    "key": "hold", "title": "Hold bulk", "kind": "action", "action": "hold_sending",
    "args": {"scope": "lane", "value": "bulk"},
}  # fmt: skip
LOOK = {"key": "look", "title": "Look", "kind": "check"}
AGREE = {"key": "agree", "title": "Agree", "kind": "approval"}
CHOOSE = {
    "key": "choose", "title": "Choose", "kind": "decision",
    "choices": [{"value": "yes", "title": "Yes"}, {"value": "no", "title": "No"}],
}  # fmt: skip
POST = {"key": "post", "title": "Post", "kind": "notify", "action": "post_update", "args": {"text": "We look."}}
BROKEN = {
    "key": "broken", "title": "Let go", "kind": "action", "action": "release_sending",
    "args": {"scope": "lane", "value": "bulk"},
}  # fmt: skip


def started(*steps, by="user:anna", of=None, **facts):
    run, is_new = hands.start(of or incident(), playbook(*steps, **facts), reason="It burns", by=by)
    assert is_new
    running.run_due()
    return fresh(run)


def fresh(run):
    return PlaybookRun.objects.select_related("incident", "playbook").get(pk=run.pk)


def states(run):
    return [step.state for step in run.step_runs.order_by("position")]


def time_passes(run):
    """As if all that is waited for had passed."""
    run.step_runs.filter(state=Step.WAITING).update(wait_until=timezone.now() - timedelta(seconds=1))
    PlaybookRun.objects.filter(pk=run.pk).update(next_at=timezone.now() - timedelta(seconds=1))
    running.run_due()
    return fresh(run)


def too_late(run):
    """As if a day had passed since the step began."""
    run.step_runs.exclude(begun_at=None).exclude(state__in=StepRun.ENDED).update(
        begun_at=F("begun_at") - timedelta(days=8)
    )
    return time_passes(run)


def officer(**facts):
    return UserFactory(role="Officer", **facts)


# Definition and publishing


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "non-empty"),
        ([{"key": "a", "title": "A", "kind": "dance"}], "is not one of"),
        ([{"key": "a", "title": "A", "kind": "wait"}], "A wait needs seconds"),
        ([{"key": "a", "title": "A", "kind": "action"}], "An action needs action"),
        ([LOOK, LOOK], "Another step has this key"),
        ([LOOK | {"seconds": 5}], "seconds is not for a check"),
        ([GUARD | {"action": "stop_the_moon"}], "No action is registered as stop_the_moon"),
        ([GUARD | {"args": {"level": "lenient"}}], "is not one of"),
        ([GUARD | {"args": {"level": "freeze", "x": 1}}], "Additional properties"),
        ([GUARD | {"kind": "notify"}], "tells nobody"),
        ([GUARD | {"safe_to_repeat": True}], "never done twice"),
        ([GUARD | {"automatic": True, "approval": True}], "not automatic"),
        ([GUARD | {"compensation": {"action": "call_webhook"}}], "only writes rows"),
        ([BROKEN | {"retries": 1, "retry_after": 60, "timeout": 60}], "never be tried again"),
        ([LOOK | {"role": "king"}], "Nobody has the part king"),
        ([LOOK | {"when": [{"signal": "moon", "op": "eq", "value": "full"}]}], "There is no signal moon"),
        ([LOOK | {"when": [{"signal": "guard", "op": "gte", "value": "x"}]}], "cannot be asked with gte"),
        ([LOOK | {"when": [{"signal": "tied_decisions", "op": "gte", "value": "x"}]}], "cannot be compared"),
        ([LOOK | {"when": [{"signal": "decision", "op": "eq", "value": "yes"}]}], "names an earlier decision"),
        (
            [CHOOSE, LOOK | {"when": [{"signal": "decision", "step": "choose", "op": "eq", "value": "maybe"}]}],
            "choose has no choice maybe",
        ),
    ],
)  # fmt: skip
def test_steps_that_could_not_be_done_are_named_before_they_are_approved(steps, words):
    draft = publishing.write(PlaybookFactory(), steps, {}, by="user:anna")

    with pytest.raises(ValidationError) as refused:
        publishing.approve(draft, by="user:ben")

    assert words in " ".join(refused.value.messages)


def test_what_starts_by_itself_says_for_which_signals():
    assert "for which signals" in problems_of([LOOK], {"starts": True})[0]


def test_whoever_wrote_a_version_does_not_approve_it_and_it_is_published_once_approved():
    draft = publishing.write(PlaybookFactory(), [LOOK], {}, by="user:anna")

    with pytest.raises(ValidationError, match="second person"):
        publishing.approve(draft, by="user:anna")
    with pytest.raises(ValidationError, match="cannot be published"):
        publishing.publish(draft, by="user:ben")
    done = publishing.publish(publishing.approve(draft, by="user:ben"), by="user:anna")

    assert (done.state, done.approved_by, done.published_by) == ("published", "user:ben", "user:anna")


def test_a_new_version_retires_the_one_before_and_open_runs_keep_their_copy():
    run = started(LOOK, POST)
    newer = publishing.write(run.playbook, [POST], {}, by="user:anna")

    publishing.publish(publishing.approve(newer, by="user:ben"), by="user:ben")

    run.version.refresh_from_db()
    assert run.version.state == "retired"
    assert [step["key"] for step in fresh(run).steps] == ["look", "post"]
    done = hands.confirm(run, reason="Looked", by="user:anna")
    running.run_due()
    assert fresh(done).state == State.SUCCEEDED


def test_the_database_keeps_an_approved_version_a_started_run_and_a_step_that_is_done():
    run = started(POST, LOOK)
    attacks = [
        lambda: PlaybookVersion.objects.filter(pk=run.version_id).update(steps=[]),
        lambda: PlaybookVersion.objects.filter(pk=run.version_id).update(state="draft"),
        lambda: PlaybookVersion.objects.filter(pk=run.version_id).update(approved_by="user:eve"),
        lambda: PlaybookRun.objects.filter(pk=run.pk).update(steps=[]),
        lambda: PlaybookRun.objects.filter(pk=run.pk).update(position=0),
        lambda: PlaybookRun.objects.filter(pk=run.pk).update(next_at=None),
        lambda: run.step_runs.filter(key="post").update(state="pending", ended_at=None, ended_by=""),
        lambda: run.step_runs.filter(key="post").update(output={"x": 1}),
        lambda: PlaybookRun.objects.filter(pk=run.pk).delete(),
    ]

    for attack in attacks:
        with pytest.raises((DatabaseError, IntegrityError)), transaction.atomic():
            attack()


def test_a_review_starts_the_time_until_the_next_one_again():
    old = PlaybookFactory(last_reviewed_at=timezone.now() - timedelta(days=100))
    assert old in Playbook.objects.review_overdue(timezone.now().date())

    publishing.review(old, reason="Still right", by="user:ben")

    old.refresh_from_db()
    assert old.last_reviewed_by == "user:ben"
    assert old not in Playbook.objects.review_overdue(timezone.now().date())


# Running


def test_steps_are_done_in_order_and_each_is_told():
    run = started(GUARD, HOLD, POST)

    assert (run.state, states(run)) == (State.SUCCEEDED, ["succeeded"] * 3)
    assert guard_level() == "protect"
    assert SendHold.objects.get().value == "bulk"
    told = list(TimelineEntry.objects.filter(incident=run.incident, kind="playbook").values_list("text", flat=True))
    assert "started" in told[0]
    assert "The guard went from observe to protect." in told[1]
    assert "All steps are done." in told[-1]


def test_a_validation_is_asked_for_at_once_and_its_answer_waited_for():
    step = {"key": "validate", "title": "Validate", "kind": "action", "action": "start_validation", "args": {}}
    validation.keep()  # the last one is a moment ago

    run = started(step)
    assert (states(run), ValidationRun.objects.count()) == (["waiting"], 1)
    validation.keep()
    run = time_passes(run)

    assert states(run) == ["succeeded"]
    assert run.step_runs.get().output == {"validation": str(ValidationRun.objects.latest("started_at").pk)}
    assert "Validated: " in run.step_runs.get().reason


def test_starting_twice_is_one_run():
    burning, plan = incident(), playbook(LOOK)

    first, is_new = hands.start(burning, plan, reason="It burns", by="user:anna")
    second, is_another = hands.start(burning, plan, reason="It burns", by="user:ben")

    assert (first.pk, is_new, is_another) == (second.pk, True, False)
    assert TimelineEntry.objects.filter(incident=burning, kind="playbook").count() == 1


def test_what_is_not_published_or_switched_off_or_for_an_ended_incident_is_not_started():
    burning, ended = incident(), incident()
    lifecycle.close(ended, reason="Over", by="user:anna")

    with pytest.raises(ValidationError, match="no published version"):
        hands.start(burning, PlaybookFactory(), reason="x", by="user:anna")
    with pytest.raises(ValidationError, match="switched off"):
        hands.start(burning, playbook(LOOK, is_active=False), reason="x", by="user:anna")
    with pytest.raises(ValidationError, match="closed already"):
        hands.start(ended, playbook(LOOK), reason="x", by="user:anna")


def test_a_wait_stands_in_the_database_and_ends_by_itself():
    run = started(WAIT, POST)
    assert states(run) == ["waiting", "pending"]
    assert run.next_at == run.step_runs.get(key="wait").wait_until

    assert running.run_due() == 0
    run = time_passes(run)

    assert run.state == State.SUCCEEDED


def test_a_check_waits_until_what_it_expects_is_so():
    run = started(LOOK | {"expect": [{"signal": "guard", "op": "eq", "value": "freeze"}]})
    assert states(run) == ["waiting"]
    assert "guard observe" in run.step_runs.get().reason
    time_passes(time_passes(run))
    assert run.incident.timeline.filter(text__contains="waits").count() == 1  # one line, not one a look

    set_guard("freeze", reason="Exercise", by="user:anna")

    assert time_passes(run).state == State.SUCCEEDED


@pytest.mark.parametrize("step", [LOOK, AGREE, CHOOSE, GUARD | {"approval": True}], ids=lambda step: step["kind"])
def test_what_nobody_answers_in_time_fails_and_stops_the_run(step):
    run = too_late(started(step, POST))

    assert (run.state, states(run)) == (State.STOPPED, ["failed", "pending"])
    assert "longer than 60 min" in run.step_runs.get(key=step["key"]).reason


def test_a_step_whose_conditions_do_not_hold_is_skipped_and_says_why():
    run = started(GUARD | {"when": [{"signal": "opt_outs_per_minute", "op": "gte", "value": 50}]}, POST)

    assert (run.state, states(run)) == (State.SUCCEEDED, ["skipped", "succeeded"])
    assert run.step_runs.first().reason == "Not needed: opt outs per minute 0.0."
    assert guard_level() == "observe"


def test_what_a_person_decides_leads_the_way():
    when = [{"signal": "decision", "step": "choose", "op": "eq", "value": "yes"}]
    run = started(CHOOSE, GUARD | {"when": when}, HOLD | {"when": [when[0] | {"value": "no"}]})
    with pytest.raises(ValidationError, match="offers yes, no"):
        hands.decide(run, "maybe", reason="?", by="user:anna")

    hands.decide(run, "yes", reason="Clear", by="user:anna")
    running.run_due()

    assert states(run) == ["succeeded", "succeeded", "skipped"]


@pytest.mark.parametrize("step", [AGREE, GUARD | {"approval": True}], ids=lambda step: step["kind"])
def test_an_approval_takes_somebody_else_who_may(step):
    anna, ben = officer(username="anna"), officer(username="ben")
    run = started(step, by=anna)
    assert states(run) == ["waiting_approval"]

    for nobody, words in (
        (anna, "somebody else"),
        (UserFactory(role="Support"), "may approve"),
        ("service:x", "person"),
    ):
        with pytest.raises(ValidationError, match=words):
            hands.approve(run, reason="Fine", by=nobody)
        with pytest.raises(ValidationError, match=words):
            hands.skip(run, reason="Fine", by=nobody)
    hands.approve(run, reason="Fine", by=ben)
    running.run_due()

    assert fresh(run).state == State.SUCCEEDED
    assert (guard_level() == "protect") == (step is not AGREE)


def test_declined_means_not_done():
    run = started(GUARD | {"approval": True})

    hands.decline(run, reason="Too early", by=officer())

    assert (fresh(run).state, states(run)) == (State.STOPPED, ["failed"])
    assert guard_level() == "observe"


def test_a_step_for_a_role_is_answered_by_who_has_it():
    anna, ben = UserFactory(username="anna"), UserFactory(username="ben")
    run = started(LOOK | {"role": "legal"})
    with pytest.raises(ValidationError, match="This step is for legal: take that part first"):
        hands.confirm(run, reason="Looked", by=anna)

    roles.assume(run.incident, ben, "legal", by=anna)
    hands.confirm(run, reason="Looked", by=ben)

    assert states(run) == ["succeeded"]


def test_a_page_that_is_out_of_date_presses_nothing():
    run = started(LOOK, LOOK | {"key": "again"})
    hands.confirm(run, reason="Looked", by="user:anna", step="look")
    running.run_due()

    with pytest.raises(ValidationError, match="another step by now"):
        hands.confirm(run, reason="Looked", by="user:ben", step="look")

    assert states(run) == ["succeeded", "waiting"]


# Failing, trying again, taking back


def test_a_failed_step_is_tried_again_as_often_as_it_says_and_then_by_people_without_those_before_it():
    set_guard("observe", reason="Exercise", by="user:anna")
    SendHold.objects.create(scope="lane", value="bulk", reason="Mine", held_by="user:eve")
    run = started(GUARD, BROKEN | {"retries": 1, "retry_after": 5}, POST)
    assert states(run) == ["succeeded", "waiting", "pending"]

    run = time_passes(run)
    assert (run.state, states(run)) == (State.STOPPED, ["succeeded", "failed", "pending"])
    assert "user:eve holds" in run.step_runs.get(key="broken").reason

    SendHold.objects.update(released_at=timezone.now(), released_by="user:eve")
    hands.retry(run, reason="Eve let go", by="user:anna")
    running.run_due()

    assert fresh(run).state == State.SUCCEEDED
    assert GuardChange.objects.filter(level="protect").count() == 1


def test_what_may_fail_is_passed_by():
    SendHold.objects.create(scope="lane", value="bulk", reason="Mine", held_by="user:eve")

    run = started(BROKEN | {"on_error": "continue"}, POST)

    assert (run.state, states(run)) == (State.SUCCEEDED, ["failed", "succeeded"])


def test_what_was_really_done_is_taken_back_the_last_first():
    SendHold.objects.create(scope="lane", value="critical", reason="Mine", held_by="user:eve")
    never = HOLD | {"key": "never", "when": [{"signal": "tied_decisions", "op": "gt", "value": 5}]}
    fails = BROKEN | {"args": {"scope": "lane", "value": "critical"}, "on_error": "compensate"}

    run = started(GUARD, never, HOLD, fails, POST)

    assert (run.state, states(run)) == (State.UNDONE, ["compensated", "skipped", "compensated", "failed", "pending"])
    assert guard_level() == "observe"
    assert SendHold.objects.get(value="bulk").released_at
    told = [
        text for text in run.incident.timeline.order_by("seq").values_list("text", flat=True) if "taken back." in text
    ]
    assert [text.split(": ")[1].split(".")[0] for text in told if "All" not in text][:2] == ["3", "1"]


def test_a_guard_that_somebody_set_meanwhile_is_not_taken_back():
    run = started(GUARD, LOOK)
    set_guard("freeze", reason="Worse", by="user:eve")

    hands.undo(run, reason="A mistake", by="user:anna")
    running.run_due()

    assert (fresh(run).state, guard_level()) == (State.UNDONE, "freeze")


def test_a_compensation_takes_the_place_of_the_actions_own_undo():
    instead = {"action": "assign_task", "args": {"title": "Look at the guard"}}
    run = started(GUARD | {"compensation": instead}, LOOK, by=UserFactory(username="anna"))

    hands.undo(run, reason="A mistake", by="user:anna")
    running.run_due()

    assert guard_level() == "protect"
    assert FollowUp.objects.get().title == "Look at the guard"


def test_cancelling_leaves_what_was_done_and_says_so():
    run = started(GUARD, LOOK)

    hands.cancel(run, reason="Not needed", by="user:anna")

    assert fresh(run).state == State.CANCELLED
    assert "Still in force: Protect." in run.incident.timeline.order_by("-seq").first().text
    with pytest.raises(ValidationError, match="cancelled already"):
        hands.confirm(run, reason="Looked", by="user:anna")


def test_a_run_ends_with_its_incident():
    run = started(WAIT)
    lifecycle.close(run.incident, reason="Over", by="user:anna")

    assert time_passes(run).state == State.CANCELLED


def test_a_fault_of_ours_fails_the_step_and_is_no_crash():
    def fall(context):
        GuardChange.objects.create(level="freeze", reason="half", changed_by="x")
        raise KeyError("missing")

    with registered("fall", Action("Fall", fall)):
        run = started({"key": "fall", "title": "Fall", "kind": "action", "action": "fall"})

    assert states(run) == ["failed"]
    assert "Our own fault: KeyError" in run.step_runs.get().reason
    assert guard_level() == "observe"


def test_in_a_drill_nothing_is_done_that_reaches_others():
    run = started(GUARD, HOLD, POST, of=incident(mode="drill"))

    assert run.state == State.SUCCEEDED
    assert (guard_level(), SendHold.objects.count()) == ("observe", 0)
    assert run.step_runs.get(key="hold").output == {"rehearsed": True}
    assert run.incident.timeline.filter(kind="update").exists()


# A worker that dies


def died(run, key="call"):
    """As if a worker had claimed it, said that it does the step, and gone."""
    claimed = running.claim()
    assert claimed.run_id == run.pk
    running._once(claimed)
    PlaybookRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert run.step_runs.get(key=key).state == Step.RUNNING


class registered:
    """An action that only a test has."""

    def __init__(self, name, action):
        self.name, self.action = name, action

    def __enter__(self):
        register(self.name, self.action)

    def __exit__(self, *_):
        del REGISTRY[self.name]


CALL = {"key": "call", "title": "Call", "kind": "notify", "action": "call"}


@pytest.mark.parametrize("is_safe", [True, False])
def test_a_call_that_nobody_knows_the_end_of_is_made_again_only_where_that_is_safe(is_safe):
    calls = []

    def call(context):
        calls.append(context.key)
        return Done("Called.")

    with registered("call", Action("Call", call, is_local=False, tells=True)):
        plan = playbook(CALL | ({"safe_to_repeat": True} if is_safe else {}), POST)
        run, _ = hands.start(incident(), plan, reason="x", by="user:anna")
        died(run)
        running.run_due()

        if is_safe:
            assert fresh(run).state == State.SUCCEEDED
            assert calls == [f"playbook-{run.pk}-call"]
            return
        assert (fresh(run).state, states(run), calls) == (State.STOPPED, ["unknown", "pending"], [])
        hands.confirm(fresh(run), reason="They have it", by="user:anna")
        running.run_due()
        assert (fresh(run).state, calls) == (State.SUCCEEDED, [])


def take_up_again(run):
    PlaybookRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    running.run_due()
    return fresh(run)


@pytest.mark.parametrize("is_local", [True, False])
def test_a_step_that_takes_its_workers_with_it_counts_its_attempts_tells_each_and_is_given_up_in_time(is_local):
    def never_ends(context):
        raise SoftTimeLimitExceeded

    with registered("long", Action("Long", never_ends, is_local=is_local, is_safe_to_repeat=not is_local)):
        plan = playbook({"key": "long", "title": "Long", "kind": "action", "action": "long"})
        run, _ = hands.start(incident(), plan, reason="x", by="user:anna")
        for _ in range(3):
            with pytest.raises(SoftTimeLimitExceeded):
                take_up_again(run)
        assert run.step_runs.get().attempt == 3
        assert run.incident.timeline.filter(text__contains="went away. Attempt").count() == 2

        run.step_runs.update(begun_at=timezone.now() - timedelta(hours=2))
        run = take_up_again(run)

    assert (run.state, states(run)) == (State.STOPPED, ["failed"])
    assert "longer than 60 min" in run.step_runs.get().reason


def test_a_statement_that_took_too_long_is_another_attempt_and_takes_no_worker_with_it():
    def slow(context):
        GuardChange.objects.create(level="freeze", reason="half", changed_by="x")
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)")

    with registered("slow", Action("Slow", slow)):
        run = started({"key": "slow", "title": "Slow", "kind": "action", "action": "slow"})

    assert (run.state, states(run)) == (State.RUNNING, ["waiting"])
    assert "Attempt 1 failed, and is made again: Our own fault: OperationalError" in run.step_runs.get().reason
    assert guard_level() == "observe"


def test_what_the_database_refuses_fails_the_step_and_is_not_tried_for_an_hour():
    def rewrites(context):
        PlaybookVersion.objects.filter(state="published").update(steps=[])

    with registered("rewrite", Action("Rewrite", rewrites)):
        run = started({"key": "rewrite", "title": "Rewrite", "kind": "action", "action": "rewrite"})

    assert states(run) == ["failed"]
    assert "its steps are fixed" in run.step_runs.get().reason


@pytest.mark.parametrize("name", ["send_notice", "seal_ties"])
def test_what_counts_everybody_keeps_no_transaction_of_ours_open_and_may_be_done_twice(name):
    assert not REGISTRY[name].is_local
    assert REGISTRY[name].is_safe_to_repeat


def test_nobody_cancels_a_run_in_the_middle_of_a_call():
    with registered("call", Action("Call", lambda context: Done("x"), is_local=False, tells=True)):
        run, _ = hands.start(incident(), playbook(CALL), reason="x", by="user:anna")
        running._once(running.claim())

        with pytest.raises(ValidationError, match="just being done"):
            hands.cancel(run, reason="x", by="user:anna")


def test_a_worker_whose_lease_was_taken_writes_nothing():
    run, _ = hands.start(incident(), playbook(GUARD), reason="x", by="user:anna")
    sleeper = running.claim()
    PlaybookRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    running.run_due()

    running.go_on(sleeper)

    assert GuardChange.objects.filter(level="protect").count() == 1


# Attached


def test_a_playbook_is_suggested_by_its_signals_and_started_once_where_it_says_so():
    attached = {"any": [[{"signal": "incident_type", "op": "eq", "value": "late"}],
                        [{"signal": "incident_key", "op": "begins", "value": "door-"}]]}  # fmt: skip
    offered = playbook(LOOK, attached=attached)
    begun = playbook(LOOK, attached=attached | {"starts": True})
    burning = incident(dedup_key="door-1")

    assert {version.playbook for version, _ in attaching.suggested(burning)} == {offered, begun}
    assert attaching.start_by_signals() == 1
    assert attaching.start_by_signals() == 0

    run = PlaybookRun.objects.get(incident=burning)
    assert (run.playbook, run.trigger) == (begun, "signal")
    assert "incident key begins with door-" in run.reason
    assert [version.playbook for version, _ in attaching.suggested(burning)] == [offered]


def test_drills_and_incidents_older_than_the_version_start_nothing():
    incident(dedup_key="door-1")
    begun = playbook(
        LOOK, attached={"any": [[{"signal": "incident_key", "op": "begins", "value": "door-"}]], "starts": True}
    )
    incident(dedup_key="door-2", mode="drill")

    attaching.start_by_signals()

    assert not PlaybookRun.objects.filter(playbook=begun).exists()


@pytest.mark.parametrize("name", SIGNALS)
def test_each_signal_answers_and_says_what_it_is(name):
    asked = Asked(incident())

    asked.answer(name)

    assert SIGNALS[name].words


# What is shipped

SHIPPED = [
    "broken-exit-path", "mail-relay-down", "mass-re-subscribe", "opt-out-surge", "scanner-storm", "stale-restore",
    "suspected-breach", "template-broken",
]  # fmt: skip


def test_eight_playbooks_come_published_with_an_owner_a_review_and_steps_that_can_be_done():
    versions = PlaybookVersion.objects.filter(state="published").select_related("playbook")

    assert sorted(version.playbook.slug for version in versions) == SHIPPED
    for version in versions:
        assert problems_of(version.steps, version.attached) == []
        assert bytes(version.digest) == digest_of(version.steps, version.attached)
        assert version.attached["any"]
        assert version.playbook.owner
        assert version.playbook.review_every_days <= 90
        assert all(step["csf_id"] for step in version.steps)


def answer(run, anna, ben, choice):
    """What people would do with the step that it stands at."""
    step = run.step_runs.get(position=run.position)
    if step.state == Step.WAITING_APPROVAL:
        hands.approve(run, reason="Agreed", by=ben)
    elif step.kind == "decision":
        offered = [one["value"] for one in run.step["choices"]]
        hands.decide(run, offered[min(choice, len(offered) - 1)], reason="Looked", by=ben)
    elif step.kind == "wait" or run.step.get("expect"):
        time_passes(run)
    elif step.output.get("later"):
        notice = Notice.objects.get(pk=step.output["notice"])
        notice.state, notice.approved_at, notice.approved_by = "approved", timezone.now(), "user:zoe"
        notice.approved_fingerprint = notice.fingerprint
        notice.save()
        time_passes(run)
    else:
        hands.confirm(run, reason="Done", by=ben)
    running.run_due()


@pytest.mark.parametrize("choice", [0, 1, 2])
@pytest.mark.parametrize("slug", SHIPPED)
def test_each_of_them_can_be_followed_to_its_end_whatever_is_decided(slug, choice, sending_by):
    PurposeFactory(code="marketing")
    anna, ben = officer(username="anna"), officer(username="ben")
    burning = incident(detected_at=timezone.now() - timedelta(minutes=5))
    roles.assign_commander(burning, ben, by=anna)
    record([opt_out("reader@example.org")])
    linking.read_log()
    while linking.backfill():
        pass
    run, _ = hands.start(burning, Playbook.objects.get(slug=slug), reason="It burns", by=anna)
    running.run_due()

    for _ in range(60):
        run = fresh(run)
        if not run.is_open:
            break
        assert run.state == State.RUNNING, run.step_runs.get(position=run.position).reason
        answer(run, anna, ben, choice)

    assert run.state == State.SUCCEEDED
    assert set(states(run)) <= {"succeeded", "skipped"}
    assert not SendHold.objects.active(timezone.now()).exists()
    assert FollowUp.objects.filter(incident=burning).exists() or "skipped" in states(run)
