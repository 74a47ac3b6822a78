"""Deliveries taken while the database is away: on disk before the answer, stored with their first moment afterwards.

The journal is consent's own kind, in a folder beside it. Nobody's token or signature can be looked up meanwhile, so
both are checked at replay. What strangers may put on disk is bounded: opt-outs need that disk more.
"""

import base64
from datetime import datetime
from itertools import islice
from pathlib import Path
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from config.keys import Seal
from consent import journal
from incidents.alerts.intake import UnknownToken, refuse_stranger, take
from incidents.alerts.posted import Posted

log = structlog.get_logger(__name__)

MOST_BYTES = 256 * 1024 * 1024  # of all files together
AT_ONCE = 100
SEAL = Seal("alert-spool")
PREFIX = "spool:"


def put(posted: Posted) -> str:
    """On disk when it returns; returns the key that names it. Raises OSError where the disk takes nothing more."""
    folder = _folder()
    if sum(path.stat().st_size for path in folder.glob("*.jsonl")) > MOST_BYTES:
        raise OSError("The spool of alerts is full.")
    key = f"{PREFIX}{uuid4()}"
    journal.append(folder / journal.JOURNAL, to_line(key, posted))
    return key


def waiting() -> int:
    return journal.waiting(_folder())


def replay() -> int:
    """Store what waits, oldest first; returns how many. Raises the database's error while it is away."""
    if not waiting():
        return 0
    with journal.alone(_folder()) as is_mine:
        return sum(_replay_file(path) for path in journal.taken_over(_folder())) if is_mine else 0


def _replay_file(path: Path) -> int:
    found, count = journal.read(path, from_line), 0
    while deliveries := list(islice(found, AT_ONCE)):
        _store(deliveries)
        count += len(deliveries)
    journal.done_with(path)
    log.info("alerts_replayed", count=count)
    return count


def _store(deliveries: list[Posted]) -> None:
    """A line that was stored before, in a replay that was cut short, is known by its key."""
    try:
        with transaction.atomic():
            for posted in deliveries:
                _take(posted)
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError as error:
        for posted in deliveries if len(deliveries) > 1 else ():
            _store([posted])
        if len(deliveries) == 1:
            [posted] = deliveries
            journal.put_aside(_folder(), to_line(posted.key, posted), f"{posted.key}: {error}")


def _take(posted: Posted) -> None:
    try:
        take(posted)
    except UnknownToken:
        refuse_stranger(posted)


def to_line(key: str, posted: Posted) -> bytes:
    """JSON with the key in the open and the rest sealed. The token itself is not in it, only its digest."""
    content = {
        "token": posted.token_digest.hex(),
        "body": base64.b64encode(posted.body).decode(),
        "digest": posted.digest.hex(),
        "size": posted.size,
        "headers": dict(posted.headers),
        "at": posted.at.isoformat(),
    }
    return journal.sealed_line(key, content, SEAL)


def from_line(line: bytes) -> Posted | None:
    """None for a line that was cut off, or sealed by another key."""
    opened = journal.opened(line, SEAL)
    if opened is None:
        return None
    key, content = opened
    return Posted(
        token_digest=bytes.fromhex(content["token"]),
        body=base64.b64decode(content["body"]),
        digest=bytes.fromhex(content["digest"]),
        size=content["size"],
        headers=content["headers"],
        at=datetime.fromisoformat(content["at"]),
        key=key,
    )


def _folder() -> Path:
    return Path(settings.SPOOL_DIR) / "alerts"
