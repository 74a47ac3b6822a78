"""How an incident goes from first signal to its end: which step may follow which, and what each step asks for."""

from collections.abc import Collection, Mapping
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents import affected, clocks, review
from incidents.changing import locked, look_back, note_moments, save_and_tell, still_open, why
from incidents.models import AlertGroup, Incident, SeverityPolicy
from incidents.scope import past
from incidents.timeline import Kind, Source

Status = Incident.Status

# What may become what. Going back to declared is to reopen: what was thought to be contained burns again.
NEXT: Mapping[str, tuple[str, ...]] = {
    Status.TRIAGE: (Status.DECLARED, Status.CONTAINED, Status.CLOSED, Status.DECLINED, Status.MERGED),
    Status.DECLARED: (Status.CONTAINED, Status.CLOSED, Status.DECLINED, Status.MERGED),
    Status.CONTAINED: (Status.RECOVERING, Status.MONITORING, Status.CLOSED, Status.DECLARED, Status.MERGED),
    Status.RECOVERING: (Status.MONITORING, Status.CLOSED, Status.DECLARED, Status.MERGED),
    Status.MONITORING: (Status.CLOSED, Status.DECLARED, Status.MERGED),
    Status.CLOSED: (Status.DECLARED,),
    Status.DECLINED: (Status.DECLARED,),
    Status.MERGED: (),
}
ORDER = Status.values


def may_become(incident: Incident, status: str) -> bool:
    return status in NEXT[incident.status]


@transaction.atomic
def acknowledge(
    incident: Incident,
    *,
    by: User | str,
    at: datetime | None = None,
    is_estimate: bool = False,
    source: str = Source.UI,
) -> Incident:
    """Somebody has seen it. Raises ValidationError when somebody had before."""
    incident = still_open(incident)
    if incident.acknowledged_at:
        raise ValidationError(f"{incident.ref} was acknowledged by {incident.acknowledged_by} already.", code="status")
    _acknowledge(incident, by, past(at or timezone.now(), "at"), is_estimate)
    save_and_tell(
        incident, Kind.STATUS, "Acknowledged.", reason="Acknowledged", by=by, source=source,
        occurred_at=incident.acknowledged_at,
    )  # fmt: skip
    return incident


@transaction.atomic
def accept(incident: Incident, *, reason: str, by: User | str, source: str = Source.UI) -> Incident:
    """Out of triage: it is an incident, and people wait for news about it from now on."""
    incident = _on_the_way(incident, Status.DECLARED, frm=(Status.TRIAGE,))
    if not incident.acknowledged_at:
        _acknowledge(incident, by, timezone.now())
    incident.next_update_due = clocks.next_update(incident)
    _move(incident, Status.DECLARED, reason, by, source)
    return incident


@transaction.atomic
def decline(incident: Incident, *, reason: str, by: User | str, source: str = Source.UI) -> Incident:
    """It is no incident. What was tied stays tied as a record; nothing new is.

    Raises ValidationError while a legal clock is running.
    """
    incident = _on_the_way(incident, Status.DECLINED)
    _without_clocks(incident)
    _let_go(incident)
    _move(incident, Status.DECLINED, reason, by, source)
    return incident


@transaction.atomic
def contain(
    incident: Incident,
    *,
    reason: str,
    by: User | str,
    at: datetime | None = None,
    is_estimate: bool = False,
    source: str = Source.UI,
) -> Incident:
    """It does no more harm; `at` says since when. Raises ValidationError when it is contained or over already."""
    incident = _on_the_way(incident, Status.CONTAINED)
    moment = past(at or timezone.now(), "at")
    if moment < incident.occurred_from:
        raise ValidationError({"at": "It cannot be contained before it began."})
    incident.contained_at, incident.contained_by = moment, actor_of(by)
    _note(incident, "contained_at", by, is_estimate)
    _move(incident, Status.CONTAINED, reason, by, source, occurred_at=moment)
    return incident


@transaction.atomic
def begin_recovery(incident: Incident, *, reason: str, by: User | str, source: str = Source.UI) -> Incident:
    """What it broke is being mended."""
    incident = _on_the_way(incident, Status.RECOVERING)
    _move(incident, Status.RECOVERING, reason, by, source)
    return incident


