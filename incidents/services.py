"""What may be done with an incident: declare, note, contain, close, move its window or scope, give it a commander."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from config.models import User
from config.nudge import nudge
from consent.services import actor_of
from incidents import linking, timeline
from incidents.models import AlertGroup, DecisionLink, Incident, TimelineEntry
from incidents.scope import check_scope, check_window, past, said, told_scope, told_window
from incidents.timeline import Kind, Source

Status = Incident.Status


@transaction.atomic
def declare(
    title: str,
    *,
    occurred_from: datetime,
    by: User | str,
    purposes: Sequence[str] = (),
    exit_paths: Sequence[str] = (),
    severity: str = Incident.Severity.SEV3,
    mode: str = Incident.Mode.REAL,
    summary: str = "",
    occurred_to: datetime | None = None,
    status: str = Status.DECLARED,
    source: str = Source.UI,
) -> Incident:
    """Open an incident. Its start may lie in the past: what was decided since then is tied to it afterwards.

    A near-duplicate is allowed, two people may see one fire. Raises ValidationError by field.
    """
    check_scope(purposes, exit_paths)
    check_window(occurred_from, occurred_to)
    incident = Incident(
        title=title,
        summary=summary.replace("\r\n", "\n").strip(),
        mode=mode,
        status=status,
        severity=severity,
        purposes=sorted(set(purposes)),
        exit_paths=sorted(set(exit_paths)),
        occurred_from=occurred_from,
        occurred_to=occurred_to,
        declared_by=actor_of(by),
    )
    incident.full_clean(exclude=["ref"])
    incident.ref = _next_ref()
    incident.save_as(actor_of(by), "Declared")
    text = f"Declared as {incident.get_severity_display()}. It is about {told_scope(incident)}."
    timeline.append(incident, Kind.DECLARED, text, source=source, actor=actor_of(by), new=status)
    _look_back(incident, "declared")
    return incident


def add_note(
    incident: Incident, text: str, *, by: User | str, occurred_at: datetime | None = None, source: str = Source.UI
) -> TimelineEntry:
    """A line by a person or service, also after the incident was closed. Raises ValidationError."""
    text = said(text, "text", "Write what happened.")
    return timeline.append(incident, Kind.NOTE, text, source=source, actor=actor_of(by), occurred_at=occurred_at)


def correct_note(
    entry: TimelineEntry, text: str, *, by: User | str, occurred_at: datetime | None = None, source: str = Source.UI
) -> TimelineEntry:
    """A line that takes the place of a note; the note stays to be seen. Raises ValidationError."""
    if entry.kind != Kind.NOTE:
        raise ValidationError("Only notes are corrected. Add a note that says what is right.")
    text = said(text, "text", "Write what is right.")
    return timeline.correct(entry, text, source=source, actor=actor_of(by), occurred_at=occurred_at)


@transaction.atomic
def contain(
    incident: Incident, *, reason: str, by: User | str, at: datetime | None = None, source: str = Source.UI
) -> Incident:
    """It does no more harm; `at` says since when. Raises ValidationError when it is contained or over already."""
    incident = _locked(incident)
    if incident.contained_at or not incident.is_open:
        raise ValidationError(f"{incident.ref} is {incident.get_status_display()} already.", code="status")
    moment = past(at or timezone.now(), "at")
    if moment < incident.occurred_from:
        raise ValidationError({"at": "It cannot be contained before it began."})
    incident.contained_at, incident.contained_by = moment, actor_of(by)
    _move(incident, Status.CONTAINED, reason, by, source, occurred_at=moment)
    return incident


@transaction.atomic
def close(incident: Incident, *, reason: str, by: User | str, source: str = Source.UI) -> Incident:
    """It is over. Its window ends now, unless an end was given; decisions received before still find it.

    Alerts that go on firing open a new incident. Raises ValidationError without a reason.
    """
    incident = _locked(incident)
    if not incident.is_open:
        raise ValidationError(f"{incident.ref} is {incident.get_status_display()} already.", code="status")
    incident.closed_at, incident.closed_by = timezone.now(), actor_of(by)
    incident.occurred_to = incident.occurred_to or incident.closed_at
    AlertGroup.objects.filter(incident=incident, is_open=True).update(is_open=None)
    _move(incident, Status.CLOSED, reason, by, source)
    return incident


@transaction.atomic
def set_window(
    incident: Incident,
    occurred_from: datetime,
    occurred_to: datetime | None,
    *,
    reason: str,
    by: User | str,
    source: str = Source.UI,
) -> Incident:
    """Move its start or end. Decisions that come to lie inside are tied; those left outside stay tied.

    A closed incident keeps an end. Raises ValidationError by field.
    """
    incident = _locked(incident)
    check_window(occurred_from, occurred_to)
    if not incident.is_open and occurred_to is None:
        raise ValidationError({"occurred_to": "A closed incident has ended: say when."})
    if incident.contained_at and occurred_from > incident.contained_at:
        raise ValidationError({"occurred_from": "It cannot begin after it was contained."})
    old, (incident.occurred_from, incident.occurred_to) = told_window(incident), (occurred_from, occurred_to)
    _rewrite(incident, "Window", old, told_window(incident), reason, by, source)
    return incident


@transaction.atomic
def change_scope(
    incident: Incident,
    *,
    purposes: Sequence[str],
    exit_paths: Sequence[str],
    reason: str,
    by: User | str,
    source: str = Source.UI,
) -> Incident:
    """Change which purposes and ways out it is about; empty means all. What was tied stays tied."""
    incident = _locked(incident)
    check_scope(purposes, exit_paths)
    old = told_scope(incident)
    incident.purposes, incident.exit_paths = sorted(set(purposes)), sorted(set(exit_paths))
    _rewrite(incident, "Scope", old, told_scope(incident), reason, by, source)
    return incident


@transaction.atomic
def assign_commander(
    incident: Incident, commander: User | None, *, by: User | str, source: str = Source.UI
) -> Incident:
    """Who leads. An incident that an alert opened is no longer in triage once somebody takes it."""
    incident = _locked(incident)
    if not incident.is_open:
        raise ValidationError(
            f"{incident.ref} is {incident.get_status_display()}: it needs no commander.", code="status"
        )
    old, new = str(incident.commander or ""), str(commander or "")
    if old == new:
        return incident
    incident.commander = commander
    if commander and incident.status == Status.TRIAGE:
        incident.status = Status.DECLARED
    incident.save_as(actor_of(by), "Commander assigned")
    text = f"{new} leads." if new else "Nobody leads."
    timeline.append(incident, Kind.STATUS, text, source=source, actor=actor_of(by), old=old, new=new)
    return incident


def incidents_of(decision_ids: Iterable[int]) -> dict[int, list[Incident]]:
    """The incidents that each decision is tied to, oldest first; decisions without one are left out. One query."""
    tied: dict[int, list[Incident]] = {}
    links = DecisionLink.objects.filter(decision_id__in=list(decision_ids)).select_related("incident")
    for link in links.order_by("decision_id", "incident_id"):
        tied.setdefault(link.decision_id, []).append(link.incident)
    return tied


def _locked(incident: Incident) -> Incident:
    return Incident.objects.select_for_update(no_key=True, of=("self",)).select_related("commander").get(pk=incident.pk)


def _move(
    incident: Incident, status: str, reason: str, by: User | str, source: str, occurred_at: datetime | None = None
) -> None:
    reason = said(reason, "reason", "Say why.")
    old, incident.status = incident.status, status
    incident.full_clean()
    incident.save_as(actor_of(by), reason)
    timeline.append(
        incident,
        Kind.STATUS,
        f"{incident.get_status_display().capitalize()}: {reason}",
        source=source,
        actor=actor_of(by),
        occurred_at=occurred_at,
        old=old,
        new=status,
    )


def _rewrite(incident: Incident, what: str, old: str, new: str, reason: str, by: User | str, source: str) -> None:
    """Save a new window or scope, tell it, and look again at what was read."""
    reason = said(reason, "reason", "Say why.")
    incident.full_clean()
    incident.save_as(actor_of(by), reason)
    text = f"{what} changed from {old} to {new}. {reason}"
    timeline.append(incident, Kind.STATUS, text, source=source, actor=actor_of(by))
    _look_back(incident, what.lower())


def _look_back(incident: Incident, reason: str) -> None:
    linking.owe_backfill(incident, reason)
    transaction.on_commit(lambda: nudge("incidents.tasks.read_log"), robust=True)


def _next_ref() -> str:
    """INC-1, INC-2, … without a gap: a missing number would look like a deleted incident. Serial until commit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('incidents.ref'))")
        cursor.execute(
            "SELECT coalesce(max(substr(ref, 5)::int), 0) + 1 FROM incidents_incident WHERE ref ~ '^INC-[0-9]{1,9}$'"
        )
        return f"INC-{cursor.fetchone()[0]}"
