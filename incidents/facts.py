"""What is known about an incident beside its status: words, severity, type, times, who may see it."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from config.models import User
from incidents import clocks
from incidents.changing import locked, note_moments, save_and_tell, why
from incidents.models import Incident, IncidentMoment
from incidents.scope import past
from incidents.timeline import Kind, Source
from incidents.vocabulary import dpv_types_of

DESCRIBED = (
    "title", "summary", "impact", "resolution", "severity", "priority", "type", "dpv_types", "is_near_miss",
    "near_miss_prevented_by",
)  # fmt: skip
LONG = ("summary", "impact", "resolution")  # told as changed, not word by word
CORRECTABLE = ("detected_at", "acknowledged_at", "contained_at", "recovered_at")


@transaction.atomic
def describe(incident: Incident, *, reason: str, by: User | str, source: str = Source.UI, **facts: Any) -> Incident:
    """Change any of DESCRIBED. A new type brings DPV's words for it, unless those are given too.

    Raises ValidationError by field; without a change it does nothing.
    """
    if unknown := set(facts) - set(DESCRIBED):
        raise ValidationError(f"Not to be described: {', '.join(sorted(unknown))}.")
    incident, reason = locked(incident), why(reason)
    if facts.get("type") and facts["type"] != incident.type and "dpv_types" not in facts:
        facts["dpv_types"] = dpv_types_of(facts["type"])
    changed = []
    for field, new in facts.items():
        new = new.replace("\r\n", "\n").strip() if isinstance(new, str) else new
        if (old := getattr(incident, field)) != new:
            setattr(incident, field, new)
            changed.append(_told(field, old, new))
            if field == "severity" and incident.is_open:
                incident.next_update_due = clocks.next_update(incident)
    if changed:
        text = f"{'; '.join(changed)}. {reason}"
        save_and_tell(incident, Kind.FACTS, text, reason=reason, by=by, source=source)
    return incident


@transaction.atomic
def set_moment(
    incident: Incident,
    kind: str,
    moment: datetime,
    *,
    is_estimate: bool = False,
    reason: str,
    by: User | str,
    source: str = Source.UI,
) -> Incident:
    """Put a time right, or mark it as an estimate: one of CORRECTABLE. The order of times is kept.

    Raises ValidationError by field, also for a time that has not been reached yet.
    """
    if kind not in CORRECTABLE:
        raise ValidationError({"kind": f"It can be set for: {', '.join(CORRECTABLE)}."})
    incident, reason = locked(incident), why(reason)
    old: datetime | None = getattr(incident, kind)
    if old is None and kind != IncidentMoment.Kind.DETECTED:
        raise ValidationError({"kind": f"It has not come to that: {incident.ref} is {incident.get_status_display()}."})
    setattr(incident, kind, past(moment, "moment"))
    note_moments(incident, [kind], by=by, estimated=[kind] if is_estimate else [])
    label = IncidentMoment.Kind(kind).label
    estimate = " (an estimate)" if is_estimate else ""
    text = f"{label.capitalize()} {moment:%Y-%m-%d %H:%M:%S %Z}{estimate}. {reason}"
    save_and_tell(
        incident, Kind.MOMENT, text, reason=reason, by=by, source=source,
        old=old.isoformat() if old else "", new=moment.isoformat(),
    )  # fmt: skip
    return incident


@transaction.atomic
def restrict(
    incident: Incident, *, is_restricted: bool, reason: str, by: User | str, source: str = Source.UI
) -> Incident:
    """Show it to role holders and officers only, or to everybody again."""
    incident, reason = locked(incident), why(reason)
    wanted = Incident.Visibility.RESTRICTED if is_restricted else Incident.Visibility.OPEN
    if incident.visibility == wanted:
        raise ValidationError(f"{incident.ref} is {wanted.label} already.", code="visibility")
    old, incident.visibility = incident.visibility, wanted
    seen = "those who have a part in it, and officers" if is_restricted else "all who may see incidents"
    text = f"Seen by {seen}. {reason}"
    save_and_tell(incident, Kind.FACTS, text, reason=reason, by=by, source=source, old=old, new=wanted)
    return incident


@transaction.atomic
def hold_for_law(
    incident: Incident, *, is_held: bool, attorney_review: str, reason: str, by: User | str, source: str = Source.UI
) -> Incident:
    """Legal hold on or off, and where counsel's review of the facts stands.

    Raises ValidationError for a hold on what was merged: what it holds is the other one's by now.
    """
    incident, reason = locked(incident), why(reason)
    if is_held and not incident.legal_hold and incident.duplicate_of:
        goes_on = incident.survivor.ref
        raise ValidationError(f"{incident.ref} went on as {goes_on}: put {goes_on} under legal hold.", code="hold")
    if (incident.legal_hold, incident.attorney_review) == (is_held, attorney_review):
        raise ValidationError(f"{incident.ref} stands like that already.", code="hold")
    incident.legal_hold, incident.attorney_review = is_held, attorney_review
    text = (
        f"{'Under legal hold' if is_held else 'Not under legal hold'}; "
        f"counsel's review {Incident.AttorneyReview(attorney_review).label}. {reason}"
    )
    save_and_tell(incident, Kind.FACTS, text, reason=reason, by=by, source=source)
    return incident


def moments_of(incident: Incident) -> list[IncidentMoment]:
    """Each time that was set, newest first: the first of a kind counts."""
    return list(incident.moments.all()[:200])


def _told(field: str, old: Any, new: Any) -> str:
    column = Incident._meta.get_field(field)
    name = str(column.verbose_name) if isinstance(column, models.Field) else field
    if field in LONG:
        return f"{name} rewritten"
    return f"{name} {_word(old)} → {_word(new)}"


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return {True: "yes", False: "no", "": "none"}.get(value, str(value))
