"""Posts of providers: kept as they came, answered at once, read later; a refused one is kept with its reason."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta

import structlog
from anymail.signals import AnymailInboundEvent, AnymailTrackingEvent
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from config.text import without_addresses
from messaging import suppressing
from messaging.events import Kind, NewEvent, record_events
from messaging.inbound import desk, mail, providers, text_messages
from messaging.inbound.consequences import complained, identity_of, said_no, said_no_by_address
from messaging.inbound.opting_out import COMPLAINT, PROVIDER
from messaging.inbound.text_messages import Unreadable
from messaging.inbound.wordings import Verdict
from messaging.models import HookDelivery, InboundMessage, Message

log = structlog.get_logger(__name__)
Outcome, What = HookDelivery.Outcome, HookDelivery.Kind
AT_ONCE = 100
KEPT = timedelta(days=30)  # as they came
MOST_FORGOTTEN = 1000  # at once
NOES: dict[str, str] = {Kind.COMPLAINED: COMPLAINT, Kind.UNSUBSCRIBED: PROVIDER}
REFUSED_KEPT = 60  # a minute: a stranger must not fill the table
REFUSED_BYTES = 2048  # of each


def keep(provider: str, kind: str, body: bytes, headers: Mapping[str, str], refusal: str = "") -> HookDelivery | None:
    """Keep a post; None for a refused one when too many were refused within the last minute."""
    if refusal:
        since = timezone.now() - timedelta(minutes=1)
        if HookDelivery.objects.filter(outcome=Outcome.REFUSED, received_at__gt=since).count() >= REFUSED_KEPT:
            return None
    kept = {name: headers[name][:200] for name in ("content-type", *providers.KEPT_HEADERS) if headers.get(name)}
    return HookDelivery.objects.create(
        provider=provider[:50],
        kind=kind,
        headers=kept,
        body=body[:REFUSED_BYTES] if refusal else body,
        body_digest=hashlib.sha256(body).digest(),
        outcome=Outcome.REFUSED if refusal else Outcome.STORED,
        reason=refusal[:300],
    )


def read_stored(limit: int = AT_ONCE) -> int:
    """Read what waits, oldest first; any number of readers may do so at once. Returns how many."""
    done = 0
    while done < limit and _read_next():
        done += 1
    return done


def forget() -> int:
    """Posts name people, and what they said is in the stories of messages by then: of old ones the digest stays. Not of
    those that a person has still to look at.
    """
    old = HookDelivery.objects.exclude(outcome=Outcome.STORED).filter(
        ~Exists(InboundMessage.objects.for_a_person().filter(hook=OuterRef("pk"))),
        body__isnull=False,
        received_at__lt=timezone.now() - KEPT,
    )
    return HookDelivery.objects.filter(pk__in=old.values("pk")[:MOST_FORGOTTEN]).update(body=None)


@transaction.atomic
def _read_next() -> bool:
    waiting = HookDelivery.objects.select_for_update(skip_locked=True).filter(outcome=Outcome.STORED)
    delivery = waiting.order_by("received_at", "pk").first()
    if delivery is None:
        return False
    try:
        with transaction.atomic():
            count = _read(delivery)
        delivery.outcome = Outcome.READ if count else Outcome.EMPTY
    except (OperationalError, InterfaceError):
        raise
    except Unreadable as error:
        delivery.outcome, delivery.reason = Outcome.REJECTED, str(error)  # our own words
    except Exception as error:  # the next one is not kept waiting for ever
        log.exception("hook_not_read", delivery=delivery.pk)
        delivery.outcome, delivery.reason = (
            Outcome.REJECTED,
            f"It could not be used: {without_addresses(str(error))}"[:300],
        )
    delivery.read_at = timezone.now()
    delivery.save(update_fields=["outcome", "reason", "read_at"])
    return True


def _read(delivery: HookDelivery) -> int:
    """How much news it held."""
    body = bytes(delivery.body or b"")
    if delivery.kind == What.TEXT:
        text_messages.store(body, source=delivery.provider)
        return 1
    request = providers.request_of(body, delivery.headers.get("content-type", ""), delivery.headers)
    events = providers.parse(delivery.provider, delivery.kind, request)
    return sum(_take(delivery, event) for event in events)


def _take(delivery: HookDelivery, event: AnymailTrackingEvent | AnymailInboundEvent) -> int:
    if isinstance(event, AnymailInboundEvent):
        if event.message is None:
            return 0
        raw = event.message.as_bytes()
        recipient, sender = event.message.envelope_recipient or "", event.message.envelope_sender or ""
        mail.store(raw, source=delivery.provider, sender=sender, recipient=recipient)
        return 1
    found = providers.event_of(delivery.provider, event, delivery.received_at)
    if found is None:
        return 0
    _follow(delivery, *found, address=str(event.recipient or ""))
    return 1


def _follow(delivery: HookDelivery, event: NewEvent, verdict: Verdict, *, address: str) -> None:
    """The event into the message's story, and what it means for the address and the person."""
    message = (
        Message.objects.defer("sealed_raw", "sealed_context").filter(pk=event.message_id).first()
        if event.message_id
        else None
    )
    if message is not None and event.kind == Kind.COMPLAINED:
        complained(message, event)
        return
    if not record_events([event]):
        return
    if message is None:
        if event.kind in NOES:
            _no_without_message(delivery, event, address)
        return
    if event.kind == Kind.UNSUBSCRIBED:
        said_no(message, event, PROVIDER, reasons=["provider_unsubscribe"], confidence=90)
    if event.kind == Kind.BOUNCED_HARD and (digest := suppressing.digest_of_recipient(message)):
        suppressing.for_bounce(digest, verdict, message.pk)


def _no_without_message(delivery: HookDelivery, event: NewEvent, address: str) -> None:
    """The provider proved itself at the door, so its word about an address counts; without one a person finds out."""
    if identity := identity_of(address):
        said_no_by_address(identity, event, NOES[event.kind])
        return
    is_complaint = event.kind == Kind.COMPLAINED
    desk.wait_for_a_person(
        InboundMessage.Kind.COMPLAINT if is_complaint else InboundMessage.Kind.UNSUBSCRIBE,
        f"{'A complaint' if is_complaint else 'An unsubscribe'} that names neither a message of ours nor an address: "
        f"{delivery} holds what was said. Whose it is, a person must find out.",
        hook=delivery,
        digest=event.key,
    )
