"""What a run and its steps write about themselves: states, and a line in the incident's story for each."""

from datetime import datetime, timedelta
from typing import Any

from config.models import User
from consent.services import actor_of
from incidents import timeline
from incidents.models import PlaybookRun, StepRun
from incidents.playbooks.actions import ACTOR
from incidents.timeline import Kind, Source

PATIENCE = timedelta(minutes=15)  # until somebody should have dealt with what stopped
MOST_OUTPUT = 4000  # characters
State, Step = PlaybookRun.State, StepRun.State


def tell(run: PlaybookRun, text: str, *, by: User | str = ACTOR, old: str = "", new: str = "") -> None:
    text = f"{run.playbook}: {text}"
    timeline.append(run.incident, Kind.PLAYBOOK, text, source=Source.PLAYBOOK, actor=actor_of(by), old=old, new=new)


def current(run: PlaybookRun) -> StepRun:
    return StepRun.objects.select_for_update().get(run=run, position=run.position)


def settle(
    run: PlaybookRun, step: StepRun, state: str, words: str, now: datetime, *, by: User | str = ACTOR, **facts: Any
) -> None:
    """The step is over in a good way; the run goes on with the next one at once."""
    old = step.state
    step.state, step.reason, step.ended_at, step.ended_by = state, words[:500], now, actor_of(by)
    step.wait_until = step.lease = None
    for name, value in facts.items():
        setattr(step, name, value)
    step.save()
    run.position += 1
    run.next_at = now
    run.save()
    tell(run, f"{step}: {step.get_state_display()}. {words}", by=by, old=old, new=state)


def wait(run: PlaybookRun, step: StepRun, state: str, until: datetime, now: datetime, words: str = "") -> None:
    """Told when it begins to wait, and when what it waits for has other words than before. `until`: the next look."""
    is_new = step.state != state and bool(words) and words[:500] != step.reason
    old, step.state = step.state, state
    if words:
        step.reason = words[:500]
    step.lease = None
    step.save()
    run.next_at = until
    run.save()
    if is_new:
        tell(run, f"{step}: {step.get_state_display()}. {words}", old=old, new=state)


def fail(run: PlaybookRun, step: StepRun, words: str, now: datetime, *, by: User | str = ACTOR) -> None:
    """It failed for good; what happens then the step itself says."""
    old, step.state, step.reason, step.wait_until, step.lease = step.state, Step.FAILED, words[:500], None, None
    step.save()
    tell(run, f"{step}: failed. {words}", by=by, old=old, new=Step.FAILED)
    match run.step.get("on_error", "stop"):
        case "continue":
            run.position += 1
            run.next_at = now
            run.save()
        case "compensate":
            move(run, State.UNDOING, now, "What was done is undone, the last first.")
        case _:
            stop(run, now, "It stopped. Try the step again, skip it, undo what was done, or cancel.")


def stop(run: PlaybookRun, now: datetime, words: str) -> None:
    run.state, run.next_at = State.STOPPED, now + PATIENCE
    run.save()
    tell(run, words, new=State.STOPPED)


def move(run: PlaybookRun, state: str, now: datetime, words: str, *, by: User | str = ACTOR) -> None:
    old, run.state, run.next_at = run.state, state, now
    run.save()
    tell(run, words, by=by, old=old, new=state)


def end(run: PlaybookRun, state: str, now: datetime, words: str, *, by: User | str = ACTOR) -> None:
    old, run.state, run.next_at = run.state, state, None
    run.ended_at, run.ended_by, run.lease, run.lease_until, run.audit_result = now, actor_of(by), None, None, ""
    run.save()
    tell(run, words, by=by, old=old, new=state)
