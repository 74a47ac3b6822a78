"""A playbook may open a drill: an incident of its own that is none, in which playbooks tell and do not do."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from incidents import lifecycle, relations
from incidents.models import Incident
from incidents.playbooks.actions import ACTOR, Action, Context, Done, register
from incidents.services import declare
from incidents.timeline import Source
from incidents.vocabulary import IncidentType

SHORT = 200
RECENT = timedelta(hours=24)


def open_drill(context: Context, title: str, type: str = "") -> Done:
    """Open a drill beside the incident, so that what is mended is rehearsed. Playbooks of its type are suggested in it,
    where what would reach people or sending is told and not done. One drill of a title a day."""
    if context.incident.mode == Incident.Mode.DRILL:
        raise ValidationError("This is a drill already: a drill opens no other.")
    now = timezone.now()
    recent = Incident.objects.open().filter(mode=Incident.Mode.DRILL, title=title, declared_at__gt=now - RECENT)
    if found := recent.order_by("-pk").first():
        return Done(f"{found.ref} is that drill already.", {"drill": found.ref})
    made = declare(
        title, occurred_from=now, mode=Incident.Mode.DRILL, status=Incident.Status.TRIAGE, by=ACTOR,
        severity=context.incident.severity, type=type, purposes=context.incident.purposes,
        exit_paths=context.incident.exit_paths, source=Source.PLAYBOOK,
    )  # fmt: skip
    relations.relate(context.incident, made, reason=context.reason[:SHORT], by=ACTOR, source=Source.PLAYBOOK)
    return Done(f"{made.ref} is open: a drill.", {"drill": made.ref}, {"drill": made.pk})


def drill_back(context: Context, undo: Mapping[str, Any]) -> str:
    """Declined, while nobody has taken it up."""
    drill = Incident.objects.get(pk=undo["drill"])
    if drill.status != Incident.Status.TRIAGE:
        return f"{drill.ref} is {drill.get_status_display()} meanwhile: people end it."
    lifecycle.decline(drill, reason=f"Taken back: {context.reason}"[:SHORT], by=ACTOR, source=Source.PLAYBOOK)
    return f"{drill.ref} is declined."


def ready() -> None:
    """Which of them there are: called when the app is ready."""
    args = {
        "title": {"type": "string", "minLength": 1, "maxLength": 200},
        "type": {"enum": list(IncidentType.values)},
    }  # fmt: skip
    register("open_drill", Action("Open a drill", open_drill, args, ("title",), drill_back, reaches=False))
