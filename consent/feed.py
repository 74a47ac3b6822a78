"""The log, read by whoever must know: in one order, from a cursor, without missing what commits late.

Two logs are read alike: decisions (what was said), and changes (the history of consent: what holds since). Whoever must
know every change of state reads the second: voids, merges and repairs are in it too, and no late, older choice is.

`tx < pg_snapshot_xmin(pg_current_snapshot())`: every such transaction has ended, so the set is closed for ever and
moving a mark (tx, id) over it skips nothing. A late commit delays a reader; it cannot be missed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from config.nudge import nudge as send
from consent.models import Consent, Decision, FeedCursor

READERS: set[str] = set()  # names of Celery tasks that read the log, told when there is news


def nudge() -> None:
    """Tell the readers after this transaction commits. Never waits, never fails: their sweep finds the news anyway."""
    transaction.on_commit(tell_readers, robust=True)


def tell_readers() -> None:
    for task in READERS:
        send(task)


CHANGES = "changes:"  # how the name of a reader of changes begins; its cursor's `decision` holds a history_id
Row = TypeVar("Row", bound=Model)


@contextmanager
def reading(reader: str, limit: int = 1000) -> Iterator[list[Decision]]:
    """The decisions after the reader's cursor, in log order; the cursor moves in the same transaction as its work.

    Empty when there is no news, or when another process is at it.
    """
    with _reading(reader, after, limit) as decisions:
        yield decisions


@contextmanager
def changes(reader: str, limit: int = 1000) -> Iterator[list[Any]]:
    """The versions of consent after the reader's cursor, as rows of its history, in log order; else as `reading`.

    Per key the `version` is the causal order. Raises ValueError for a reader whose name does not begin with CHANGES.
    """
    if not reader.startswith(CHANGES):
        raise ValueError(f"A reader of changes is named {CHANGES}…")
    with _reading(reader, changes_after, limit) as versions:
        yield versions


@contextmanager
def _reading(reader: str, rows_after: Callable[[int, int, int], Iterator[Row]], limit: int) -> Iterator[list[Row]]:
    FeedCursor.objects.get_or_create(reader=reader)
    with transaction.atomic():
        cursor = FeedCursor.objects.select_for_update(skip_locked=True).filter(reader=reader).first()
        if cursor is None:
            yield []
            return
        rows: list[Any] = list(rows_after(cursor.tx, cursor.decision, limit))
        yield rows
        if rows:
            cursor.tx, cursor.decision, cursor.advanced_at = rows[-1].tx, rows[-1].pk, timezone.now()
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


def changes_after(tx: int, history_id: int, limit: int) -> Iterator[Any]:
    """Closed transactions only, in (tx, history_id) order."""
    return iter(
        Consent.history.model.objects.raw(
            "SELECT * FROM consent_historicalconsent WHERE (tx, history_id) > (%s, %s) "
            "AND tx < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint ORDER BY tx, history_id LIMIT %s",
            [tx, history_id, limit],
        )
    )


def skip(reader: str) -> None:
    """Put the cursor behind every transaction that has ended, for a reader to whom the past means nothing."""
    FeedCursor.objects.get_or_create(reader=reader)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE consent_feedcursor SET tx = c.tx, decision = %s, advanced_at = clock_timestamp() FROM "
            "(SELECT (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint - 1 AS tx) c "
            "WHERE reader = %s AND consent_feedcursor.tx < c.tx",
            [2**63 - 1, reader],
        )


def lag(reader: str) -> int:
    """Rows of its log that the reader has not dealt with yet, counted to ten thousand."""
    table, key = (
        ("consent_historicalconsent", "history_id") if reader.startswith(CHANGES) else ("consent_decision", "id")
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM {table} l, "
            "(SELECT coalesce(max(tx), 0) AS tx, coalesce(max(decision), 0) AS id FROM consent_feedcursor "
            f" WHERE reader = %s) c WHERE (l.tx, l.{key}) > (c.tx, c.id) LIMIT 10000) news",
            [reader],
        )
        return int(cursor.fetchone()[0])


def oldest_unread(reader: str, most: int = 10_000) -> datetime | None:
    """When the oldest of the decisions was received that the reader has not dealt with; None: it knows them all.

    Of the next `most` in log order: those behind them came later. What has not committed yet nobody can see.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(received_at) FROM (SELECT received_at FROM consent_decision WHERE (tx, id) > ("
            " (SELECT coalesce(max(tx), 0) FROM consent_feedcursor WHERE reader = %(reader)s),"
            " (SELECT coalesce(max(decision), 0) FROM consent_feedcursor WHERE reader = %(reader)s))"
            " ORDER BY tx, id LIMIT %(most)s) news",
            {"reader": reader, "most": most},
        )
        oldest: datetime | None = cursor.fetchone()[0]
        return oldest
