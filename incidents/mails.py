"""The messages of an incident: those about it, and the confirmations of the decisions that are tied to it."""

from typing import Any

from django.db.models import Q, QuerySet

from incidents.models import DecisionLink, Incident
from incidents.seeing import seen_by

NEWEST = 20


def newest(viewer: Any) -> list[tuple[str, str]]:
    """(reference, title) of the latest incidents that the viewer may see, for a filter."""
    found = seen_by(viewer).order_by("-pk")[:NEWEST]
    return [(incident.ref, str(incident)[:60]) for incident in found]


def messages_of(ref: str, viewer: Any) -> Q:
    """None, of an incident that the viewer may not see."""
    seen = seen_by(viewer).filter(ref=ref).values("pk")
    tied = DecisionLink.objects.filter(incident__in=seen).values("decision_id")
    return Q(decision_id__in=tied) | Q(incident_id__in=seen)


def visible_ids(viewer: Any) -> QuerySet[Incident, int]:
    return seen_by(viewer).values_list("pk", flat=True)
