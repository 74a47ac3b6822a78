"""What people and services do with a run: start it, answer what it asks, try again, skip, cancel, take back."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from config.nudge import nudge
from consent.services import actor_of, transaction_time
from incidents.changing import still_open, why
from incidents.models import Incident, IncidentRole, Playbook, PlaybookRun, StepRun
from incidents.playbooks.publishing import published
from incidents.playbooks.steps import needs_another
from incidents.playbooks.telling import State, Step, current, end, fail, move, settle, tell

APPROVES = "incidents.approve_playbookrun"
ASKS = (Step.WAITING, Step.WAITING_APPROVAL)


@transaction.atomic
def start(
    incident: Incident, playbook: Playbook, *, reason: str, by: User | str, trigger: str = PlaybookRun.Trigger.PERSON
) -> tuple[PlaybookRun, bool]:
    """Begin it, with a copy of the published steps. Returns the run and whether it is new: where it is being done for
    this incident already, nothing happens. Raises ValidationError where it cannot be started."""
    reason = why(reason)
    incident = still_open(incident)
    running = PlaybookRun.objects.open().filter(incident=incident, playbook=playbook)
    if already := running.select_related("incident", "playbook").first():
        return already, False
    version = published(playbook)
    if version is None or not playbook.is_active:
        raise ValidationError(f"{playbook} has no published version, or is switched off.")
    run = PlaybookRun.objects.create(
        incident=incident, playbook=playbook, version=version, steps=version.steps, trigger=trigger,
        reason=reason[:500], started_by=actor_of(by), next_at=timezone.now(),
    )  # fmt: skip
    StepRun.objects.bulk_create(
        StepRun(run=run, position=number, key=step["key"], title=step["title"], kind=step["kind"])
        for number, step in enumerate(run.steps)
    )
    tell(run, f"started, version {version.number}, {len(run.steps)} steps. {reason}", by=by, new=State.RUNNING)
    _nudge()
    return run, True


@transaction.atomic
def approve(run: PlaybookRun, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """Somebody other than who started it agrees to the step that waits for that. Raises ValidationError."""
    run, found = _asked(run, step, [Step.WAITING_APPROVAL])
    _may_approve(run, by)
    _has_role(run, by)
    return _let_through(run, found, f"Approved. {why(reason)}", by)


@transaction.atomic
def confirm(run: PlaybookRun, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """Do the step that waits for somebody to say so; or: what had to be seen to was done. Also for a step that nobody
    knows about, once somebody found out that it was done. Raises ValidationError."""
    run, found = _asked(run, step, [Step.WAITING, Step.UNKNOWN])
    reason = why(reason)
    _has_role(run, by)
    if found.state == Step.UNKNOWN:
        run.state = State.RUNNING
        return _settled(run, found, Step.SUCCEEDED, f"Found to be done. {reason}", by)
    if found.kind == "check" and not run.step.get("expect"):
        return _settled(run, found, Step.SUCCEEDED, reason, by)
    if found.kind in ("action", "notify") and not found.cleared_at and run.step.get("automatic", True) is False:
        return _let_through(run, found, reason, by)
    raise ValidationError("This step does not wait for a person.", code="step")


@transaction.atomic
def decline(run: PlaybookRun, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """No: the step fails, and what then its definition says. Raises ValidationError."""
    run, found = _asked(run, step, ASKS)
    if found.state == Step.WAITING_APPROVAL:
        _is_allowed(by)
    _has_role(run, by)
    fail(run, found, f"Declined. {why(reason)}", transaction_time(), by=by)
    return _nudged(run)


@transaction.atomic
def decide(run: PlaybookRun, choice: str, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """Choose one of the ways that the step offers. Raises ValidationError."""
    run, found = _asked(run, step, [Step.WAITING])
    _has_role(run, by)
    offered = {one["value"]: one["title"] for one in run.step.get("choices", ())}
    if choice not in offered:
        known = ", ".join(offered) or "nothing: it asks for no decision"
        raise ValidationError({"choice": f"The step offers {known}."})
    return _settled(run, found, Step.SUCCEEDED, f"{offered[choice]}. {why(reason)}", by, output={"choice": choice})


@transaction.atomic
def retry(run: PlaybookRun, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """The step that failed, or that nobody knows about, is done again, under the same key; those before it are not."""
    run, found = _asked(run, step, [Step.FAILED, Step.UNKNOWN], [State.STOPPED])
    _has_role(run, by)
    found.state, found.attempt, found.begun_at, found.wait_until = Step.PENDING, 0, None, None
    found.output = {}
    found.save()
    move(run, State.RUNNING, transaction_time(), f"{found}: tried again. {why(reason)}", by=by)
    return _nudged(run)


@transaction.atomic
def skip(run: PlaybookRun, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """Go on without the step. What takes another person's approval is not got round by whoever started it."""
    run, found = _asked(run, step, [*ASKS, Step.FAILED, Step.UNKNOWN])
    if needs_another(run.step):
        _may_approve(run, by)
    _has_role(run, by)
    run.state = State.RUNNING
    return _settled(run, found, Step.SKIPPED, f"Skipped. {why(reason)}", by)


