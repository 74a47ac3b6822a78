"""What a run and its steps write about themselves: states, and a line in the incident's story for each."""

from datetime import datetime, timedelta
from typing import Any

from config.models import User
from consent.services import actor_of
from incidents import timeline
from incidents.models import PlaybookRun, StepRun
from incidents.playbooks.actions import ACTOR, of, withdraw
from incidents.timeline import Kind, Source

PATIENCE = timedelta(minutes=15)  # until somebody should have dealt with what stopped
MOST_OUTPUT = 4000  # characters
WENT_AWAY = "Whoever did it went away: nobody knows if it was done. Find out, then mark it done or try it again."
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
    _to(run, State.RUNNING, now)
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
    """It failed for good, and what it began is ended; what happens then the step itself says."""
    words = f"{words} {withdraw(run, step)}".rstrip()
    old, step.state, step.reason, step.wait_until, step.lease = step.state, Step.FAILED, words[:500], None, None
    step.save()
    tell(run, f"{step}: failed. {words}", by=by, old=old, new=Step.FAILED)
    match run.step.get("on_error", "stop"):
        case "continue":
            run.position += 1
            _to(run, State.RUNNING, now)
        case "compensate":
            move(run, State.UNDOING, now, "What was done is undone, the last first.")
        case _:
            stop(run, now, "It stopped. Try the step again, skip it, undo what was done, or cancel.")


def leave(run: PlaybookRun, state: str, words: str, now: datetime, *, by: User | str = ACTOR) -> None:
    """Nobody goes on with the step that it stands at: what it began is ended, and it is `state`. What failed, and what
    nobody knows the end of, says so for good."""
    step = current(run) if run.position < len(run.steps) else None
    if step is None or step.state in StepRun.ENDED:
        return
    action, withdrawn = of(run, step), withdraw(run, step)
    if step.state == Step.RUNNING and action and not (action.is_local or action.is_safe_to_repeat):
        step.state, step.reason = Step.UNKNOWN, WENT_AWAY
    elif step.state not in (Step.FAILED, Step.UNKNOWN):
        step.state, step.reason = state, f"{words} {withdrawn}".rstrip()[:500]
        if state in StepRun.ENDED:
            step.ended_at, step.ended_by = now, actor_of(by)
    step.wait_until = step.lease = None
    step.save()


def stop(run: PlaybookRun, now: datetime, words: str) -> None:
    _to(run, State.STOPPED, now + PATIENCE, since=now)
    tell(run, words, new=State.STOPPED)


def move(run: PlaybookRun, state: str, now: datetime, words: str, *, by: User | str = ACTOR) -> None:
    old = run.state
    _to(run, state, now)
    tell(run, words, by=by, old=old, new=state)


def end(run: PlaybookRun, state: str, now: datetime, words: str, *, by: User | str = ACTOR) -> None:
    old = run.state
    run.ended_at, run.ended_by, run.lease, run.lease_until, run.audit_result = now, actor_of(by), None, None, ""
    _to(run, state, None)
    tell(run, words, by=by, old=old, new=state)


def _to(run: PlaybookRun, state: str, next_at: datetime | None, *, since: datetime | None = None) -> None:
    """`since`: when it stopped, kept for as long as it is stopped."""
    run.state, run.next_at = state, next_at
    run.stopped_at = (run.stopped_at or since) if state == State.STOPPED else None
    if state != State.STOPPED:
        run.outlived_at = None
    run.save()
