"""Opt-outs that were tried and failed: kept at once, opened again when the way out works, recorded where that is safe.

An attempt is kept in the database; where that is away, sealed in a journal beside the spool's; where the disk takes
nothing either, in memory until one of them does. Keeping it never raises: it must not make a bad answer worse.
"""

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from cryptography.exceptions import InvalidTag
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError, Error, IntegrityError, connection, transaction
from django.utils import timezone

from config.keys import Seal
from config.models import User
from consent import journal, subjects
from consent.identifiers import Identity, unseal
from consent.models import Cause, Choice, InterruptedOptOut, Subject
from consent.recording import NewDecision
from consent.refusals import DecisionsRefused
from consent.services import record

log = structlog.get_logger(__name__)

State = InterruptedOptOut.State
PRODUCT = "system:interrupted"
AT_ONCE = 100
MOST_IN_MEMORY = 1000
SEAL = Seal("interrupted")
SEALED_OTHERWISE = "Their address cannot be opened: was PRIVACY_KEY changed since it was kept?"

# Who repeats an attempt within the hour is one row; an attempt after that, or after it was settled, is another. What
# comes from a journal may come twice: a settled row that counted it already says so by its last attempt.
KEEP = """
    INSERT INTO consent_interruptedoptout AS i
      (key, subject_id, identifier_kind, sealed_identifier, exit_path, purpose, channel, message_id, is_certain,
       tried_at, last_tried_at, attempts, place, error_code, error, state, settled_by, settled_reason, recorded_at)
    SELECT %(key)s, %(subject)s, %(kind)s, %(sealed)s, %(exit_path)s, %(purpose)s, %(channel)s, %(message)s,
           %(certain)s, %(at)s, %(at)s, 1, %(place)s, %(error_code)s, %(error)s, %(state)s, '', '', clock_timestamp()
     WHERE NOT EXISTS (SELECT FROM consent_interruptedoptout s
                        WHERE s.key = %(key)s AND s.settled_at IS NOT NULL AND s.last_tried_at >= %(at)s)
    ON CONFLICT (key) WHERE settled_at IS NULL DO UPDATE SET attempts = i.attempts + 1,
           last_tried_at = greatest(i.last_tried_at, EXCLUDED.last_tried_at)
"""
WORKS = """
    UPDATE consent_interruptedoptout i SET path_works_at = clock_timestamp(), state = 'open'
      FROM unnest(%s::text[], %s::timestamptz[]) AS w(exit_path, at)
     WHERE i.exit_path = w.exit_path AND i.settled_at IS NULL AND i.path_works_at IS NULL AND i.last_tried_at < w.at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """`is_certain`: who wants what is beyond doubt, so that the product may record it later by itself.

    `is_ours`: the way out was broken, not the request; it waits for the way out. `person` is None where nobody knows.
    """

    exit_path: str
    place: str
    error_code: str
    error: str = ""
    person: UUID | Identity | None = None
    purpose: str = ""
    channel: str = ""
    message_id: UUID | None = None
    is_certain: bool = False
    is_ours: bool = True
    at: datetime = field(default_factory=timezone.now)

    @property
    def key(self) -> bytes:
        who = self.person.digest.hex() if isinstance(self.person, Identity) else str(self.person)
        hour = self.at.strftime("%Y-%m-%dT%H")
        facts = [self.exit_path, who, self.purpose, self.channel, self.error_code, hour]
        return hashlib.sha256(json.dumps(facts).encode()).digest()


_lock = threading.Lock()
_in_memory: list[Attempt] = []


def keep(attempts: Sequence[Attempt]) -> None:
    """Never raises. An attempt of nobody we know is nothing that support could follow up: it is a count elsewhere."""
    known = [attempt for attempt in attempts if attempt.person is not None]
    if not known:
        return
    try:
        _insert(known)
    except Error as error:
        log.warning("interrupted_not_in_database", error=str(error))
        _to_disk(known)


def take_up() -> int:
    """Put what waits on disk or in memory into the database; returns how many. Raises its error while it is away."""
    global _in_memory
    with _lock:
        waiting, _in_memory = _in_memory, []
    if waiting:
        try:
            _insert_or_put_aside(waiting)
        except Error:
            _to_memory(waiting)
            raise
    return len(waiting) + _take_up_journal()


def path_works(seen: Mapping[str, datetime]) -> None:
    """Somebody came through by these ways, at these moments: whoever failed before is looked at again."""
    if seen:
        with connection.cursor() as cursor:
            cursor.execute(WORKS, [list(seen), list(seen.values())])


def recover(limit: int = AT_ONCE) -> int:
    """Record the certain wishes whose way out works again, with the moment at which they were made; returns how many.

    What is refused is left to people, with the refusal.
    """
    with transaction.atomic():
        rows = InterruptedOptOut.objects.recordable().select_for_update(skip_locked=True).order_by("pk")[:limit]
        for row in rows:
            try:
                with transaction.atomic():
                    _record(row, PRODUCT, "The way out works again.")
            except (DecisionsRefused, InvalidTag) as error:
                refusal = error.problems[0].message if isinstance(error, DecisionsRefused) else SEALED_OTHERWISE
                row.is_certain, row.error = False, refusal[:200]
                row.save(update_fields=["is_certain", "error"])
        return len(rows)


@transaction.atomic
def retry(row: InterruptedOptOut, *, reason: str, by: User) -> int:
    """Record it now; returns the decision's number. Raises ValidationError where it is not certain, or was settled."""
    locked = _unsettled(row, reason)
    if not locked.is_certain:
        raise ValidationError("Who wanted what is not certain: ask the person, and record what they say.")
    try:
        return _record(locked, by.actor, reason)
    except DecisionsRefused as refused:
        raise ValidationError(refused.problems[0].message) from refused
    except InvalidTag as error:
        raise ValidationError(SEALED_OTHERWISE) from error


