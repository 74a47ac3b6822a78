"""The tabs about who works on an incident and what is owed: people, clocks, follow-ups, review, related ones."""

import re
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from config.admin import person
from incidents import facts, relations
from incidents.admin.change_marks import STATES as COLOURS
from incidents.models import ChangeSet, Incident, PostIncidentReview

CAUSE = re.compile(r"CS-([0-9]{1,9})")
MOST = 200  # rows of a tab; nobody has more people or follow-ups on one incident


def people(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    return {
        "roles": incident.roles.select_related("person")[:MOST],
        "moments": facts.moments_of(incident),
    }


def clocks(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    now = timezone.now()
    running = list(incident.clocks.select_related("rule").order_by("state", "due_at", "pk")[:MOST])
    return {
        "clocks": [(clock, clock.is_overdue(now)) for clock in running],
        "update_is_overdue": bool(incident.next_update_due and incident.next_update_due < now),
        "now": now,
    }


def follow_ups(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    today = timezone.now().date()
    found = incident.follow_ups.select_related("owner").order_by("due_on", "pk")[:MOST]
    return {"follow_ups": [(work, work.is_overdue(today)) for work in found]}


def review(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    found = PostIncidentReview.objects.filter(incident=incident).first()
    if found is None:
        return {"review": None}
    sections = [
        (PostIncidentReview.words_for(name).capitalize(), getattr(found, name)) for name in PostIncidentReview.SECTIONS
    ]
    return {
        "review": found,
        "sections": sections,
        "review_is_overdue": found.is_overdue(timezone.now()),
        "versions": found.history.only("history_date", "history_user_id", "history_change_reason", "state")[:25],
    }


def changes(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    """Change sets that help to end it, the newest first; and the one that is named as its cause."""
    found = list(incident.change_sets.order_by("-pk")[:MOST])
    cause = CAUSE.fullmatch(incident.caused_by_change_set)
    named = ChangeSet.objects.filter(pk=int(cause[1])).first() if cause else None
    return {
        "change_sets": [(change, COLOURS.get(change.state, "plain")) for change in found],
        "cause": named,
        "undone": list(incident.rollbacks.filter(change_set=None).order_by("-pk")[:MOST]),
        "may_write": request.user.has_perm("incidents.add_changeset"),
    }


def related(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    """What the viewer may not see is named by its number alone."""
    linked = relations.related_to(incident)[:MOST]
    merged = list(incident.duplicates.order_by("pk")[:MOST])
    survivor = incident.duplicate_of
    named = [other.pk for other, _ in linked] + [other.pk for other in merged] + ([survivor.pk] if survivor else [])
    seen = set(Incident.objects.visible_to(person(request)).filter(pk__in=named).values_list("pk", flat=True))
    return {
        "related": [(other, reason, other.pk in seen) for other, reason in linked],
        "merged": [(other, other.pk in seen) for other in merged],
        "survivor": survivor,
        "sees_survivor": bool(survivor and survivor.pk in seen),
    }
