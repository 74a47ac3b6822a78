"""What is heard about messages: each event kept once however often it is told, and folded in whatever order it comes.

The fold does not ask when an event was received, and trusts no clock further than between a bounce that may pass and a
delivery: a message that came back for good came back, whatever else was reported.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from config.text import without_addresses
from messaging.models import DeliveryAttempt, DeliveryEvent, Message

Delivery, State = Message.Delivery, Message.State


class Kind(StrEnum):
    """What may be told about a message from outside. The last six are facts beside its delivery."""

    QUEUED = "queued"
    SENT = "sent"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED_SOFT = "bounced_soft"
    BOUNCED_HARD = "bounced_hard"
    REFUSED = "refused"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    AUTORESPONDED = "autoresponded"
    REPLIED = "replied"
    REPORTED = "reported"
    ACKNOWLEDGED = "acknowledged"


RANKS: dict[str, str] = {
    Kind.QUEUED: Delivery.QUEUED,
    Kind.SENT: Delivery.QUEUED,
    Kind.DEFERRED: Delivery.DEFERRED,
    Kind.DELIVERED: Delivery.DELIVERED,
    Kind.BOUNCED_SOFT: Delivery.BOUNCED_SOFT,
    Kind.BOUNCED_HARD: Delivery.BOUNCED_HARD,
    Kind.REFUSED: Delivery.BOUNCED_HARD,
}
HEARD: list[str] = [kind.value for kind in Kind]  # what staff and sweeps do to a message is told by other kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event as its teller has it. `facts`: what makes a retold event the same one, in the order of its key."""

    source: str
    kind: str
    occurred_at: datetime
    facts: Sequence[Any]
    message_id: UUID | None = None
    recipient: bytes | None = None
    provider_id: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> bytes:
        return hashlib.sha256(json.dumps([self.source, *map(str, self.facts)]).encode()).digest()


@transaction.atomic
def record_events(events: Sequence[NewEvent]) -> list[NewEvent]:
    """Keep them and fold the messages that they are about; returns those that nobody had told before."""
    by_key = {(event.source, event.key): event for event in events}
    told = {
        (source, bytes(key))
        for source, key in DeliveryEvent.objects.filter(event_key__in=[key for _, key in by_key]).values_list(
            "source", "event_key"
        )
    }
    DeliveryEvent.objects.bulk_create([_row(event) for event in by_key.values()], ignore_conflicts=True)
    for message_id in sorted({e.message_id for e in by_key.values() if e.message_id}):
        fold(message_id)
    return [event for name, event in by_key.items() if name not in told]


def fold(message_id: UUID) -> str:
    """Work out `delivery` anew from all that was heard, and let it settle a doubt; returns the delivery."""
    message = Message.objects.select_for_update().only("pk").get(pk=message_id)
    heard = list(message.events.filter(kind__in=HEARD).values_list("kind", "occurred_at"))
    delivery = delivery_of(heard)
    complained = min((at for kind, at in heard if kind == Kind.COMPLAINED), default=None)
    acknowledged = min((at for kind, at in heard if kind == Kind.ACKNOWLEDGED), default=None)
    facts = {"delivery": delivery, "complained_at": complained, "acknowledged_at": acknowledged}
    Message.objects.filter(pk=message_id).update(**facts)
    _settle_doubt(message_id, {kind for kind, _ in heard})
    return delivery


def delivery_of(heard: Iterable[tuple[str, datetime]]) -> str:
    """none < queued < deferred < delivered; a bounce may follow a delivery, and one for good outranks everything."""
    latest: dict[str, datetime] = {}
    for kind, at in heard:
        if rank := RANKS.get(kind):
            latest[rank] = max(at, latest.get(rank, at))
    if Delivery.BOUNCED_HARD in latest:
        return Delivery.BOUNCED_HARD
    if Delivery.BOUNCED_SOFT in latest:
        delivered = latest.get(Delivery.DELIVERED)
        is_later = delivered is not None and delivered > latest[Delivery.BOUNCED_SOFT]
        return Delivery.DELIVERED if is_later else Delivery.BOUNCED_SOFT
    return next((d for d in (Delivery.DELIVERED, Delivery.DEFERRED, Delivery.QUEUED) if d in latest), Delivery.NONE)


def acknowledge(sender: object, *, message_id: UUID, subject_id: UUID, **_: Any) -> None:
    """Receiver of consent.signals.message_acknowledged: once, however often the button is pressed."""
    if Message.objects.filter(pk=message_id, subject_id=subject_id).exists():
        kind = Kind.ACKNOWLEDGED.value
        told = NewEvent(
            source="person", kind=kind, occurred_at=timezone.now(), facts=[message_id, kind], message_id=message_id
        )
        record_events([told])


def find_message(*, ids: Iterable[str] = (), provider_id: str = "") -> UUID | None:
    """By our own Message-ID or id, wherever a teller quotes it; else by the id under which a relay took it."""
    named = [number for text in ids if (number := _number(text))]
    if named and (known := set(Message.objects.filter(pk__in=named).values_list("pk", flat=True))):
        return next(number for number in named if number in known)
    if not provider_id:
        return None
    bare = provider_id.strip("<> ")
    attempts = DeliveryAttempt.objects.filter(queue_id__in={bare, f"<{bare}>", provider_id})
    return attempts.values_list("message_id", flat=True).order_by("-pk").first()


def _settle_doubt(message_id: UUID, kinds: set[str]) -> None:
    """Whatever names the message was caused by it: it was sent. A provider that would not send it says that instead."""
    if not kinds:
        return
    state = State.REJECTED if kinds == {Kind.REFUSED} else State.ACCEPTED
    Message.objects.filter(pk=message_id).open_to_evidence().update(state=state, settled_at=Now())


def _row(event: NewEvent) -> DeliveryEvent:
    return DeliveryEvent(
        message_id=event.message_id,
        source=event.source,
        event_key=event.key,
        kind=event.kind,
        occurred_at=event.occurred_at,
        recipient=event.recipient,
        provider_id=event.provider_id[:250],
        payload={
            name: without_addresses(value) if isinstance(value, str) else value for name, value in event.payload.items()
        },
    )


def _number(text: str) -> UUID | None:
    try:
        return UUID(text.strip("<> ").partition("@")[0])
    except ValueError:
        return None
