"""From a row that waits to a mail that a relay took, or to a state that says plainly why not.

Claim under a lease, commit; talk to the relay with no transaction open; commit the point of no return before the final
dot; write the answer down under the same lease. Whoever dies before that point leaves something that is safe to repeat;
whoever dies after it leaves *in doubt*.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from functools import cache
from typing import Any, Protocol
from uuid import UUID, uuid4

import structlog
from cryptography.exceptions import InvalidTag
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now

from messaging import gate, health
from messaging.composing import compose, preferences_url
from messaging.models import DeliveryAttempt, Message
from messaging.rendering import RenderError, render
from messaging.services import note
from messaging.transports import Address, InDoubt, LeaseLost, NotSent, Permanent, Relay, Reply

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=150)  # for connecting and everything up to the final dot
DOT_LEASE = timedelta(seconds=660)  # for the answer to it: longer than the 600 s that SMTP asks us to wait
MAX_ATTEMPTS = 60  # two days and a half
FIRST_PAUSE, LONGEST_PAUSE = 30, 3600  # seconds between tries
RANDOM = random.SystemRandom()
State, Phase = Message.State, DeliveryAttempt.Phase


class Transport(Protocol):
    name: str

    def send(self, sender: str, recipient: str, raw: bytes, before_dot: Callable[[], None]) -> Reply: ...


@cache
def relay() -> Relay:
    """The relay of EMAIL_URL, with a connection per thread."""
    return Relay(Address.from_settings())


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that is ours until the lease ends."""

    message: Message
    attempt: DeliveryAttempt


def deliver_due(limit: int = 100, transport: Transport | None = None) -> int:
    """Deal with what is due, oldest first; returns how many changed. Any number of workers may do so at once."""
    transport = transport or relay()
    for done in range(limit):
        if not health.is_usable(transport.name) or not deliver(transport=transport):
            return done
    return limit


def deliver(message_id: UUID | None = None, *, transport: Transport | None = None) -> str:
    """Send this message, or the next one that is due; returns its new state, or nothing where there was none."""
    transport = transport or relay()
    claimed = claim(message_id, transport=transport.name)
    if claimed is None or isinstance(claimed, Message):
        return claimed.state if claimed else ""
    return send(claimed, transport)


@transaction.atomic(durable=True)
def claim(message_id: UUID | None = None, *, transport: str) -> Claim | Message | None:
    """Take one due message under a lease, rendered and asked about. One that must not or cannot be sent is settled
    instead and given back as such; nothing due, or taken by another worker, is None.
    """
    due = Message.objects.due(Now()).order_by("not_before", "created_at").select_for_update(skip_locked=True)
    message = (due.filter(pk=message_id) if message_id else due).first()
    if message is None:
        return None
    if message.expires_at and Message.objects.filter(pk=message.pk, expires_at__lte=Now()).exists():
        return _settled(message, State.EXPIRED, "Its time had passed before it could be sent.")
    try:
        if refusal := gate.refusal_of(message):
            return _settled(message, State.SUPPRESSED, refusal)
        if message.render_hash is None:
            _render(message)
    except (RenderError, InvalidTag) as error:  # one that cannot be made ready must not keep the others waiting
        why = str(error) or "The address cannot be opened: was PRIVACY_KEY changed since it was stored?"
        log.error("message_not_rendered", message=str(message.pk), template=message.template_key, error=why)
        return _settled(message, State.RENDER_FAILED, why)
    lease = uuid4()
    message.state, message.lease, message.attempts_made = State.SENDING, lease, message.attempts_made + 1
    Message.objects.filter(pk=message.pk).update(
        state=State.SENDING,
        lease=lease,
        lease_until=Now() + LEASE,
        attempts_made=message.attempts_made,
        raw=message.raw,
        render_hash=message.render_hash,
        template_version=message.template_version_id,
        is_degraded=message.is_degraded,
    )
    attempt = DeliveryAttempt.objects.create(
        message=message, number=message.attempts_made, transport=transport, lease=lease
    )
    return Claim(message, attempt)


def send(claimed: Claim, transport: Transport) -> str:
    """Talk to the relay with no transaction open, and write down how it ended; returns the message's new state."""
    message = claimed.message
    sender = parseaddr(settings.MAIL_FROM)[1]
    try:
        reply = transport.send(
            sender, message.recipient, bytes(message.raw or b""), lambda: pass_point_of_no_return(claimed)
        )
    except LeaseLost:
        log.warning("lease_lost", message=str(message.pk))
        return State.SENDING
    except NotSent as error:
        error.reply = error.reply.without(message.recipient)
        if error.blames_transport:
            health.failed(transport.name, str(error.reply))
        return _not_sent(claimed, error)
    state = finish(claimed, State.ACCEPTED, reply.without(message.recipient))
    health.worked(transport.name)
    return state


