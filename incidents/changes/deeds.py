"""What a playbook may do with change sets: stop them, so that what is being repaired is not written over meanwhile."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from config.deeds import words
from incidents.changes import applying, deciding
from incidents.models import ChangeSet
from incidents.playbooks.actions import ACTOR, Action, Context, Done, register

MOST = 100
State = ChangeSet.State


def freeze(context: Context, which: str = "cause") -> Done:
    """Pause the set that caused the incident, or `all` that are being applied. One that has a time loses it."""
    found = list(_found(context, which))
    if not found:
        return Done("No change set is being applied or waits for its time.")
    paused, unscheduled, told = [], [], []
    for change in found:
        try:
            if change.state == State.SCHEDULED:
                at = change.scheduled_for
                deciding.unschedule(change, by=ACTOR)
                unscheduled.append([change.pk, at and at.isoformat()])
            else:
                applying.pause(change, reason=context.reason, by=ACTOR)
                paused.append(change.pk)
            told.append(change.ref)
        except ValidationError as error:  # over, or stopped by somebody, since we looked
            told.append(f"{change.ref} not: {words(error)}")
    undo = {"paused": paused, "unscheduled": [pk for pk, _ in unscheduled]}
    return Done(f"Stopped: {', '.join(told)}.", {"change_sets": told}, undo if paused else None)


def freeze_back(context: Context, undo: Mapping[str, Any]) -> str:
    """Those it paused go on; those that lost their time are given a new one by people."""
    told = []
    for change in ChangeSet.objects.filter(pk__in=undo["paused"]):
        if change.state != State.PAUSED or change.paused_by != ACTOR:
            told.append(f"{change.ref} is {change.get_state_display()}, and stays so")
            continue
        applying.resume(change, reason=f"Taken back: {context.reason}", by=ACTOR)
        told.append(f"{change.ref} goes on")
    waiting = [f"CS-{pk} waits for a new time" for pk in undo["unscheduled"]]
    return f"{', '.join([*told, *waiting]) or 'Nothing was stopped'}."


def _found(context: Context, which: str) -> Any:
    """Those at work, and those whose time would come."""
    found = ChangeSet.objects.filter(state__in=[State.APPLYING, State.VALIDATING, State.SCHEDULED]).order_by("pk")
    if which == "all":
        return found[:MOST]
    if not context.incident.caused_by_change_set:
        raise ValidationError("No change set is named as its cause: name it, or freeze all of them.")
    return found.filter(pk__in=ChangeSet.objects.named(context.incident.caused_by_change_set).values("pk"))


def ready() -> None:
    """Which of them there are: called when the app is ready."""
    which = {"which": {"enum": ["cause", "all"]}}
    register("freeze_change_set", Action("Freeze change sets", freeze, which, (), freeze_back))
