"""One look at the step that a run stands at: begun, asked again, let go or given up. Called with the run locked."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connection, transaction

from config.deeds import words
from incidents.models import Incident, PlaybookRun, StepRun
from incidents.playbooks.actions import REGISTRY, Action, Done, Later, Unknown, context_of
from incidents.playbooks.definition import DOES, POLL, retry_after_of, timeout_of
from incidents.playbooks.signals import Asked
from incidents.playbooks.telling import MOST_OUTPUT, WENT_AWAY, Step, fail, settle, stop, tell, wait
from incidents.playbooks.wording import answer, moment, span, told, whom

log = structlog.get_logger(__name__)
GONE = "Whoever did it went away."
PASSES = ("40001", "40P01", "55P03", "57014")  # of the database: serialization, deadlock, lock or statement timeout


def look(run: PlaybookRun, step: StepRun, now: datetime) -> bool:
    """Move the step as far as it goes now. Returns whether it must be called from outside of a transaction."""
    if step.state == Step.PENDING:
        asked, wanted = asked_of(run), run.step.get("when", ())
        if not asked.all_hold(wanted):
            settle(run, step, Step.SKIPPED, f"Not needed: {_found(run, asked, wanted)}.", now)
            return False
        step.begun_at = step.begun_at or now
    match step.kind:
        case "wait":
            _wait(run, step, now)
        case "check":
            _check(run, step, now)
        case "decision" | "approval":
            _people(run, step, now)
        case _:
            return _deed(run, step, now)
    return False


def _wait(run: PlaybookRun, step: StepRun, now: datetime) -> None:
    step.wait_until = step.wait_until or now + timedelta(seconds=run.step["seconds"])
    if now >= step.wait_until:
        settle(run, step, Step.SUCCEEDED, "The time has passed.", now)
    else:
        wait(run, step, Step.WAITING, step.wait_until, now, f"Until {moment(step.wait_until)}.")


def _check(run: PlaybookRun, step: StepRun, now: datetime) -> None:
    expected = run.step.get("expect")
    if not expected:
        _people(run, step, now)
        return
    asked = asked_of(run)
    if asked.all_hold(expected):
        words = f"It is so: {_found(run, asked, expected)}."
        settle(run, step, Step.SUCCEEDED, words, now, output=asked.told(expected))
        return
    found = f"Not yet: {_found(run, asked, expected)}."
    if not _is_late(run, step, now, found):
        wait(run, step, Step.WAITING, min(now + timedelta(seconds=POLL), _deadline(run, step, now)), now, found)


def _people(run: PlaybookRun, step: StepRun, now: datetime) -> None:
    """Somebody must do something; what they do is in `hands`."""
    if not _is_late(run, step, now, "Nobody answered in time."):
        state = Step.WAITING_APPROVAL if needs_another(run.step) else Step.WAITING
        role, until = run.step.get("role", ""), _deadline(run, step, now)
        whose = whom(role) if role else "somebody"
        wait(run, step, state, until, now, f"For {whose}, until {moment(until)} at the latest.")


def _deed(run: PlaybookRun, step: StepRun, now: datetime) -> bool:
    asks = needs_another(run.step) or run.step.get("automatic", True) is False
    if asks and not step.cleared_at:
        _people(run, step, now)
        return False
    action = REGISTRY.get(run.step["action"])
    if action is None:
        fail(run, step, f"Nothing is registered as {run.step['action']} any more.", now)
        return False
    if run.incident.mode == Incident.Mode.DRILL and action.reaches:
        given = "; ".join(f"{name} {told(value)}" for name, value in run.step.get("args", {}).items())
        words_ = f"A drill: {action.title.lower()} was told and not done ({given[:300] or 'nothing was asked'})."
        settle(run, step, Step.SUCCEEDED, words_, now, output={"rehearsed": True})
        return False
    if step.state != Step.RUNNING:
        if step.wait_until and step.wait_until > now:  # between two tries
            wait(run, step, Step.WAITING, step.wait_until, now)
            return False
        _begin(run, step, now)
        return False
    if step.lease != run.lease:
        _take_over(run, step, action, now)
        return False
    if action.is_local:
        _do(run, step, action, now)
        return False
    return True


def _take_over(run: PlaybookRun, step: StepRun, action: Action, now: datetime) -> None:
    """Whoever did it went away. What only writes rows has done nothing, and is done again, as is what may be repeated:
    each time is an attempt, and the time of the step is its end."""
    if not (action.is_local or may_repeat(run, action)):
        _unknown(run, step, WENT_AWAY, now)
    elif not _is_late(run, step, now, GONE):
        step.attempt += 1
        tell(run, f"{step}: {GONE} Attempt {step.attempt}.")
        _hold(run, step, now)


def _begin(run: PlaybookRun, step: StepRun, now: datetime) -> None:
    """Committed before anything is done, so that a worker that dies in it is seen."""
    if "later" not in step.output:
        step.attempt += 1
    _hold(run, step, now)


def _hold(run: PlaybookRun, step: StepRun, now: datetime) -> None:
    step.state, step.lease, step.wait_until = Step.RUNNING, run.lease, None
    step.save()
    run.next_at = now
    run.save()


def _do(run: PlaybookRun, step: StepRun, action: Action, now: datetime) -> None:
    """What it writes is committed with its outcome, or neither is."""
    try:
        with transaction.atomic():
            answer = action.run(context_of(run, step), **run.step.get("args", {}))
    except Exception as error:
        if gives_up(error):
            raise  # so does this transaction, and the step is taken over
        if getattr(error.__cause__, "sqlstate", "") in PASSES:  # nothing was done
            _again(run, step, said(error), now)
        else:
            failed(run, step, said(error), now)
    else:
        answered(run, step, action, answer, now)


def gives_up(error: Exception) -> bool:
    """The worker cannot go on, since its time is up or the database is gone: another one does."""
    is_gone = isinstance(error, OperationalError) and not connection.is_usable()
    return is_gone or isinstance(error, (InterfaceError, SoftTimeLimitExceeded))


def may_repeat(run: PlaybookRun, action: Action) -> bool:
    return action.is_safe_to_repeat or bool(run.step.get("safe_to_repeat", False))


def call(run: PlaybookRun, step: StepRun) -> Done | Later | Unknown | str:
    """With no transaction open. A refusal is an answer in words; of whatever else goes wrong nobody knows what it came
    after. A worker whose time is up says nothing: whoever comes next does not know either."""
    try:
        return REGISTRY[run.step["action"]].run(context_of(run, step), **run.step.get("args", {}))
    except SoftTimeLimitExceeded:
        raise
    except ValidationError as error:
        return said(error)
    except Exception as error:
        return Unknown(said(error))


def answered(run: PlaybookRun, step: StepRun, action: Action, answer: Done | Later | Unknown, now: datetime) -> None:
    if isinstance(answer, Unknown):
        if may_repeat(run, action):
            failed(run, step, answer.words, now)
        else:
            _unknown(run, step, f"{answer.words} Find out, then mark it done or try it again.", now)
        return
    if isinstance(answer, Later):
        step.output = {"later": True, **answer.output}
        step.wait_until = now + timedelta(seconds=answer.seconds)
        if not _is_late(run, step, now, answer.words):
            wait(run, step, Step.WAITING, min(step.wait_until, _deadline(run, step, now)), now, answer.words)
        return
    instead = run.step.get("compensation")
    undo = {"instead": instead} if instead else (dict(answer.undo) if action.undo and answer.undo is not None else None)
    settle(run, step, Step.SUCCEEDED, answer.words, now, output=capped(answer.output), undo=undo)


def failed(run: PlaybookRun, step: StepRun, reason: str, now: datetime) -> None:
    """Tried again as often as the step says and its time allows, then given up."""
    step.output.pop("later", None)  # the next attempt counts
    if step.attempt > run.step.get("retries", 0):
        fail(run, step, reason, now)
    else:
        _again(run, step, reason, now)


def _again(run: PlaybookRun, step: StepRun, reason: str, now: datetime) -> None:
    again = now + timedelta(seconds=retry_after_of(run.step))
    if again >= _deadline(run, step, now):
        fail(run, step, reason, now)
        return
    step.wait_until = again
    wait(run, step, Step.WAITING, again, now, f"Attempt {step.attempt} failed, and is made again: {reason}")


def _unknown(run: PlaybookRun, step: StepRun, words: str, now: datetime) -> None:
    step.state, step.lease, step.wait_until, step.reason = Step.UNKNOWN, None, None, words[:500]
    step.save()
    stop(run, now, f"{step}: {step.get_state_display()}. {step.reason}")


def _is_late(run: PlaybookRun, step: StepRun, now: datetime, reason: str) -> bool:
    if now < _deadline(run, step, now):
        return False
    fail(run, step, f"It took longer than {span(timeout_of(run.step))}. {reason}", now)
    return True


def _deadline(run: PlaybookRun, step: StepRun, now: datetime) -> datetime:
    return (step.begun_at or now) + timedelta(seconds=timeout_of(run.step))


def asked_of(run: PlaybookRun) -> Asked:
    decided = run.step_runs.filter(kind="decision", state=Step.SUCCEEDED)
    return Asked(run.incident, {step.key: step.output.get("choice", "") for step in decided})


def needs_another(step: Mapping[str, Any]) -> bool:
    """It takes somebody other than whoever started the run."""
    return step["kind"] == "approval" or (step["kind"] in DOES and bool(step.get("approval")))


def said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return words(error)
    log.exception("playbook_step_failed", error=str(error))
    return f"Our own fault: {type(error).__name__}: {error}"[:500]


def capped(output: Mapping[str, Any]) -> dict[str, Any]:
    return dict(output) if len(json.dumps(output)) <= MOST_OUTPUT else {"cut": json.dumps(output)[:MOST_OUTPUT]}


def _found(run: PlaybookRun, asked: Asked, wanted: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(answer(each, asked.said(each), run.steps) for each in wanted)[:300]
