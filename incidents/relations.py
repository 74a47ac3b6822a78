"""What an incident has to do with others, and with the change that caused it."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from config.models import User
from consent.services import actor_of
from incidents import timeline
from incidents.changing import locked, save_and_tell, why
from incidents.models import Incident, IncidentRelation
from incidents.timeline import Kind, Source


@transaction.atomic
def relate(
    incident: Incident, other: Incident, *, reason: str, by: User | str, source: str = Source.UI
) -> IncidentRelation:
    """The two belong together, each seen on the other's page. Raises ValidationError."""
    if incident.pk == other.pk:
        raise ValidationError("An incident is not related to itself.", code="itself")
    reason = why(reason)
    first, second = sorted((incident, other), key=lambda each: each.pk)
    first, second = locked(first), locked(second)
    relation = IncidentRelation(first=first, second=second, reason=reason, related_by=actor_of(by))
    relation.full_clean(exclude=["first", "second"])
    relation.validate_constraints()
    relation.save()
    for one, another in ((first, second), (second, first)):
        text = f"Related to {another.public_name}. {reason}"
        timeline.append(one, Kind.RELATION, text, source=source, actor=actor_of(by), new=another.ref)
    return relation


@transaction.atomic
def name_cause(
    incident: Incident, change_set: str, *, reason: str, by: User | str, source: str = Source.UI
) -> Incident:
    """Which change set caused it; empty takes that back."""
    incident, reason = locked(incident), why(reason)
    old, incident.caused_by_change_set = incident.caused_by_change_set, change_set.strip()
    new = incident.caused_by_change_set
    text = f"Caused by change set {new}. {reason}" if new else f"No change set caused it. {reason}"
    save_and_tell(incident, Kind.CHANGE_SET, text, reason=reason, by=by, source=source, old=old, new=new)
    return incident


def related_to(incident: Incident) -> list[tuple[Incident, str]]:
    """The related incidents with the reason of each, newest first."""
    found = IncidentRelation.objects.filter(Q(first=incident) | Q(second=incident)).select_related("first", "second")
    return [(row.second if row.first_id == incident.pk else row.first, row.reason) for row in found.order_by("-pk")]
