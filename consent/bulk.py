"""Thousands of instructions that nobody chose, by one statement: the set-based door beside `consent.services.record`.

For imports and change sets, whose rows lie in the database already. Every guard and trigger of the log holds here as it
does there; what a person chooses goes through `record`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from config.models import User
from config.statements import plain, texts
from consent import feed
from consent.models import Batch, Cause
from consent.refusals import from_database, is_passing

# In the order of the keys, so that two batches never wait for each other. Whoever was merged meanwhile is spoken for
# by the other subject; an unknown one is left to the database, which refuses it. An opt-in where an explicit opt-out
# stands is left out: it would change nothing, and at protect it would take the whole batch with it.
WRITE = """
    INSERT INTO consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor, batch_id)
    SELECT coalesce(s.merged_into_id, r.subject_id) AS person, r.purpose, r.channel, r.choice, false, %s,
           coalesce(r.decided_at, statement_timestamp()), %s, %s
      FROM ({select}) AS r(subject_id, purpose, channel, choice, decided_at)
      LEFT JOIN consent_subject s ON s.id = r.subject_id
     WHERE r.choice <> 'opt_in' OR NOT EXISTS (
       SELECT FROM consent_consent c
        WHERE c.subject_id = coalesce(s.merged_into_id, r.subject_id) AND c.explicit AND c.state = 'opt_out'
          AND c.purpose IN (r.purpose, '*') AND c.channel IN (r.channel, '*'))
     ORDER BY person, r.purpose, r.channel
"""
# Without them a portion of five thousand rows reads the whole table of people, and takes as long as that is large.
WALK = "SELECT set_config(name, %s, true) FROM unnest(%s::text[]) AS name"
WHOLE_TABLES = ["enable_hashjoin", "enable_mergejoin", "enable_seqscan"]
LISTED = "SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])"


class Instruction(NamedTuple):
    """What a batch does to one key. `decided_at` None: at the moment of writing."""

    subject_id: UUID
    purpose: str
    channel: str
    choice: str
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """Rows that lie in the database: a SELECT of subject_id, purpose, channel, choice and decided_at, in this order."""

    sql: str
    parameters: Sequence[Any] = ()


@contextmanager
def walking() -> Iterator[Any]:
    """A cursor whose statements go from the rows at hand to the others by an index, however large the tables are.

    In a transaction, and until its end where one of them fails.
    """
    with connection.cursor() as cursor:
        cursor.execute(WALK, ["off", WHOLE_TABLES])
        yield cursor
        cursor.execute(WALK, ["on", WHOLE_TABLES])


def write_batch(batch: Batch, rows: Selected | Iterable[Instruction], *, cause: Cause | str, by: User | str) -> int:
    """Write the rows as non-explicit decisions of the batch, all or none; returns how many.

    An opt-out is taken at every guard level. An opt-in where the person's own opt-out stands is left out and not
    counted; what was written is what bears the batch's id. Raises DecisionsRefused, in the database's words, and then
    stores nothing. A few thousand rows at a time are a good measure: their keys stay locked until the commit.
    """
    select = rows if isinstance(rows, Selected) else _listed(list(rows))
    actor = by if isinstance(by, str) else by.actor
    statement, parameters = WRITE.format(select=select.sql), [str(cause), actor, batch.pk, *select.parameters]
    for attempts_left in (2, 1, 0):
        try:
            with transaction.atomic(), walking() as cursor:
                cursor.execute(statement, parameters)
                feed.nudge()
                count: int = cursor.rowcount
            return count
        except DatabaseError as error:
            if not attempts_left or not is_passing(error):
                raise from_database(error, []) from error.__cause__
    raise AssertionError("The last attempt returns or raises.")


def _listed(rows: Sequence[Instruction]) -> Selected:
    return Selected(
        LISTED,
        [
            plain(row.subject_id for row in rows),
            texts(row.purpose for row in rows),
            texts(row.channel for row in rows),
            texts(row.choice for row in rows),
            plain(row.decided_at and row.decided_at.isoformat() for row in rows),
        ],
    )
