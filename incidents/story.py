"""What incidents know about a person: which of their decisions belongs to which, and why they were made."""

from collections.abc import Iterable
from uuid import UUID

from django.urls import reverse

from consent.models import Decision
from consent.story import Entry
from incidents.models import CauseAssessment, DecisionLink

NEWEST = 500


def looked_again(subject_ids: list[UUID]) -> Iterable[Entry]:
    """What was found about the cause of their newest decisions, each time that it was found otherwise."""
    newest = Decision.objects.filter(subject__in=subject_ids).order_by("-pk").values_list("pk", flat=True)[:NEWEST]
    for found in CauseAssessment.objects.filter(decision_id__in=list(newest)).order_by("pk"):
        reasons = ", ".join(found.reasons)
        yield Entry(
            at=found.assessed_at,
            kind="cause",
            text=f"Cause looked at again: {found.get_cause_display()}, {found.confidence} % sure ({reasons})",
            by="system:incidents",
            decision=found.decision_id,
            url=reverse("admin:consent_decision_change", args=[found.decision_id]),
        )


def tied(subject_ids: list[UUID]) -> Iterable[Entry]:
    """One line per decision and incident, at the moment it was tied.

    Whoever reads a person's story may not see every incident: a restricted one is named by its number alone.
    """
    for link in DecisionLink.objects.filter(subject_id__in=subject_ids).select_related("incident"):
        yield Entry(
            at=link.linked_at,
            kind="incident",
            text=f"tied to {link.incident.public_name}",
            by="system:incidents",
            decision=link.decision_id,
            url=reverse("admin:incidents_incident_change", args=[link.incident_id]),
        )
