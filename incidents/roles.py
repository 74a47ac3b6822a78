"""Who has which part in an incident: taken, laid down, and one commander at a time."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents import clocks, timeline
from incidents.changing import locked, note_moments, still_open
from incidents.models import Incident, IncidentRole
from incidents.timeline import Kind, Source

Role = IncidentRole.Role


@transaction.atomic
def assume(incident: Incident, person: User, role: str, *, by: User | str, source: str = Source.UI) -> IncidentRole:
    """Give somebody a part. A new commander takes over from the one before. Raises ValidationError."""
    if role == Role.COMMANDER:
        assign_commander(incident, person, by=by, source=source)
        return IncidentRole.objects.get(incident=incident, role=role, renounced_at=None)
    incident = locked(incident)
    _check(person)
    held = _give(incident, person, role, by)
    text = f"{person} is {held.get_role_display().partition(':')[0]}."
    timeline.append(incident, Kind.ROLE, text, source=source, actor=actor_of(by), new=role)
    return held


@transaction.atomic
def renounce(held: IncidentRole, *, by: User | str, source: str = Source.UI) -> IncidentRole:
    """Lay a part down. Raises ValidationError when it was laid down before."""
    incident = locked(held.incident)
    held = IncidentRole.objects.select_related("person").get(pk=held.pk)
    if held.renounced_at:
        raise ValidationError(f"{held.person} laid this part down already.", code="renounced")
    if held.role == Role.COMMANDER and incident.is_open:
        assign_commander(incident, None, by=by, source=source)
        return IncidentRole.objects.select_related("person").get(pk=held.pk)
    _lay_down(held, by)
    text = f"{held.person} is no longer {held.get_role_display().partition(':')[0]}."
    timeline.append(incident, Kind.ROLE, text, source=source, actor=actor_of(by), old=held.role)
    return held


@transaction.atomic
def assign_commander(
    incident: Incident, commander: User | None, *, by: User | str, source: str = Source.UI
) -> Incident:
    """Who leads. An incident that an alert opened is no longer in triage once somebody takes it."""
    incident = still_open(incident)
    old, new = str(incident.commander or ""), str(commander or "")
    if old == new:
        return incident
    for held in IncidentRole.objects.filter(incident=incident, role=Role.COMMANDER, renounced_at=None):
        _lay_down(held, by)
    incident.commander = commander
    if commander:
        _check(commander)
        _give(incident, commander, Role.COMMANDER, by)
        if incident.status == Incident.Status.TRIAGE:
            incident.status = Incident.Status.DECLARED
            incident.next_update_due = clocks.next_update(incident)
            if not incident.acknowledged_at:
                incident.acknowledged_at, incident.acknowledged_by = timezone.now(), actor_of(by)
                note_moments(incident, ["acknowledged_at"], by=by)
    incident.save_as(actor_of(by), "Commander assigned")
    text = f"{new} leads." if new else "Nobody leads."
    timeline.append(incident, Kind.ROLE, text, source=source, actor=actor_of(by), old=old, new=new)
    return incident


def _check(person: User) -> None:
    if person.is_service or not person.is_active:
        raise ValidationError({"person": "A part is held by a person whose account is active."})


def _give(incident: Incident, person: User, role: str, by: User | str) -> IncidentRole:
    held = IncidentRole(incident=incident, person=person, role=role, assumed_by=actor_of(by))
    held.full_clean(exclude=["incident", "person"])
    held.validate_constraints()  # those over what was excluded too
    held.save()
    return held


def _lay_down(held: IncidentRole, by: User | str) -> None:
    held.renounced_at, held.renounced_by = timezone.now(), actor_of(by)
    held.save(update_fields=["renounced_at", "renounced_by"])
