"""From a claimed row to a mail that a relay took, or to a state that says plainly why not.

Claim under a lease, commit; talk to the relay with no transaction open; commit the point of no return before the final
dot; write the answer down under the same lease. Whoever dies before that point leaves something that is safe to repeat;
whoever dies after it leaves *in doubt*.
"""

import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.models.functions import Now

from config import statements
from messaging import health, outcomes, suppressing, verp
from messaging.claiming import Claim, claim
from messaging.freezing import Texts
from messaging.models import Message
from messaging.rendering import published
from messaging.routing import Routes
from messaging.transports.replies import (
    AFTER_END,
    Envelope,
    InDoubt,
    LeaseLost,
    NotSent,
    Permanent,
    Refused,
    Reply,
    Temporary,
    Transport,
    patient,
)

log = structlog.get_logger(__name__)

DOT_LEASE = timedelta(seconds=AFTER_END + 60)  # for the answer to the end, and for writing it down
GIVE_UP_AFTER, LEAST_TRIES = timedelta(hours=60), 20  # what was held in between has its tries all the same
FIRST_PAUSE, LONGEST_PAUSE = 30, 3600  # seconds between tries
RANDOM = random.SystemRandom()
AT_ONCE, GROWTH = 50, 4  # messages by one claim at most, and times as many as by the one before
FRESH = 1.0  # seconds for which the answers at a claim are good: may this one go, and which way
NOT_TRIED = Reply(text="Not tried: it was given back, since the one before it met a fault or took long.")
State = Message.State

POINT_OF_NO_RETURN = "SELECT messaging_pass_point($1::uuid, $2::uuid, $3::int, $4::interval)"
# The same, and the outcome of the message before it: one commit for both.
NEXT_POINT = """
    SELECT ended, passed
      FROM messaging_pass_on($1::uuid, $2::uuid, $3::int, $4::text, $5::text, $6::int, $7::text, $8::interval, $9::text,
                             $10::text, $11::text, $12::boolean, $13::uuid, $14::uuid, $15::int, $16::interval)
"""


@cache
def routes_of_settings() -> Routes:
    """One per process: transports keep a connection per thread."""
    return Routes.of_settings()


def deliver_due(
    limit: int = 100, transport: Transport | None = None, *, lane: str = "", seconds: float = math.inf
) -> int:
    """Deal with what is due, oldest first; returns how many changed. Any number of workers may do so at once. After so
    many seconds nothing more is taken.

    Few statements take several messages at a time, as many as leave within half the time that a claim is good for.
    After a fault the run takes them one by one, so that a relay which stalls or is gone has next to nothing in hand.
    """
    routes = Routes.only(transport) if transport else routes_of_settings()
    texts = cache(published)  # read once for the whole run
    routes.look_again()
    done, at_once, growth = 0, 1, GROWTH
    ends = time.monotonic() + seconds
    while done < limit and (dealt_with := claim(min(at_once, limit - done), routes=routes, lane=lane, texts=texts)):
        done += len(dealt_with)
        began = time.monotonic()
        if not _send_all([one for one in dealt_with if isinstance(one, Claim)], routes):
            at_once, growth = 1, 1
        if time.monotonic() >= ends:
            break
        each = (time.monotonic() - began) / len(dealt_with)
        at_once = max(1, min(at_once * growth, AT_ONCE, int(FRESH / 2 / max(each, 0.001))))
    return done


def deliver(message_id: UUID | None = None, *, transport: Transport | None = None, texts: Texts = published) -> str:
    """Send this message, or the next one that is due; returns its new state, or nothing where there was none."""
    routes = Routes.only(transport) if transport else routes_of_settings()
    routes.look_again()
    for one in claim(routes=routes, message_id=message_id, texts=texts):
        return send(one, routes) if isinstance(one, Claim) else one.state
    return ""


def _send_all(claims: Sequence[Claim], routes: Routes) -> bool:
    """One after the other, as long as they leave quickly, and whether all did. What is left else was not tried, and is
    given back: to whoever is next, or to what works by then.
    """
    waiting, last = deque(claims), Unwritten()
    fresh_until = time.monotonic() + FRESH

    def give_back() -> None:
        last.write()
        while waiting:
            _write_down(outcomes.Outcome.of(waiting.popleft(), State.RETRY_WAIT, NOT_TRIED, was_tried=False))

    try:
        while waiting:
            send(waiting.popleft(), routes, last, give_back)
            if routes.is_stale or time.monotonic() > fresh_until:
                break
    finally:
        give_back()
    return not routes.is_stale and time.monotonic() < fresh_until


