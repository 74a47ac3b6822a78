"""The first page of the admin: people leaving, minute by minute, beside what is on fire and what is owed."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Count, ExpressionWrapper, F, Min, Q, Window
from django.db.models.functions import Least
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from config.models import User
from consent.models import GuardChange, PrivacyRequest
from incidents import chart, rates
from incidents.invariants import INVARIANTS
from incidents.models import Incident
from messaging.models import Message

ROWS = 5
LATE = 900  # seconds: three times the time between two runs while nothing is on fire
MOST = 10_000  # what is counted stops here: a heap is a heap

# Each reader's news, counted to MOST along the index of log order; the guard; two hours of opt-outs.
VITALS = """
    SELECT (SELECT level FROM consent_guardchange ORDER BY id DESC LIMIT 1),
           (SELECT coalesce(sum(count), 0) FROM incidents_decisionminute
             WHERE choice = 'opt_out' AND NOT is_drill AND minute > %(now)s - interval '1 hour'),
           (SELECT coalesce(sum(count), 0) FROM incidents_decisionminute
             WHERE choice = 'opt_out' AND NOT is_drill
               AND minute > %(now)s - interval '2 hours' AND minute <= %(now)s - interval '1 hour'),
           (SELECT count(*) FROM incidents_episode WHERE ended_at IS NULL),
           (SELECT count(*) FROM (
              SELECT DISTINCT ON (exit_path_id) verdict FROM incidents_exitpathprobe
               WHERE ended_at IS NOT NULL AND started_at > %(now)s - interval '1 day'
               ORDER BY exit_path_id, started_at DESC) last WHERE verdict = 'breached'),
           (SELECT jsonb_object_agg(c.reader, news.count) FROM consent_feedcursor c, LATERAL (
              SELECT count(*) FROM (SELECT 1 FROM consent_decision d
                                     WHERE (d.tx, d.id) > (c.tx, c.decision) LIMIT %(most)s) unread) news),
           (SELECT count(*) FROM messaging_templatefault WHERE mended_at IS NULL),
           (SELECT jsonb_build_object(
              'open', count(*) FILTER (WHERE state NOT IN ('applied', 'rolled_back', 'rejected', 'cancelled')),
              'busy', count(*) FILTER (WHERE state IN ('applying', 'validating', 'rolling_back')),
              'waiting', count(*) FILTER (WHERE state = 'in_review'),
              'paused', count(*) FILTER (WHERE state = 'paused'),
              'unreviewed', count(*) FILTER (WHERE bypassed_at IS NOT NULL AND reviewed_at IS NULL))
              FROM incidents_changeset),
           (SELECT jsonb_build_object('broken', broken, 'unmeasured', unmeasured,
                                      'age', extract(epoch FROM %(now)s - ended_at))
              FROM incidents_validationrun WHERE trigger <> 'change_set' ORDER BY started_at DESC LIMIT 1),
           (SELECT extract(epoch FROM %(now)s - moment)::int FROM incidents_detectioncursor
             WHERE name = 'sweep:drift:round')
"""


@dataclass(frozen=True, slots=True)
class Card:
    title: str
    value: str
    notes: list[str] = field(default_factory=list)
    tone: str = ""
    url: str = ""


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the viewer may see of it: at most seven queries, whatever happened."""
    user = request.user
    if not isinstance(user, User):
        return context
    now = timezone.now()
    period = rates.PERIODS.get(request.GET.get("period", ""), rates.PERIODS["1h"])
    by = request.GET.get("by") if request.GET.get("by") in rates.BY else "cause"
    incidents: list[Incident] = []
    incident_card = None
    if user.has_perm("incidents.view_incident"):
        incidents = rates.bands(period.steps(now)[0], now, Incident.objects.visible_to(user))
        open_incidents, incident_card = _open_incidents(user)
        context["open_incidents"] = [(_page("incidents_incident_change", i.pk), i, i.due) for i in open_incidents]
    cards = _vital_cards(user, incident_card, now)
    if user.has_perm("consent.view_decision"):
        context["chart"] = chart.draw(rates.opt_outs(period, by or "cause", now), period, incidents)
    if user.has_perm("consent.view_privacyrequest"):
        requests, card = _requests(now)
        context["due_requests"] = [
            (_page("consent_privacyrequest_change", r.pk), r, r.is_overdue(now)) for r in requests
        ]
        cards.append(card)
    if user.has_perm("messaging.view_message"):
        cards.append(_messages(now))
        trouble = Message.objects.in_trouble().order_by("-created_at")
        fields = ("pk", "state", "template_key", "last_error", "created_at")
        context["failed_messages"] = [
            (_page("messaging_message_change", m.pk), m) for m in trouble.only(*fields)[:ROWS]
        ]
    return context | {"cards": cards, "period": period, "periods": rates.PERIODS.values(), "by": by, "now": now}


