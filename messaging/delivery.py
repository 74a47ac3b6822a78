"""From a claimed row to a mail that a relay took, or to a state that says plainly why not.

Claim under a lease, commit; talk to the relay with no transaction open; commit the point of no return before the final
dot; write the answer down under the same lease. Whoever dies before that point leaves something that is safe to repeat;
whoever dies after it leaves *in doubt*.
"""

import random
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection

from messaging import health, outcomes, verp
from messaging.claiming import Claim, Texts, claim
from messaging.models import Message
from messaging.rendering import published
from messaging.routing import Routes
from messaging.transports.replies import Envelope, InDoubt, LeaseLost, NotSent, Permanent, Reply, Transport

log = structlog.get_logger(__name__)

DOT_LEASE = timedelta(seconds=660)  # for the answer to the dot: longer than the 600 s that SMTP asks us to wait
MAX_ATTEMPTS = 60  # two days and a half
FIRST_PAUSE, LONGEST_PAUSE = 30, 3600  # seconds between tries
RANDOM = random.SystemRandom()
State = Message.State

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


@cache
def routes_of_settings() -> Routes:
    """One per process: transports keep a connection per thread."""
    return Routes.of_settings()


def deliver_due(limit: int = 100, transport: Transport | None = None, *, lane: str = "") -> int:
    """Deal with what is due, oldest first; returns how many changed. Any number of workers may do so at once."""
    routes = Routes.only(transport) if transport else routes_of_settings()
    texts = cache(published)  # read once for the whole run
    routes.look_again()
    done = 0
    while done < limit and _deliver(None, routes, lane, texts):
        done += 1
    return done


def deliver(message_id: UUID | None = None, *, transport: Transport | None = None, texts: Texts = published) -> str:
    """Send this message, or the next one that is due; returns its new state, or nothing where there was none."""
    routes = Routes.only(transport) if transport else routes_of_settings()
    routes.look_again()
    return _deliver(message_id, routes, "", texts)


def _deliver(message_id: UUID | None, routes: Routes, lane: str, texts: Texts) -> str:
    claimed = claim(message_id, routes=routes, lane=lane, texts=texts)
    if isinstance(claimed, Claim):
        return send(claimed, routes)
    return claimed.state if claimed else ""


def send(claimed: Claim, routes: Routes) -> str:
    """Talk to the transport with no transaction open, and write down how it ended; returns the message's new state."""
    message, transport = claimed.message, claimed.transport
    envelope = Envelope(verp.return_path(message), message.recipient, bytes(message.raw or b""), message.pk)
    try:
        reply = transport.send(envelope, lambda: pass_point_of_no_return(claimed))
    except LeaseLost:
        log.warning("lease_lost", message=str(message.pk))
        return State.SENDING
    except NotSent as error:
        error.reply = error.reply.without(envelope.recipient)
        if error.blames_transport:
            health.failed(transport.name, str(error.reply))
            routes.look_again()
        return _not_sent(claimed, error, routes)
    except (OperationalError, InterfaceError) as error:  # at the point of no return: the end was not sent
        finish(claimed, State.RETRY_WAIT, Reply(text=f"The database went away before anything was sent: {error}"))
        raise
    state = finish(claimed, State.FILED if transport.after else State.ACCEPTED, reply.without(envelope.recipient))
    health.worked(transport.name)
    return state


def pass_point_of_no_return(claimed: Claim) -> None:
    """Commit that from here on it may have been sent. Raises LeaseLost where it is not ours any more: send no dot."""
    with connection.cursor() as cursor:
        cursor.execute(POINT_OF_NO_RETURN, _names(claimed) | {"lease_after": DOT_LEASE})
        if cursor.rowcount != 1:
            raise LeaseLost


def finish(claimed: Claim, state: str, reply: Reply, *, sent_on_to: str | None = None) -> str:
    """Write the outcome down, under the lease. While the database is away it goes to disk, and from there into the
    database as soon as that is back. `sent_on_to` names the transport that is to try at once.
    """
    outcome = outcomes.Outcome.of(claimed, state, reply, sent_on_to, pause_after(claimed.message.attempts_made))
    try:
        try:
            outcomes.write(outcome)
        except (OperationalError, InterfaceError):
            connection.close()
            outcomes.write(outcome)
    except (OperationalError, InterfaceError) as error:
        log.error("outcome_to_disk", message=str(claimed.message.pk), state=state, error=str(error))
        outcomes.keep(outcome)
    return state


def _names(claimed: Claim) -> dict[str, Any]:
    return {"message": claimed.message.pk, "lease": claimed.message.lease, "attempt": claimed.attempt.pk}


def _not_sent(claimed: Claim, error: NotSent, routes: Routes) -> str:
    if isinstance(error, InDoubt):
        log.error("message_in_doubt", message=str(claimed.message.pk), error=str(error.reply))
        return finish(claimed, State.IN_DOUBT, error.reply)
    if isinstance(error, Permanent):
        return finish(claimed, State.REJECTED, error.reply)
    if claimed.message.attempts_made >= MAX_ATTEMPTS:
        return finish(claimed, State.FAILED, error.reply)
    sent_on_to = routes.after(claimed.transport.name, claimed.message.channel) if error.blames_transport else None
    return finish(claimed, State.RETRY_WAIT, error.reply, sent_on_to=sent_on_to)


def pause_after(attempts: int) -> timedelta:
    """Twice as long each time, with jitter, so that what failed together does not come back together."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts - 1, 10))
    return timedelta(seconds=RANDOM.uniform(longest / 2, longest))
