"""What Prometheus is told about endpoints: how far behind each is, and whether it fails."""

from collections.abc import Iterable

from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from messaging.models import Difference, Endpoint
from messaging.propagation.reconciliation import standings


def endpoint_metrics() -> Iterable[Metric]:
    behind = GaugeMetricFamily("holdfast_endpoint_behind", "Deliveries owed to an endpoint.", labels=["endpoint"])
    age = GaugeMetricFamily(
        "holdfast_endpoint_oldest_seconds", "Seconds since the oldest owed change happened.", labels=["endpoint"]
    )
    failed = GaugeMetricFamily("holdfast_endpoint_given_up", "Deliveries given up.", labels=["endpoint"])
    active = GaugeMetricFamily("holdfast_endpoint_active", "1 while it is called.", labels=["endpoint"])
    endpoints = list(Endpoint.objects.exclude(state=Endpoint.State.RETIRED).order_by("name"))
    now, found = timezone.now(), standings([endpoint.pk for endpoint in endpoints])
    for endpoint in endpoints:
        standing = found[endpoint.pk]
        behind.add_metric([endpoint.name], standing.behind)
        age.add_metric([endpoint.name], (now - standing.oldest).total_seconds() if standing.oldest else 0)
        failed.add_metric([endpoint.name], standing.failed)
        active.add_metric([endpoint.name], int(endpoint.state == Endpoint.State.ACTIVE))
    differing = GaugeMetricFamily(
        "holdfast_endpoint_differences", "Keys in which a service and we differ.", labels=["endpoint", "kind"]
    )
    counts = Difference.objects.open().order_by().values_list("endpoint__name", "kind").annotate(count=Count("pk"))
    for name, kind, count in counts:
        differing.add_metric([name, kind], count)
    return [behind, age, failed, active, differing]
