"""Alerts: stored as they came, then read in order; one open incident per source and group key, whoever races."""

import hashlib
import secrets
from datetime import datetime, timedelta

import structlog
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents import alertmanager, timeline
from incidents.alertmanager import Notification, Unreadable
from incidents.models import AlertDelivery, AlertGroup, AlertSource, Incident
from incidents.services import declare
from incidents.timeline import Kind, Source

log = structlog.get_logger(__name__)
Outcome, State = AlertDelivery.Outcome, AlertGroup.State
EARLIEST = timedelta(hours=24)  # an alert that began before that does not pull yesterday's choices into its incident


def issue_source(name: str, *, by: User | str, kind: str = AlertSource.Kind.ALERTMANAGER) -> tuple[AlertSource, str]:
    """A new source and the token in its address, which is shown once and never again. Raises ValidationError."""
    token = secrets.token_urlsafe(32)
    source = AlertSource(name=name, kind=kind, token_digest=digest_of(token))
    source.full_clean()
    source.save_as(actor_of(by), "Created")
    return source, token


def renew_token(source: AlertSource, *, reason: str, by: User | str) -> str:
    """A new token; the old address stops working at once."""
    token = secrets.token_urlsafe(32)
    source.token_digest = digest_of(token)
    source.save_as(actor_of(by), reason)
    return token


def switch(source: AlertSource, *, reason: str, by: User | str) -> AlertSource:
    """On, or off: then its deliveries are refused like those of a stranger."""
    source.is_active = not source.is_active
    source.save_as(actor_of(by), reason)
    return source


def digest_of(token: str) -> bytes:
    """SHA-256 is enough for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def store(token: str, body: bytes, content_type: str) -> AlertDelivery | None:
    """Keep a delivery as it came, to be read later. None for a token that no active source has."""
    source = AlertSource.objects.filter(token_digest=digest_of(token), is_active=True).first()
    if source is None:
        return None
    return AlertDelivery.objects.create(
        source=source, raw_body=body, body_digest=hashlib.sha256(body).digest(), content_type=content_type[:100]
    )


def read_stored() -> int:
    """Read what is waiting, each source in the order of receipt and by one reader at a time; returns how many."""
    waiting = AlertDelivery.objects.filter(source=OuterRef("pk"), outcome=Outcome.STORED)
    sources = AlertSource.objects.filter(Exists(waiting)).values_list("pk", flat=True)
    return sum(_read_source(pk) for pk in list(sources))


def _read_source(source_id: int) -> int:
    count = 0
    while True:
        with transaction.atomic():
            # A firing and its resolution must not change places, so the source's row lets one reader in.
            source = AlertSource.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=source_id).first()
            stored = AlertDelivery.objects.filter(source_id=source_id, outcome=Outcome.STORED)
            delivery = stored.order_by("received_at", "pk").first() if source else None
            if source is None or delivery is None:
                return count
            _read_or_reject(delivery)
            AlertSource.objects.filter(pk=source_id).update(last_seen_at=delivery.received_at)
            count += 1


def _read_or_reject(delivery: AlertDelivery) -> None:
    """What cannot be used is put aside with a reason: the next delivery of its source is not kept waiting for ever."""
    try:
        read(delivery)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.exception("alert_not_read", delivery=delivery.pk)
        _settle(delivery, Outcome.REJECTED, reason=f"It could not be used: {error}")


@transaction.atomic
def read(delivery: AlertDelivery) -> AlertDelivery:
    """Open or join the incident of its group, and write the delivery's fate. Nothing a sender writes makes it fail."""
    try:
        notification = alertmanager.read(bytes(delivery.raw_body))
    except Unreadable as unreadable:
        return _settle(delivery, Outcome.REJECTED, reason=str(unreadable))
    if not notification.alerts:
        # Alertmanager sends this with status resolved; it says nothing about any alert.
        return _settle(delivery, Outcome.EMPTY, reason="It names no alert, so it changes nothing.")
    if any(alert.is_firing for alert in notification.alerts):
        return _hear(_join_or_open(delivery, notification), delivery, notification)
    if group := _open_group(delivery, notification):
        return _hear(group, delivery, notification)
    return _settle(delivery, Outcome.ACCEPTED, reason="Resolved; nothing was open for this group.")


