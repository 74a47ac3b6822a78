"""Opt-outs and erasures beside the database: what is asked of us must outlive a restore of an older copy.

Each host keeps the last days' opt-outs in SPOOL_DIR/opt-outs, a file a day (UTC), read from the log with a cursor of
the folder's own, each line sealed and bound to its person. A line is on disk before the cursor moves, so one may stand
there twice, and none is missing below the cursor. `consent.restoring` records them again. An erasure is a line too, and
empties the addresses in the lines that are there already: the journal remembers no longer than the database does.
"""

import base64
import json
import os
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection
from django.utils import timezone

from config.keys import Seal
from consent import feed, journal
from consent.models import Choice, Decision, FeedCursor, Identifier, Subject

log = structlog.get_logger(__name__)

SEAL = Seal("opt-out-journal")
READER = "journal:"  # how the name of a folder's reader begins
OPT_OUTS, ERASED, NAME, LOOKED = "out-", "erased-", "name", "erasures-looked-for"
MOST_ROUNDS = 20  # of a thousand decisions in one call: whoever begins a journal writes it in turns
EVERY = 60.0  # seconds between looks for erasures, which no log tells of
RESTORED = "restored:"  # how the idempotency key of what was put back begins: its line is there already
TAIL = 64 * 1024  # bytes at the end of the newest file that a quick look reads
# A folder that is new begins with what was received while its journal reaches back.
BEGIN = """
    INSERT INTO consent_feedcursor (reader, tx, decision, advanced_at)
    SELECT %s, coalesce(max(l.tx), 0), coalesce(max(l.id), 0), clock_timestamp() FROM (
      SELECT tx, id FROM consent_decision
       WHERE received_at < %s AND tx < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint
       ORDER BY tx DESC, id DESC LIMIT 1) l
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Address:
    """A blind index, in hexadecimal, and the sealed value, in Base64; none once it was erased."""

    kind: str
    digest: str
    sealed: str | None


@dataclass(frozen=True, slots=True)
class OptOut:
    """An opt-out as the log had it. `(id, tx, received_at)` tells whether a database still has that very row."""

    subject: str
    id: int
    tx: int
    received_at: str
    purpose: str
    channel: str
    explicit: bool
    cause: str
    confidence: int
    reasons: tuple[str, ...]
    exit_path: str
    decided_at: str
    actor: str
    notice_version: str
    locale: str
    addresses: tuple[Address, ...]


def is_kept() -> bool:
    return settings.OPT_OUT_JOURNAL_DAYS > 0


def keep(limit: int = 1000) -> int:
    """Write down what the log has news of, and who was erased; drop what is past its days. Returns how many lines."""
    if not is_kept():
        return 0
    try:
        return _keep_opt_outs(limit) + keep_erasures(every=EVERY)
    except OSError as error:  # the cursor stays where it was: its lag says so, and the next call begins there
        log.error("opt_out_journal_not_written", error=str(error))
        return 0


def _keep_opt_outs(limit: int) -> int:
    reader, written = _reader(), 0
    for _ in range(MOST_ROUNDS):
        with feed.reading(reader, limit) as decisions:
            written += _write(decisions)
        if len(decisions) < limit:
            break
    return written


def keep_erasures(every: float = 0) -> int:
    """Who was erased since the journal reaches back and has no line yet; returns how many. `every`: not again within
    so many seconds."""
    if _is_recent(folder() / LOOKED, every):
        return 0
    known = {key for path in _files(ERASED) for key in _keys(path)}
    found = Subject.objects.filter(erased_at__gte=_reaches_back_to()).values_list("pk", "erased_at")
    new = {str(pk): moment for pk, moment in found if moment and str(pk) not in known}
    if new:
        for path in _files(OPT_OUTS):
            _empty(path, set(new))
        lines = [journal.sealed_line(key, {"erased_at": moment.isoformat()}, SEAL) for key, moment in new.items()]
        journal.append(_today(ERASED), b"".join(lines))
    rotate()
    (folder() / LOOKED).touch()
    return len(new)


def rotate() -> int:
    """Drop the files past their days, and cursors of folders that are gone; returns how many files."""
    oldest = _reaches_back_to()
    old = [path for prefix in (OPT_OUTS, ERASED) for path in _files(prefix) if path.name < f"{prefix}{oldest:%Y-%m-%d}"]
    for path in old:
        journal.done_with(path)
    FeedCursor.objects.filter(reader__startswith=READER, advanced_at__lt=oldest).exclude(reader=_reader()).delete()
    return len(old)


def opt_outs() -> Iterator[OptOut | None]:
    """All lines, the oldest first; None for one that was cut off by a crash, or sealed by another key."""
    for path in _files(OPT_OUTS):
        with path.open("rb") as file:
            yield from (_opt_out(line) for line in file)


def file_count() -> int:
    return len(_files(OPT_OUTS))


def newest_opt_outs(count: int = 100) -> list[OptOut]:
    """The last lines, for a quick look."""
    for path in reversed(_files(OPT_OUTS)):
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            lines = file.read().splitlines(keepends=True)
        if size > TAIL:
            lines = lines[1:]  # cut in two by where the look began
        if found := [opened for line in lines[-count:] if (opened := _opt_out(line))]:
            return found
    return []


def erased() -> list[UUID]:
    """People who asked to be forgotten, as far as the journal reaches back."""
    return [UUID(key) for path in _files(ERASED) for key in _keys(path)]


def began_at() -> datetime | None:
    """When its first line was received; None for an empty journal."""
    return next((datetime.fromisoformat(line.received_at) for line in opt_outs() if line), None)


def folder() -> Path:
    return Path(settings.SPOOL_DIR) / "opt-outs"


def name() -> str:
    """The folder's own: several hosts keep a journal each."""
    path = folder() / NAME
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{NAME}.{os.getpid()}.{secrets.token_hex(4)}")
    fresh.write_text(secrets.token_hex(6), encoding="ascii")
    try:
        os.link(fresh, path)  # the first one stays
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_text(encoding="ascii")


