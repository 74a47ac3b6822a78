"""One look at the step that a run stands at: begun, asked again, let go or given up. Called with the run locked."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, transaction

from config.deeds import words
from incidents.models import Incident, PlaybookRun, StepRun
from incidents.playbooks.actions import REGISTRY, Action, Context, Done, Later
from incidents.playbooks.definition import DOES, POLL, timeout_of
from incidents.playbooks.signals import Asked
from incidents.playbooks.telling import MOST_OUTPUT, Step, fail, settle, stop, wait

log = structlog.get_logger(__name__)


def look(run: PlaybookRun, step: StepRun, now: datetime) -> bool:
    """Move the step as far as it goes now. Returns whether it must be called from outside of a transaction."""
    if step.state in StepRun.ENDED or step.state == Step.FAILED:  # somebody settled it meanwhile
        run.position += 1
        run.save(update_fields=["position"])
        return False
    if step.state == Step.PENDING:
        asked, wanted = asked_of(run), run.step.get("when", ())
        if not asked.all_hold(wanted):
            settle(run, step, Step.SKIPPED, f"Not needed: {_told(asked.told(wanted))}.", now)
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
        wait(run, step, Step.WAITING, step.wait_until, now, f"Until {step.wait_until:%H:%M:%S} UTC.")


def _check(run: PlaybookRun, step: StepRun, now: datetime) -> None:
    expected = run.step.get("expect")
    if not expected:
        _people(run, step, now)
        return
    asked = asked_of(run)
    if asked.all_hold(expected):
        settle(run, step, Step.SUCCEEDED, f"It is so: {_told(asked.told(expected))}.", now, output=asked.told(expected))
        return
    found = f"Not yet: {_told(asked.told(expected))}."
    if not _is_late(run, step, now, found):
        wait(run, step, Step.WAITING, min(now + timedelta(seconds=POLL), _deadline(run, step, now)), now, found)


def _people(run: PlaybookRun, step: StepRun, now: datetime) -> None:
    """Somebody must do something; what they do is in `hands`."""
    if not _is_late(run, step, now, "Nobody answered in time."):
        needs_another = step.kind == "approval" or run.step.get("approval", False)
        state = Step.WAITING_APPROVAL if needs_another else Step.WAITING
        role = run.step.get("role", "")
        until = _deadline(run, step, now)
        wait(run, step, state, until, now, f"For {role or 'somebody'}, until {until:%H:%M} UTC at the latest.")


def _deed(run: PlaybookRun, step: StepRun, now: datetime) -> bool:
    asks = run.step.get("approval", False) or run.step.get("automatic", True) is False
    if asks and not step.cleared_at:
        _people(run, step, now)
        return False
    action = REGISTRY.get(run.step["action"])
    if action is None:
        fail(run, step, f"Nothing is registered as {run.step['action']} any more.", now)
        return False
    if run.incident.mode == Incident.Mode.DRILL and action.reaches:
        words_ = f"A drill: {action.title.lower()} was told and not done ({_told(run.step.get('args', {}))})."
        settle(run, step, Step.SUCCEEDED, words_, now, output={"rehearsed": True})
        return False
    if step.state != Step.RUNNING:
        if step.wait_until and step.wait_until > now:  # between two tries
            wait(run, step, Step.WAITING, step.wait_until, now)
            return False
        _begin(run, step, now)
        return False
    if action.is_local:  # whoever died in it has done nothing: it is done now, under the same key
        _do(run, step, action, now)
        return False
    if step.lease != run.lease and not run.step.get("safe_to_repeat", False):
        _unknown(run, step, now)
        return False
    if step.lease != run.lease:
        step.lease = run.lease
        step.save(update_fields=["lease"])
    return True


def _begin(run: PlaybookRun, step: StepRun, now: datetime) -> None:
    """Committed before anything is done, so that a worker that dies in it is seen."""
    if "later" not in step.output:
        step.attempt += 1
    step.state, step.lease, step.wait_until = Step.RUNNING, run.lease, None
    step.save()
    run.next_at = now
    run.save()


def _do(run: PlaybookRun, step: StepRun, action: Action, now: datetime) -> None:
    """What it writes is committed with its outcome, or neither is."""
    try:
        with transaction.atomic():
            answer = action.run(context_of(run, step), **run.step.get("args", {}))
    except (InterfaceError, OperationalError):
        raise  # the database went away: so does this transaction, and the step is done again
    except Exception as error:
        failed(run, step, said(error), now)
    else:
        answered(run, step, action, answer, now)


def call(run: PlaybookRun, step: StepRun) -> Done | Later | str:
    """With no transaction open. Whatever goes wrong is an answer, in words."""
    try:
        return REGISTRY[run.step["action"]].run(context_of(run, step), **run.step.get("args", {}))
    except Exception as error:
        return said(error)


def answered(run: PlaybookRun, step: StepRun, action: Action, answer: Done | Later, now: datetime) -> None:
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
    """Tried again as often as the step says, then given up."""
    if step.attempt > run.step.get("retries", 0):
        fail(run, step, reason, now)
        return
    step.wait_until = now + timedelta(seconds=run.step.get("retry_after", 30))
    wait(run, step, Step.WAITING, step.wait_until, now, f"Attempt {step.attempt} failed, and is made again: {reason}")


def _unknown(run: PlaybookRun, step: StepRun, now: datetime) -> None:
    step.state, step.lease = Step.UNKNOWN, None
    step.reason = "Whoever did it went away: nobody knows if it was done. Find out, then mark it done or try it again."
    step.save()
    stop(run, now, f"{step}: unknown. {step.reason}")


def _is_late(run: PlaybookRun, step: StepRun, now: datetime, reason: str) -> bool:
    if now < _deadline(run, step, now):
        return False
    fail(run, step, f"It took longer than {timeout_of(run.step):,} s. {reason}", now)
    return True


def _deadline(run: PlaybookRun, step: StepRun, now: datetime) -> datetime:
    return (step.begun_at or now) + timedelta(seconds=timeout_of(run.step))


def asked_of(run: PlaybookRun) -> Asked:
    decided = run.step_runs.filter(kind="decision", state=Step.SUCCEEDED)
    return Asked(run.incident, {step.key: step.output.get("choice", "") for step in decided})


def context_of(run: PlaybookRun, step: StepRun) -> Context:
    output = {name: value for name, value in step.output.items() if name != "later"}
    reason = f"{run.incident.ref}, {run.playbook}: {step.title}"
    return Context(run.incident, step.idempotency_key, reason, run.started_by, output)


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


def _told(found: Mapping[str, Any]) -> str:
    named = [
        f"{name.replace('_', ' ')} {', '.join(map(str, v)) or 'none' if isinstance(v, list) else v}"
        for name, v in found.items()
    ]
    return "; ".join(named)[:300] or "nothing was asked"
