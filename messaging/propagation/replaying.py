"""Sent again on purpose, under the same ids: one delivery, all that failed, all that changed since; and test events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from messaging.models import Endpoint, WebhookDelivery, WebhookReplay
from messaging.propagation.fanout import CHANGE, COLUMNS, WANTED

MOST_AT_ONCE = 100_000  # one replay since a moment
State, What = WebhookDelivery.State, WebhookReplay.What
SETTLED = [State.DELIVERED, State.FAILED, State.RETRY_WAIT]

# The newest version of every key that changed since: also what changed before the endpoint was made.
KEYS = f"""
    FROM consent_consent c
    JOIN consent_historicalconsent h ON h.id = c.id AND h.version = c.version
    JOIN messaging_endpoint e ON e.id = %(endpoint)s AND {WANTED.format("h")}
   WHERE c.changed_at >= %(since)s
"""
# The same of some keys; which of them, and their versions, is what comes back.
OF_KEYS = f"""
    {COLUMNS} {CHANGE}
    FROM consent_consent c
    JOIN consent_historicalconsent h ON h.id = c.id AND h.version = c.version
    JOIN messaging_endpoint e ON e.id = %(endpoint)s AND {WANTED.format("h")}
   WHERE c.id = ANY (%(keys)s)
    ON CONFLICT (endpoint_id, kind, source_id) DO UPDATE
      SET state = 'due', not_before = EXCLUDED.not_before, tries = 0, settled_at = NULL
      WHERE d.state <> 'sending'
"""
VERSIONS = """
    SELECT c.id, d.source_id FROM consent_consent c
      JOIN consent_historicalconsent h ON h.id = c.id AND h.version = c.version
      JOIN messaging_webhookdelivery d
        ON d.endpoint_id = %(endpoint)s AND d.kind = 'consent.changed' AND d.source_id = h.history_id
     WHERE c.id = ANY (%(keys)s)
"""
COUNT = f"SELECT count(*) FROM (SELECT 1 {KEYS} LIMIT %(most)s) found"
SINCE = f"""
    {COLUMNS} {CHANGE} {KEYS}
    ON CONFLICT (endpoint_id, kind, source_id) DO UPDATE
      SET state = 'due', not_before = EXCLUDED.not_before, tries = 0, settled_at = NULL
      WHERE d.state <> 'sending'
"""


@transaction.atomic
def replay(delivery: WebhookDelivery, *, reason: str, by: User | str) -> WebhookReplay:
    """Send one again, with all its tries. Raises ValidationError while it is on its way."""
    endpoint = _ready(delivery.endpoint, reason)
    if not _requeue(WebhookDelivery.objects.filter(pk=delivery.pk)):
        raise ValidationError("It is due or on its way already.")
    return _noted(endpoint, What.ONE, 1, reason, by, delivery=delivery)


@transaction.atomic
def replay_failed(endpoint: Endpoint, *, reason: str, by: User | str) -> WebhookReplay:
    """Send again whatever was given up."""
    _ready(endpoint, reason)
    count = _requeue(WebhookDelivery.objects.filter(endpoint=endpoint, state=State.FAILED))
    return _noted(endpoint, What.FAILED, count, reason, by)


@transaction.atomic
def replay_since(endpoint: Endpoint, since: datetime, *, reason: str, by: User | str) -> WebhookReplay:
    """Send the newest version of every key that changed since: those sent before under their first ids.

    Raises ValidationError for a moment that lies ahead, or so far back that it would be more than a hundred thousand.
    """
    _ready(endpoint, reason)
    if since > timezone.now():
        raise ValidationError({"since": "This moment lies in the future."})
    names: dict[str, Any] = {"endpoint": endpoint.pk, "since": since, "most": MOST_AT_ONCE + 1}
    with connection.cursor() as cursor:
        cursor.execute(COUNT, names)
        if cursor.fetchone()[0] > MOST_AT_ONCE:
            raise ValidationError({"since": f"More than {MOST_AT_ONCE:,} keys changed since. Choose a later moment."})
        cursor.execute(SINCE, names)
        count = cursor.rowcount
    others = [WebhookDelivery.Kind.MERGED, *WebhookDelivery.OF_INCIDENTS]
    again = WebhookDelivery.objects.filter(endpoint=endpoint, kind__in=others, occurred_at__gte=since)
    return _noted(endpoint, What.SINCE, count + _requeue(again), reason, by, since=since)


@transaction.atomic
def replay_keys(endpoint: Endpoint, keys: Sequence[int], *, reason: str, by: User | str) -> dict[int, int]:
    """Send the newest version of some consents again, under their first ids; returns the version by consent. One that
    the endpoint is not told about is left out.
    """
    if not keys:
        return {}
    locked = _ready(endpoint, reason)
    names: dict[str, Any] = {"endpoint": locked.pk, "keys": list(keys)}
    with connection.cursor() as cursor:
        cursor.execute(OF_KEYS, names)
        count = cursor.rowcount
        cursor.execute(VERSIONS, names)
        told = dict(cursor.fetchall())
    if count:
        _noted(locked, What.KEYS, count, reason, by)
    return told


@transaction.atomic
def test(endpoint: Endpoint, *, reason: str, by: User | str) -> WebhookReplay:
    """Send an event that says nothing about anybody. Raises ValidationError where the endpoint is not active."""
    locked = _ready(endpoint, reason)
    if locked.state != Endpoint.State.ACTIVE:
        raise ValidationError(f"It is {locked.get_state_display()}. Resume it first.")
    delivery = WebhookDelivery.objects.create(
        endpoint=locked, kind=WebhookDelivery.Kind.TEST, occurred_at=timezone.now()
    )
    return _noted(locked, What.TEST, 1, reason, by, delivery=delivery)


def _requeue(rows: QuerySet[WebhookDelivery]) -> int:
    return rows.filter(state__in=SETTLED).update(state=State.DUE, not_before=Now(), tries=0, settled_at=None)


def _ready(endpoint: Endpoint, reason: str) -> Endpoint:
    locked = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
    if locked.state == Endpoint.State.RETIRED:
        raise ValidationError("It is retired: nothing is sent to it any more.")
    if not reason.strip():
        raise ValidationError({"reason": "Say why it is sent again."})
    return locked


def _noted(
    endpoint: Endpoint,
    what: str,
    count: int,
    reason: str,
    by: User | str,
    *,
    delivery: WebhookDelivery | None = None,
    since: datetime | None = None,
) -> WebhookReplay:
    return WebhookReplay.objects.create(
        endpoint=endpoint,
        what=what,
        count=count,
        delivery=delivery,
        since=since,
        reason=reason[:200],
        requested_by=actor_of(by),
    )
