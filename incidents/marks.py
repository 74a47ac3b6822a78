"""What happened meanwhile, as marks on the charts: alerts, incidents, bulks of notices, and what others register.

A source is a function from a span to marks, registered in its AppConfig.ready: `marks.MARKER_SOURCES.append(sends)`.
It looks at its newest rows only, and gives no more than MOST.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.urls import NoReverseMatch, reverse

from config.models import User
from incidents.changes.moments import acts
from incidents.detection.sends import OWN
from incidents.models import AlertGroup, Marker
from incidents.seeing import seen_by
from messaging.models import Notice

MOST = 50  # of one source


@dataclass(frozen=True, slots=True)
class Mark:
    """`kind` in a word (alert, incident, send, change set, deploy …); `text` says what happened; `url` may be empty."""

    at: datetime
    kind: str
    text: str
    url: str = ""
    is_drill: bool = False


# Each takes the span and the viewer: a mark of an incident is for those who may see the incident.
MARKER_SOURCES: list[Callable[[datetime, datetime, object], Iterable[Mark]]] = []


def between(since: datetime, until: datetime, viewer: object = None) -> list[Mark]:
    """Of every source, the oldest first."""
    found = [mark for source in MARKER_SOURCES for mark in list(source(since, until, viewer))[:MOST]]
    return sorted(found, key=lambda mark: (mark.at, mark.kind, mark.text))


def alerts(since: datetime, until: datetime, viewer: object) -> Iterable[Mark]:
    groups = AlertGroup.objects.filter(first_at__gte=since, first_at__lt=until, incident__in=seen_by(viewer))
    for group in groups.select_related("incident").order_by("-first_at")[:MOST]:
        if group.incident:
            url = _page("incidents_incident_change", group.incident.pk)
            yield Mark(group.first_at, "alert", group.title, url, group.incident.mode == "drill")


def incidents(since: datetime, until: datetime, viewer: object) -> Iterable[Mark]:
    declared = seen_by(viewer).filter(declared_at__gte=since, declared_at__lt=until).order_by("-declared_at")
    for incident in declared[:MOST]:
        url = _page("incidents_incident_change", incident.pk)
        yield Mark(incident.declared_at, "incident", f"{incident} declared", url, incident.mode == "drill")


def notices(since: datetime, until: datetime, viewer: object) -> Iterable[Mark]:
    """Our own bulks, each where it began: every bulk message comes of a notice, and there are few of those."""
    ours = Q(incident_id=None) | Q(incident_id__in=seen_by(viewer).values("pk"))
    begun = Notice.objects.filter(ours, started_at__gte=since, started_at__lt=until).order_by("-started_at")
    for notice in begun.only("started_at", "ref", "template_id", "to_write")[:MOST]:
        if notice.started_at:
            yield Mark(notice.started_at, "send", f"{notice.ref}: {notice.to_write:,} of {notice.template_id}")


def markers(since: datetime, until: datetime, viewer: object) -> Iterable[Mark]:
    """Sends, deployments and changes that somebody reported; our own bulks are told by `notices`."""
    reported = Marker.objects.filter(at__gte=since, at__lt=until).exclude(source=OWN).order_by("-at")
    for marker in reported[:MOST]:
        size = f" to {marker.size:,} people" if marker.size else ""
        yield Mark(marker.at, marker.kind, f"{marker.title}{size}", marker.url)


def change_sets(since: datetime, until: datetime, viewer: object) -> Iterable[Mark]:
    """Our own fixes: when each began, was applied, and was taken back."""
    may_open = isinstance(viewer, User) and viewer.has_perm("incidents.view_changeset")
    for act in acts(since, until, seen_by(viewer), MOST):
        url = _page("incidents_changeset_change", act.change.pk) if may_open else ""
        is_drill = act.change.incident is not None and act.change.incident.mode == "drill"
        yield Mark(act.at, "change set", str(act), url, is_drill)


def _page(name: str, number: int) -> str:
    try:
        return reverse(f"admin:{name}", args=[number])
    except NoReverseMatch:
        return ""
