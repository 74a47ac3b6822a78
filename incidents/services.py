"""What may be done with an incident: declare, note, move its window or scope; the rest has modules of its own.

`lifecycle` takes it from triage to its end, `roles` says who does what, `clocks` counts down, `facts` describes,
`follow_ups`, `review` and `relations` are what they are called, `affected` counts and seals whom it touched. What other
apps and programs need is named here too.
"""

from collections.abc import Sequence
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import connection, transaction

from config.models import User
from consent.services import actor_of
from incidents import clocks, joining, timeline
from incidents.changing import locked, look_back, note_moments
from incidents.lifecycle import close, contain
from incidents.models import Incident, TimelineEntry
from incidents.roles import assign_commander
from incidents.scope import check_scope, check_window, past, said, told_scope, told_window
from incidents.timeline import Kind, Source
from incidents.vocabulary import dpv_types_of

__all__ = [
    "add_note", "assign_commander", "change_scope", "close", "contain", "correct_note", "declare",
    "open_or_join", "pin_line", "set_window",
]  # fmt: skip

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
    detected_at: datetime | None = None,
    priority: str = Incident.Priority.P3,
    type: str = "",
    estimated: Sequence[str] = (),
    dedup_key: str = "",
) -> Incident:
    """Open an incident. Its start may lie in the past: what was decided since then is tied to it afterwards.

    `estimated` names the times that are a guess: occurred_from, occurred_to, detected_at. A near-duplicate is allowed,
    two people may see one fire; but a `dedup_key` is that of one open incident: see `open_or_join`. Raises
    ValidationError by field.
    """
    check_scope(purposes, exit_paths)
    check_window(occurred_from, occurred_to)
    if detected_at:
        past(detected_at, "detected_at")
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
        detected_at=detected_at,
        priority=priority,
        type=type,
        dpv_types=dpv_types_of(type) if type else [],
        dedup_key=dedup_key,
        is_open_key=True if dedup_key else None,
        declared_by=actor_of(by),
    )
    # A storm of alerts opens many at once, and asking the constraints would be most of it; the database asks as well.
    incident.full_clean(exclude=["ref"], validate_constraints=source != Source.ALERT)
    if status != Status.TRIAGE:
        incident.next_update_due = clocks.next_update(incident)
    incident.ref = _next_ref()
    incident.save_as(actor_of(by), "Declared")
    text = f"Declared as {incident.get_severity_display()}. It is about {told_scope(incident)}."
    timeline.append(incident, Kind.DECLARED, text, source=source, actor=actor_of(by), new=status)
    known = [kind for kind in ("occurred_from", "occurred_to", "detected_at", "declared_at") if getattr(incident, kind)]
    note_moments(incident, known, by=by, estimated=estimated)
    look_back(incident, "declared")
    return incident


@transaction.atomic
def open_or_join(
    key: str,
    title: str,
    *,
    occurred_from: datetime,
    detected_at: datetime,
    by: User | str,
    severity: str = Incident.Severity.SEV3,
    purposes: Sequence[str] = (),
    exit_paths: Sequence[str] = (),
    mode: str = Incident.Mode.REAL,
    source: str = Source.DETECTOR,
    text: str = "",
    type: str = "",
) -> tuple[Incident, bool]:
    """The one open incident of a cause: opened in triage, or told once more and grown by what is new. Returns it and
    whether it is new.

    Two who call at once get the same one. What was merged is looked for where it went on; an incident that has ended
    is not opened again, the same cause later makes a new one. Raises ValidationError by field.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"incidents.key:{mode}:{key}"])
    told = text.strip() or title
    if found := _open_of(key, mode):
        incident = locked(found)
        grown = joining.take_in(
            incident, by=by, severity=severity, occurred_from=min(occurred_from, detected_at),
            purposes=purposes, exit_paths=exit_paths,
        )  # fmt: skip
        news = grown or joining.reported(incident, severity, purposes, exit_paths)
        text = joining.with_news(told, news)
        timeline.append(incident, Kind.DETECTOR, text, source=source, actor=actor_of(by), occurred_at=detected_at)
        return incident, False
    incident = declare(
        title,
        occurred_from=min(occurred_from, detected_at),
        detected_at=detected_at,
        by=by,
        severity=severity,
        purposes=purposes,
        exit_paths=exit_paths,
        mode=mode,
        status=Status.TRIAGE,
        source=source,
        type=type,
        dedup_key=_key_of(key, mode),
    )
    timeline.append(incident, Kind.DETECTOR, told, source=source, actor=actor_of(by), occurred_at=detected_at)
    return incident, True


def _open_of(key: str, mode: str) -> Incident | None:
    newest = (
        Incident.objects.filter(dedup_key=_key_of(key, mode)).order_by("-pk").select_related("duplicate_of").first()
    )
    return newest.survivor if newest and newest.survivor.is_open else None


def _key_of(key: str, mode: str) -> str:
    """A drill's cause is not the real one."""
    return key if mode == Incident.Mode.REAL else f"{mode}:{key}"