def _vital_cards(user: User, incident_card: Card | None, now: datetime) -> list[Card]:
    with connection.cursor() as cursor:
        cursor.execute(VITALS, {"now": now, "most": MOST})
        row = cursor.fetchone()
    guard, this_hour, hour_before, unusual, broken, lags, faults, changes, validated, compared = row
    lags = json.loads(lags or "{}")  # Django leaves jsonb of raw SQL as text
    cards = []
    if user.has_perm("consent.view_decision"):
        notes = [f"{hour_before:,} in the hour before"]
        cards.append(
            Card("Opt-outs in the last hour", f"{this_hour:,}", notes, url=_page("consent_decision_changelist"))
        )
    if incident_card:
        cards += [incident_card, _detection_card(unusual, broken)]
    if user.has_perm("incidents.view_changeset"):
        cards.append(_change_card(json.loads(changes)))
    if user.has_perm("incidents.view_validationrun"):
        cards.append(_validation_card(json.loads(validated or "null"), compared))
    if user.has_perm("consent.view_guardchange"):
        level = guard or GuardChange.Level.OBSERVE
        tone = {"freeze": "danger", "protect": "warning"}.get(level, "")
        url = _page("consent_guardchange_changelist")
        cards.append(Card("Guard", level.capitalize(), ["Opt-outs pass at every level"], tone, url))
    if user.has_perm("consent.view_feedcursor"):
        behind = {reader: count for reader, count in sorted(lags.items()) if count}
        value = _counted(max(behind.values(), default=0))
        notes = [f"{reader}: {_counted(count)}" for reader, count in behind.items()] or ["Every reader is up to date"]
        cards.append(Card("Decisions not yet read", value, notes, "warning" if behind else ""))
    if faults and user.has_perm("messaging.view_templatefault"):
        notes = ["Messages are written from an older version, as plain text, or not at all"]
        url = _page("messaging_templatefault_changelist")
        cards.append(Card("Texts that fail", f"{faults:,}", notes, "danger", url))
    return cards


def _change_card(counts: dict[str, int]) -> Card:
    """Change sets that are neither over nor given up; loud where one stands still or nobody looked at a bypass."""
    notes = [f"{counts['busy']} being applied or taken back", f"{counts['waiting']} to be approved"]
    notes += [f"{counts['paused']} paused: decide"] if counts["paused"] else []
    notes += [f"{counts['unreviewed']} bypassed approvals, not reviewed"] if counts["unreviewed"] else []
    tone = "danger" if counts["paused"] or counts["unreviewed"] else "warning" if counts["busy"] else ""
    return Card("Changes in flight", str(counts["open"]), notes, tone, _page("incidents_changeset_changelist"))


def _detection_card(unusual: int, broken: int) -> Card:
    """Rates that are not as usual, and ways out whose last try failed."""
    notes = [f"{broken} way{'' if broken == 1 else 's'} out broken when last tried"]
    page = "incidents_exitpathprobe_changelist" if broken else "incidents_alarm_changelist"
    return Card("Rates not as usual", f"{unusual:,}", notes, "danger" if unusual or broken else "", _page(page))


