"""What D3, D4 and EARS do on made-up weeks, beside D1 and D2 of `incidents.detection.simulation`: its seed, its weeks.

D3: people are kept from leaving from Wednesday 10:00 on, for six hours, but for a share of them. D4: a gateway of a
mail domain presses so many times within fifteen minutes. EARS: the surges of D1 and D2, in the second week of a series.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from random import Random

from incidents.detection import cold
from incidents.detection.baseline import BUCKET, Baseline
from incidents.detection.composition import Shift, shifts
from incidents.detection.detectors import Settings, Sums, judge
from incidents.detection.simulation import (
    FACTORS,
    MEANS,
    MINUTES,
    MONDAY,
    SEED,
    SURGE_AT,
    SURGE_FOR,
    WEEK,
    Row,
    buckets,
    draw,
    found_of,
    learnt_from,
    rate,
)

LEFT = (0.5, 0.25, 0.1, 0.0)  # of what is usual, in a slump
PRESSES = (15.0, 30.0, 60.0, 120.0)
# The last is the gateway's. Weeks before say so too, give or take what chance does to them.
DOMAINS = {"a.example": 0.4, "b.example": 0.25, "c.example": 0.2, "d.example": 0.1, "e.example": 0.05}
GATEWAY = "e.example"
WINDOW = 12  # buckets of D4's hour
AGAIN = timedelta(hours=6) // BUCKET  # what is told is not told again for so long
YOUNG = 3  # weeks that EARS watches
DAY = timedelta(days=1)


def simulate_others(
    replicas: int, weeks: int, settings: Settings | None = None, means: Sequence[float] = MEANS
) -> list[Row]:
    """A row for each detector and mean."""
    terms = settings or Settings()
    rows = []
    for name, watch in (("D3", _slumps(terms)), ("D4", _shares), ("EARS", _young)):
        rows += [watch(Random(f"{SEED} {name} {mean}"), mean, replicas, weeks) for mean in means]  # noqa: S311
    return rows


def _slumps(settings: Settings) -> Callable[[Random, float, int, int], Row]:
    def watched(random: Random, mean: float, replicas: int, weeks: int) -> Row:
        false, delays = 0, {left: list[float]() for left in LEFT}
        for _ in range(replicas):
            learnt = learnt_from(random, mean)
            false += sum(1 for _ in _slump_alarms(random, mean, learnt, settings, MONDAY, WEEK * weeks))
            for left, times in delays.items():
                begin = MONDAY + SURGE_AT
                alarms = _slump_alarms(random, mean, learnt, settings, begin - DAY, DAY + SURGE_FOR, begin, left)
                times += [after for after in alarms if after > 0][:1]
        return _row(mean, "D3", false / (replicas * weeks), delays, replicas)

    return watched


def _slump_alarms(
    random: Random,
    mean: float,
    learnt: Baseline,
    settings: Settings,
    start: datetime,
    length: timedelta,
    begin: datetime | None = None,
    left: float = 1.0,
) -> Iterator[float]:
    """Minutes from `begin` to the end of each bucket with an alarm; those before are negative or 0."""
    sums = Sums()
    for at in buckets(start, length):
        share = left if begin and at >= begin else 1.0
        mu = share * rate(mean, at)
        verdict = judge(draw(random, mu) if mu else 0, learnt.usual(at), learnt.phi, sums, settings)
        sums = verdict.sums
        if verdict.is_slump:
            yield (at + BUCKET - (begin or start)).total_seconds() / 60


def _shares(random: Random, mean: float, replicas: int, weeks: int) -> Row:
    false, delays = 0, {presses: list[float]() for presses in PRESSES}
    for _ in range(replicas):
        before = {"domain": _of_domains(random, round(mean * WEEK.days * 288 * 4))}
        false += len(_share_alarms(random, mean, before, MONDAY, WEEK * weeks))
        for presses, times in delays.items():
            begin = MONDAY + SURGE_AT
            alarms = _share_alarms(random, mean, before, begin - timedelta(hours=1), timedelta(hours=3), presses)
            times += [(n - WINDOW + 1) * MINUTES for n, shift in alarms if shift.name == GATEWAY and n >= WINDOW][:1]
    return _row(mean, "D4", false / (replicas * weeks), delays, replicas)


def _share_alarms(
    random: Random,
    mean: float,
    before: dict[str, Counter[str]],
    start: datetime,
    length: timedelta,
    presses: float = 0.0,
) -> list[tuple[int, Shift]]:
    """In which bucket each alarm was, and what it was about. The gateway presses in the second hour's first three."""
    window: deque[Counter[str]] = deque(maxlen=WINDOW)
    told: dict[str, int] = {}
    alarms = []
    for number, at in enumerate(buckets(start, length)):
        counted = _of_domains(random, draw(random, rate(mean, at)))
        if presses and WINDOW <= number < WINDOW + 3:
            counted[GATEWAY] += round(presses / 3)
        window.append(counted)
        for shift in shifts({"domain": sum(window, Counter())}, before):
            if number - told.get(shift.name, -AGAIN) >= AGAIN:
                told[shift.name] = number
                alarms.append((number, shift))
    return alarms


def _of_domains(random: Random, count: int) -> Counter[str]:
    return Counter(random.choices(list(DOMAINS), list(DOMAINS.values()), k=count))


def _young(random: Random, mean: float, replicas: int, weeks: int) -> Row:
    """Three clean weeks each, however many the others have: an older series is not EARS' to watch."""
    false, delays = 0, {factor: list[float]() for factor in FACTORS}
    for _ in range(replicas):
        false += len(_young_alarms(random, mean, WEEK * YOUNG))
        begin = WEEK + SURGE_AT
        for factor, times in delays.items():
            alarms = _young_alarms(random, mean, begin + SURGE_FOR, begin, factor)
            times += [(end - begin).total_seconds() / 60 for end in alarms if end > begin][:1]
    return _row(mean, "EARS", false / (replicas * YOUNG), delays, replicas)


def _young_alarms(
    random: Random, mean: float, length: timedelta, begin: timedelta | None = None, factor: float = 1.0
) -> list[timedelta]:
    """The age of the series at each alarm; of days one a day."""
    hours: list[int] = []
    alarms: list[timedelta] = []
    told = set[int]()
    for at in buckets(MONDAY, length):
        age = at - MONDAY
        if age % cold.HOUR == timedelta(0):
            hours.append(0)
        hours[-1] += draw(random, rate(mean, at) * (factor if begin and age >= begin else 1.0))
        end = age + BUCKET
        if end % cold.HOUR:
            continue
        span, known = cold.spans_of(end)
        each = span // cold.HOUR
        numbers = [sum(hours[len(hours) - each * n : len(hours) - each * (n - 1)]) for n in range(known, 0, -1)]
        if cold.alarm(numbers, span) and (span == cold.HOUR or end.days not in told):
            told.add(end.days)
            alarms.append(end)
    return alarms


def _row(mean: float, name: str, false: float, delays: dict[float, list[float]], replicas: int) -> Row:
    return Row(mean, name, round(false, 3), {key: found_of(times, replicas) for key, times in delays.items()})