@transaction.atomic
def begin_monitoring(
    incident: Incident,
    *,
    reason: str,
    by: User | str,
    at: datetime | None = None,
    is_estimate: bool = False,
    source: str = Source.UI,
) -> Incident:
    """All is mended since `at`, and somebody watches that it stays so."""
    incident = _on_the_way(incident, Status.MONITORING)
    moment = past(at or timezone.now(), "at")
    if incident.contained_at and moment < incident.contained_at:
        raise ValidationError({"at": "It cannot be mended before it was contained."})
    incident.recovered_at, incident.recovered_by = moment, actor_of(by)
    _note(incident, "recovered_at", by, is_estimate)
    _move(incident, Status.MONITORING, reason, by, source, occurred_at=moment)
    return incident


@transaction.atomic
def close(
    incident: Incident,
    *,
    reason: str,
    by: User | str,
    needs_review: bool | None = None,
    source: str = Source.UI,
) -> Incident:
    """It is over. Its window ends now, unless an end was given; decisions received before still find it.

    Whom it touched is sealed. `needs_review`: None leaves it to the severity's policy; False waives it, and the reason
    says why. Alerts that go on firing open a new incident. Raises ValidationError without a reason, and while a legal
    clock is running.
    """
    incident = _on_the_way(incident, Status.CLOSED)
    _without_clocks(incident)
    reason = why(reason)
    incident.closed_at, incident.closed_by = timezone.now(), actor_of(by)
    ends = [] if incident.occurred_to else ["occurred_to"]
    incident.occurred_to = incident.occurred_to or incident.closed_at
    _let_go(incident)
    note_moments(incident, [*ends, "closed_at"], by=by)
    policy = SeverityPolicy.objects.get(severity=incident.severity)
    review.owe(incident, policy, needs_review, reason=reason, by=by)
    sealed = affected.seal(incident, reason="Closed", by=by)
    _move(
        incident, Status.CLOSED, reason, by, source,
        evidence=f"{sealed.decisions} tied decisions, ids sealed as of {sealed.as_of.isoformat()}",
        evidence_digest=bytes(sealed.decisions_digest),
    )  # fmt: skip
    return incident


@transaction.atomic
def reopen(incident: Incident, *, reason: str, by: User | str, source: str = Source.UI) -> Incident:
    """It was not over, or it was one after all: declared again, its window open, its later times taken back.

    Raises ValidationError while another incident is open for the same cause.
    """
    incident = _on_the_way(
        incident, Status.DECLARED, frm=[status for status in Status if status not in (Status.TRIAGE, Status.MERGED)]
    )
    taken_back = [
        kind for kind in ("occurred_to", "contained_at", "recovered_at", "closed_at") if getattr(incident, kind)
    ]
    incident.occurred_to = incident.contained_at = incident.recovered_at = incident.closed_at = None
    incident.contained_by = incident.recovered_by = incident.closed_by = ""
    incident.is_open_key = True if incident.dedup_key else None
    incident.next_update_due = clocks.next_update(incident)
    note_moments(incident, taken_back, by=by)
    _move(incident, Status.DECLARED, reason, by, source)
    look_back(incident, "reopened")
    return incident


@transaction.atomic
def merge_into(
    incident: Incident, survivor: Incident, *, reason: str, by: User | str, source: str = Source.UI
) -> Incident:
    """It is the same fire as `survivor`, which takes over its alerts, its window and scope, its ties and a legal hold.

    The merged one keeps its story, and no new decision finds it. Raises ValidationError: also where it is restricted
    and the survivor is not, whose readers would learn of its alerts, and while a legal clock is running.
    """
    first, second = sorted((incident.pk, survivor.pk))
    if first == second:
        raise ValidationError("An incident cannot be merged into itself.", code="itself")
    locked(Incident(pk=first))  # always the older one first: two merges at once wait in turn
    locked(Incident(pk=second))
    incident, survivor = _on_the_way(incident, Status.MERGED), locked(survivor)
    _check_merge(incident, survivor)
    incident.duplicate_of = survivor
    AlertGroup.objects.filter(incident=incident).update(incident=survivor)  # open ones stay so: they belong to it now
    _let_go(incident)
    _move(incident, Status.MERGED, reason, by, source, new=survivor.ref)
    _widen(survivor, incident)
    text = f"{incident.public_name} is the same: merged into this one. {reason.strip()}"
    if incident.legal_hold and not survivor.legal_hold:
        survivor.legal_hold = True
        text += " Under legal hold from now on, as that one was."
    save_and_tell(
        survivor, Kind.RELATION, text, reason=f"{incident.ref} merged into it", by=by, source=source, old=incident.ref
    )
    look_back(survivor, f"{incident.ref} merged", carries=incident)
    look_back(survivor, f"widened by {incident.ref}")
    return incident