@transaction.atomic
def cancel(run: PlaybookRun, *, reason: str, by: User | str) -> PlaybookRun:
    """Do nothing more. What was done stays done: the line says what that is."""
    run, found = _at_rest(run)
    done = ", ".join(run.step_runs.to_undo().values_list("title", flat=True))
    if found and found.state not in StepRun.ENDED:
        found.state, found.reason = Step.SKIPPED, "The run was cancelled."
        found.ended_at, found.ended_by, found.wait_until = transaction_time(), actor_of(by), None
        found.save()
    words = f"Cancelled. {why(reason)} Still in force: {done or 'nothing that could be undone'}."
    end(run, State.CANCELLED, transaction_time(), words, by=by)
    return run


@transaction.atomic
def undo(run: PlaybookRun, *, reason: str, by: User | str) -> PlaybookRun:
    """Take back what was done, the last first, and end it."""
    run, _ = _at_rest(run)
    move(run, State.UNDOING, transaction_time(), f"Is taken back. {why(reason)}", by=by)
    return _nudged(run)


def _locked(run: PlaybookRun) -> PlaybookRun:
    run = PlaybookRun.objects.select_for_update(of=("self",)).select_related("incident", "playbook").get(pk=run.pk)
    if not run.is_open:
        raise ValidationError(f"{run} is {run.get_state_display()} already, by {run.ended_by}.", code="state")
    return run


def _asked(
    run: PlaybookRun, step: str, states: Sequence[str], of_run: Sequence[str] = (State.RUNNING, State.STOPPED)
) -> tuple[PlaybookRun, StepRun]:
    """The step that it stands at, in one of the states. `step`: which one the page showed; empty: whichever it is."""
    run = _locked(run)
    if run.state not in of_run or run.position >= len(run.steps):
        raise ValidationError(f"{run} is {run.get_state_display()}: this cannot be done with it now.", code="state")
    if run.state == State.STOPPED and run.step_runs.filter(state=Step.COMPENSATED).exists():
        raise ValidationError("Some of it was taken back already. Take back the rest, then start it anew.")
    found = current(run)
    if step and step != found.key:
        raise ValidationError(f"It stands at another step by now: {found}. Read the page again.", code="step")
    if found.state not in states:
        raise ValidationError(f"{found} is {found.get_state_display()}: this cannot be done with it now.", code="step")
    return run, found


def _at_rest(run: PlaybookRun) -> tuple[PlaybookRun, StepRun | None]:
    """Not in the middle of a call, whose outcome would be lost."""
    run = _locked(run)
    found = current(run) if run.position < len(run.steps) else None
    if found and found.state == Step.RUNNING and run.lease_until and run.lease_until > transaction_time():
        raise ValidationError(f"{found} is just being done. Try again in a moment.", code="step")
    return run, found


def _let_through(run: PlaybookRun, found: StepRun, words: str, by: User | str) -> PlaybookRun:
    """An approval is over with that; a deed is done now, and its time starts anew."""
    if found.kind == "approval":
        return _settled(run, found, Step.SUCCEEDED, words, by)
    now = transaction_time()
    found.cleared_at, found.cleared_by, found.begun_at, found.state = now, actor_of(by), now, Step.PENDING
    found.save()
    move(run, State.RUNNING, now, f"{found}: {words}", by=by)
    return _nudged(run)


def _settled(run: PlaybookRun, found: StepRun, state: str, words: str, by: User | str, **facts: object) -> PlaybookRun:
    settle(run, found, state, words, transaction_time(), by=by, **facts)
    return _nudged(run)


def _has_role(run: PlaybookRun, by: User | str) -> None:
    role = run.step.get("role", "")
    if not role:
        return
    if isinstance(by, User) and role.startswith("incidents.") and by.has_perm(role):
        return
    held = IncidentRole.objects.filter(incident=run.incident, role=role, renounced_at=None)
    if isinstance(by, User) and held.filter(person=by.pk).exists():
        return
    raise ValidationError(f"This step is for {role}: take that part first, or ask whoever has it.", code="role")


def _may_approve(run: PlaybookRun, by: User | str) -> None:
    _is_allowed(by)
    if actor_of(by) == run.started_by:
        raise ValidationError("You started it: somebody else approves.", code="four_eyes")


def _is_allowed(by: User | str) -> None:
    if not isinstance(by, User) or by.is_service or not by.has_perm(APPROVES):
        raise ValidationError("A person who may approve steps of playbooks answers this.", code="approval")


def _nudged(run: PlaybookRun) -> PlaybookRun:
    _nudge()
    return run


def _nudge() -> None:
    transaction.on_commit(lambda: nudge("incidents.tasks.run_playbooks"), robust=True)
