"""What every change of an incident has in common: its row is locked, it is saved with who and why, and it is told."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from config.nudge import nudge
from consent.services import actor_of
from incidents import linking, timeline
from incidents.models import Incident, IncidentMoment
from incidents.scope import said


def locked(incident: Incident) -> Incident:
    """The incident as it is now; nobody else changes it, or adds to its story, until the transaction ends."""
    return Incident.objects.select_for_update(no_key=True, of=("self",)).select_related("commander").get(pk=incident.pk)


def still_open(incident: Incident) -> Incident:
    """Locked, and not over. Raises ValidationError."""
    incident = locked(incident)
    if not incident.is_open:
        raise ValidationError(f"{incident.ref} is {incident.get_status_display()} already.", code="status")
    return incident


def save_and_tell(
    incident: Incident, kind: str, text: str, *, reason: str, by: User | str, source: str, **facts: Any
) -> None:
    """Raises ValidationError where a rule of the record is broken."""
    incident.full_clean()
    incident.save_as(actor_of(by), reason)
    timeline.append(incident, kind, text, source=source, actor=actor_of(by), **facts)


def why(reason: str) -> str:
    return said(reason, "reason", "Say why.")


def note_moments(incident: Incident, kinds: Iterable[str], *, by: User | str, estimated: Sequence[str] = ()) -> None:
    """Keep who set these times, and which of them are estimates."""
    now = timezone.now()
    IncidentMoment.objects.bulk_create(
        IncidentMoment(
            incident=incident,
            kind=kind,
            moment=getattr(incident, kind),
            is_estimate=kind in estimated,
            recorded_at=now,
            recorded_by=actor_of(by),
        )
        for kind in kinds
    )


def look_back(incident: Incident, reason: str, *, carries: Incident | None = None) -> None:
    """Decisions that were read before are owed another look."""
    linking.owe_backfill(incident, reason, carries=carries)
    transaction.on_commit(lambda: nudge("incidents.tasks.read_log"), robust=True)
