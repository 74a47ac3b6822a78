"""Messages are taken by one worker at a time: under a lease, rendered, asked about, and committed before any socket."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from config import statements
from messaging import gate
from messaging.freezing import FROZEN, UNREADY, Texts, freeze, why_not
from messaging.models import Message, TemplateVersion
from messaging.rendering import published
from messaging.routing import Routes
from messaging.transports.replies import UNTIL_END, Transport

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=UNTIL_END)  # whoever is not so far by then sends no end, and another one begins anew
NO_WAY = timedelta(seconds=15)  # before a message that nothing would take is looked at again
TOO_LATE = "Its time has passed: it is not sent any more."
MAYBE_SENT = "An earlier attempt may have been sent."
State, Lane = Message.State, Message.Lane

# Begun by the clock that will say when it ended: a worker's own may run ahead.
TAKE = """
    WITH claim AS (
      SELECT * FROM unnest(%(messages)s::uuid[], %(leases)s::uuid[], %(numbers)s::int[], %(transports)s::text[])
                 AS claim (message_id, lease, number, transport)
    ), taken AS (
      UPDATE messaging_message
         SET state = 'sending', lease = claim.lease, lease_until = clock_timestamp() + %(length)s::interval,
             attempts_made = claim.number, transport = claim.transport
        FROM claim WHERE id = claim.message_id
    )
    INSERT INTO messaging_deliveryattempt
           (message_id, number, transport, lease, phase, outcome, enhanced_status, reply_text, queue_id, started_at)
    SELECT message_id, number, transport, lease, 'intent', '', '', '', '', clock_timestamp() FROM claim
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that is ours until the lease ends, and the way it takes: its attempt is the one it made last."""

    message: Message
    transport: Transport


@transaction.atomic(durable=True)
def claim(
    at_most: int = 1,
    *,
    routes: Routes,
    message_id: UUID | None = None,
    lane: str = "",
    texts: Texts = published,
) -> list[Claim | Message]:
    """Take due messages under a lease, rendered and asked about. One that must not or cannot be sent is settled
    instead and given back as such. Empty: nothing is due, or it is held, or other workers have it.
    """
    due = _next(at_most, message_id, routes, lane)
    late = _late(due)
    asked = [message for message in due if message.pk not in late]
    refusals = dict(zip((message.pk for message in asked), gate.refusals_of(asked), strict=True))
    settled: list[Claim | Message] = []
    claims: list[Claim] = []
    for message in due:
        if message.pk in late:
            settled.append(_settled(message, State.EXPIRED, TOO_LATE))
        elif refusal := refusals[message.pk]:
            settled.append(_settled(message, State.SUPPRESSED, refusal))
        elif isinstance(ready := _ready(message, routes, texts), Message):
            settled.append(ready)
        elif not claims or (claims[0].transport.tells_when_long and ready.transport.tells_when_long):
            claims.append(ready)  # else it is left to the next claim
    _take(claims)
    return [*settled, *claims]


def _next(at_most: int, message_id: UUID | None, routes: Routes, lane: str) -> list[Message]:
    """The oldest that are due, by a channel that works, held by nothing; of the most urgent lane that has any."""
    channels = routes.look()
    due = Message.objects.due(Now()).filter(channel__in=channels)
    for hold in routes.holds:
        due = due.exclude(hold.about)
    due = due.order_by("not_before", "created_at").select_for_update(skip_locked=True, of=("self",))
    if message_id:
        return list(due.filter(pk=message_id))
    for wanted in [lane] if lane else Lane.values:
        if found := list(due.filter(lane=wanted)[:at_most]):
            return found
    return []


def _late(messages: Sequence[Message]) -> set[UUID]:
    """By the clock of the database, like everything that is due."""
    may_be = [message.pk for message in messages if message.expires_at]
    if not may_be:
        return set()
    return set(Message.objects.filter(pk__in=may_be, expires_at__lte=Now()).values_list("pk", flat=True))


def _ready(message: Message, routes: Routes, texts: Texts) -> Claim | Message:
    """With its bytes, and a way to take; or what stands in its way."""
    try:
        if message.recipient and not message.raw:  # when it was owed, its text could not be rendered
            freeze(message, _versions_of(message, texts))
            message.save(update_fields=FROZEN)
    except UNREADY as error:
        why = why_not(error)
        log.error("message_not_rendered", message=str(message.pk), template=message.template_key, error=why)
        return _settled(message, State.RENDER_FAILED, why)
    transport = routes.choose(message, timezone.now())
    return _waits(message) if transport is None else Claim(message, transport)


def _versions_of(message: Message, texts: Texts) -> Sequence[TemplateVersion]:
    """Of a notice the approved one, whatever is newer."""
    return [message.notice.version] if message.notice and message.notice.version else texts(message.template_key)


def _take(claims: Sequence[Claim]) -> None:
    for claimed in claims:
        message = claimed.message
        message.state, message.lease, message.attempts_made = State.SENDING, uuid4(), message.attempts_made + 1
        message.transport = claimed.transport.name
    if claims:
        messages = [claimed.message for claimed in claims]
        columns: dict[str, Any] = {
            "length": LEASE,
            "messages": statements.plain(message.pk for message in messages),
            "leases": statements.plain(message.lease for message in messages),
            "numbers": statements.plain(message.attempts_made for message in messages),
            "transports": statements.texts(message.transport for message in messages),
        }
        with statements.prepared() as cursor:
            cursor.execute(TAKE, columns)


def _waits(message: Message) -> Message:
    """A last resort works and may not have it yet, or the one transport that may be asked does not: others go first."""
    Message.objects.filter(pk=message.pk).update(not_before=Now() + NO_WAY)
    return message


def _settled(message: Message, state: str, why: str) -> Message:
    """What an earlier attempt may have sent is closed as unknown, never called expired or suppressed."""
    if state != State.RENDER_FAILED and message.attempts.maybe_sent().exists():
        state, why = State.CLOSED_UNKNOWN, f"{why} {MAYBE_SENT}"
    message.state, message.last_error = state, why[:500]
    settled_at = None if state == State.RENDER_FAILED else Now()
    Message.objects.filter(pk=message.pk).update(state=state, last_error=message.last_error, settled_at=settled_at)
    return message
