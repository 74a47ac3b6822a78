"""What is to be expected of a bucket: the usual at this hour of the week, and what each send leads to.

`μ = b(hour of week) + Σ N·r̂·[G(end) − G(begin)]` (incidents.md 7.2; Farrington et al. 1996, Noufaily et al. 2013). All
of it is arithmetic over counts; nothing here asks a database or a clock.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

BUCKET = timedelta(minutes=5)
HOURS = 168  # of a week, from Monday 00:00 by the clocks that people live by
LEAST = 1e-4  # no bucket is expected to stay empty for certain
PRIOR_EVENTS = 8.0  # how many events of its own an hour needs to count as much as the shape of the whole week
FAR_OUT = 3.5  # Anscombe residual of an hour beyond which it counts less; 2.58 of Noufaily et al. is for weeks
SHAPING = 3  # rounds of fitting hours of the day and days of the week to each other
ROUNDS = 2  # of weighing down what lies far out
DELAY = timedelta(hours=3)  # mean delay of an opt-out after a send, until sends have taught another
RATE = 0.002  # opt-outs per message, until sends have taught another
RATE_WEIGHT = 5_000  # messages that the assumed rate is worth
LONGEST_EFFECT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket of the past: when it began, what was counted, and what sends had led one to expect of it."""

    start: datetime
    count: int
    sends: float = 0.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """`hours`: mean count of a bucket in each hour of the week, as the clocks of `zone` tell it; `phi`: variance over
    mean; `buckets`: learnt from."""

    hours: tuple[float, ...]
    phi: float
    buckets: int
    zone: str = "UTC"

    def usual(self, start: datetime) -> float:
        return self.hours[hour_of_week(start, self.zone)]


@dataclass(frozen=True, slots=True)
class Effect:
    """What one send is expected to lead to: `size` messages, `rate` opt-outs each, exponential with `delay` seconds."""

    at: datetime
    size: int
    rate: float
    delay: float

    def expected(self, start: datetime, length: timedelta = BUCKET) -> float:
        """Opt-outs expected of it in the bucket that begins at `start`."""
        end = (start + length - self.at).total_seconds()
        begin = max(0.0, (start - self.at).total_seconds())
        if end <= 0 or begin > LONGEST_EFFECT.total_seconds():
            return 0.0
        return self.size * self.rate * (math.exp(-begin / self.delay) - math.exp(-end / self.delay))


def hour_of_week(moment: datetime, zone: str = "UTC") -> int:
    """By local clocks: where these are changed, people get up by them, and not by UTC."""
    moment = moment.astimezone(ZoneInfo(zone))
    return moment.weekday() * 24 + moment.hour


def bucket_of(moment: datetime) -> datetime:
    """The beginning of the bucket that a moment lies in."""
    seconds = int(moment.timestamp()) // int(BUCKET.total_seconds()) * int(BUCKET.total_seconds())
    return datetime.fromtimestamp(seconds, tz=UTC)


def learn(past: Iterable[Bucket], zone: str = "UTC") -> Baseline:
    """The usual of each hour of the week, and how far counts scatter around it.

    `past` holds every bucket, the empty ones too, without those of alarms and of the last 24 hours. Twice over, what
    lies far from its mean is weighed down, so that an attack that nobody noticed does not become the usual.
    """
    buckets = list(past)
    if not buckets:
        return Baseline((LEAST,) * HOURS, 1.0, 0, zone)
    places = [hour_of_week(bucket.start, zone) for bucket in buckets]
    weights: Sequence[float] = [1.0] * len(buckets)
    hours = _hours(buckets, places, weights)
    phi = _dispersion(buckets, places, hours, weights)
    for _ in range(ROUNDS):
        weights = _weights(buckets, places, hours, phi)
        hours = _hours(buckets, places, weights)
        phi = _dispersion(buckets, places, hours, weights)
    return Baseline(tuple(hours), phi, len(buckets), zone)


def rate_of(messages: float, opt_outs: float, prior: float = RATE) -> float:
    """Opt-outs per message from what earlier sends led to; few messages say little."""
    return (opt_outs + prior * RATE_WEIGHT) / (messages + RATE_WEIGHT)


