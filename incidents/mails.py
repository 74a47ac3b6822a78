"""The messages of an incident: those about it, and the confirmations of the decisions that are tied to it."""

from typing import Any

from django.db.models import Q, QuerySet

from config.authentication import Caller
from incidents.models import DecisionLink, Incident
from incidents.models.incident import IncidentQuerySet

NEWEST = 20


def visible(viewer: Any) -> IncidentQuerySet:
    """Those that a person at a desk may see, or that a service's key may read."""
    if isinstance(viewer, Caller):
        return Incident.objects.readable_with(viewer.scopes)
    return Incident.objects.visible_to(viewer)


def newest(viewer: Any) -> list[tuple[str, str]]:
    """(reference, title) of the latest incidents that the viewer may see, for a filter."""
    found = visible(viewer).order_by("-pk")[:NEWEST]
    return [(incident.ref, str(incident)[:60]) for incident in found]


def messages_of(ref: str, viewer: Any) -> Q:
    """None, of an incident that the viewer may not see."""
    seen = visible(viewer).filter(ref=ref).values("pk")
    tied = DecisionLink.objects.filter(incident__in=seen).values("decision_id")
    return Q(decision_id__in=tied) | Q(incident_id__in=seen)


def visible_ids(viewer: Any) -> QuerySet[Incident, int]:
    return visible(viewer).values_list("pk", flat=True)