@transaction.atomic
def settle(row: InterruptedOptOut, state: str, *, reason: str, by: User) -> None:
    """The person was asked, or there is nothing to do. Raises ValidationError without a reason, or twice."""
    if state not in (State.CONTACTED, State.CLOSED):
        raise ValidationError("Say that the person was asked, or that it is closed.")
    locked = _unsettled(row, reason)
    _end(locked, state, by.actor, reason)


def hint(subject_id: UUID | None) -> UUID | None:
    """The subject that a spoilt link seems to name, where there is one: nobody guesses such a number."""
    if subject_id is None:
        return None
    try:
        with transaction.atomic():
            return subject_id if Subject.objects.filter(pk=subject_id).exists() else None
    except Error:
        return None


def _unsettled(row: InterruptedOptOut, reason: str) -> InterruptedOptOut:
    if not reason.strip():
        raise ValidationError("Say why.")
    locked = InterruptedOptOut.objects.select_for_update().get(pk=row.pk)
    if locked.settled_at is not None:
        raise ValidationError(f"It was settled already: {locked.get_state_display()}.")
    return locked


def _record(row: InterruptedOptOut, by: str, reason: str) -> int:
    [recorded] = record(
        [
            NewDecision(
                subject=row.subject_id or [Identity(row.identifier_kind, _opened(row))],
                purpose=row.purpose,
                channel=row.channel,
                choice=Choice.OPT_OUT,
                cause=Cause.SUBJECT_CHOICE,
                decided_at=row.tried_at,
                exit_path=row.exit_path,
                reasons=["tried_before", row.error_code],
                message_id=row.message_id,
                idempotency_key=f"interrupted:{row.pk}",
            )
        ]
    )
    row.decision_id = recorded.id
    _end(row, State.RETRIED, by, reason)
    return recorded.id


def _opened(row: InterruptedOptOut) -> str:
    return unseal(row.identifier_kind, bytes(row.sealed_identifier or b""))


