"""What people and services do with a run: start it, answer what it asks, try again, skip, cancel, take back.

Whether somebody may do a verb now is said in one place, `refusal`: the page asks it which buttons to show.
"""

from collections.abc import Callable, Mapping

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from config.nudge import nudge
from consent.services import actor_of, transaction_time
from incidents.changing import still_open, why
from incidents.models import Incident, IncidentRole, Playbook, PlaybookRun, StepRun
from incidents.playbooks.actions import withdraw
from incidents.playbooks.publishing import published
from incidents.playbooks.relying import in_force
from incidents.playbooks.steps import needs_another
from incidents.playbooks.telling import State, Step, current, end, fail, leave, move, settle, tell
from incidents.playbooks.wording import whom

APPROVES = "incidents.approve_playbookrun"


def is_to_be_seen_to(run: PlaybookRun, step: StepRun) -> bool:
    """Somebody does it, and says so: a check by hand, or what nobody knows the end of."""
    by_hand = step.state == Step.WAITING and step.kind == "check" and not run.step.get("expect")
    return by_hand or step.state == Step.UNKNOWN


def is_to_be_let(run: PlaybookRun, step: StepRun) -> bool:
    """It is done as soon as somebody says so."""
    on_a_word = step.kind in ("action", "notify") and run.step.get("automatic", True) is False
    return on_a_word and step.state == Step.WAITING and not step.cleared_at


def asks(run: PlaybookRun, step: StepRun) -> bool:
    is_asked = step.state == Step.WAITING_APPROVAL or (step.state == Step.WAITING and step.kind == "decision")
    return is_asked or is_to_be_let(run, step) or (step.state == Step.WAITING and is_to_be_seen_to(run, step))


# What a verb is for, and of what runs.
FITS: Mapping[str, Callable[[PlaybookRun, StepRun], bool]] = {
    "approve": lambda run, step: step.state == Step.WAITING_APPROVAL,
    "confirm": lambda run, step: is_to_be_seen_to(run, step) or is_to_be_let(run, step),
    "decide": lambda run, step: step.state == Step.WAITING and step.kind == "decision",
    "decline": asks,
    "retry": lambda run, step: run.state == State.STOPPED and step.state in (Step.FAILED, Step.UNKNOWN),
    "skip": lambda run, step: step.state in (Step.WAITING, Step.WAITING_APPROVAL, Step.FAILED, Step.UNKNOWN),
}


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
    run, found = _asked("approve", run, step, by)
    return _let_through(run, found, f"Approved. {why(reason)}", by)


