"""What operators see of choices: how far readers are behind, how strict the guard is, how ways out are used."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Sum
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from config.health import COLLECTORS, DETAILS
from consent import feed, spool
from consent.models import ExitPathMinute, FeedCursor, GuardChange
from consent.services import guard_level


def lags() -> dict[str, int]:
    """Decisions that each reader of the log has not dealt with yet, counted to ten thousand."""
    readers = FeedCursor.objects.order_by("reader").values_list("reader", flat=True)
    return {reader: feed.lag(reader) for reader in readers}


def feed_metrics() -> Iterable[Metric]:
    lag = GaugeMetricFamily("holdfast_feed_lag", "Decisions a reader has not dealt with.", labels=["reader"])
    for reader, count in lags().items():
        lag.add_metric([reader], count)
    last = CounterMetricFamily("holdfast_decisions", "Numbers given to decisions; rolled back ones leave gaps.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM consent_decision_id_seq")
        last.add_metric([], cursor.fetchone()[0])
    return [lag, last]


def guard_metrics() -> Iterable[Metric]:
    level = guard_level()
    guard = GaugeMetricFamily("holdfast_guard_level", "1 for the level that rules.", labels=["level"])
    for name in GuardChange.Level.values:
        guard.add_metric([name], int(name == level))
    waiting = GaugeMetricFamily("holdfast_spooled", "Opt-outs on this machine's disk that wait for the database.")
    waiting.add_metric([], spool.waiting())
    return [guard, waiting]


def exit_path_metrics() -> Iterable[Metric]:
    uses = GaugeMetricFamily(
        "holdfast_exit_path_uses_last_hour", "Uses of the ways out, last 60 minutes.", labels=["exit_path", "outcome"]
    )
    recent = ExitPathMinute.objects.filter(minute__gte=timezone.now() - timedelta(hours=1))
    rows: Any = recent.order_by("exit_path", "outcome").values_list("exit_path", "outcome").annotate(Sum("count"))
    for exit_path, outcome, count in rows:
        uses.add_metric([exit_path, outcome], count)
    return [uses]


def register() -> None:
    DETAILS.update(guard=guard_level, feed_lag=lags, spooled=spool.waiting)
    COLLECTORS.extend([feed_metrics, guard_metrics, exit_path_metrics])