def _reader() -> str:
    reader = READER + name()
    if not FeedCursor.objects.filter(reader=reader).exists():
        with connection.cursor() as cursor:
            cursor.execute(BEGIN, [reader, _reaches_back_to()])
    return reader


def _write(decisions: Sequence[Decision]) -> int:
    outs = [d for d in decisions if d.choice == Choice.OPT_OUT and not (d.idempotency_key or "").startswith(RESTORED)]
    people = {decision.subject_id for decision in outs}
    canaries = set(Subject.objects.filter(pk__in=people, is_canary=True).values_list("pk", flat=True))
    addresses = _addresses(people - canaries) if people else {}
    kept = [_of(decision, addresses) for decision in outs if decision.subject_id not in canaries]
    if kept:
        journal.append(_today(OPT_OUTS), b"".join(_line(opt_out) for opt_out in kept))
    return len(kept)


def _addresses(people: Iterable[UUID]) -> dict[UUID, list[Address]]:
    found: dict[UUID, list[Address]] = defaultdict(list)
    rows = Identifier.objects.filter(subject__in=people).order_by("pk")
    for subject_id, kind, digest, sealed in rows.values_list("subject_id", "kind", "digest", "sealed"):
        text = None if sealed is None else base64.b64encode(bytes(sealed)).decode()
        found[subject_id].append(Address(kind, bytes(digest).hex(), text))
    return found


def _of(decision: Decision, addresses: dict[UUID, list[Address]]) -> OptOut:
    return OptOut(
        subject=str(decision.subject_id),
        id=decision.pk,
        tx=decision.tx,
        received_at=decision.received_at.isoformat(),
        purpose=decision.purpose,
        channel=decision.channel,
        explicit=decision.explicit,
        cause=decision.cause,
        confidence=decision.confidence,
        reasons=tuple(decision.reasons),
        exit_path=decision.exit_path,
        decided_at=decision.decided_at.isoformat(),
        actor=decision.actor,
        notice_version=decision.notice_version,
        locale=decision.locale,
        addresses=tuple(addresses.get(decision.subject_id, ())),
    )


def _line(opt_out: OptOut) -> bytes:
    return journal.sealed_line(opt_out.subject, asdict(opt_out), SEAL)


def _opt_out(line: bytes) -> OptOut | None:
    opened = journal.opened(line, SEAL)
    if opened is None:
        return None
    facts: dict[str, Any] = opened[1]
    addresses = tuple(Address(**address) for address in facts["addresses"])
    return OptOut(**{**facts, "reasons": tuple(facts["reasons"]), "addresses": addresses})


def _empty(path: Path, people: set[str]) -> None:
    """Take the addresses out of the lines of people who were erased."""
    if not people.isdisjoint(_keys(path)):
        journal.rewrite(path, lambda line: _emptied(line) if _key(line) in people else line)


def _emptied(line: bytes) -> bytes:
    opt_out = _opt_out(line)
    if opt_out is None:
        return line
    return _line(replace(opt_out, addresses=tuple(replace(a, sealed=None) for a in opt_out.addresses)))


def _keys(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for line in file:
            if key := _key(line):
                yield key


def _key(line: bytes) -> str:
    """Whose line it is: that stands in the open."""
    try:
        return str(json.loads(line)["key"])
    except (ValueError, KeyError, TypeError):
        return ""


def _files(prefix: str) -> list[Path]:
    return sorted(folder().glob(f"{prefix}*.jsonl"))


def _today(prefix: str) -> Path:
    return folder() / f"{prefix}{timezone.now():%Y-%m-%d}.jsonl"


def _reaches_back_to() -> datetime:
    return timezone.now() - timedelta(days=settings.OPT_OUT_JOURNAL_DAYS)


def _is_recent(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime < seconds
    except FileNotFoundError:
        return False
