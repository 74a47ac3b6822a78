"""A message is taken by one worker at a time: under a lease, rendered, asked about, and committed before any socket."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from messaging import gate
from messaging.freezing import FROZEN, UNREADY, freeze, freeze_from, why_not
from messaging.models import DeliveryAttempt, Message, TemplateVersion
from messaging.rendering import published
from messaging.routing import Routes
from messaging.transports.replies import Transport

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=150)  # for connecting and everything up to the final dot
NO_WAY = timedelta(seconds=15)  # before a message that nothing would take is looked at again
TOO_LATE = "Its time has passed: it is not sent any more."
MAYBE_SENT = "An earlier attempt may have been sent."
State, Lane = Message.State, Message.Lane
Texts = Callable[[str], list[TemplateVersion]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that is ours until the lease ends, and the way it takes."""

    message: Message
    attempt: DeliveryAttempt
    transport: Transport


@transaction.atomic(durable=True)
def claim(
    message_id: UUID | None = None, *, routes: Routes, lane: str = "", texts: Texts = published
) -> Claim | Message | None:
    """Take one due message under a lease, rendered and asked about. One that must not or cannot be sent is settled
    instead and given back as such; nothing due, held, or taken by another worker, is None.
    """
    message = _next(message_id, routes, lane)
    if message is None:
        return None
    if message.expires_at and Message.objects.filter(pk=message.pk, expires_at__lte=Now()).exists():
        return _settled(message, State.EXPIRED, TOO_LATE)
    try:
        if refusal := gate.refusal_of(message):
            return _settled(message, State.SUPPRESSED, refusal)
        frozen = {} if message.render_hash is not None else _frozen(message, texts)
    except UNREADY as error:
        why = why_not(error)
        log.error("message_not_rendered", message=str(message.pk), template=message.template_key, error=why)
        return _settled(message, State.RENDER_FAILED, why)
    transport = routes.choose(message, timezone.now())
    if transport is None:
        return _waits(message)
    return _taken(message, transport, frozen)


def _next(message_id: UUID | None, routes: Routes, lane: str) -> Message | None:
    """The oldest that is due, by a channel that works, held by nothing; one a person waits for before one of many."""
    channels = routes.look()
    due = Message.objects.due(Now()).filter(channel__in=channels)
    for hold in routes.holds:
        due = due.exclude(hold.about)
    due = due.order_by("not_before", "created_at").select_for_update(skip_locked=True, of=("self",))
    if message_id:
        return due.filter(pk=message_id).first()
    for wanted in [lane] if lane else [Lane.CRITICAL, Lane.BULK]:
        if message := due.filter(lane=wanted).first():
            return message
    return None


def _taken(message: Message, transport: Transport, frozen: dict[str, object]) -> Claim:
    message.state, message.lease, message.attempts_made = State.SENDING, uuid4(), message.attempts_made + 1
    message.transport = transport.name
    Message.objects.filter(pk=message.pk).update(
        state=State.SENDING,
        lease=message.lease,
        lease_until=Now() + LEASE,
        attempts_made=message.attempts_made,
        transport=message.transport,
        **frozen,
    )
    attempt = DeliveryAttempt(
        message=message,
        number=message.attempts_made,
        transport=transport.name,
        lease=message.lease or UUID(int=0),
        started_at=Now(),  # by the clock that will say when it ended: a worker's own may run ahead
    )
    attempt.save(force_insert=True)
    return Claim(message, attempt, transport)


def _waits(message: Message) -> Message:
    """A last resort works and may not have it yet, or the one transport that may be asked does not: others go first."""
    Message.objects.filter(pk=message.pk).update(not_before=Now() + NO_WAY)
    return message


def _frozen(message: Message, texts: Texts) -> dict[str, object]:
    """Fix the bytes for good, and what they were made from: of a notice the approved text, whatever is newer."""
    if message.notice and message.notice.version:
        freeze(message, message.notice.version)
    else:
        freeze_from(message, texts(message.template_key))
    return {name: getattr(message, name) for name in FROZEN}


def _settled(message: Message, state: str, why: str) -> Message:
    """What an earlier attempt may have sent is closed as unknown, never called expired or suppressed."""
    if state != State.RENDER_FAILED and message.attempts.maybe_sent().exists():
        state, why = State.CLOSED_UNKNOWN, f"{why} {MAYBE_SENT}"
    message.state, message.last_error = state, why[:500]
    settled_at = None if state == State.RENDER_FAILED else Now()
    Message.objects.filter(pk=message.pk).update(state=state, last_error=message.last_error, settled_at=settled_at)
    return message
