"""What operators see of alerts: how many wait on disk or to be read, and how many were turned away for their pace."""

from collections.abc import Iterable

from django.db.models import Sum
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from config.health import COLLECTORS, DETAILS
from incidents.alerts import spool
from incidents.models import AlertDelivery, AlertOverflow
from incidents.playbooks import auditing


def alert_metrics() -> Iterable[Metric]:
    waiting = GaugeMetricFamily("holdfast_alerts_waiting", "Alert deliveries that wait, and for what.", labels=["for"])
    waiting.add_metric(["database"], spool.waiting())
    waiting.add_metric(["reader"], AlertDelivery.objects.to_read().count())
    over = CounterMetricFamily("holdfast_alerts_over_limit", "Alert deliveries turned away for their pace.")
    over.add_metric([], AlertOverflow.objects.aggregate(Sum("count"))["count__sum"] or 0)
    return [waiting, over]


def register() -> None:
    DETAILS["alerts_spooled"] = spool.waiting
    COLLECTORS.append(alert_metrics)
    DETAILS["playbook_auditor"] = auditing.detail
    COLLECTORS.append(auditing.metrics)