def delay_of(opt_outs: float, seconds: float) -> float:
    """Mean delay in seconds from how many came how long after a send, together; between half an hour and 12."""
    return min(max(seconds / opt_outs, 1_800.0), 43_200.0) if opt_outs >= 10 else DELAY.total_seconds()


def _hours(buckets: Sequence[Bucket], places: Sequence[int], weights: Sequence[float]) -> list[float]:
    """Each hour's own mean, drawn toward the week's shape (hour of day × day of week) where it has seen little."""
    sums, sizes = [0.0] * HOURS, [0.0] * HOURS
    for bucket, hour, weight in zip(buckets, places, weights, strict=True):
        sums[hour] += weight * (bucket.count - bucket.sends)
        sizes[hour] += weight
    shape = _shape([max(0.0, s) for s in sums], sizes)
    drawn = []
    for total, size, expected in zip(sums, sizes, shape, strict=True):
        worth = PRIOR_EVENTS / max(expected, LEAST)  # buckets
        drawn.append(max(LEAST, (max(0.0, total) + worth * expected) / (size + worth)))
    return _smoothed(drawn)


def _shape(sums: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Hour of day × day of week: 31 figures from all the weeks, where each of the 168 has but its own few buckets.

    Each hour beside what its days, and each day beside what its hours alone would have given: a gap makes nothing lean.
    """
    overall = sum(sums) / max(sum(sizes), 1.0)
    if overall <= 0:
        return [LEAST] * HOURS
    days, of_day = [1.0] * 7, [1.0] * 24
    for _ in range(SHAPING):
        expected = [size * overall * days[i // 24] for i, size in enumerate(sizes)]
        of_day = [_ratio(sums[hour::24], expected[hour::24]) for hour in range(24)]
        expected = [size * overall * of_day[i % 24] for i, size in enumerate(sizes)]
        days = [_ratio(sums[d * 24 : d * 24 + 24], expected[d * 24 : d * 24 + 24]) for d in range(7)]
    return [max(LEAST, overall * days[i // 24] * of_day[i % 24]) for i in range(HOURS)]


def _ratio(sums: Sequence[float], expected: Sequence[float]) -> float:
    """How they compare; what was never seen is like any other."""
    return sum(sums) / sum(expected) if sum(expected) > 0 else 1.0


def _smoothed(hours: Sequence[float]) -> list[float]:
    """¼, ½, ¼ over the neighbours, round the week."""
    return [0.25 * hours[i - 1] + 0.5 * hours[i] + 0.25 * hours[(i + 1) % HOURS] for i in range(HOURS)]


def _dispersion(
    buckets: Sequence[Bucket], places: Sequence[int], hours: Sequence[float], weights: Sequence[float]
) -> float:
    """Variance over mean, at least 1, by Pearson's statistic."""
    total = 0.0
    for bucket, hour, weight in zip(buckets, places, weights, strict=True):
        mu = hours[hour] + bucket.sends
        total += weight * (bucket.count - mu) ** 2 / mu
    freedom = max(1.0, sum(weights) - min(HOURS, len(buckets) / 2))
    return max(1.0, total / freedom)


def _weights(buckets: Sequence[Bucket], places: Sequence[int], hours: Sequence[float], phi: float) -> list[float]:
    """1, and less the farther the whole hour lies out: (limit / residual)², by Anscombe's residual.

    By the hour, because in five minutes of a quiet night three opt-outs lie "far out" by mere chance, and weighing them
    down makes the usual too small and the scatter too narrow.
    """
    counted: dict[datetime, list[float]] = {}
    for bucket, place in zip(buckets, places, strict=True):
        sums = counted.setdefault(bucket.start.replace(minute=0), [0.0, 0.0])
        sums[0] += bucket.count
        sums[1] += hours[place] + bucket.sends
    of_hour = {}
    for hour, (count, mu) in counted.items():
        residual = 1.5 * (count ** (2 / 3) - mu ** (2 / 3)) / (phi**0.5 * mu ** (1 / 6))
        of_hour[hour] = 1.0 if residual <= FAR_OUT else (FAR_OUT / residual) ** 2
    return [of_hour[bucket.start.replace(minute=0)] for bucket in buckets]
