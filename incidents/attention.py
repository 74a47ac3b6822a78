"""What asks for somebody now: what burns and what is overdue, counted for Prometheus; and a line in the story once a
legal clock has run out, whoever looks at its page."""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from incidents import timeline
from incidents.models import Alarm, Incident, IncidentClock, PostIncidentReview, Trouble
from incidents.timeline import Kind, Source

WATCHER = "system:clocks"
CLOCK = "clock-"  # how the key of a clock's trouble begins
MOST = 1000
OPEN = [status for status in Incident.Status if status not in Incident.ENDED]


@transaction.atomic
def watch() -> int:
    """Tell which legal clocks have run out since the last look; returns how many. One that is moved to later and runs
    out again is told again; an answer has a line of its own."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('incidents.attention'))")
    late = IncidentClock.objects.overdue(now).select_related("rule", "incident").order_by("due_at", "pk")
    overdue = {f"{CLOCK}{clock.pk}": clock for clock in late[:MOST]}
    lasting = Trouble.objects.filter(over_at=None, key__startswith=CLOCK)
    lasting.exclude(key__in=overdue).update(over_at=now)
    lasting.update(seen_at=now)
    told = set(lasting.values_list("key", flat=True))
    new = [(key, clock) for key, clock in overdue.items() if key not in told]
    for key, clock in new:
        _tell(key, clock, now)
    return len(new)


def _tell(key: str, clock: IncidentClock, now: datetime) -> None:
    text = (
        f"{clock.rule_id} is overdue since {clock.due_at:%Y-%m-%d %H:%M:%S} UTC ({clock.citation}, {clock.term}). "
        f"To be told: {clock.rule.notify}. Answer the clock with what was done, and why it is late."
    )
    timeline.append(clock.incident, Kind.CLOCK, text, source=Source.SYSTEM, actor=WATCHER)
    Trouble.objects.create(
        key=key, title=f"{clock.rule_id} is overdue", incident=clock.incident, since=clock.due_at or now, seen_at=now
    )


def metrics() -> Iterable[Metric]:
    """Of real incidents; each severity and status is told, also at 0, so that a rule has something to compare."""
    now = timezone.now()
    real = Incident.objects.filter(mode=Incident.Mode.REAL)
    counted = real.open().order_by().values_list("severity", "status").annotate(count=Count("pk"))
    count_of = {(severity, status): count for severity, status, count in counted}
    burning = GaugeMetricFamily(
        "holdfast_incidents_open", "Incidents that are not over.", labels=["severity", "status"]
    )
    for severity in Incident.Severity.values:
        for status in OPEN:
            burning.add_metric([severity, status], count_of.get((severity, status), 0))
    alarms = GaugeMetricFamily("holdfast_alarms_open", "Alarms whose incident is not over.", labels=["detector"])
    spoke = Alarm.objects.filter(incident__in=real.open()).order_by().values_list("detector")
    heard = dict(spoke.annotate(count=Count("pk")))
    for detector in Alarm.Detector.values:
        alarms.add_metric([detector], heard.get(detector, 0))
    clocks = GaugeMetricFamily("holdfast_legal_clocks_overdue", "Legal clocks that ran out and are not answered.")
    clocks.add_metric([], IncidentClock.objects.overdue(now).filter(incident__in=real).count())
    updates = GaugeMetricFamily("holdfast_incident_updates_overdue", "Incidents whose next word is overdue.")
    updates.add_metric([], real.update_overdue(now).count())
    reviews = GaugeMetricFamily("holdfast_incident_reviews_overdue", "Reviews that are due and not written.")
    reviews.add_metric([], PostIncidentReview.objects.filter(state="due", due_at__lt=now, incident__in=real).count())
    return [burning, alarms, clocks, updates, reviews]
