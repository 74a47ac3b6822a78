"""From a claimed row to a mail that a relay took, or to a state that says plainly why not.

Claim under a lease, commit; talk to the relay with no transaction open; commit the point of no return before the final
dot; write the answer down under the same lease. Whoever dies before that point leaves something that is safe to repeat;
whoever dies after it leaves *in doubt*.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, Protocol
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection
from django.db.models.functions import Now

from messaging import health, verp
from messaging.claiming import Claim, Texts, claim
from messaging.models import DeliveryAttempt, Message
from messaging.rendering import published
from messaging.services import note
from messaging.transports import Address, InDoubt, LeaseLost, NotSent, Permanent, Relay, Reply

log = structlog.get_logger(__name__)

DOT_LEASE = timedelta(seconds=660)  # for the answer to the dot: longer than the 600 s that SMTP asks us to wait
MAX_ATTEMPTS = 60  # two days and a half
FIRST_PAUSE, LONGEST_PAUSE = 30, 3600  # seconds between tries
RANDOM = random.SystemRandom()
State, Phase = Message.State, DeliveryAttempt.Phase

# One statement, and so one transaction, which waits for the disk whatever the server's setting.
POINT_OF_NO_RETURN = """
    WITH waits AS (SELECT set_config('synchronous_commit', 'on', true)), mine AS (
      UPDATE messaging_message SET lease_until = clock_timestamp() + %(lease_after)s FROM waits
       WHERE id = %(message)s AND state = 'sending' AND lease = %(lease)s AND lease_until > clock_timestamp()
      RETURNING id
    )
    UPDATE messaging_deliveryattempt a SET phase = 'ponr' FROM mine
     WHERE a.id = %(attempt)s AND a.message_id = mine.id AND a.phase = 'intent'
"""
OUTCOME = """
    WITH mine AS (
      UPDATE messaging_message
         SET state = %(state)s, lease = NULL, lease_until = NULL,
             last_error = CASE WHEN %(state)s = 'accepted' THEN last_error ELSE %(error)s END,
             settled_at = CASE WHEN %(state)s IN ('accepted', 'rejected', 'failed') THEN clock_timestamp() END,
             not_before = CASE WHEN %(state)s = 'retry_wait' THEN clock_timestamp() + %(pause)s ELSE not_before END
       WHERE id = %(message)s AND state = 'sending' AND lease = %(lease)s
      RETURNING id
    )
    UPDATE messaging_deliveryattempt a
       SET outcome = %(state)s, reply_code = %(code)s, enhanced_status = %(status)s, reply_text = %(text)s,
           queue_id = %(queue_id)s, ended_at = clock_timestamp(),
           phase = CASE WHEN %(code)s::int IS NULL THEN phase ELSE 'replied' END
      FROM mine WHERE a.id = %(attempt)s AND a.message_id = mine.id AND a.ended_at IS NULL
"""


class Transport(Protocol):
    name: str

    def send(self, sender: str, recipient: str, raw: bytes, before_dot: Callable[[], None]) -> Reply: ...


@cache
def relay() -> Relay:
    """The relay of EMAIL_URL, with a connection per thread."""
    return Relay(Address.from_settings())


def deliver_due(limit: int = 100, transport: Transport | None = None) -> int:
    """Deal with what is due, oldest first; returns how many changed. Any number of workers may do so at once."""
    transport = transport or relay()
    texts = cache(published)  # read once for the whole run
    done = 0
    is_usable = health.is_usable(transport.name)
    while is_usable and done < limit and (state := deliver(transport=transport, texts=texts)):
        done += 1
        if state != State.ACCEPTED:
            is_usable = health.is_usable(transport.name)
    return done


def deliver(message_id: UUID | None = None, *, transport: Transport | None = None, texts: Texts = published) -> str:
    """Send this message, or the next one that is due; returns its new state, or nothing where there was none."""
    transport = transport or relay()
    claimed = claim(message_id, transport=transport.name, texts=texts)
    if isinstance(claimed, Claim):
        return send(claimed, transport)
    return claimed.state if claimed else ""


def send(claimed: Claim, transport: Transport) -> str:
    """Talk to the relay with no transaction open, and write down how it ended; returns the message's new state."""
    message = claimed.message
    recipient, sender = message.recipient, verp.return_path(message)
    try:
        reply = transport.send(sender, recipient, bytes(message.raw or b""), lambda: pass_point_of_no_return(claimed))
    except LeaseLost:
        log.warning("lease_lost", message=str(message.pk))
        return State.SENDING
    except NotSent as error:
        error.reply = error.reply.without(recipient)
        if error.blames_transport:
            health.failed(transport.name, str(error.reply))
        return _not_sent(claimed, error)
    state = finish(claimed, State.ACCEPTED, reply.without(recipient))
    health.worked(transport.name)
    return state


def pass_point_of_no_return(claimed: Claim) -> None:
    """Commit that from here on it may have been sent. Raises LeaseLost where it is not ours any more: send no dot."""
    with connection.cursor() as cursor:
        cursor.execute(POINT_OF_NO_RETURN, _names(claimed) | {"lease_after": DOT_LEASE})
        if cursor.rowcount != 1:
            raise LeaseLost


def finish(claimed: Claim, state: str, reply: Reply) -> str:
    """Write the outcome down, under the lease. A database that went away meanwhile is asked once more."""
    try:
        is_mine = _finish(claimed, state, reply)
    except (OperationalError, InterfaceError):
        connection.close()
        is_mine = _finish(claimed, state, reply)
    if not is_mine:
        _too_late(claimed, state, reply)
    return state


def _finish(claimed: Claim, state: str, reply: Reply) -> bool:
    facts: dict[str, Any] = {
        "state": state,
        "error": str(reply)[:500],
        "pause": pause_after(claimed.message.attempts_made),
        "code": reply.code,
        "status": reply.enhanced_status[:20],
        "text": reply.text[:500],
        "queue_id": reply.queue_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(OUTCOME, _names(claimed) | facts)
        return cursor.rowcount == 1


def _names(claimed: Claim) -> dict[str, Any]:
    return {"message": claimed.message.pk, "lease": claimed.message.lease, "attempt": claimed.attempt.pk}


def _too_late(claimed: Claim, state: str, reply: Reply) -> None:
    """The lease ended before the answer came. The answer is evidence all the same, and settles a doubt."""
    facts = {"attempt": claimed.attempt.number, "outcome": state, "reply": str(reply)}
    note(claimed.message, "relay", "late_reply", facts)
    if state in (State.ACCEPTED, State.REJECTED):
        doubtful = Message.objects.filter(pk=claimed.message.pk, state=State.IN_DOUBT)
        doubtful.filter(attempts_made=claimed.attempt.number).update(state=state, settled_at=Now())


def _not_sent(claimed: Claim, error: NotSent) -> str:
    if isinstance(error, InDoubt):
        log.error("message_in_doubt", message=str(claimed.message.pk), error=str(error.reply))
        return finish(claimed, State.IN_DOUBT, error.reply)
    if isinstance(error, Permanent):
        return finish(claimed, State.REJECTED, error.reply)
    is_last = claimed.message.attempts_made >= MAX_ATTEMPTS
    return finish(claimed, State.FAILED if is_last else State.RETRY_WAIT, error.reply)


def pause_after(attempts: int) -> timedelta:
    """Twice as long each time, with jitter, so that what failed together does not come back together."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts - 1, 10))
    return timedelta(seconds=RANDOM.uniform(longest / 2, longest))
