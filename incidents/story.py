"""What incidents know about a person: which of their decisions belongs to which."""

from collections.abc import Iterable
from uuid import UUID

from django.urls import reverse

from consent.story import Entry
from incidents.models import DecisionLink, Incident


def tied(subject_ids: list[UUID]) -> Iterable[Entry]:
    """One line per decision and incident, at the moment it was tied.

    Whoever reads a person's story may not see every incident: a restricted one is named by its number alone.
    """
    for link in DecisionLink.objects.filter(subject_id__in=subject_ids).select_related("incident"):
        yield Entry(
            at=link.linked_at,
            kind="incident",
            text=f"tied to {name_of(link.incident)}",
            by="system:incidents",
            decision=link.decision_id,
            url=reverse("admin:incidents_incident_change", args=[link.incident_id]),
        )


def name_of(incident: Incident) -> str:
    return f"{incident.ref} (restricted)" if incident.is_restricted else str(incident)