@transaction.atomic
def confirm(run: PlaybookRun, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """Do the step that waits for somebody to say so; or: what had to be seen to was done. Also for a step that nobody
    knows about, once somebody found out that it was done. Raises ValidationError."""
    run, found = _asked("confirm", run, step, by)
    reason = why(reason)
    if found.state == Step.UNKNOWN:
        return _settled(run, found, Step.SUCCEEDED, f"Found to be done. {reason}", by)
    if is_to_be_let(run, found):
        return _let_through(run, found, reason, by)
    return _settled(run, found, Step.SUCCEEDED, reason, by)


@transaction.atomic
def decline(run: PlaybookRun, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """No: the step fails, and what then its definition says. Raises ValidationError."""
    run, found = _asked("decline", run, step, by)
    fail(run, found, f"Declined. {why(reason)}", transaction_time(), by=by)
    return _nudged(run)


@transaction.atomic
def decide(run: PlaybookRun, choice: str, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """Choose one of the ways that the step offers. Raises ValidationError."""
    run, found = _asked("decide", run, step, by)
    offered = {one["value"]: one["title"] for one in run.step["choices"]}
    if choice not in offered:
        raise ValidationError({"choice": f"The step offers {', '.join(offered)}."})
    return _settled(run, found, Step.SUCCEEDED, f"{offered[choice]}. {why(reason)}", by, output={"choice": choice})


@transaction.atomic
def retry(run: PlaybookRun, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """The step that failed, or that nobody knows about, is done again, under the same key; those before it are not."""
    run, found = _asked("retry", run, step, by)
    found.state, found.attempt, found.begun_at, found.wait_until = Step.PENDING, 0, None, None
    found.output.pop("later", None)
    found.save()
    move(run, State.RUNNING, transaction_time(), f"{found}: tried again. {why(reason)}", by=by)
    return _nudged(run)


@transaction.atomic
def skip(run: PlaybookRun, *, reason: str, by: User | str, step: str = "") -> PlaybookRun:
    """Go on without the step, and end what it began. What takes another person's approval is not got round by whoever
    started it."""
    run, found = _asked("skip", run, step, by)
    return _settled(run, found, Step.SKIPPED, f"Skipped. {why(reason)} {withdraw(run, found)}".rstrip(), by)


@transaction.atomic
def cancel(run: PlaybookRun, *, reason: str, by: User | str) -> PlaybookRun:
    """Do nothing more. What was done stays done: the line says what of it is in force."""
    run = _at_rest("cancel", run, by)
    standing = ", ".join(step.title for step in in_force(run))
    now = transaction_time()
    leave(run, Step.SKIPPED, "The run was cancelled.", now, by=by)
    end(run, State.CANCELLED, now, f"Cancelled. {why(reason)} Still in force: {standing or 'nothing'}.", by=by)
    return run


@transaction.atomic
def undo(run: PlaybookRun, *, reason: str, by: User | str) -> PlaybookRun:
    """Take back what was done, the last first, and end it. Where a step takes another person, so does this."""
    run = _at_rest("undo", run, by)
    now = transaction_time()
    leave(run, Step.SKIPPED, "The run is taken back.", now, by=by)
    move(run, State.UNDOING, now, f"Is taken back. {why(reason)}", by=by)
    return _nudged(run)


def refusal(verb: str, run: PlaybookRun, step: StepRun | None, by: User | str) -> str:
    """Why this cannot be done with the run and the step that it stands at, now and by them; empty: it can."""
    try:
        (_check_run if verb in ("undo", "cancel") else _check_step)(verb, run, step, by)
    except ValidationError as error:
        return str(error.message)
    return ""


def _check_step(verb: str, run: PlaybookRun, step: StepRun | None, by: User | str) -> StepRun:
    if run.state == State.UNDOING or step is None:
        raise ValidationError(f"{run} is {run.get_state_display()}: this cannot be done with it now.", code="state")
    if not run.incident.is_open:
        raise ValidationError(f"{run.incident.ref} is {run.incident.get_status_display()}: take it back, or cancel it.")
    if run.state == State.STOPPED and run.step_runs.filter(state=Step.COMPENSATED).exists():
        raise ValidationError("Some of it was taken back already. Take back the rest, then start it anew.")
    if not FITS[verb](run, step):
        raise ValidationError(f"{step} is {step.get_state_display()}: this cannot be done with it now.", code="step")
    if verb == "approve" or (verb == "skip" and needs_another(run.step)):
        _may_approve(run, by)
    elif verb == "decline" and step.state == Step.WAITING_APPROVAL:
        _is_allowed(by)
    _has_role(run, by)
    return step


def _check_run(verb: str, run: PlaybookRun, step: StepRun | None, by: User | str) -> None:
    """Not in the middle of a call, whose outcome would be lost."""
    if step and step.state == Step.RUNNING and run.lease_until and run.lease_until > transaction_time():
        raise ValidationError(f"{step} is just being done. Try again in a moment.", code="step")
    if verb == "undo" and any(needs_another(each) for each in run.steps):
        _may_approve(run, by)


def _locked(run: PlaybookRun) -> tuple[PlaybookRun, StepRun | None]:
    """With the step that it stands at."""
    run = PlaybookRun.objects.select_for_update(of=("self",)).select_related("incident", "playbook").get(pk=run.pk)
    if not run.is_open:
        raise ValidationError(f"{run} is {run.get_state_display()} already, by {run.ended_by}.", code="state")
    return run, current(run) if run.position < len(run.steps) else None


def _asked(verb: str, run: PlaybookRun, step: str, by: User | str) -> tuple[PlaybookRun, StepRun]:
    """The step that it stands at. `step`: which one the page showed; empty: whichever it is."""
    run, found = _locked(run)
    if step and found and step != found.key:
        raise ValidationError(f"It stands at another step by now: {found}. Read the page again.", code="step")
    return run, _check_step(verb, run, found, by)


def _at_rest(verb: str, run: PlaybookRun, by: User | str) -> PlaybookRun:
    run, found = _locked(run)
    _check_run(verb, run, found, by)
    return run


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
    is_a_part = role in IncidentRole.Role.values
    remedy = "take that part first, or ask whoever has it" if is_a_part else "ask one of them"
    raise ValidationError(f"This step is for {whom(role)}: {remedy}.", code="role")


def _may_approve(run: PlaybookRun, by: User | str) -> None:
    _is_allowed(by)
    if actor_of(by) == run.started_by:
        raise ValidationError("You started it: this takes somebody else.", code="four_eyes")


def _is_allowed(by: User | str) -> None:
    if not isinstance(by, User) or by.is_service or not by.has_perm(APPROVES):
        raise ValidationError("This takes a person who may approve steps of playbooks.", code="approval")


def _nudged(run: PlaybookRun) -> PlaybookRun:
    _nudge()
    return run


def _nudge() -> None:
    transaction.on_commit(lambda: nudge("incidents.tasks.run_playbooks"), robust=True)
