"""The people of an incident, for notices: everybody a decision of whom is tied to it."""

from collections.abc import Iterable
from uuid import UUID

from django.core.exceptions import ValidationError

from incidents.models import DecisionLink, Incident
from messaging.models import Notice

NEWEST = 100


def tied_people(notice: Notice) -> Iterable[UUID]:
    """What messaging asks when it counts a notice of kind "incident". Raises ValidationError for a drill or none."""
    about = Incident.objects.filter(pk=notice.incident_id).first() if notice.incident_id else None
    if about is None:
        raise ValidationError("There is no such incident.")
    if about.mode == Incident.Mode.DRILL:  # real decisions are tied to it too, and their people know of no drill
        raise ValidationError(f"{about.ref} is a drill: nobody is written to because of it. Choose a real incident.")
    ties = DecisionLink.objects.filter(incident=notice.incident_id)
    return ties.order_by().values_list("subject_id", flat=True).distinct()


def newest() -> list[tuple[int, str]]:
    """What a form may pick from. Not everybody who writes a notice may see a restricted incident's title."""
    real = Incident.objects.exclude(mode=Incident.Mode.DRILL).order_by("-pk")[:NEWEST]
    return [(incident.pk, incident.public_name) for incident in real]
