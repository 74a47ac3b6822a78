"""Refused calls are counted per minute, so that a broken client or a guessing one is seen.

Counts gather in the process and are written once a second at most: whoever knocks fast must not make writes.
"""

import threading
import time
from collections import Counter
from datetime import datetime

import structlog
from django.db import Error, connection, transaction
from django.utils import timezone

log = structlog.get_logger(__name__)

INTERVAL = 1.0  # seconds
MOST = 1000
ADD = """
    INSERT INTO config_refusedcall AS r (minute, reason, caller, count)
    SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::int[])
    ON CONFLICT (minute, reason, caller) DO UPDATE SET count = r.count + EXCLUDED.count
"""

_lock = threading.Lock()
_counts: Counter[tuple[datetime, str, str]] = Counter()
_written_at = 0.0


def count(reason: str, caller: str = "") -> None:
    """`reason` is the problem's code; `caller` an actor, empty for whoever did not prove who they are. Never raises."""
    key = (timezone.now().replace(second=0, microsecond=0), reason, caller)
    with _lock:
        if key in _counts or len(_counts) < MOST:
            _counts[key] += 1
        is_due = time.monotonic() - _written_at >= INTERVAL
    if is_due:
        flush()


def flush() -> None:
    """Write what has gathered; what the database does not take now stays for the next time."""
    global _written_at
    with _lock:
        counts = dict(_counts)
        _counts.clear()
        _written_at = time.monotonic()
    if not counts:
        return
    rows = [(*key, number) for key, number in sorted(counts.items())]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(ADD, [list(column) for column in zip(*rows, strict=True)])
    except Error as error:
        log.warning("refused_calls_not_counted", error=str(error))
        with _lock:
            _counts.update(counts)
