"""Tables beside the log that tell something new, read as the log is: in one order, from a cursor, missing nothing.

A row that names the transaction it was written in is read once that and every earlier one has ended
(`consent.feed`): what commits late delays the look, and cannot be passed over.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import Model

from incidents.models import LookCursor

NEWS = """
    SELECT id, {tx} FROM {table} WHERE ({tx}, id) > (%s, %s) AND {tx} IS NOT NULL {where}
       AND {tx} < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint ORDER BY {tx}, id LIMIT %s
"""


@contextmanager
def new_in(model: type[Model], limit: int, *, tx: str = "tx", where: str = "") -> Iterator[list[int]]:
    """Ids of the rows after the cursor of this table; it moves in the same transaction as the caller's work.

    Empty when there is no news, or when another process is at it. `tx` names the column with the transaction, `where`
    is further SQL.
    """
    table = model._meta.db_table
    LookCursor.objects.get_or_create(name=table)
    with transaction.atomic():
        place = LookCursor.objects.select_for_update(skip_locked=True).filter(name=table).first()
        rows = _after(place, NEWS.format(table=table, tx=tx, where=where), limit) if place else []
        yield [number for number, _ in rows]
        if place and rows:
            place.last_id, place.tx = rows[-1]
            place.save()


def _after(place: LookCursor, news: str, limit: int) -> list[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(news, [place.tx, place.last_id, limit])
        return [(number, tx) for number, tx in cursor.fetchall()]
