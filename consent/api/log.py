"""Pages of the log for followers elsewhere: closed transactions only, in (tx, id) order, by filters and a cursor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db import connection
from django.http import HttpRequest

from config.api import as_cursor, from_cursor, is_in_range
from config.lean import query_of
from config.problems import Fault, invalid
from consent.api import showing
from consent.api.reading import CODE, is_question, moment_of, uuid_of
from consent.models import ANY, Cause, Channel, Choice, Decision

PAGE, MOST = 100, 500
WINDOW = 10_000  # decisions that one page looks at, so that a rare filter cannot scan the whole log in one request
LAST_ID = 2**63 - 1
WORDS = {
    "channel": frozenset([*Channel.values, ANY]),
    "choice": frozenset(Choice.values),
    "cause": frozenset(Cause.values),
}

# Every statement of one page looks below the same bound: what commits meanwhile is the next page's.
BOUND = "SELECT (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint"
OPEN_END = "SELECT {} FROM consent_decision d WHERE (d.tx, d.id) > (%s, %s) AND d.tx < %s"
IN_ORDER = "ORDER BY d.tx, d.id"
OF_PERSON = "d.subject_id IN (SELECT id FROM consent_subject WHERE id = %s OR merged_into_id = %s)"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a follower asks for: conditions with their values, where to go on, and how much at once."""

    conditions: Mapping[str, list[Any]]
    is_about_a_person: bool
    after: tuple[int, int]
    size: int


def page(request: HttpRequest) -> dict[str, Any]:
    """`next` is always there: after the last page it is where news will be."""
    query = query_of(request)
    asked = _asked(query)
    rows, end = _read(asked)
    link = request.build_absolute_uri("?" + urlencode({**query, "cursor": as_cursor(*end)}))
    return {"next": link, "previous": None, "results": [showing.decision(row) for row in rows]}


def _read(asked: Asked) -> tuple[list[Decision], tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(BOUND)
        (bound,) = cursor.fetchone()
        start = [*asked.after, bound]
        where = "".join(f" AND {condition}" for condition in asked.conditions)
        values = [value for values in asked.conditions.values() for value in values]
        source = OPEN_END.format("d.*")
        if asked.conditions and not asked.is_about_a_person:
            sql = f"SELECT d.* FROM ({source} {IN_ORDER} LIMIT {WINDOW}) d WHERE true{where} {IN_ORDER} LIMIT %s"
        else:
            sql = f"{source}{where} {IN_ORDER} LIMIT %s"
        rows = list(Decision.objects.raw(sql, [*start, *values, asked.size]))
        if len(rows) == asked.size:
            return rows, (rows[-1].tx, rows[-1].pk)
        if asked.conditions and not asked.is_about_a_person:
            cursor.execute(f"{OPEN_END.format('d.tx, d.id')} {IN_ORDER} OFFSET {WINDOW - 1} LIMIT 1", start)
            if last_of_window := cursor.fetchone():
                return rows, last_of_window
    return rows, max(asked.after, (bound - 1, LAST_ID))


def _asked(query: dict[str, str]) -> Asked:
    """Raises Refused for filters that no decision can meet, NotFound for a crafted cursor."""
    conditions: dict[str, list[Any]] = {}
    faults: list[Fault] = []
    for name in ("purpose", "exit_path"):
        if name in query:
            conditions[f"d.{name} = %s"] = [query[name]]
            if not (is_question(query[name], CODE) or (name == "purpose" and query[name] == ANY)):
                faults.append(Fault(name, "unknown", "No code looks like this."))
    for name, words in WORDS.items():
        if name in query:
            conditions[f"d.{name} = %s"] = [query[name]]
            if query[name] not in words:
                faults.append(Fault(name, "unknown", f"Known: {', '.join(sorted(words))}."))
    person: UUID | None = None
    if "subject" in query:
        person = uuid_of(query["subject"])
        conditions[OF_PERSON] = [person, person]
        if person is None:
            faults.append(Fault("subject", "invalid", "Send the id as this interface gave it."))
    if "since" in query:
        since = moment_of(query["since"])
        conditions["d.received_at >= %s"] = [since]
        if since is None or since.tzinfo is None or not is_in_range(since):
            faults.append(Fault("since", "invalid", "Give a moment like 2026-03-01T12:00:00Z; mind '+' is %2B."))
    size = query.get("page_size", str(PAGE))
    if not (size.isdecimal() and len(size) <= 9 and int(size)):
        faults.append(Fault("page_size", "invalid", f"A page has 1 to {MOST} entries."))
    if faults:
        raise invalid(faults)
    after = from_cursor(query["cursor"], 2) if "cursor" in query else [0, 0]
    return Asked(conditions, person is not None, (after[0], after[1]), min(int(size), MOST))
