"""Statements of the busiest paths: planned once per connection, with whole columns as parameters.

Django binds on the client, so PostgreSQL plans every statement anew; for a check that takes several times as long as
answering it. And a list is written out element by element in Python; as one literal it is a join.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.backends.utils import CursorWrapper
from psycopg import errors, generators, pq

PREPARE_AFTER = 1  # runs of a statement on a connection


def prepared() -> CursorWrapper:
    """Django's cursor, counted and translated like any other, on PostgreSQL's own parameters and kept plans."""
    if not settings.DATABASE_PREPARE:
        return connection.cursor()
    database: Any = connections[DEFAULT_DB_ALIAS]  # the proxy looks the thread's one up at each attribute
    database.ensure_connection()
    raw = database.connection
    if raw.prepare_threshold is None:
        raw.prepare_threshold = PREPARE_AFTER
    plain_cursor: Any = ServerBindingCursor(raw)  # type: ignore[call-arg]
    plain_cursor.format = pq.Format.BINARY  # moments and UUIDs are read by C instead of Python
    cursor: CursorWrapper = database._prepare_cursor(plain_cursor)
    return cursor


@contextmanager
def pipeline() -> Iterator[None]:
    """Statements inside are sent without waiting for each other's results; a fetch waits for its own."""
    if not settings.DATABASE_PREPARE:
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def ask(statement: str, values: Sequence[str | None]) -> tuple[bool, ...]:
    """The answers of a statement (with `$1`, cast) that answers by one row of yes and no. Raises Django's errors."""
    database: Any = connections[DEFAULT_DB_ALIAS]
    database.ensure_connection()
    raw: psycopg.Connection = database.connection
    with database.wrap_database_errors:
        raw.pgconn.send_query_params(
            statement.encode(), [None if value is None else value.encode() for value in values]
        )
        result = raw.wait(generators.execute(raw.pgconn))[-1]
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result, raw.info.encoding)
    return tuple(result.get_value(0, column) == b"t" for column in range(result.nfields))


def texts(values: Iterable[str | None]) -> str:
    """A text[] literal."""
    column = list(values)
    if column and column.count(column[0]) == len(column):  # most columns of a batch say one thing
        return "{" + ",".join([_quoted(column[0])] * len(column)) + "}"
    return "{" + ",".join([_quoted(value) for value in column]) + "}"


def plain(values: Iterable[Any]) -> str:
    """An array literal of what needs no quotes: numbers, booleans, UUIDs, moments (ISO 8601)."""
    column = list(values)
    if column and column.count(column[0]) == len(column):
        return "{" + ",".join(["NULL" if column[0] is None else str(column[0])] * len(column)) + "}"
    return "{" + ",".join(["NULL" if value is None else str(value) for value in column]) + "}"


def blobs(values: Iterable[bytes | None]) -> str:
    """A bytea[] literal."""
    return "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    if value.isalnum():
        return f'"{value}"'
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
