"""Opt-outs taken while the database is away: on disk before the answer, in the database as soon as it is back.

A journal of lines in SPOOL_DIR, each sealed, because they name people, and flushed to disk before the answer. `replay`
takes the journal over by renaming it and records its lines oldest first. Each choice has an idempotency key, so a
replay that was cut short repeats nothing; and a call whose commit went through while its answer was lost is found
again by its claim, or by its moment. Web processes and whoever replays must see the same folder.
"""

import hashlib
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DataError, Error, IntegrityError, connection, transaction

from config.idempotency import Raced, keep, kept
from consent import journal, subjects
from consent.models import Decision
from consent.refusals import DecisionsRefused
from consent.services import NewDecision, record
from consent.spooled import Spooled, from_line, to_line

log = structlog.get_logger(__name__)

PAUSE = 1.0  # seconds that the database is left alone after it was found away
AT_ONCE = 100  # calls in one transaction


class _Watch:
    """Until when the database is taken to be away, and the thread that puts things right when it is back."""

    def __init__(self) -> None:
        self.away_until = 0.0
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        with self.lock:
            if self.thread is None or not self.thread.is_alive():  # also after a fork
                self.thread = threading.Thread(target=self._run, name="spool", daemon=True)
                self.thread.start()

    def _run(self) -> None:
        """So that an opt-out counts a second after the database is back, with or without a worker."""
        while waiting():
            threading.Event().wait(PAUSE)
            try:
                replay()
            except (Error, OSError) as error:
                log.warning("spool_waits", error=str(error))
            finally:
                connection.close()


_watch = _Watch()


def is_needed() -> bool:
    """Within a second of a failure nobody waits for the next one: opt-outs go to disk at once."""
    return time.monotonic() < _watch.away_until


def database_is_away() -> None:
    _watch.away_until = time.monotonic() + PAUSE


def put(call: Spooled) -> None:
    """On disk when it returns. Raises OSError where the disk takes nothing either."""
    journal.append(_folder() / journal.JOURNAL, to_line(call))
    _watch.start()


def waiting() -> int:
    """Calls that wait for the database."""
    return journal.waiting(_folder())


def waiting_since() -> datetime | None:
    """When the newest of what waits was written; None where nothing does."""
    files = [path for path in [_folder() / journal.JOURNAL, *_folder().glob(journal.TAKEN_OVER + "*")] if path.exists()]
    moments = [path.stat().st_mtime for path in files if journal.lines_in(path)]
    return datetime.fromtimestamp(max(moments), tz=UTC) if moments else None


def refused() -> list[tuple[str, datetime, str]]:
    """What was answered and could not be recorded, and lies aside for people: a digest of each line, since when at the
    latest, and which call it was."""
    path = _folder() / journal.REFUSED
    if not path.exists():
        return []
    at = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    return [
        (hashlib.sha256(line).hexdigest()[:16], at, f"call {journal.key_of(line)}")
        for line in path.read_bytes().splitlines()
        if line.strip()
    ]


def replay() -> int:
    """Record what waits, oldest first; returns how many choices. Raises the database's error while it is away."""
    if not waiting():
        return 0
    with journal.alone(_folder()) as is_mine:
        count = sum(_replay_file(path) for path in journal.taken_over(_folder())) if is_mine else 0
    _watch.away_until = 0.0  # the database took them: no need to go on writing to disk
    return count


def _replay_file(path: Path) -> int:
    found, count = journal.read(path, from_line), 0
    while calls := list(islice(found, AT_ONCE)):
        count += _record(calls)
    journal.done_with(path)
    log.info("spool_replayed", choices=count)
    return count


def _record(calls: Sequence[Spooled]) -> int:
    try:
        return _record_together(calls)
    except (DecisionsRefused, Raced, DataError, IntegrityError) as error:
        if len(calls) > 1:
            return sum(_record([call]) for call in calls)
        journal.put_aside(_folder(), to_line(calls[0]), f"{calls[0].key}: {error}")
        return 0


@transaction.atomic
def _record_together(calls: Sequence[Spooled]) -> int:
    known = kept([call.claim for call in calls if call.claim])
    fresh = [call for call in calls if call.claim not in known]
    drafts = _not_recorded([draft for call in fresh for draft in call.drafts])
    record(drafts)
    keep({call.claim: call.answer for call in fresh if call.claim})
    return len(drafts)


def _not_recorded(drafts: Sequence[NewDecision]) -> list[NewDecision]:
    """Without those that were committed although their caller lost the connection: same person, scope and moment."""
    found = subjects.find(i for draft in drafts if not isinstance(draft.subject, UUID) for i in draft.subject)
    people = [
        {draft.subject} if isinstance(draft.subject, UUID) else {found.get((i.kind, i.digest)) for i in draft.subject}
        for draft in drafts
    ]
    same_moment = Decision.objects.filter(
        subject_id__in={i for ids in people for i in ids if i is not None},
        decided_at__in=[draft.decided_at for draft in drafts],
    )
    there = set(same_moment.values_list("subject_id", "purpose", "channel", "choice", "decided_at"))
    return [
        draft
        for draft, ids in zip(drafts, people, strict=True)
        if not any((i, draft.purpose, draft.channel, draft.choice, draft.decided_at) in there for i in ids)
    ]


def _folder() -> Path:
    return Path(settings.SPOOL_DIR)
