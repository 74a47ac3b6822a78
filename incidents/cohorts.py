"""The people of an incident, for notices: everybody a decision of whom is tied to it."""

from collections.abc import Iterable
from uuid import UUID

from django.core.exceptions import ValidationError

from incidents.models import DecisionLink, Incident
from messaging.models import Notice

NEWEST = 100


def tied_people(notice: Notice) -> Iterable[UUID]:
    """What messaging asks when it counts a notice of kind "incident". Raises ValidationError for an unknown one."""
    if notice.incident_id is None or not Incident.objects.filter(pk=notice.incident_id).exists():
        raise ValidationError("There is no such incident.")
    ties = DecisionLink.objects.filter(incident=notice.incident_id)
    return ties.order_by().values_list("subject_id", flat=True).distinct()


def newest() -> list[tuple[int, str]]:
    """What a form may pick from."""
    return [(incident.pk, str(incident)) for incident in Incident.objects.order_by("-pk")[:NEWEST]]
