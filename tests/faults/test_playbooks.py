"""A worker that is killed inside a step of a playbook, whatever its kind: the next goes on there, repeats nothing."""

import sys
import textwrap

import pytest

from consent.models import GuardChange
from incidents.models import FollowUp, PlaybookRun, StepRun
from incidents.playbooks import hands, running
from tests.factories import UserFactory, incident, playbook
from tests.stack.launcher import BASE, until

pytestmark = pytest.mark.faults

# A process that stands still inside of the named function of a step, after what it did and before that is committed.
INSIDE = """
    import pathlib, sys, threading
    import django
    django.setup()
    from incidents.playbooks import running, {module}
    real = {module}.{function}
    def stand_still(*args, **kwargs):
        answer = real(*args, **kwargs)
        if {only}:
            pathlib.Path(sys.argv[1]).touch()
            threading.Event().wait()
        return answer
    {module}.{function} = stand_still
    running.run_due()
"""
GUARD = {"key": "guard", "title": "Protect", "kind": "action", "action": "set_guard", "args": {"level": "protect"}}
TASK = {"key": "task", "title": "Task", "kind": "action", "action": "assign_task", "args": {"title": "Mend it"}}
POST = {"key": "post", "title": "Post", "kind": "notify", "action": "post_update", "args": {"text": "We look."}}
WAIT = {"key": "wait", "title": "Wait", "kind": "wait", "seconds": 600}
CHECK = {
    "key": "check", "title": "Check", "kind": "check",
    "expect": [{"signal": "guard", "op": "eq", "value": "protect"}],
}  # fmt: skip
AGREE = {"key": "agree", "title": "Agree", "kind": "approval"}
CHOOSE = {
    "key": "choose", "title": "Choose", "kind": "decision",
    "choices": [{"value": "yes", "title": "Yes"}, {"value": "no", "title": "No"}],
}  # fmt: skip
CALL = {
    "key": "call", "title": "Call", "kind": "notify", "action": "call_webhook",
    "args": {"endpoint": "pager"},
}  # fmt: skip


def killed(stand, tmp_path, module="steps", function="look", only="args[1].key == 'here'"):
    """A worker that does what is due, and dies at that place."""
    sign = tmp_path / "inside"
    program = textwrap.dedent(INSIDE.format(module=module, function=function, only=only))
    process = stand.start(
        sys.executable, "-c", program, str(sign), DJANGO_SETTINGS_MODULE="config.settings", PYTHONPATH=str(BASE)
    )
    until(sign.exists, 60, stand.said)
    process.kill()
    stand.database.execute("UPDATE incidents_playbookrun SET lease_until = clock_timestamp() - interval '1 s'")


def counts():
    return (
        GuardChange.objects.filter(level="protect").count(),
        FollowUp.objects.count(),
        StepRun.objects.filter(state="succeeded", key__in=["guard", "task"]).count(),
    )


@pytest.mark.parametrize("step", [POST, TASK | {"key": "again"}, WAIT, CHECK, AGREE, CHOOSE], ids=lambda s: s["kind"])
def test_killed_inside_a_step_the_next_worker_goes_on_there_and_repeats_nothing(stand, tmp_path, step):
    anna, ben = UserFactory(username="anna", is_superuser=True), UserFactory(username="ben", is_superuser=True)
    burning = incident()
    run, _ = hands.start(burning, playbook(GUARD, TASK, step | {"key": "here"}), reason="It burns", by=anna)

    killed(stand, tmp_path)
    before = run.step_runs.get(key="here")
    assert counts() == (1, 1, 2)
    assert before.ended_at is None  # what it did went with its transaction
    running.run_due()

    here = run.step_runs.get(key="here")
    if step["kind"] == "wait":
        assert here.state == "waiting"
        moments = "wait_until = clock_timestamp() - interval '1 s'"
        stand.database.execute(f"UPDATE incidents_steprun SET {moments} WHERE key = 'here'".encode())
        stand.database.execute("UPDATE incidents_playbookrun SET next_at = clock_timestamp() - interval '1 s'")
    elif step["kind"] == "approval":
        hands.approve(PlaybookRun.objects.get(pk=run.pk), reason="Fine", by=ben)
    elif step["kind"] == "decision":
        hands.decide(PlaybookRun.objects.get(pk=run.pk), "yes", reason="Clear", by=ben)
    running.run_due()
    assert PlaybookRun.objects.get(pk=run.pk).state == "succeeded"
    assert counts() == (1, 1 + (step["kind"] == "action"), 2)
    assert burning.timeline.filter(kind="update").count() == (1 if step["kind"] == "notify" else 0)


def test_killed_in_the_middle_of_what_an_action_writes_nothing_of_it_is_there_and_it_is_done_once(stand, tmp_path):
    anna = UserFactory(username="anna")
    run, _ = hands.start(incident(), playbook(GUARD, TASK), reason="It burns", by=anna)

    killed(stand, tmp_path, function="_do", only="args[1].key == 'task'")

    assert run.step_runs.get(key="task").state == "running"
    assert counts() == (1, 0, 1)
    running.run_due()
    assert PlaybookRun.objects.get(pk=run.pk).state == "succeeded"
    assert counts() == (1, 1, 2)


def test_killed_in_a_call_nobody_knows_and_nobody_calls_again_by_itself(stand, tmp_path):
    run, _ = hands.start(incident(), playbook(GUARD, CALL), reason="It burns", by="user:anna")

    killed(stand, tmp_path, function="call", only="args[1].key == 'call'")
    running.run_due()
    running.run_due()

    assert PlaybookRun.objects.get(pk=run.pk).state == "stopped"
    assert run.step_runs.get(key="call").state == "unknown"
    assert run.step_runs.get(key="call").attempt == 1
    assert counts()[0] == 1


def test_killed_while_taking_back_the_rest_is_taken_back_once(stand, tmp_path):
    anna, ben = UserFactory(username="anna"), UserFactory(username="ben", is_superuser=True)
    run, _ = hands.start(incident(), playbook(GUARD, TASK, AGREE), reason="It burns", by=anna)
    running.run_due()
    hands.undo(PlaybookRun.objects.get(pk=run.pk), reason="A mistake", by=ben)

    killed(stand, tmp_path, module="undoing", function="_undo", only="args[1].key == 'guard'")
    running.run_due()

    assert PlaybookRun.objects.get(pk=run.pk).state == "undone"
    assert list(GuardChange.objects.order_by("pk").values_list("level", flat=True)) == ["protect", "observe"]
    assert FollowUp.objects.get().state == "dropped"
