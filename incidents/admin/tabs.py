"""The tabs of an incident's page. Each is an address of its own and asks only for what it shows, 25 rows at a time."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count
from django.http import Http404, HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from config.admin import mask
from consent.identifiers import unseal
from consent.models import Decision, Subject
from incidents import affected
from incidents.admin import case_tabs, playbook_tab
from incidents.models import AffectedSet, AlertDelivery, DecisionLink, Incident
from incidents.timeline import Kind, Place, pinned, story
from messaging.models import Message

ROWS = 25
MOST = 10_000  # ties that the mails are counted over

MAILS = """
    SELECT m.id, m.state, m.delivery, m.template_key, m.decision_id, m.subject_id, m.created_at
      FROM incidents_decisionlink l JOIN messaging_message m ON m.decision_id = l.decision_id
     WHERE l.incident_id = %s AND (l.decision_id, m.id) < (%s, %s::uuid)
     ORDER BY l.decision_id DESC, m.id DESC LIMIT %s
"""
MAIL_STATES = """
    SELECT m.state, count(*) FROM (
      SELECT decision_id FROM incidents_decisionlink WHERE incident_id = %s ORDER BY decision_id DESC LIMIT %s) l
      JOIN messaging_message m ON m.decision_id = l.decision_id GROUP BY m.state ORDER BY m.state
"""
NEWEST = 2**63 - 1
LAST_UUID = UUID(int=2**128 - 1)


def timeline(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    after, kind = request.GET.get("after", ""), request.GET.get("kind", "")
    try:
        page = story(incident, Place.read(after) if after else None, size=ROWS, kinds=[kind] if kind else [])
    except ValueError as error:
        raise Http404("No such page of the timeline.") from error
    only = {"kind": kind} if kind else {}
    return {
        "lines": page.lines,
        "pinned": pinned(incident) if not after else [],
        "kind": kind,
        "kinds": Kind.choices,
        "older": _older("timeline", after=page.next, **only) if page.next else "",
        "newest": bool(after),
        "may_note": request.user.has_perm("incidents.add_timelineentry"),
    }


def decisions(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    before = _number(request.GET.get("before"))
    links = DecisionLink.objects.filter(incident=incident, decision_id__lt=before).order_by("-decision_id")
    found = list(links[: ROWS + 1])
    shown = found[:ROWS]
    rows = Decision.objects.in_bulk([link.decision_id for link in shown])
    names = _names({link.subject_id for link in shown}, request)
    return {
        "effects": affected.effects(incident),
        "counted_of": affected.MOST if incident.linked_count > affected.MOST else 0,
        "sealed": AffectedSet.objects.filter(incident=incident).first(),
        "ties": [
            (rows[link.decision_id], names.get(link.subject_id, ""), page_of("consent_subject", link.subject_id), link)
            for link in shown
        ],
        "older": _older("decisions", before=shown[-1].decision_id) if len(found) > ROWS else "",
        "newest": before < NEWEST,
    }


def mails(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    """Messages that confirm the tied decisions: how many in which state, and one by one."""
    number, _, message = request.GET.get("before", "").partition("_")
    before = _number(number)
    try:
        last = UUID(message) if message else LAST_UUID
    except ValueError as error:
        raise Http404("No such page.") from error
    with connection.cursor() as cursor:
        cursor.execute(MAIL_STATES, [incident.pk, MOST])
        states = [(Message.State(state).label, count) for state, count in cursor.fetchall()]
    found = list(Message.objects.raw(MAILS, [incident.pk, before, last, ROWS + 1]))
    shown = found[:ROWS]
    names = _names({row.subject_id for row in shown}, request)
    more = f"{shown[-1].decision_id}_{shown[-1].pk}" if len(found) > ROWS else ""
    about = Message.objects.filter(incident_id=incident.pk).values_list("state").annotate(Count("pk")).order_by("state")
    return {
        "notices": [(Message.State(state).label, count) for state, count in about],
        "states": states,
        "counted_of": MOST if incident.linked_count > MOST else 0,
        "mails": [(row, names.get(row.subject_id, ""), page_of("messaging_message", row.pk)) for row in shown],
        "older": _older("mails", before=more) if more else "",
        "newest": before < NEWEST,
    }


def alerts(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    before = _number(request.GET.get("before"))
    deliveries = AlertDelivery.objects.filter(group__incident=incident, pk__lt=before).order_by("-pk")
    found = list(deliveries.select_related("source", "group").defer("raw_body")[: ROWS + 1])
    shown = found[:ROWS]
    return {
        "groups": incident.alert_groups.select_related("source").order_by("pk")[:ROWS],
        "deliveries": [(row, page_of("incidents_alertdelivery", row.pk)) for row in shown],
        "older": _older("alerts", before=shown[-1].pk) if len(found) > ROWS else "",
        "newest": before < NEWEST,
    }


# Name in the address, words, what it asks for, and the permission it takes.
TABS: Sequence[tuple[str, str, Callable[[Incident, HttpRequest], dict[str, Any]] | None, str]] = (
    ("facts", "Facts", None, "incidents.view_incident"),
    ("timeline", "Story", timeline, "incidents.view_timelineentry"),
    ("decisions", "Tied decisions", decisions, "incidents.view_decisionlink"),
    ("mails", "Mails", mails, "messaging.view_message"),
    ("playbook", "Playbook", playbook_tab.playbook, "incidents.view_playbookrun"),
    ("changes", "Change sets", case_tabs.changes, "incidents.view_changeset"),
    ("people", "People and roles", case_tabs.people, "incidents.view_incidentrole"),
    ("clocks", "Clocks", case_tabs.clocks, "incidents.view_incidentclock"),
    ("followups", "Follow-ups", case_tabs.follow_ups, "incidents.view_followup"),
    ("review", "Review", case_tabs.review, "incidents.view_postincidentreview"),
    ("related", "Related", case_tabs.related, "incidents.view_incidentrelation"),
    ("alerts", "Alert deliveries", alerts, "incidents.view_alertdelivery"),
)


def current(request: HttpRequest) -> str:
    asked = request.GET.get("tab", "")
    return asked if any(asked == name and request.user.has_perm(needed) for name, _, _, needed in TABS) else "facts"


def context(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    """What the page of an incident shows below its title."""
    tab = current(request)
    shows = next(show for name, _, show, _ in TABS if name == tab)
    return {
        "incident": incident,
        "tab": tab,
        "tabs": [(name, words) for name, words, _, needed in TABS if request.user.has_perm(needed)],
        **(shows(incident, request) if shows else {}),
    }


def page_of(name: str, key: Any) -> str:
    try:
        return reverse(f"admin:{name}_change", args=[key])
    except NoReverseMatch:
        return ""


def _older(tab: str, **where: Any) -> str:
    return "?" + urlencode({"tab": tab, **where})


def _number(text: str | None) -> int:
    if not text:
        return NEWEST
    if not text.isdecimal() or len(text) > 18:
        raise Http404("No such page.")
    return int(text)


def _names(subject_ids: set[UUID], request: HttpRequest) -> dict[UUID, str]:
    """Each person masked, for those who may see identifiers; a piece of the random id for the rest."""
    if not request.user.has_perm("consent.view_identifier"):
        return {pk: f"person {str(pk)[:8]}…" for pk in subject_ids}
    return {
        subject.pk: " · ".join(
            mask(unseal(i.kind, bytes(i.sealed))) for i in subject.identifiers.all() if i.sealed is not None
        )
        or f"person {str(subject.pk)[:8]}…"
        for subject in Subject.objects.filter(pk__in=subject_ids).prefetch_related("identifiers")
    }