def _end(row: InterruptedOptOut, state: str, by: str, reason: str) -> None:
    row.state, row.settled_at, row.settled_by, row.settled_reason = state, timezone.now(), by, reason[:200]
    row.save(update_fields=["state", "settled_at", "settled_by", "settled_reason", "decision_id"])


@transaction.atomic
def _insert(attempts: Sequence[Attempt]) -> None:
    named = [attempt.person for attempt in attempts if isinstance(attempt.person, Identity)]
    found = subjects.find(named) if named else {}
    rows = []
    for one in sorted(attempts, key=lambda attempt: attempt.key):
        person = one.person
        subject_id = found.get((person.kind, person.digest)) if isinstance(person, Identity) else person
        kind, sealed = (person.kind, person.seal()) if isinstance(person, Identity) else ("", None)
        state = State.WAITING if one.is_ours else State.OPEN
        rows.append(
            {
                "key": one.key,
                "subject": subject_id,
                "kind": kind,
                "sealed": sealed,
                "exit_path": one.exit_path[:50],
                "purpose": one.purpose[:50],
                "channel": one.channel[:10],
                "message": one.message_id,
                "certain": one.is_certain,
                "at": one.at,
                "place": one.place[:100],
                "error_code": one.error_code[:50],
                "error": one.error[:200],
                "state": state,
            }
        )
    with connection.cursor() as cursor:
        cursor.executemany(KEEP, rows)


def _insert_or_put_aside(attempts: Sequence[Attempt]) -> None:
    """One that the database refuses must not keep the others waiting."""
    try:
        _insert(attempts)
    except (DataError, IntegrityError) as error:
        for one in attempts if len(attempts) > 1 else ():
            _insert_or_put_aside([one])
        if len(attempts) == 1:
            journal.put_aside(_folder(), _to_line(attempts[0]), str(error))


def _to_disk(attempts: Sequence[Attempt]) -> None:
    try:
        for attempt in attempts:
            journal.append(_folder() / journal.JOURNAL, _to_line(attempt))
    except OSError as error:
        log.error("interrupted_not_on_disk", error=str(error))
        _to_memory(attempts)


def _to_memory(attempts: Iterable[Attempt]) -> None:
    with _lock:
        _in_memory.extend(list(attempts)[: MOST_IN_MEMORY - len(_in_memory)])


def _take_up_journal() -> int:
    if not _folder().exists() or not journal.waiting(_folder()):
        return 0
    count = 0
    with journal.alone(_folder()) as is_mine:
        for path in journal.taken_over(_folder()) if is_mine else ():
            found = journal.read(path, _from_line)
            while attempts := list(islice(found, AT_ONCE)):
                _insert_or_put_aside(attempts)
                count += len(attempts)
            journal.done_with(path)
    return count


def _to_line(attempt: Attempt) -> bytes:
    """Sealed whole: it names a person."""
    person = attempt.person
    facts = {
        name: getattr(attempt, name)
        for name in ("exit_path", "place", "error_code", "error", "purpose", "channel", "is_certain", "is_ours")
    }
    facts["person"] = [person.kind, person.value] if isinstance(person, Identity) else str(person)
    facts["message_id"] = str(attempt.message_id) if attempt.message_id else None
    facts["at"] = attempt.at.isoformat()
    return journal.sealed_line(str(uuid4()), facts, SEAL)


def _from_line(line: bytes) -> Attempt | None:
    """None for a line that was cut off, or sealed by another key."""
    opened = journal.opened(line, SEAL)
    if opened is None:
        return None
    facts = opened[1]
    who, at, message_id = facts.pop("person"), facts.pop("at"), facts.pop("message_id")
    return replace(
        Attempt(**facts),
        person=UUID(who) if isinstance(who, str) else Identity(*who),
        message_id=UUID(message_id) if message_id else None,
        at=datetime.fromisoformat(at),
    )


def _folder() -> Path:
    return Path(settings.SPOOL_DIR) / "interrupted"
