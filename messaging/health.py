"""What a transport's last attempts taught us: one that fails is left alone for a while, then asked again."""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Max, Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from config.text import without_addresses
from messaging.models import TransportHealth

OPENS_AFTER = 5  # failures in a row
BELIEVED = 10  # recipients refused in a row, and nobody taken: more of them are nobody's fault but ours
LONGEST_PAUSE = 60  # seconds
TRIAL = timedelta(seconds=5)  # for the one who tries whether it works again
NOTED_EVERY = timedelta(seconds=5)  # successes, so that every mail does not write the same row
_noted: dict[str, float] = {}  # when this process last wrote down that a transport works


def may_try(transport: str) -> bool:
    """Whether to send by it now. After a pause one worker tries, and the others see how that ends."""
    failing = TransportHealth.objects.filter(transport=transport, failures_in_a_row__gte=OPENS_AFTER)
    if not failing.exists():
        return True
    return bool(failing.exclude(open_until__gt=Now()).update(open_until=Now() + TRIAL))


def unusable(transports: Iterable[str]) -> set[str]:
    """Those that are left alone now, or that another worker is trying. One statement while all is well."""
    names = list(transports)
    failing = TransportHealth.objects.filter(transport__in=names, failures_in_a_row__gte=OPENS_AFTER)
    return {name for name in failing.values_list("transport", flat=True) if not may_try(name)}


def swept(transports: Iterable[str]) -> None:
    """A sweep went through. Those of the settings have a row from then on, also before they were tried."""
    TransportHealth.objects.bulk_create(
        [TransportHealth(transport=name, swept_at=Now()) for name in transports],
        update_conflicts=True,
        unique_fields=["transport"],
        update_fields=["swept_at"],
    )


def last_sweep() -> dict[str, Any]:
    """For /readyz: when a sweep last went through; None where none did, or where nothing may send."""
    last: datetime | None = TransportHealth.objects.aggregate(last=Max("swept_at"))["last"]
    if last is None:
        return {"last": None, "seconds_ago": None}
    return {"last": last.isoformat(), "seconds_ago": max(0, int((timezone.now() - last).total_seconds()))}


def try_now(transport: str) -> None:
    """End its pause: the next message tries it."""
    TransportHealth.objects.filter(transport=transport).update(open_until=Now())


def worked(transport: str) -> None:
    if time.monotonic() - _noted.get(transport, 0) < NOTED_EVERY.total_seconds():
        return
    now = timezone.now()
    rows = TransportHealth.objects.filter(transport=transport)
    stale = Q(last_success_at=None) | Q(last_success_at__lt=now - NOTED_EVERY)
    stale |= Q(failures_in_a_row__gt=0) | Q(refusals_in_a_row__gt=0)
    fresh = {"failures_in_a_row": 0, "refusals_in_a_row": 0, "failing_since": None, "open_until": None}
    if not rows.filter(stale).update(last_success_at=now, **fresh):
        TransportHealth.objects.get_or_create(transport=transport, defaults={"last_success_at": now})
    _noted[transport] = time.monotonic()


def refused(transport: str) -> bool:
    """It refused somebody for good; returns whether that is believed. One that has refused many and taken nobody in
    between has lost its list of recipients, or speaks of us in words that nobody knew.
    """
    _noted.pop(transport, None)  # the next acceptance is written down: it ends the row
    TransportHealth.objects.get_or_create(transport=transport)
    rows = TransportHealth.objects.filter(transport=transport)
    rows.update(refusals_in_a_row=F("refusals_in_a_row") + 1)
    return rows.filter(refusals_in_a_row__lte=BELIEVED).exists()


def refusing() -> list[tuple[str, datetime | None]]:
    """Those that are not believed any more, and when each last took something."""
    doubted = TransportHealth.objects.filter(refusals_in_a_row__gt=BELIEVED)
    return list(doubted.values_list("transport", "last_success_at"))


def failed(transport: str, error: str) -> None:
    """The transport's own fault, not a recipient's."""
    _noted.pop(transport, None)
    health, _ = TransportHealth.objects.get_or_create(transport=transport)
    rows = TransportHealth.objects.filter(pk=health.pk)
    now = timezone.now()
    rows.update(
        failures_in_a_row=F("failures_in_a_row") + 1,
        failing_since=Coalesce("failing_since", now),
        last_failure_at=now,
        last_error=without_addresses(error)[:500],
    )
    health.refresh_from_db()
    if health.failures_in_a_row >= OPENS_AFTER:
        pause = min(LONGEST_PAUSE, 2 ** min(health.failures_in_a_row - OPENS_AFTER, 10) * 5)
        rows.update(open_until=timezone.now() + timedelta(seconds=pause))
