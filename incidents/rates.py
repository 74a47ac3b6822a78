"""How many people opt out, per step of time and by cause or way out; read from counts, never from the log itself."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils import timezone

from consent.models import ANY, Cause, Choice
from incidents.models import Incident
from incidents.models.incident import IncidentQuerySet

MOST_KEYS = 5  # drawn one by one; what remains is "other"
OTHER, UNNAMED = "other", "not named"


@dataclass(frozen=True, slots=True)
class Period:
    code: str
    title: str
    length: timedelta
    step: timedelta
    step_title: str

    def steps(self, now: datetime) -> list[datetime]:
        """The beginnings of its steps, the running one last."""
        seconds = int(self.step.total_seconds())
        last = int(now.timestamp()) // seconds * seconds
        count = self.length // self.step
        return [datetime.fromtimestamp(last - seconds * n, tz=now.tzinfo) for n in reversed(range(count))]


PERIODS = {
    period.code: period
    for period in (
        Period("1h", "60 minutes", timedelta(hours=1), timedelta(minutes=1), "minute"),
        Period("24h", "24 hours", timedelta(hours=24), timedelta(minutes=15), "quarter of an hour"),
        Period("7d", "7 days", timedelta(days=7), timedelta(hours=1), "hour"),
    )
}
BY = {"cause": "cause", "path": "exit_path", "purpose": "purpose", "channel": "channel"}
MODES = {"real": False, "drill": True}
COLUMNS = ("purpose", "channel", "exit_path", "cause", "is_drill")
MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Only:
    """What is counted; empty: all of it. Drills stand apart unless they are asked for."""

    purpose: str = ""
    channel: str = ""
    exit_path: str = ""
    cause: str = ""
    mode: str = "real"  # real, drill, or empty for both

    def condition(self) -> tuple[str, list[Any]]:
        """SQL to append to a WHERE, with its values. An opt-out of everything counts for each purpose and channel."""
        parts: list[str] = []
        values: list[Any] = []
        for column in ("purpose", "channel"):
            if value := getattr(self, column):
                parts.append(f" AND {column} IN (%s, '*')")
                values.append(value)
        for column in ("exit_path", "cause"):
            if value := getattr(self, column):
                parts.append(f" AND {column} = %s")
                values.append(value)
        if self.mode:
            parts.append(" AND is_drill = %s")
            values.append(MODES[self.mode])
        return "".join(parts), values


@dataclass(slots=True)
class Rates:
    """Opt-outs per step. `keys` are causes or ways out, the most used first, by their code."""

    steps: list[datetime]
    keys: list[str]
    counts: dict[datetime, Counter[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(sum(counter.values()) for counter in self.counts.values())

    @property
    def highest(self) -> int:
        return max((sum(counter.values()) for counter in self.counts.values()), default=0)


EVERYTHING = Only()


def opt_outs(
    period: Period, by: str, now: datetime | None = None, most: int = MOST_KEYS, only: Only = EVERYTHING
) -> Rates:
    """One query over at most a period's counts."""
    steps = period.steps(now or timezone.now())
    condition, values = only.condition()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT date_bin(%s::interval, minute, '2000-01-01Z'), {BY[by]}, sum(count) FROM incidents_decisionminute "
            f"WHERE minute >= %s AND choice = %s{condition} GROUP BY 1, 2",
            [str(period.step), steps[0], Choice.OPT_OUT, *values],
        )
        rows = [(step, key or UNNAMED, int(count)) for step, key, count in cursor.fetchall()]
    totals: Counter[str] = Counter()
    for _, key, count in rows:
        totals[key] += count
    named = [key for key, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))]
    shown = named if len(named) <= most + 1 else [*named[:most], OTHER]
    rates = Rates(steps, shown)
    for step, key, count in rows:
        rates.counts.setdefault(step, Counter())[key if key in shown else OTHER] += count
    return rates


@dataclass(frozen=True, slots=True)
class Minutes:
    """`is_complete`: nothing older was left out."""

    rows: list[dict[str, object]]
    is_complete: bool


def by_minute(since: datetime, until: datetime, group_by: Sequence[str] = COLUMNS, only: Only = EVERYTHING) -> Minutes:
    """Opt-outs of each minute by the columns asked for, oldest first: what services poll. Of more than MOST_ROWS the
    newest: the present is what they ask about. Raises KeyError for a column that is none of COLUMNS.
    """
    columns = [{name: name for name in COLUMNS}[name] for name in group_by]
    condition, values = only.condition()
    keys = ", ".join(["minute", *columns])
    newest_first = ", ".join(f"{key} DESC" for key in ("minute", *columns))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {keys}, sum(count)::int, sum(unexplained)::int FROM incidents_decisionminute "
            f"WHERE minute >= %s AND minute < %s AND choice = %s{condition} "
            f"GROUP BY {keys} HAVING sum(count) > 0 ORDER BY {newest_first} LIMIT %s",
            [since, until, Choice.OPT_OUT, *values, MOST_ROWS + 1],
        )
        names = ("minute", *columns, "count", "unexplained")
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return Minutes(rows[MOST_ROWS - 1 :: -1], is_complete=len(rows) <= MOST_ROWS)


@dataclass(frozen=True, slots=True)
class Known:
    """How many opt-outs there were, and of how many nobody knows why (invariant I8: at most one in a hundred)."""

    total: int
    unexplained: int

    @property
    def share(self) -> float | None:
        """None: nobody opted out, so there is nothing to know."""
        return self.unexplained / self.total if self.total else None


def known(since: datetime, until: datetime) -> Known:
    """Of real opt-outs. Unknown is a cause of "the person's choice" with neither a reason code nor a way out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(count), 0)::int, coalesce(sum(unexplained), 0)::int FROM incidents_decisionminute "
            "WHERE minute >= %s AND minute < %s AND choice = %s AND NOT is_drill",
            [since, until, Choice.OPT_OUT],
        )
        return Known(*cursor.fetchone())


def bands(since: datetime, until: datetime, seen: IncidentQuerySet | None = None, most: int = 50) -> list[Incident]:
    """The incidents whose window meets the span, and all that are open: for the chart, the newest first.

    `seen` are those that the viewer may see; all that are not restricted, where nothing is said. Of more than `most`
    those that somebody declared are kept, and then the worst: a storm of alerts hides no fire.
    """
    seen = Incident.objects.unrestricted() if seen is None else seen
    met = seen.touching(since, until) | seen.open()
    is_less = ExpressionWrapper(Q(status=Incident.Status.TRIAGE) | Q(mode=Incident.Mode.DRILL), BooleanField())
    kept = met.with_next_clock().select_related("commander").order_by(is_less, "severity", "-occurred_from", "-pk")
    return sorted(kept[:most], key=lambda incident: (incident.occurred_from, incident.pk), reverse=True)


def title_of(key: str) -> str:
    """A cause in words; ways out, purposes and channels keep their code."""
    if key == ANY:
        return "everything"
    return str(Cause(key).label) if key in Cause.values else key