def pass_point_of_no_return(claimed: Claim) -> None:
    """Commit that from here on it may have been sent. Raises LeaseLost where it is not ours any more: send no dot."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = on")
        mine = Message.objects.filter(
            pk=claimed.message.pk, state=State.SENDING, lease=claimed.message.lease, lease_until__gt=Now()
        ).update(lease_until=Now() + DOT_LEASE)
        if not mine:
            raise LeaseLost
        DeliveryAttempt.objects.filter(pk=claimed.attempt.pk, phase=Phase.INTENT).update(phase=Phase.PONR)


def finish(claimed: Claim, state: str, reply: Reply, **changes: Any) -> str:
    """Write the outcome down, under the lease. A database that went away meanwhile is asked once more."""
    try:
        return _finish(claimed, state, reply, changes)
    except (OperationalError, InterfaceError):
        connection.close()
        return _finish(claimed, state, reply, changes)


@transaction.atomic
def _finish(claimed: Claim, state: str, reply: Reply, changes: dict[str, Any]) -> str:
    if state in (State.ACCEPTED, State.REJECTED, State.FAILED):
        changes["settled_at"] = Now()
    if state != State.ACCEPTED:
        changes["last_error"] = str(reply)[:500]
    mine = Message.objects.filter(pk=claimed.message.pk, state=State.SENDING, lease=claimed.message.lease).update(
        state=state, lease=None, lease_until=None, **changes
    )
    if not mine:
        return _too_late(claimed, state, reply)
    has_reply = reply.code is not None
    end_attempt(claimed.attempt.pk, state, reply, **({"phase": Phase.REPLIED} if has_reply else {}))
    return state


def end_attempt(attempt_id: int, outcome: str, reply: Reply, **changes: Any) -> None:
    DeliveryAttempt.objects.filter(pk=attempt_id, ended_at=None).update(
        outcome=outcome,
        reply_code=reply.code,
        enhanced_status=reply.enhanced_status[:20],
        reply_text=reply.text[:500],
        queue_id=reply.queue_id,
        ended_at=Now(),
        **changes,
    )


def _too_late(claimed: Claim, state: str, reply: Reply) -> str:
    """The lease ended before the answer came. The answer is evidence all the same, and settles a doubt."""
    note(
        claimed.message,
        "relay",
        "late_reply",
        {"attempt": claimed.attempt.number, "outcome": state, "reply": str(reply)},
    )
    if state in (State.ACCEPTED, State.REJECTED):
        Message.objects.filter(
            pk=claimed.message.pk, state=State.IN_DOUBT, attempts_made=claimed.attempt.number
        ).update(state=state, settled_at=Now())
    return state


def _not_sent(claimed: Claim, error: NotSent) -> str:
    message = claimed.message
    if isinstance(error, InDoubt):
        log.error("message_in_doubt", message=str(message.pk), error=str(error.reply))
        return finish(claimed, State.IN_DOUBT, error.reply)
    if isinstance(error, Permanent):
        return finish(claimed, State.REJECTED, error.reply)
    if message.attempts_made >= MAX_ATTEMPTS:
        return finish(claimed, State.FAILED, error.reply)
    return finish(claimed, State.RETRY_WAIT, error.reply, not_before=Now() + pause_after(message.attempts_made))


def pause_after(attempts: int) -> timedelta:
    """Twice as long each time, with jitter, so that what failed together does not come back together."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts - 1, 10))
    return timedelta(seconds=RANDOM.uniform(longest / 2, longest))


def _render(message: Message) -> None:
    rendered, version, is_degraded = render(
        message.template_key, message.context, locale=message.locale, preferences_url=preferences_url(message)
    )
    message.raw = compose(message, rendered, version)
    message.render_hash = hashlib.sha256(message.raw).digest()
    message.template_version, message.is_degraded = version, is_degraded


def _settled(message: Message, state: str, why: str) -> Message:
    message.state, message.last_error = state, why[:500]
    settled_at = None if state == State.RENDER_FAILED else Now()
    Message.objects.filter(pk=message.pk).update(state=state, last_error=message.last_error, settled_at=settled_at)
    return message
