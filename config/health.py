"""Is the process alive, may it get traffic, and what do the numbers say: for probes and Prometheus, without a key.

What an app knows is registered in its AppConfig.ready: `DETAILS["feed"] = …`, `COLLECTORS.append(…)`. Everything is
read from the database when asked, so that all processes say the same. Only counts and codes: nothing about a person.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import redis
import structlog
from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from config import refused_calls
from config.models import RefusedCall, ServiceKey

log = structlog.get_logger(__name__)

BROKER_TIMEOUT = 0.3  # seconds
SOON = "14 days"


class Collector(Protocol):
    """Reads the database and yields what Prometheus stores."""

    def __call__(self) -> Iterable[Metric]: ...


DETAILS: dict[str, Callable[[], Any]] = {}
COLLECTORS: list[Collector] = []

_migrated = False  # true once, true for good: nothing unapplies a migration under a running process


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """The process answers. It looks at nothing else: a restart mends neither the database nor the broker."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Traffic may come: the database is there and has this version's tables. The broker is told and not needed."""
    body: dict[str, Any] = {"database": "away", "migrations": "unknown"}
    try:
        body["migrations"] = "applied" if is_migrated() else "missing"
        body["database"] = "there"
        body |= {name: detail() for name, detail in DETAILS.items()}
    except Error as error:
        log.error("not_ready", error=str(error))
    body["broker"] = broker_state()
    ready = body["database"] == "there" and body["migrations"] == "applied"
    return JsonResponse({"ready": ready, **body}, status=200 if ready else 503)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus. Without the database it says just that, so that the scrape itself does not fail."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def is_migrated() -> bool:
    global _migrated
    if _migrated:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    else:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated


def broker_state() -> str:
    try:
        options = {"socket_connect_timeout": BROKER_TIMEOUT, "socket_timeout": BROKER_TIMEOUT}
        with redis.Redis.from_url(settings.REDIS_URL, **options) as broker:
            broker.ping()
    except (redis.RedisError, OSError, ValueError):
        return "away"
    return "there"


class _Scrape:
    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("holdfast_database_up", "1 while the database answers.")
        found: list[Metric] = []
        try:
            for collector in [_keys, *COLLECTORS]:
                found += collector()
            up.add_metric([], 1)
        except Error as error:
            log.error("metrics_unread", error=str(error))
            found = []
            up.add_metric([], 0)
        return [up, *found]


def _keys() -> Iterable[Metric]:
    refused_calls.flush()
    refused = GaugeMetricFamily(
        "holdfast_refused_calls_last_hour", "Calls of the API refused in the last 60 minutes.", labels=["reason"]
    )
    for reason, count in RefusedCall.objects.of_last_hour():
        refused.add_metric([reason], count)
    ending = GaugeMetricFamily("holdfast_service_keys_ending", f"Usable service keys that end within {SOON}.")
    ending.add_metric([], ServiceKey.objects.ending_soon().count())
    return [refused, ending]
