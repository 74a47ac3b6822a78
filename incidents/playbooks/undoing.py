"""What a run did is taken back: only what was really done, the last first, each once."""

from datetime import datetime

from django.db import transaction

from incidents.models import PlaybookRun, StepRun
from incidents.playbooks.actions import ACTOR, REGISTRY, context_of
from incidents.playbooks.steps import gives_up, said
from incidents.playbooks.telling import State, Step, end, stop, tell


def undo_next(run: PlaybookRun, now: datetime) -> None:
    """One step, committed with its outcome. Where that fails it stops, and a person decides."""
    step = run.step_runs.to_undo().select_for_update().first()
    if step is None:
        end(run, State.UNDONE, now, "Everything that can be taken back was taken back.")
        return
    try:
        with transaction.atomic():
            words = _undo(run, step)
    except Exception as error:
        if gives_up(error):
            raise
        stop(run, now, f"{step} could not be taken back. {said(error)}")
        return
    step.state, step.reason, step.ended_at, step.ended_by = Step.COMPENSATED, words[:500], now, ACTOR
    step.save()
    run.next_at = now
    run.save()
    tell(run, f"{step}: taken back. {words}", old=Step.SUCCEEDED, new=Step.COMPENSATED)


def _undo(run: PlaybookRun, step: StepRun) -> str:
    data = step.undo or {}
    context = context_of(run, step)
    if instead := data.get("instead"):
        return REGISTRY[instead["action"]].run(context, **instead.get("args", {})).words
    undo = REGISTRY[run.steps[step.position]["action"]].undo
    return undo(context, data) if undo else "Nothing takes this back."
