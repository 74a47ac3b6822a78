"""The log, read by whoever must know: in one order, from a cursor, without missing what commits late.

`tx < pg_snapshot_xmin(pg_current_snapshot())`: every such transaction has ended, so the set is closed for ever and
moving a mark (tx, id) over it skips nothing. A late commit delays a reader; it cannot be missed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.utils import timezone

from config.nudge import nudge as send
from consent.models import Decision, FeedCursor

READERS: set[str] = set()  # names of Celery tasks that read the log, told when there is news


def nudge() -> None:
    """Tell the readers after this transaction commits. Never waits, never fails: their sweep finds the news anyway."""
    transaction.on_commit(tell_readers, robust=True)


def tell_readers() -> None:
    for task in READERS:
        send(task)


@contextmanager
def reading(reader: str, limit: int = 1000) -> Iterator[list[Decision]]:
    """The decisions after the reader's cursor, in log order; the cursor moves in the same transaction as its work.

    Empty when there is no news, or when another process is at it.
    """
    FeedCursor.objects.get_or_create(reader=reader)
    with transaction.atomic():
        cursor = FeedCursor.objects.select_for_update(skip_locked=True).filter(reader=reader).first()
        if cursor is None:
            yield []
            return
        decisions = list(after(cursor.tx, cursor.decision, limit))
        yield decisions
        if decisions:
            cursor.tx, cursor.decision, cursor.advanced_at = decisions[-1].tx, decisions[-1].pk, timezone.now()
            cursor.save()


def after(tx: int, decision: int, limit: int) -> Iterator[Decision]:
    """Closed transactions only, in (tx, id) order."""
    return iter(
        Decision.objects.raw(
            "SELECT * FROM consent_decision WHERE (tx, id) > (%s, %s) "
            "AND tx < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint ORDER BY tx, id LIMIT %s",
            [tx, decision, limit],
        )
    )


def lag(reader: str) -> int:
    """Decisions that the reader has not dealt with yet, counted to ten thousand."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT 1 FROM consent_decision, "
            "(SELECT coalesce(max(tx), 0) AS tx, coalesce(max(decision), 0) AS id FROM consent_feedcursor "
            " WHERE reader = %s) c WHERE (consent_decision.tx, consent_decision.id) > (c.tx, c.id) LIMIT 10000) news",
            [reader],
        )
        return int(cursor.fetchone()[0])
