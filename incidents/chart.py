"""The chart of opt-outs as numbers that a template draws: no script, so it works under any policy, and prints."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from django.utils import timezone

from incidents.marks import Mark
from incidents.models import Incident
from incidents.rates import OTHER, Period, Rates, title_of

WIDTH, HEIGHT = 960, 300
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 46, 26
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
LABEL_ROWS = 3


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of time: where it stands, and what it says when somebody points at it."""

    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Band:
    x: float
    width: float
    label_x: float
    label_y: float
    anchor: str
    label: str
    title: str
    is_drill: bool


@dataclass(frozen=True, slots=True)
class Flag:
    """A mark: a line, and a letter for its kind at the foot of it."""

    x: float
    letter: str
    title: str
    is_drill: bool


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    bars: list[Bar]
    steps: list[Step]
    bands: list[Band]
    across: list[Tick]
    up: list[Tick]
    legend: list[tuple[str, str, str]]
    table: list[tuple[datetime, list[int], int]]
    flags: list[Flag] = field(default_factory=list)
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    floor: int = HEIGHT - BOTTOM
    plot_height: int = PLOT_HEIGHT


def draw(rates: Rates, period: Period, incidents: Sequence[Incident], marks: Sequence[Mark] = ()) -> Chart:
    ceiling = _ceiling(rates.highest)
    return Chart(
        title=f"Opt-outs per {period.step_title} over the last {period.title}: {rates.total:,} in all",
        bars=_bars(rates, ceiling),
        steps=_steps(rates),
        bands=_bands(rates, period, incidents),
        flags=_flags(rates, period, marks),
        across=_across(rates, period),
        up=[Tick(_y(ceiling * n / 4, ceiling), f"{ceiling * n // 4:,}") for n in range(5)],
        legend=[
            (_colour(rates, key), title_of(key), f"{sum(counter[key] for counter in rates.counts.values()):,}")
            for key in rates.keys
        ],
        table=[
            (step, [rates.counts[step][key] for key in rates.keys], sum(rates.counts[step].values()))
            for step in reversed(rates.steps)
            if step in rates.counts
        ],
    )


def _bars(rates: Rates, ceiling: int) -> list[Bar]:
    width = PLOT_WIDTH / len(rates.steps)
    bars = []
    for position, step in enumerate(rates.steps):
        below = 0
        for key in rates.keys:
            if here := rates.counts.get(step, Counter())[key]:
                top, bottom = _y(below + here, ceiling), _y(below, ceiling)
                x = round(LEFT + position * width + width * 0.1, 2)
                bars.append(Bar(x, top, round(width * 0.8, 2), round(bottom - top, 2), _colour(rates, key)))
                below += here
    return bars


def _steps(rates: Rates) -> list[Step]:
    width = PLOT_WIDTH / len(rates.steps)
    return [
        Step(round(LEFT + position * width, 2), round(width, 2), _told(rates, step))
        for position, step in enumerate(rates.steps)
        if step in rates.counts
    ]


def _told(rates: Rates, step: datetime) -> str:
    counts = rates.counts[step]
    parts = ", ".join(f"{title_of(key)} {counts[key]:,}" for key in rates.keys if counts[key])
    return f"{timezone.localtime(step):%a %H:%M}: {sum(counts.values()):,} ({parts})"


def _bands(rates: Rates, period: Period, incidents: Sequence[Incident]) -> list[Band]:
    first, end = rates.steps[0], rates.steps[-1] + period.step
    bands: list[Band] = []
    for incident in sorted(incidents, key=lambda i: i.occurred_from):
        begins, ends = max(incident.occurred_from, first), min(incident.occurred_to or end, end)
        if begins >= end or ends < first or incident.status in Incident.DISOWNED:
            continue
        x, to = _x(begins, first, end), _x(ends, first, end)
        is_late = x > WIDTH - 160  # its label would leave the picture
        is_drill = incident.mode == Incident.Mode.DRILL
        bands.append(
            Band(
                x=x,
                width=max(round(to - x, 2), 2),
                label_x=WIDTH - RIGHT if is_late else x + 3,
                label_y=12 + 13 * (len(bands) % LABEL_ROWS),
                anchor="end" if is_late else "start",
                label=f"{incident.ref}{' (drill)' if is_drill else ''}",
                title=str(incident),
                is_drill=is_drill,
            )
        )
    return bands


def _flags(rates: Rates, period: Period, marks: Sequence[Mark]) -> list[Flag]:
    first, end = rates.steps[0], rates.steps[-1] + period.step
    return [
        Flag(_x(mark.at, first, end), mark.kind[:1].upper(), f"{mark.kind}: {mark.text}", mark.is_drill)
        for mark in marks
        if first <= mark.at < end
    ]


def _across(rates: Rates, period: Period) -> list[Tick]:
    every = {"1h": timedelta(minutes=10), "24h": timedelta(hours=3), "7d": timedelta(days=1)}[period.code]
    first, end = rates.steps[0], rates.steps[-1] + period.step
    form = "%a %d" if every >= timedelta(days=1) else "%H:%M"
    local = [timezone.localtime(step) for step in rates.steps]
    ticks = [step for step in local if _since_midnight(step) % every == timedelta(0)]
    return [Tick(_x(step, first, end), format(step, form)) for step in ticks]


def _since_midnight(moment: datetime) -> timedelta:
    return timedelta(hours=moment.hour, minutes=moment.minute)


def _ceiling(highest: int) -> int:
    """A round number above the highest bar, that four lines divide: 4, 8, 12, 20, 40, 80, …"""
    return next(base * 10**power for power in count() for base in (4, 8, 12, 20) if base * 10**power >= highest)


def _x(moment: datetime, first: datetime, end: datetime) -> float:
    return round(LEFT + PLOT_WIDTH * ((moment - first) / (end - first)), 2)


def _y(height: float, ceiling: int) -> float:
    return round(TOP + PLOT_HEIGHT * (1 - height / ceiling), 2)


def _colour(rates: Rates, key: str) -> str:
    return OTHER if key == OTHER else str(rates.keys.index(key))