def _check_merge(incident: Incident, survivor: Incident) -> None:
    """Raises ValidationError where the survivor would lose what the other one holds, or tell it to the wrong people."""
    if survivor.status in Incident.DISOWNED:
        goes_on = survivor.duplicate_of.ref if survivor.duplicate_of else "another one"
        raise ValidationError(f"{survivor.ref} is {survivor.status}: merge into {goes_on}.", code="status")
    if survivor.mode != incident.mode:
        raise ValidationError("A drill and a real incident are kept apart: they cannot be merged.", code="mode")
    if incident.is_restricted and not survivor.is_restricted:
        told = f"{incident.ref} is restricted and {survivor.ref} is not: restrict {survivor.ref} first."
        raise ValidationError(told, code="visibility")
    _without_clocks(incident, f" Start them for {survivor.ref} where they go on.")


def _without_clocks(incident: Incident, advice: str = "") -> None:
    """Raises ValidationError while one is running: nobody looks at the clocks of an incident that has ended."""
    if running := list(incident.clocks.running().values_list("rule_id", flat=True)):
        raise ValidationError(f"Answer its legal clocks first: {', '.join(running)}.{advice}", code="clocks")


def _widen(survivor: Incident, merged: Incident) -> None:
    """From the earlier beginning to the later end, about all that either was about; empty means all.

    We became aware of it with the first of both: legal clocks of the survivor count from then.
    """
    aware = merged.detected_at
    if aware and aware <= (survivor.acknowledged_at or aware):
        survivor.detected_at = min(survivor.detected_at or aware, aware)
    survivor.occurred_from = min(survivor.occurred_from, merged.occurred_from)
    if survivor.occurred_to and survivor.is_open:
        survivor.occurred_to = max(survivor.occurred_to, merged.occurred_to) if merged.occurred_to else None
    for field in ("purposes", "exit_paths"):
        ours, theirs = getattr(survivor, field), getattr(merged, field)
        setattr(survivor, field, sorted({*ours, *theirs}) if ours and theirs else [])


def _on_the_way(incident: Incident, status: str, frm: Collection[str] | None = None) -> Incident:
    """Locked, and allowed to become that. Raises ValidationError that says what is possible."""
    incident = locked(incident)
    allowed = frm is None or incident.status in frm
    if not (allowed and may_become(incident, status)):
        is_past = not incident.is_open or ORDER.index(incident.status) >= ORDER.index(status)
        following = [Status(name).label for name in NEXT[incident.status]]
        raise ValidationError(
            f"{incident.ref} is {incident.get_status_display()} already."
            if is_past
            else f"{incident.ref} is {incident.get_status_display()}: next it may be {', '.join(following)}.",
            code="status",
        )
    return incident


def _let_go(incident: Incident) -> None:
    """What an ended incident no longer holds: its cause, its open alert groups, the clock of its updates."""
    incident.is_open_key = incident.next_update_due = None
    AlertGroup.objects.filter(incident=incident, is_open=True).update(is_open=None)


def _acknowledge(incident: Incident, by: User | str, moment: datetime, is_estimate: bool = False) -> None:
    if moment < (incident.detected_at or incident.occurred_from):
        raise ValidationError({"at": "It cannot be acknowledged before it was noticed."})
    incident.acknowledged_at, incident.acknowledged_by = moment, actor_of(by)
    _note(incident, "acknowledged_at", by, is_estimate)


def _note(incident: Incident, kind: str, by: User | str, is_estimate: bool) -> None:
    note_moments(incident, [kind], by=by, estimated=[kind] if is_estimate else [])


def _move(
    incident: Incident, status: str, reason: str, by: User | str, source: str, *, new: str = "", **facts: object
) -> None:
    reason = why(reason)
    old, incident.status = incident.status, status
    text = f"{incident.get_status_display().capitalize()}: {reason}"
    save_and_tell(incident, Kind.STATUS, text, reason=reason, by=by, source=source, old=old, new=new or status, **facts)
    is_judged = status == Status.DECLINED or (old == Status.TRIAGE and status != Status.MERGED)
    if is_judged and (incident.purposes or incident.exit_paths):
        look_back(incident, status)  # whether it may be behind a choice is known by now
