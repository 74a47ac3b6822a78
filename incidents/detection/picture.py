"""An alarm as numbers that a template draws: what was counted, what was to be expected, and where D1 would speak."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from django.utils import timezone

from incidents.detection.detectors import Settings, tail
from incidents.detection.judging import settings_of
from incidents.models import Alarm, BucketScore

WIDTH, HEIGHT = 960, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 12, 26
BEFORE, AFTER = timedelta(hours=6), timedelta(hours=1)
MOST = 144


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    title: str
    is_alarm: bool


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    title: str
    bars: list[Bar]
    expected: str
    limit: str
    up: list[Tick]
    across: list[Tick]
    table: list[tuple[datetime, int, float, int]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    floor: int = HEIGHT - BOTTOM


def draw(alarm: Alarm) -> Picture | None:
    """Around the alarm: from the scores while they are kept, else from what it stored itself. None: nothing to draw."""
    points = _points(alarm)
    if not points:
        return None
    values = settings_of(alarm.settings_version)
    limits = [_limit(mu, phi, values) for _, _, mu, phi in points]
    ceiling = _ceiling(max(max(n, mu, limit) for (_, n, mu, _), limit in zip(points, limits, strict=True)))
    width = (WIDTH - LEFT - RIGHT) / len(points)
    bars = [
        Bar(
            round(LEFT + i * width + width * 0.1, 2),
            _y(n, ceiling),
            round(width * 0.8, 2),
            round(HEIGHT - BOTTOM - _y(n, ceiling), 2),
            f"{timezone.localtime(at):%a %H:%M}: {n}, {mu:.2f} expected",
            at == alarm.bucket,
        )
        for i, (at, n, mu, _) in enumerate(points)
    ]
    return Picture(
        title="Opt-outs in five minutes, and how many were to be expected",
        bars=bars,
        expected=_line([mu for _, _, mu, _ in points], width, ceiling),
        limit=_line(limits, width, ceiling),
        up=[Tick(_y(ceiling * n / 4, ceiling), f"{ceiling * n // 4:,}") for n in range(5)],
        across=[
            Tick(round(LEFT + i * width, 2), f"{timezone.localtime(at):%H:%M}")
            for i, (at, *_) in enumerate(points)
            if i % max(1, len(points) // 8) == 0
        ],
        table=[(at, n, mu, round(limit)) for (at, n, mu, _), limit in zip(points, limits, strict=True)][::-1],
    )


def _points(alarm: Alarm) -> list[tuple[datetime, int, float, float]]:
    points = {datetime.fromisoformat(at): (n, mu, phi) for at, n, mu, phi in alarm.inputs.get("trail", [])}
    first = min([*points, alarm.bucket - BEFORE])
    scores = BucketScore.objects.filter(series=alarm.series_id, bucket__gte=first, bucket__lte=alarm.bucket + AFTER)
    if alarm.series_id and alarm.mu is not None:
        kept = scores.order_by("-bucket").values_list("bucket", "count", "mu", "phi")[:600]
        points = {at: (n, mu, phi) for at, n, mu, phi in kept} | points
    shown = sorted(at for at in points if at <= alarm.bucket + AFTER)[-MOST:]
    return [(at, *points[at]) for at in shown]


def _limit(mu: float, phi: float, values: Settings) -> float:
    """The least count for which D1 speaks."""
    return float(next(n for n in count(max(values.jump_least, int(mu))) if tail(n, mu, phi) < values.jump_p))


def _line(values: list[float], width: float, ceiling: int) -> str:
    """Points of a line with a step for each bucket."""
    steps = [(LEFT + (i + side) * width, _y(value, ceiling)) for i, value in enumerate(values) for side in (0, 1)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in steps)


def _ceiling(highest: float) -> int:
    return next(base * 10**power for power in count() for base in (4, 8, 12, 20) if base * 10**power >= highest)


def _y(value: float, ceiling: int) -> float:
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / ceiling), 2)
