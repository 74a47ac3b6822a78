"""How many people opt out, per step of time and by cause or way out; read from counts, never from the log itself."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from consent.models import Cause, Choice
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
BY = {"cause": "cause", "path": "exit_path"}


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


def opt_outs(period: Period, by: str, now: datetime | None = None, most: int = MOST_KEYS) -> Rates:
    """One query over at most a period's counts."""
    steps = period.steps(now or timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT date_bin(%s::interval, minute, '2000-01-01Z'), {BY[by]}, sum(count) FROM incidents_decisionminute "
            "WHERE minute >= %s AND choice = %s GROUP BY 1, 2",
            [str(period.step), steps[0], Choice.OPT_OUT],
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


def by_minute(since: datetime, until: datetime) -> list[dict[str, object]]:
    """Opt-outs of each minute, way out and cause, oldest first: what services poll."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT minute, exit_path, cause, count FROM incidents_decisionminute "
            "WHERE minute >= %s AND minute < %s AND choice = %s ORDER BY minute, exit_path, cause",
            [since, until, Choice.OPT_OUT],
        )
        columns = ("minute", "exit_path", "cause", "count")
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def bands(since: datetime, until: datetime, seen: IncidentQuerySet | None = None, most: int = 50) -> list[Incident]:
    """The incidents whose window meets the span, and all that are open: for the chart and its list in one query.

    `seen` are those that the viewer may see; all that are not restricted, where nothing is said.
    """
    seen = Incident.objects.unrestricted() if seen is None else seen
    met = seen.touching(since, until) | seen.open()
    return list(met.with_next_clock().select_related("commander").order_by("-occurred_from", "-pk")[:most])


def title_of(key: str) -> str:
    """A cause in words; ways out keep their code."""
    return Cause(key).label if key in Cause.values else key