def _hear(group: AlertGroup, delivery: AlertDelivery, notification: Notification) -> AlertDelivery:
    """Fold the alerts into the group's state; tell it where something changed."""
    before = (group.fingerprints, group.truncated_count, group.state)
    group.fingerprints = _folded(group.fingerprints, notification)
    group.truncated_count = notification.truncated
    group.state = _state(group, notification)
    group.is_open = True if group.state == State.FIRING else None
    is_news = before != (group.fingerprints, group.truncated_count, group.state)
    group.delivery_count += 1
    group.last_at = max(group.last_at, delivery.received_at)
    group.save()
    if not is_news:
        return _settle(delivery, Outcome.DUPLICATE, group, "Nothing changed since the last one.")
    timeline.append(
        group.incident,
        Kind.ALERT,
        f"{group.title}: {_told(group)}",
        source=Source.ALERT,
        actor=f"alert:{group.source.name}",
        occurred_at=delivery.received_at,
        old=before[2] if before[0] else "",
        new=group.state,
    )
    return _settle(delivery, Outcome.ACCEPTED, group)


def _folded(known: dict[str, dict[str, str]], notification: Notification) -> dict[str, dict[str, str]]:
    """Each alert's own state, as last heard. Untruncated, a notification names all of its group: the rest is gone."""
    kept = dict(known) if notification.truncated else {}
    for alert in notification.alerts:
        kept[alert.fingerprint] = {
            "state": State.FIRING.value if alert.is_firing else State.RESOLVED.value,
            "name": alert.name,
            "since": alert.starts_at.isoformat() if alert.starts_at else "",
        }
    return kept


def _state(group: AlertGroup, notification: Notification) -> str:
    """Resolved only when every alert shown is, and none was left out: what is not shown may be firing."""
    if any(alert.is_firing for alert in notification.alerts) or notification.truncated:
        return State.FIRING
    return State.RESOLVED


def _told(group: AlertGroup) -> str:
    states = [alert["state"] for alert in group.fingerprints.values()]
    firing = states.count(State.FIRING)
    text = f"{firing} firing, {len(states) - firing} resolved"
    if group.truncated_count:
        text += f", {group.truncated_count} not shown"
    if group.state == State.RESOLVED:
        text += ". The source says it is over; the incident stays open until somebody closes it"
    return text + "."


def _open_group(delivery: AlertDelivery, notification: Notification) -> AlertGroup | None:
    groups = AlertGroup.objects.select_for_update(no_key=True, of=("self",)).select_related("incident", "source")
    return groups.filter(source=delivery.source, key=_key(notification), is_open=True).first()


def _join_or_open(delivery: AlertDelivery, notification: Notification) -> AlertGroup:
    """The group that is open; else the last one, while its incident is; else a new one. The constraint decides."""
    if group := _open_group(delivery, notification):
        return group
    try:
        with transaction.atomic():
            return _again(delivery, notification) or _open(delivery, notification)
    except IntegrityError:
        group = _open_group(delivery, notification)  # somebody was quicker
        if group is None:
            raise
        return group


def _again(delivery: AlertDelivery, notification: Notification) -> AlertGroup | None:
    """A cause that comes back while its incident is open belongs to it."""
    groups = AlertGroup.objects.select_for_update(no_key=True, of=("self",)).select_related("incident", "source")
    group = groups.filter(source=delivery.source, key=_key(notification)).order_by("-pk").first()
    if group is None or not group.incident.is_open:
        return None
    AlertGroup.objects.filter(pk=group.pk).update(is_open=True)
    return group


def _open(delivery: AlertDelivery, notification: Notification) -> AlertGroup:
    source = delivery.source
    incident = declare(
        notification.title,
        occurred_from=_start(notification, delivery.received_at),
        severity=notification.severity,
        status=Incident.Status.TRIAGE,
        by=f"alert:{source.name}",
        source=Source.ALERT,
    )
    return AlertGroup.objects.create(
        source=source,
        key=_key(notification),
        group_key=notification.group_key,
        title=notification.title,
        incident=incident,
        first_at=delivery.received_at,
        last_at=delivery.received_at,
    )


def _start(notification: Notification, received_at: datetime) -> datetime:
    """When the earliest alert began: not after it was heard of, and not more than a day before."""
    return max(min(notification.starts_at or received_at, received_at), received_at - EARLIEST)


def _key(notification: Notification) -> bytes:
    return hashlib.sha256(notification.group_key.encode()).digest()


def _settle(delivery: AlertDelivery, outcome: str, group: AlertGroup | None = None, reason: str = "") -> AlertDelivery:
    delivery.outcome, delivery.group, delivery.reason, delivery.parsed_at = outcome, group, reason[:300], timezone.now()
    delivery.save(update_fields=["outcome", "group", "reason", "parsed_at"])
    return delivery
