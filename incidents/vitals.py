"""What operators see of telemetry: opt-outs nobody knows the reason of, attempts that wait, how fast ways out are."""

from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from consent import flow
from consent.models import InterruptedOptOut
from incidents import rates

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOST = 10_000


def metrics() -> Iterable[Metric]:
    now = timezone.now()
    told = rates.known(now - DAY, now)
    opt_outs = GaugeMetricFamily("holdfast_opt_outs_last_day", "Real opt-outs counted, by whether the reason is known.",
                                 labels=["reason"])  # fmt: skip
    opt_outs.add_metric(["known"], told.total - told.unexplained)
    opt_outs.add_metric(["unknown"], told.unexplained)
    waiting = GaugeMetricFamily("holdfast_interrupted_opt_outs", "Tried, failed and unsettled, to ten thousand.")
    waiting.add_metric([], len(InterruptedOptOut.objects.unsettled().values_list("pk")[:MOST]))
    slow = GaugeMetricFamily(
        "holdfast_exit_path_latency_seconds", "Of the answers of the last hour.", labels=["exit_path", "quantile"]
    )
    for health in flow.health(now - HOUR, now):
        for quantile, value in (("0.5", health.p50_ms), ("0.95", health.p95_ms), ("0.99", health.p99_ms)):
            if value is not None:
                slow.add_metric([health.exit_path, quantile], value / 1000)
    return [opt_outs, waiting, slow]
