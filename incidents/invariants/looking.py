"""How a question is asked: of what is new, from a cursor; of slices that come round to everything; of all; of some."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, transaction

from consent.drift import walk
from incidents.invariants.found import MOST, Found, Look, Row, breached, met
from incidents.invariants.questions import Question
from incidents.invariants.standing import standing
from incidents.models import Alarm, LookCursor

BATCH, OVERLAP = 5_000, 1_000
LARGE = 1_000_000  # rows of one statement where everything is asked
TURN = 10.0  # seconds, after which the rest is left to the next look
NEWS = """
    SELECT {number}, {tx} FROM {table} WHERE ({tx}, {number}) > (%s, %s) AND {tx} IS NOT NULL {until}
       AND {tx} < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint ORDER BY {tx}, {number} LIMIT %s
"""


def asked(look: Look, *questions: Question) -> Found:
    """What the questions of one invariant find, with what was found before and is not contained."""
    rows: list[Row] = []
    looked = 0
    for question in questions:
        found, many = _of(question, look)
        rows += found
        looked += many
    if look.scope == "keys":
        return told_of(rows) if rows else met(looked_at=looked)
    fresh = untold(rows)
    before = [standing(code) for code in sorted({question.code for question in questions})]
    count = len(fresh) + sum(one.count for one in before)
    if not count:
        return met("0 found", looked)
    refs = sorted({ref for one in before for ref in one.refs})
    words = fresh[0].words if fresh else f"Not contained yet: {', '.join(refs)}."
    offenders = [*(row.key for row in fresh), *(key for one in before for key in one.keys)][:MOST]
    return Found("breached", count, f"{count:,} found", words, fresh, offenders, looked)


def told_of(rows: Sequence[Row]) -> Found:
    return breached(len(rows), rows[0].words, offenders=[row.key for row in rows], rows=rows)


def untold(rows: Iterable[Row]) -> list[Row]:
    """Those that no alarm has told of."""
    by_key = {row.key: row for row in rows}
    keys = list(by_key)
    for start in range(0, len(keys), BATCH):
        chunk = keys[start : start + BATCH]
        for key in Alarm.objects.filter(key__in=chunk).values_list("key", flat=True):
            del by_key[key]
    return list(by_key.values())


def sweep(questions: Sequence[Question], rows: int) -> list[Row]:
    """The next slice of each question, of so many rows; at its end a question begins again. Returns what is wrong and
    was not told yet."""
    found: list[Row] = []
    for question in questions:
        with transaction.atomic():
            walk()
            if place := hold(f"sweep:{question.cursor}"):
                last = end(question, place.last_id, rows)
                found += between(question, place.last_id, last) if last else []
                move(place, last or 0)
    return untold(found)


def among(question: Question, numbers: Sequence[int], **facts: Any) -> list[Row]:
    """What is wrong among these rows of its table, told or not. `facts` go before the question's own."""
    if question.find:
        return [row for number in numbers for row in _rows(question, question.find(number - 1, number))]
    return _ask(question, f"{question.number} = ANY (%(rows)s)", {"rows": list(numbers)}, facts)


def _of(question: Question, look: Look) -> tuple[list[Row], int]:
    """What is wrong, and about how many rows were looked at. What it costs follows them, and not the table."""
    if look.scope != "all":
        walk()
    if look.scope == "keys":
        consents = {"consents": list(look.consents)}
        return _ask(question, question.of_consents, consents), len(look.consents)
    if look.scope == "all":
        return _all(question)
    place = hold(f"ask:{question.cursor}")
    if place is None:  # somebody else is asking it
        return [], 0
    return _in_log_order(question, place) if question.tx else _at_theend(question, place)


def _in_log_order(question: Question, place: LookCursor) -> tuple[list[Row], int]:
    """The rows of transactions that have ended, after the place; batch after batch, for ten seconds at most."""
    found: list[Row] = []
    ends, looked = time.monotonic() + TURN, 0
    news = NEWS.format(
        number=question.order, table=question.table, tx=question.tx,
        until=f"AND {question.until}" if question.until else "",
    )  # fmt: skip
    while time.monotonic() < ends:
        with connection.cursor() as cursor:
            cursor.execute(news, [place.tx, place.last_id, BATCH])
            rows = cursor.fetchall()
        if rows:
            found += among(question, [number for number, _ in rows])
            place.last_id, place.tx = rows[-1]
            place.save()
            looked += len(rows)
        if len(rows) < BATCH:
            break
    return found, looked


def _at_theend(question: Question, place: LookCursor) -> tuple[list[Row], int]:
    """The last thousand rows again, and those after them; batch after batch, for ten seconds at most."""
    found: list[Row] = []
    ends, first = time.monotonic() + TURN, max(0, place.last_id - OVERLAP)
    after = first
    while time.monotonic() < ends and (last := end(question, after, BATCH)):
        found += between(question, after, last)
        after = last
    move(place, max(place.last_id, after))
    return found, after - first


def _all(question: Question) -> tuple[list[Row], int]:
    rows: list[Row] = []
    after, looked = 0, 0
    while (last := end(question, after, LARGE)) and last > after:
        rows += between(question, after, last)
        looked += last - after
        after = last
    return rows, looked


def hold(name: str) -> LookCursor | None:
    """The cursor, held until the transaction ends; None while another process holds it."""
    LookCursor.objects.get_or_create(name=name)
    return LookCursor.objects.select_for_update(skip_locked=True).filter(name=name).first()


def move(place: LookCursor, number: int) -> None:
    place.last_id = number
    place.save(update_fields=["last_id"])


def end(question: Question, after: int, rows: int) -> int | None:
    """The number of the last of so many rows after one; None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT max(n) FROM (SELECT {question.order} AS n FROM {question.table} "
            f"WHERE {question.order} > %s ORDER BY 1 LIMIT %s) slice",
            [after, rows],
        )
        last: int | None = cursor.fetchone()[0]
        return last


def between(question: Question, after: int, last: int) -> list[Row]:
    """What is wrong between two numbers, told or not."""
    if question.find:
        return _rows(question, question.find(after, last))
    which = f"{question.number} > %(after)s AND {question.number} <= %(last)s"
    which += f" AND {question.until}" if question.until else ""
    return _ask(question, which, {"after": after, "last": last})


def _ask(question: Question, which: str, rows: dict[str, Any], facts: dict[str, Any] | None = None) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(question.wrong.replace("{rows}", which), rows | question.facts() | (facts or {}))
        return _rows(question, cursor.fetchall())


def _rows(question: Question, found: Iterable[tuple[Any, ...]]) -> list[Row]:
    return [
        Row(f"{question.cursor}:{number}", at, f"{question.code}: {words}", question.title)
        for number, at, words in found
    ]