def _validation_card(last: dict[str, Any] | None, compared: int | None) -> Card:
    """The twelve promises, when they were last asked after, and when all states were last compared with the log."""
    url = _page("incidents_validationrun_changelist")
    swept = f"states compared {_ago(compared)}" if compared is not None else "states not yet compared"
    if last is None:
        return Card("Promises", "not asked yet", [swept], "warning", url)
    age = int(last["age"])
    notes = [f"asked {_ago(age)}", swept]
    notes += [f"{code} is broken: {INVARIANTS[code].title}" for code in last["broken"]]
    notes += [f"nobody can tell: {INVARIANTS[code].title}" for code in last["unmeasured"]]
    broken = ", ".join(last["broken"])
    is_old = age > LATE or compared is None or compared > LATE
    tone = "danger" if broken else "warning" if is_old else ""
    return Card("Promises", f"{broken} broken" if broken else "kept", notes, tone, url)


def _ago(seconds: int) -> str:
    return f"{max(0, seconds)} s ago" if seconds < 120 else f"{seconds // 60:,} min ago"


def _open_incidents(user: User) -> tuple[list[Any], Card]:
    """The worst, and of those what is due first, with the counts of all that are open in the same query.

    `due`: whichever comes first of a running legal clock and the next word to those who wait.
    """
    is_drill = Q(mode=Incident.Mode.DRILL)
    found: list[Any] = list(
        Incident.objects.visible_to(user)
        .open()
        .with_next_clock()
        .annotate(
            due=Least("clock_due", "next_update_due"),
            real=Window(Count("pk", filter=~is_drill)),
            drills=Window(Count("pk", filter=is_drill)),
            worst=Window(Min("severity", filter=~is_drill)),
        )
        .order_by(
            ExpressionWrapper(is_drill, BooleanField()),
            "severity",
            F("due").asc(nulls_last=True),
            "-occurred_from",
            "-pk",
        )[:ROWS]
    )
    real, drills, worst = (found[0].real, found[0].drills, found[0].worst) if found else (0, 0, None)
    notes = [f"worst: {worst.upper()}"] if worst else []
    notes += [f"and {drills:,} drill{'' if drills == 1 else 's'}"] if drills else []
    url = _page("incidents_incident_changelist")
    return found, Card("Open incidents", f"{real:,}", notes, "danger" if real else "", url)


def _requests(now: datetime) -> tuple[list[PrivacyRequest], Card]:
    """Those due next, with the counts of all of them in the same query."""
    waits = Q(state__in=[PrivacyRequest.State.OPEN, PrivacyRequest.State.IN_PROGRESS])
    found: list[Any] = list(
        PrivacyRequest.objects.open()
        .select_related("assignee")
        .annotate(
            soon=Window(Count("pk", filter=waits & Q(due_at__gte=now, due_at__lt=now + timedelta(days=7)))),
            overdue=Window(Count("pk", filter=waits & Q(due_at__lt=now))),
            total=Window(Count("pk")),
        )
        .order_by("due_at", "pk")[:ROWS]
    )
    soon_count, overdue, total = (found[0].soon, found[0].overdue, found[0].total) if found else (0, 0, 0)
    notes = [f"{soon_count:,} due within 7 days", f"{overdue:,} overdue"]
    return found, Card(
        "Open requests", f"{total:,}", notes, "danger" if overdue else "", _page("consent_privacyrequest_changelist")
    )


def _messages(now: datetime) -> Card:
    unsettled = Message.objects.filter(settled_at=None).values("owed_by", "state")[:MOST]
    counts = unsettled.aggregate(
        owed=Count("state"),
        overdue=Count("state", filter=Q(owed_by__lt=now)),
        in_doubt=Count("state", filter=Q(state=Message.State.IN_DOUBT)),
    )
    notes = [f"{_counted(counts['overdue'])} overdue", f"{_counted(counts['in_doubt'])} in doubt"]
    tone = "danger" if counts["overdue"] else "warning" if counts["in_doubt"] else ""
    return Card("Messages owed", _counted(counts["owed"]), notes, tone, _page("messaging_message_changelist"))


def _counted(count: int) -> str:
    return f"{count:,}+" if count >= MOST else f"{count:,}"


def _page(name: str, *args: Any) -> str:
    try:
        return reverse(f"admin:{name}", args=args)
    except NoReverseMatch:
        return ""