def add_note(
    incident: Incident,
    text: str,
    *,
    by: User | str,
    occurred_at: datetime | None = None,
    source: str = Source.UI,
    evidence: str = "",
    evidence_digest: bytes | None = None,
    skew_ms: int | None = None,
) -> TimelineEntry:
    """A line by a person or service, also after the incident was closed. `evidence` says where what shows it is kept,
    `evidence_digest` is its SHA-256, `skew_ms` how far the sender's clock is ahead of ours. Raises ValidationError."""
    text = said(text, "text", "Write what happened.")
    return timeline.append(
        incident, Kind.NOTE, text, source=source, actor=actor_of(by), occurred_at=occurred_at,
        evidence=evidence, evidence_digest=evidence_digest, skew_ms=skew_ms,
    )  # fmt: skip


def correct_note(
    entry: TimelineEntry, text: str, *, by: User | str, occurred_at: datetime | None = None, source: str = Source.UI
) -> TimelineEntry:
    """A line that takes the place of a note; the note stays to be seen. Raises ValidationError."""
    if entry.kind != Kind.NOTE:
        raise ValidationError("Only notes are corrected. Add a note that says what is right.")
    text = said(text, "text", "Write what is right.")
    return timeline.correct(entry, text, source=source, actor=actor_of(by), occurred_at=occurred_at)


@transaction.atomic
def set_window(
    incident: Incident,
    occurred_from: datetime,
    occurred_to: datetime | None,
    *,
    reason: str,
    by: User | str,
    estimated: Sequence[str] = (),
    source: str = Source.UI,
) -> Incident:
    """Move its start or end. Decisions that come to lie inside are tied; those left outside stay tied.

    A closed incident keeps an end. Raises ValidationError by field.
    """
    incident = locked(incident)
    check_window(occurred_from, occurred_to)
    if not incident.is_open and occurred_to is None:
        raise ValidationError({"occurred_to": "A closed incident has ended: say when."})
    if incident.contained_at and occurred_from > incident.contained_at:
        raise ValidationError({"occurred_from": "It cannot begin after it was contained."})
    before = {"occurred_from": incident.occurred_from, "occurred_to": incident.occurred_to}
    old, (incident.occurred_from, incident.occurred_to) = told_window(incident), (occurred_from, occurred_to)
    note_moments(
        incident, [kind for kind, was in before.items() if getattr(incident, kind) != was], by=by, estimated=estimated
    )
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
    incident = locked(incident)
    check_scope(purposes, exit_paths)
    old = told_scope(incident)
    incident.purposes, incident.exit_paths = sorted(set(purposes)), sorted(set(exit_paths))
    _rewrite(incident, "Scope", old, told_scope(incident), reason, by, source)
    return incident


def pin_line(entry: TimelineEntry, *, by: User | str, source: str = Source.UI) -> TimelineEntry:
    """Keep a line in sight above the story, or let it go. Raises ValidationError for a line about a pin."""
    if entry.kind == Kind.PIN:
        raise ValidationError("Only what tells of something is kept in sight.", code="pin")
    return timeline.pin(entry, source=source, actor=actor_of(by))


def _rewrite(incident: Incident, what: str, old: str, new: str, reason: str, by: User | str, source: str) -> None:
    """Save a new window or scope, tell it, and look again at what was read."""
    reason = said(reason, "reason", "Say why.")
    incident.full_clean()
    incident.save_as(actor_of(by), reason)
    text = f"{what} changed from {old} to {new}. {reason}"
    timeline.append(incident, Kind.STATUS, text, source=source, actor=actor_of(by))
    look_back(incident, what.lower())


def _next_ref() -> str:
    """INC-1, INC-2, … without a gap: a missing number would look like a deleted incident. Serial until commit.

    So the newest row has the highest number, and finding it costs the same however many there are.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('incidents.ref'))")
        cursor.execute(
            "SELECT substr(ref, 5)::int + 1 FROM incidents_incident WHERE ref ~ '^INC-[0-9]{1,9}$' "
            "ORDER BY id DESC LIMIT 1"
        )
        [number] = cursor.fetchone() or (1,)
        return f"INC-{number}"
