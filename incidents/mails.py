"""The messages of an incident: those about it, and the confirmations of the decisions that are tied to it."""

from django.db.models import Q

from incidents.models import DecisionLink, Incident

NEWEST = 20


def newest() -> list[tuple[str, str]]:
    """(reference, title) of the latest incidents, for a filter."""
    found = Incident.objects.order_by("-pk").values_list("ref", "title")[:NEWEST]
    return [(ref, f"{ref} {title}"[:60]) for ref, title in found]


def messages_of(ref: str) -> Q:
    tied = DecisionLink.objects.filter(incident__ref=ref).values("decision_id")
    return Q(decision_id__in=tied) | Q(incident_id__in=Incident.objects.filter(ref=ref).values("pk"))
