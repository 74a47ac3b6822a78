"""Deliveries taken while the database is away: on disk before the answer, stored with their first moment afterwards.

The journal is consent's own kind, in a folder beside it. Nobody's token or signature can be looked up meanwhile, so
both are checked at replay. What strangers may put on disk is bounded: opt-outs need that disk more.
"""

import base64
import json
import secrets
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from uuid import uuid4

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from config.keys import derive
from consent import journal
from incidents.alerts.intake import UnknownToken, refuse_stranger, take
from incidents.alerts.posted import Posted

log = structlog.get_logger(__name__)

MOST_BYTES = 256 * 1024 * 1024  # of all files together
NONCE_BYTES, AT_ONCE = 12, 100
PREFIX = "spool:"
UNREADABLE = "unreadable.jsonl"


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
    deliveries = list(_deliveries(path))
    for start in range(0, len(deliveries), AT_ONCE):
        _store(deliveries[start : start + AT_ONCE])
    journal.done_with(path)
    log.info("alerts_replayed", count=len(deliveries))
    return len(deliveries)


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
            log.error("spooled_alert_refused", key=deliveries[0].key, error=str(error))
            journal.append(_folder() / UNREADABLE, to_line(deliveries[0].key, deliveries[0]))


def _take(posted: Posted) -> None:
    try:
        take(posted)
    except UnknownToken:
        refuse_stranger(posted)


def _deliveries(path: Path) -> Iterator[Posted]:
    """A line that a crash cut off was never answered; one that does not open is kept for people to look at."""
    for line in path.read_bytes().splitlines(keepends=True):
        posted = from_line(line)
        if posted is not None:
            yield posted
        elif line.endswith(b"\n") and line.strip():
            log.error("alert_line_unreadable", file=path.name)
            journal.append(path.with_name(UNREADABLE), line)


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
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = nonce + _cipher().encrypt(nonce, json.dumps(content).encode(), key.encode())
    return json.dumps({"v": 1, "key": key, "sealed": base64.b64encode(sealed).decode()}).encode() + b"\n"


def from_line(line: bytes) -> Posted | None:
    """None for a line that was cut off, or sealed by another key."""
    try:
        outer = json.loads(line)
        sealed = base64.b64decode(outer["sealed"])
        text = _cipher().decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], outer["key"].encode())
        content = json.loads(text)
    except (ValueError, KeyError, TypeError, InvalidTag):
        return None
    return Posted(
        token_digest=bytes.fromhex(content["token"]),
        body=base64.b64decode(content["body"]),
        digest=bytes.fromhex(content["digest"]),
        size=content["size"],
        headers=content["headers"],
        at=datetime.fromisoformat(content["at"]),
        key=outer["key"],
    )


def _folder() -> Path:
    return Path(settings.SPOOL_DIR) / "alerts"


@cache
def _cipher() -> AESGCM:
    return AESGCM(derive("alert-spool"))
