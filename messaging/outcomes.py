"""How an attempt ended: under its lease; on disk first where the database is away; as evidence where it is late."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, Self
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DataError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from config import statements
from config.text import without_addresses
from consent import journal
from messaging.models import DeliveryAttempt, Message
from messaging.services import note
from messaging.transports.replies import Reply

log = structlog.get_logger(__name__)
LOOKS_EVERY = 5.0  # seconds
State = Message.State

WRITE = """
    SELECT messaging_end_attempt($1::uuid, $2::uuid, $3::int, $4::text, $5::text, $6::int, $7::text, $8::interval,
                                 $9::text, $10::text, $11::text, $12::boolean)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt led to. Everything is text or a number, so that it can lie on disk as a line of JSON."""

    message: str
    lease: str
    attempt: int
    state: str
    error: str
    code: int | None
    status: str
    text: str
    queue_id: str
    sent_on_to: str | None
    pause_seconds: float
    known_at: str
    was_tried: bool = True

    @classmethod
    def of(
        cls,
        claimed: Any,
        state: str,
        reply: Reply,
        sent_on_to: str | None = None,
        pause: timedelta = timedelta(0),
        *,
        was_tried: bool = True,
    ) -> Self:
        return cls(
            message=str(claimed.message.pk),
            lease=str(claimed.message.lease),
            attempt=claimed.message.attempts_made,
            state=state,
            error=without_addresses(str(reply))[:500],
            code=reply.code,
            status=reply.enhanced_status[:20],
            text=without_addresses(reply.text)[:500],
            queue_id=reply.queue_id,
            sent_on_to=sent_on_to,
            pause_seconds=pause.total_seconds(),
            known_at=timezone.now().isoformat(),
            was_tried=was_tried,
        )


def values_of(outcome: Outcome) -> tuple[str | None, ...]:
    """What messaging_end_attempt() is told, in its order."""
    return (
        outcome.message,
        outcome.lease,
        str(outcome.attempt),
        outcome.state,
        outcome.error,
        None if outcome.code is None else str(outcome.code),
        outcome.sent_on_to,
        f"{outcome.pause_seconds} seconds",
        outcome.status,
        outcome.text,
        outcome.queue_id,
        str(outcome.was_tried),
    )


def write(outcome: Outcome) -> None:
    """Into the rows, if the lease is still this attempt's; else as evidence into the message's story."""
    if not all(statements.ask(WRITE, values_of(outcome))):
        too_late(outcome)


def keep(outcome: Outcome) -> None:
    """On disk when it returns, its folder made where it is missing: an acceptance that nobody wrote down would be sent
    again.
    """
    journal.append(_folder() / journal.JOURNAL, json.dumps(asdict(outcome)).encode() + b"\n")


def replay() -> int:
    """Write what waits on disk, oldest first; returns how many. Raises the database's error while it is away."""
    folder = _folder()
    if not journal.waiting(folder):
        return 0
    with journal.alone(folder) as is_mine:
        return sum(_replay_file(path) for path in journal.taken_over(folder)) if is_mine else 0


def keep_replaying(ended: Event, every: float = LOOKS_EVERY) -> None:
    """For a thread of each process that sends: what lies on this host's disk is written down within seconds once the
    database is back, and before a lease ends, also where nothing else is due and no sweep comes by here.
    """
    while not ended.wait(every):
        try:
            replay()
        except Exception as error:  # it lies where it lay
            log.warning("outcomes_not_replayed", error=str(error))
        finally:
            connection.close()  # of this thread; next to always there is none


def _replay_file(path: Path) -> int:
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.strip()]
    count = 0
    for line in lines:
        try:
            outcome = Outcome(**json.loads(line))
        except (ValueError, TypeError):
            log.error("outcome_unreadable", file=path.name)  # a crash cut it off: the lease's end says the rest
            continue
        try:
            write(replace(outcome, pause_seconds=0))
        except DataError as error:  # it would keep those after it waiting, at each try anew
            journal.put_aside(path.parent, line, str(error))
            continue
        count += 1
    journal.done_with(path)
    return count


@transaction.atomic
def too_late(outcome: Outcome) -> None:
    """The lease ended before the answer came. The answer is evidence all the same, and settles a doubt. Told once."""
    if not outcome.was_tried:
        return
    message = Message.objects.select_for_update().filter(pk=UUID(outcome.message)).first()
    if message is None or _is_written(message, outcome):
        return
    facts = {"attempt": outcome.attempt, "outcome": outcome.state, "reply": outcome.error, "at": outcome.known_at}
    note(message, "relay", "late_reply", facts, at=datetime.fromisoformat(outcome.known_at))
    doubtful = Message.objects.filter(pk=message.pk)
    if outcome.state == State.ACCEPTED:  # whichever attempt it answers, and also where the next copy waits already
        doubtful.open_to_evidence().update(state=State.ACCEPTED, settled_at=Now())
    elif message.state == State.IN_DOUBT and message.attempts_made == outcome.attempt:
        if outcome.state == State.REJECTED:
            doubtful.update(state=State.REJECTED, settled_at=Now())
        elif outcome.state == State.RETRY_WAIT:
            doubtful.update(state=State.RETRY_WAIT, not_before=Now())


def _is_written(message: Message, outcome: Outcome) -> bool:
    """A replay that was cut short comes by again, and so does a commit whose answer was lost."""
    attempts = DeliveryAttempt.objects.filter(message=message, number=outcome.attempt, lease=UUID(outcome.lease))
    return attempts.filter(outcome=outcome.state, ended_at__isnull=False, queue_id=outcome.queue_id).exists()


def _folder() -> Path:
    return Path(settings.SPOOL_DIR) / "outcomes"
