"""States that are not what the log says are put right by themselves, kept, and told: within a minute at a million.

What was just written is compared at once. The rest comes round again and again in slices, each a transaction of its own
with its repair: for a change with the triggers off leaves no other trace.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from consent import drift, feed
from consent.drift import Difference, Kind
from incidents.invariants.choices import ROUND
from incidents.invariants.found import MOST
from incidents.invariants.looking import BATCH, LARGE, TURN
from incidents.models import DetectionCursor, DriftRepair, Incident
from incidents.services import open_or_join
from incidents.timeline import Source
from incidents.validation import closing, guarding
from incidents.validation.rounds import Pass, Round
from incidents.vocabulary import IncidentType

FoundBy = DriftRepair.FoundBy


def keep_states() -> int:
    """Compare what was just written, then go on with the round. Returns how much was put right or told."""
    found = mend_news() + STATES.go_on(drift.SLICE)
    if found:
        guarding.follow()
    return found


def mend_news() -> int:
    """What the log and the history have news of, each read in its order by a cursor of its own; of a heap, as much as
    a turn allows."""
    ends = time.monotonic() + TURN
    return _mend_new(feed.reading, "drift", drift.DECISIONS, ends) + _mend_new(
        feed.changes, "changes:drift", drift.CHANGES, ends
    )


def _mend_new(
    read: Callable[[str, int], AbstractContextManager[list[Any]]], reader: str, a_pass: drift.Pass, ends: float
) -> int:
    found = 0
    while True:
        with read(reader, BATCH) as rows:
            drift.walk()
            found += _mend(drift.among(a_pass, [row.pk for row in rows]), FoundBy.CHANGES) if rows else 0
        if len(rows) < BATCH or time.monotonic() > ends:
            return found


def mend_everything() -> int:
    """All of it, one pass after the other, in large steps; a round of the sweep ends with it."""
    found = 0
    for a_pass in drift.PASSES:
        after = 0
        while (last := a_pass.end(after, LARGE)) and last > after:
            with transaction.atomic():
                _generously()
                found += _mend(drift.between(a_pass, after, last), FoundBy.FULL)
            after = last
    STATES.ended()
    return found


def _mend(found: Sequence[Difference], found_by: str) -> int:
    """Put right what can be, keep what was done, tell it; what was left to people is told once. In the caller's
    transaction; the guard follows after it, since whoever sets the guard locks incidents too."""
    new = _untold(found)
    if not new:
        return 0
    found_at = timezone.now()
    left = drift.repair(new)
    reversed_count = sum(one.reverses for one in new)
    names = sorted(one.name for one in new)
    incident = _incident(new, left, found_by, found_at)
    DriftRepair.objects.create(
        found_by=found_by,
        incident=incident,
        kinds=dict(Counter(one.kind for one in new)),
        count=len(new),
        reversed_count=reversed_count,
        repaired=len(new) - len(left),
        left=sorted(one.name for one in left),
        sample=names[:MOST],
        digest=hashlib.sha256("\n".join(names).encode()).digest(),
        found_at=found_at,
    )
    if reversed_count:
        closing.close(incident, f"{_many(reversed_count, 'opt-out')} did not count")
    return len(new)


def _untold(found: Sequence[Difference]) -> list[Difference]:
    """Without those that no machine can put right and people know of."""
    names = [one.name for one in found if one.kind == Kind.LOST]
    told = DriftRepair.objects.filter(left__overlap=names).values_list("left", flat=True) if names else []
    known = {name for left in told for name in left}
    return [one for one in found if one.kind != Kind.LOST or one.name not in known]


def _incident(new: Sequence[Difference], left: Sequence[Difference], found_by: str, now: datetime) -> Incident:
    reverses = sum(one.reverses for one in new)
    kinds = Counter(one.kind for one in new)
    text = f"{_many(len(new), 'state')} not as the log says, found by {FoundBy(found_by).label}: " + "; ".join(
        f"{count:,} × {Kind(kind).label}" for kind, count in sorted(kinds.items())
    )
    text += f". {len(new) - len(left):,} put right."
    if reverses:
        text += f" {_many(reverses, 'explicit opt-out')} had not counted."
    if left:
        text += f" {len(left):,} left to people: no machine can tell what holds."
    last = DetectionCursor.objects.filter(name=ROUND).values_list("moment", flat=True).first()
    incident, _ = open_or_join(
        "drift",
        "Choices are not what the log says",
        occurred_from=last or now,
        detected_at=now,
        by=closing.BY,
        severity=Incident.Severity.SEV1,
        source=Source.SYSTEM,
        text=text,
        type=IncidentType.RESUBSCRIBED if reverses else IncidentType.DRIFT,
    )
    return incident


def _generously() -> None:
    """Large steps are joined in memory and by several processes: the planner takes nearly every row for a difference,
    and shuns handing so many on."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; SET LOCAL parallel_tuple_cost = 0")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _sweep(a_pass: drift.Pass, after: int, last: int) -> int:
    return _mend(drift.between(a_pass, after, last), FoundBy.SWEEP)


STATES = Round(ROUND.removesuffix(":round"), [Pass(each.end, partial(_sweep, each)) for each in drift.PASSES], 3.0)
