"""What nobody sends: a source that went silent, one that sends faster than it may, and the end of a silence.

The first two open one incident each, the third one for each cause that still fires.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from incidents.alerts import limits
from incidents.alerts.grouping import HEARTBEAT, OVERFLOW, Folding, key_of, open_unopened
from incidents.alerts.reading import Alert, Notification, Severity
from incidents.models import AlertDelivery, AlertGroup, AlertOverflow, AlertSource

Mode, State = AlertSource.Mode, AlertGroup.State


def watch(now: datetime | None = None) -> int:
    """Open and resolve what is due; returns how much was done. Run it after the stored deliveries were read."""
    now = now or timezone.now()
    silent = sum(_miss(source.pk, now) for source in silent_sources(now))
    announced = sum(_announce(pk, now) for pk in _unannounced())
    opened = sum(_open_unopened(pk, now) for pk in _loud_again(now))
    return silent + announced + opened + sum(_calmed(group.source_id, now) for group in _calm(now))


def silent_sources(now: datetime) -> list[AlertSource]:
    """Active ones with a heartbeat that were not heard in time, whether or not that was noticed already."""
    heard = AlertDelivery.objects.heard().filter(
        source=OuterRef("pk"), received_at__gt=now - OuterRef("heartbeat_timeout")
    )
    watched = AlertSource.objects.filter(mode=Mode.ACTIVE, heartbeat_timeout__isnull=False)
    late = watched.filter(watched_since__lt=now - F("heartbeat_timeout")).exclude(Exists(heard)).order_by("pk")
    return [source for source in late if not source.is_silenced(now) and not _is_noticed(source)]


def _last_heard(source: AlertSource) -> datetime:
    return max(source.last_seen_at or source.created_at, source.watched_since)


def _is_noticed(source: AlertSource) -> bool:
    """Once per silence: also when somebody closed its incident while the silence goes on."""
    noticed = AlertGroup.objects.filter(source=source, key=key_of(HEARTBEAT), state=State.FIRING)
    return noticed.filter(last_at__gt=_last_heard(source)).exists()


@transaction.atomic
def _miss(source_id: int, now: datetime) -> int:
    source = AlertSource.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=source_id).first()
    if source is None or source.heartbeat_timeout is None or _is_noticed(source):
        return 0  # somebody else is at it, or was
    since = _last_heard(source)
    late_from = since + source.heartbeat_timeout
    said = Notification(
        group_key=HEARTBEAT,
        title=f"{source.name} is silent: no alert has come from it",
        severity=Severity.SEV3,
        alerts=(Alert("heartbeat", True, "heartbeat", starts_at=late_from),),
        note=f"nothing was heard since {since:%Y-%m-%d %H:%M} UTC, which is longer than {source.heartbeat_timeout}.",
    )
    folding = Folding(source, [HEARTBEAT], now)
    folding.hear(said, now)
    folding.save()
    return 1


def _unannounced() -> list[int]:
    return list(AlertOverflow.objects.filter(announced_at=None).order_by("began_at").values_list("pk", flat=True))


@transaction.atomic
def _announce(overflow_id: int, now: datetime) -> int:
    """Once for each quarter of an hour in which deliveries were turned away. The count goes on in its row."""
    overflow = (
        AlertOverflow.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("source")
        .filter(pk=overflow_id, announced_at=None)
        .first()
    )
    if overflow is None:
        return 0
    source = overflow.source
    said = Notification(
        group_key=OVERFLOW,
        title=f"{source.name} sends more than it may: deliveries are turned away",
        severity=Severity.SEV2,
        alerts=(Alert("overflow", True, "overflow", starts_at=overflow.began_at),),
        note=f"since {overflow.began_at:%H:%M} UTC deliveries above {source.rate_limit:,} a minute are answered 429; "
        f"{overflow.count:,} so far. The source's page goes on counting.",
    )
    folding = Folding(source, [OVERFLOW], now)
    folding.hear(said, now)
    folding.save()
    overflow.announced_at = now
    overflow.save(update_fields=["announced_at"])
    return 1


def _calm(now: datetime) -> list[AlertGroup]:
    """Open overflows of sources that nothing was turned away from in this window and the one before."""
    recent = AlertOverflow.objects.filter(
        source=OuterRef("source"), began_at__gte=limits.window_of(now) - limits.WINDOW
    )
    return list(AlertGroup.objects.filter(key=key_of(OVERFLOW), is_open=True).exclude(Exists(recent)).order_by("pk"))


@transaction.atomic
def _calmed(source_id: int, now: datetime) -> int:
    folding = Folding(AlertSource.objects.get(pk=source_id), [OVERFLOW], now)
    if not folding.is_firing(OVERFLOW):
        return 0
    said = Notification(
        group_key=OVERFLOW,
        title="",
        severity=Severity.SEV4,
        alerts=(Alert("overflow", False, "overflow"),),
        note="nothing was turned away for a quarter of an hour. The incident stays open until somebody closes it.",
    )
    folding.hear(said, now)
    folding.save()
    return 1


def _loud_again(now: datetime) -> list[int]:
    """Sources that open incidents, with causes that were heard while they did not."""
    waiting = AlertSource.objects.filter(Exists(AlertGroup.objects.unopened().filter(source=OuterRef("pk"))))
    return [source.pk for source in waiting.order_by("pk") if source.opens_incidents(now)]


@transaction.atomic
def _open_unopened(source_id: int, now: datetime) -> int:
    source = AlertSource.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=source_id).first()
    if source is None or not source.opens_incidents(now):
        return 0  # a reader is at it, or it was silenced again
    return open_unopened(source, now)
