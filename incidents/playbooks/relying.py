"""What open runs rely on. The guard and holds are everybody's: what one run lets go, another may still need.

A step that asks for a guard says the level that it `needs`, one that holds says what it `holds`, and one that lets go
`let_go`: of each run the last word counts, until it is over.
"""

from collections.abc import Iterable, Sequence

from django.db import connection
from django.db.models import Prefetch
from django.utils import timezone

from consent.models import GuardChange
from consent.services import guard_level
from incidents.models import PlaybookRun, StepRun
from incidents.playbooks.actions import ACTOR, Context
from messaging.models import SendHold

LEVELS = [str(level) for level in GuardChange.Level.values]  # from the mildest to the strictest


def one_at_a_time() -> None:
    """Until the transaction ends: two runs that look at each other would each take the other for whoever lets go."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('incidents.playbooks.relying'))")


def others(context: Context) -> Sequence[PlaybookRun]:
    """Open runs, each with what it did in `done`."""
    done = StepRun.objects.filter(state=StepRun.State.SUCCEEDED).exclude(output={}).order_by("position")
    found = PlaybookRun.objects.open().exclude(pk=context.run_id).select_related("incident", "playbook")
    return list(found.order_by("pk").prefetch_related(Prefetch("step_runs", done, to_attr="done")))


def holds(steps: Iterable[StepRun]) -> dict[str, StepRun]:
    """What is still held for it, and by which step."""
    held: dict[str, StepRun] = {}
    for step in steps:
        held.pop(step.output.get("let_go", ""), None)
        if about := step.output.get("holds"):
            held[about] = step
    return held


def level_of(steps: Iterable[StepRun]) -> str:
    """The guard that it asked for last."""
    return next((step.output["needs"] for step in reversed(list(steps)) if "needs" in step.output), LEVELS[0])


def who_holds(context: Context, about: str) -> PlaybookRun | None:
    return next((run for run in others(context) if about in holds(run.done)), None)  # type: ignore[attr-defined]


def who_guards(context: Context) -> tuple[str, PlaybookRun | None]:
    """The strictest guard that another needs, and who."""
    asked = [(level_of(run.done), run) for run in others(context)]  # type: ignore[attr-defined]
    return max(asked, key=lambda each: LEVELS.index(each[0]), default=(LEVELS[0], None))


def guard_before(context: Context, now: str) -> str:
    """What the guard was before playbooks that are still at it made it what it is `now`."""
    for run in others(context):
        for step in run.done:  # type: ignore[attr-defined]
            undo = step.undo or {}
            if undo.get("after") == now and LEVELS.index(undo["before"]) < LEVELS.index(now):
                return str(undo["before"])
    return now


def in_force(run: PlaybookRun) -> list[StepRun]:
    """What of it stands and can be taken back: guard and holds as they are now, and what has a way back of its own."""
    done = list(run.step_runs.filter(state=StepRun.State.SUCCEEDED).order_by("position"))
    standing = {step.pk for about, step in holds(done).items() if _is_held(about)}
    guards = [step for step in done if "needs" in step.output and step.undo is not None]
    standing |= {step.pk for step in guards[-1:] if _is_raised(step)}
    return [step for step in done if step.undo is not None and (step.pk in standing or "instead" in step.undo)]


def _is_held(about: str) -> bool:
    scope, _, value = about.partition(":")
    return SendHold.objects.active(timezone.now()).filter(scope=scope, value=value, held_by=ACTOR).exists()


def _is_raised(step: StepRun) -> bool:
    before = (step.undo or {}).get("before")
    return before is not None and LEVELS.index(guard_level()) > LEVELS.index(before)