def send(
    claimed: Claim, routes: Routes, last: "Unwritten | None" = None, takes_long: Callable[[], None] = patient
) -> str:
    """Talk to the transport with no transaction open, and write down how it ended; returns the message's new state.

    `last`: the outcome of the message before, which nobody wrote down yet; this one's takes its place.
    `takes_long`: called where somebody should not wait behind this message any longer.
    """
    unwritten = last or Unwritten()
    message, transport = claimed.message, claimed.transport
    envelope = Envelope(verp.return_path(message), message.recipient, message.raw, message.pk)

    try:
        try:
            reply = transport.send(envelope, lambda: pass_point_of_no_return(claimed, unwritten), takes_long)
        finally:
            unwritten.write()
    except LeaseLost:
        log.warning("lease_lost", message=str(message.pk))
        routes.look_again()  # we slept: whatever we knew is old
        return State.SENDING
    except NotSent as error:
        error.reply = error.reply.without(envelope.recipient)
        return _not_sent(claimed, _as_believed(error, transport, routes), routes)
    except (OperationalError, InterfaceError) as error:  # at the point of no return: the end was not sent
        finish(claimed, State.RETRY_WAIT, Reply(text=f"The database went away before anything was sent: {error}"))
        raise
    health.worked(transport.name)
    state = State.FILED if transport.after else State.ACCEPTED
    unwritten.outcome = _outcome(claimed, state, reply.without(envelope.recipient))
    if last is None:
        unwritten.write()
    return state


def pass_point_of_no_return(claimed: Claim, last: "Unwritten | None" = None) -> None:
    """Commit that from here on it may have been sent, and with it the outcome of the message before. Raises LeaseLost
    where it is not ours any more: send no dot.
    """
    message = claimed.message
    values = (str(message.pk), str(message.lease), str(message.attempts_made), f"{DOT_LEASE.total_seconds()} seconds")
    outcome = last.take() if last else None
    if outcome is None:
        [is_ours] = statements.ask(POINT_OF_NO_RETURN, values)
    else:
        try:
            was_written, is_ours = statements.ask(NEXT_POINT, (*outcomes.values_of(outcome), *values))
        except (DatabaseError, InterfaceError):  # whichever of the two it is about, what is known is written down
            _once_more(outcome)
            raise
        if not was_written:
            outcomes.too_late(outcome)
    if not is_ours:
        raise LeaseLost


class Unwritten:
    """The outcome of a message, which is written down together with the next one's point of no return; by itself where
    none is near.
    """

    def __init__(self) -> None:
        self.outcome: outcomes.Outcome | None = None

    def take(self) -> outcomes.Outcome | None:
        outcome, self.outcome = self.outcome, None
        return outcome

    def write(self) -> None:
        if outcome := self.take():
            _write_down(outcome)


def _once_more(outcome: outcomes.Outcome) -> None:
    connection.close()
    try:
        outcomes.write(outcome)
    except (OperationalError, InterfaceError) as error:
        log.error("outcome_to_disk", message=outcome.message, state=outcome.state, error=str(error))
        outcomes.keep(outcome)


def finish(claimed: Claim, state: str, reply: Reply, *, sent_on_to: str | None = None) -> str:
    """Write the outcome down, under the lease. `sent_on_to` names the transport that is to try at once."""
    _write_down(_outcome(claimed, state, reply, sent_on_to))
    return state


def _write_down(outcome: outcomes.Outcome) -> None:
    """While the database is away it goes to disk, and from there into the database as soon as that is back."""
    try:
        outcomes.write(outcome)
    except (OperationalError, InterfaceError):
        _once_more(outcome)


def _outcome(claimed: Claim, state: str, reply: Reply, sent_on_to: str | None = None) -> outcomes.Outcome:
    pause = timedelta(0) if sent_on_to else pause_after(claimed.message.tries)
    return outcomes.Outcome.of(claimed, state, reply, sent_on_to, pause)


def _as_believed(error: NotSent, transport: Transport, routes: Routes) -> NotSent:
    """A refusal of everybody is the transport's own trouble, in whatever words it is said."""
    if isinstance(error, Permanent) and error.reply.code and not health.refused(transport.name):
        error = Temporary(error.reply, blames_transport=True)
    if error.blames_transport:
        health.failed(transport.name, str(error.reply))
        routes.look_again()
    return error


def _not_sent(claimed: Claim, error: NotSent, routes: Routes) -> str:
    if isinstance(error, InDoubt):
        log.error("message_in_doubt", message=str(claimed.message.pk), error=str(error.reply))
        return finish(claimed, State.IN_DOUBT, error.reply)
    if isinstance(error, Permanent):
        state = finish(claimed, State.REJECTED, error.reply)
        if isinstance(error, Refused):
            suppressing.for_refusal(claimed.message, str(error.reply))
        return state
    if is_spent(claimed.message):
        return finish(claimed, State.FAILED, error.reply)
    sent_on_to = routes.after(claimed.transport.name, claimed.message.channel) if error.blames_transport else None
    return finish(claimed, State.RETRY_WAIT, error.reply, sent_on_to=sent_on_to)


def is_spent(message: Message) -> bool:
    """Tried often, and for so long, by whatever there was: another try would hardly be the one that helps."""
    if message.tries < LEAST_TRIES:
        return False
    return message.attempts.filter(started_at__lte=Now() - GIVE_UP_AFTER).exists()


def pause_after(attempts: int) -> timedelta:
    """Twice as long each time, with jitter, so that what failed together does not come back together."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(max(attempts, 1) - 1, 10))
    return timedelta(seconds=RANDOM.uniform(longest / 2, longest))
