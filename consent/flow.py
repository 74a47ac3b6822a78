"""How the ways out do: uses begun, how long answers took, looks at links. Counted in the process, written in batches.

A press must not pay for being counted: it adds to numbers in memory, and a thread writes them once a second. A process
that is killed loses that second. Where the database is away the numbers wait, up to a bound; they are telemetry, and
what a person chose is never among them.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from consent import exit_paths
from consent.models import ExitPathLatency, ExitPathMinute, LinkFetch

log = structlog.get_logger(__name__)

Outcome, Link = ExitPathMinute.Outcome, LinkFetch.Link
STEPS_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 60_000, 3_600_000, 86_400_000)
MOST = 10_000  # different numbers that wait
KEPT_FETCHES = timedelta(days=7)
ADD_LATENCIES = """
    INSERT INTO consent_exitpathlatency AS l (exit_path_id, minute, up_to_ms, count, total_ms, slowest_ms)
    SELECT took.* FROM unnest(%s::text[], %s::timestamptz[], %s::int[], %s::int[], %s::float8[], %s::float8[])
                       AS took(exit_path, minute, up_to_ms, count, total_ms, slowest_ms)
      JOIN consent_exitpath e ON e.code = took.exit_path
    ON CONFLICT (exit_path_id, minute, up_to_ms) DO UPDATE
    SET count = l.count + EXCLUDED.count, total_ms = l.total_ms + EXCLUDED.total_ms,
        slowest_ms = greatest(l.slowest_ms, EXCLUDED.slowest_ms)
"""
ADD_FETCHES = """
    INSERT INTO consent_linkfetch AS f (message_id, link, second, agent, count)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::text[], %s::int[])
    ON CONFLICT (message_id, second, link, agent) DO UPDATE SET count = f.count + EXCLUDED.count
"""


@dataclass(frozen=True, slots=True)
class Took:
    """Of the answers within one step: how many, their milliseconds together, the slowest."""

    count: int = 0
    total_ms: float = 0.0
    slowest_ms: float = 0.0

    def __add__(self, other: "Took") -> "Took":
        return Took(self.count + other.count, self.total_ms + other.total_ms, max(self.slowest_ms, other.slowest_ms))


@dataclass(slots=True)
class Numbers:
    uses: Counter[exit_paths.Minute] = field(default_factory=Counter)
    latencies: dict[tuple[str, datetime, int], Took] = field(default_factory=dict)
    fetches: Counter[tuple[UUID, str, datetime, str]] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.uses) + len(self.latencies) + len(self.fetches)

    def add(self, other: "Numbers") -> None:
        self.uses.update(other.uses)
        self.fetches.update(other.fetches)
        for key, took in other.latencies.items():
            self.latencies[key] = self.latencies.get(key, Took()) + took


class _Waiting:
    """What gathers, and the thread that takes it away: one a process, started by the first number."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.numbers = Numbers()
        self.thread: threading.Thread | None = None

    def put(self, numbers: Numbers) -> None:
        with self.lock:
            if len(self.numbers) < MOST:
                self.numbers.add(numbers)
            if settings.FLOW_FLUSH_SECONDS and (self.thread is None or not self.thread.is_alive()):  # or after a fork
                self.thread = threading.Thread(target=self._run, name="flow", daemon=True)
                self.thread.start()

    def take(self) -> Numbers:
        with self.lock:
            numbers, self.numbers = self.numbers, Numbers()
            return numbers

    def _run(self) -> None:
        while True:
            threading.Event().wait(settings.FLOW_FLUSH_SECONDS)
            if self.numbers:
                flush()
                connection.close()


_waiting = _Waiting()


def started(exit_path: str, count: int = 1) -> None:
    """A page was opened, or a press or call arrived."""
    _waiting.put(Numbers(uses=Counter({(exit_path, _minute(), Outcome.STARTED, ""): count})))


def took(exit_path: str, seconds: float) -> None:
    """From the wish's arrival to its answer."""
    milliseconds = max(seconds, 0) * 1000
    key = (exit_path, _minute(), step_of(milliseconds))
    _waiting.put(Numbers(latencies={key: Took(1, milliseconds, milliseconds)}))


@contextmanager
def measured(exit_path: str) -> Iterator[None]:
    """Around the work on a wish, whatever becomes of it."""
    began = time.perf_counter()
    try:
        yield
    finally:
        took(exit_path, time.perf_counter() - began)


def looked(message_id: UUID | None, link: str, agent: str) -> None:
    """Somebody, or something, fetched a link of a message. It changes nothing."""
    if message_id is not None:
        second = datetime.fromtimestamp(math.floor(time.time()), tz=UTC)
        _waiting.put(Numbers(fetches=Counter({(message_id, link, second, agent): 1})))


def flush() -> int:
    """Write what has gathered; returns how many numbers. What the database is too far away for, waits."""
    numbers = _waiting.take()
    if not len(numbers):
        return 0
    try:
        with transaction.atomic():
            exit_paths.add(numbers.uses)
            _add_latencies(numbers.latencies)
            _add_fetches(numbers.fetches)
    except Error as error:
        log.warning("flow_not_counted", error=str(error))
        if isinstance(error, OperationalError | InterfaceError):  # a number that it refuses would come back for ever
            _waiting.put(numbers)
        return 0
    return len(numbers)


def forget() -> int:
    """Looks at links are of use for days."""
    return LinkFetch.objects.filter(second__lt=timezone.now() - KEPT_FETCHES).delete()[0]


def step_of(milliseconds: float) -> int:
    return next((step for step in STEPS_MS if milliseconds <= step), STEPS_MS[-1])


def percentile(steps: Mapping[int, int], share: float, slowest: float) -> float | None:
    """The step within which that share of answers was given, in milliseconds: an upper bound, at most the slowest."""
    total = sum(steps.values())
    if not total:
        return None
    reached = 0
    for step in sorted(steps):
        reached += steps[step]
        if reached >= share * total:
            return min(float(step), slowest)
    return slowest


@dataclass(frozen=True, slots=True)
class Health:
    """A way out over a span. Milliseconds are None where nothing was measured: that is not zero."""

    exit_path: str
    outcomes: Mapping[str, int]
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    slowest_ms: float | None

    def count(self, outcome: str) -> int:
        return self.outcomes.get(outcome, 0)


def health(since: datetime, until: datetime, exit_paths_: Sequence[str] = ()) -> list[Health]:
    """Each way out that was used in the span, by its code. Two statements over the minutes' counts."""
    uses = ExitPathMinute.objects.filter(minute__gte=since, minute__lt=until)
    slow = ExitPathLatency.objects.filter(minute__gte=since, minute__lt=until)
    if exit_paths_:
        uses, slow = uses.filter(exit_path__in=exit_paths_), slow.filter(exit_path__in=exit_paths_)
    outcomes: dict[str, Counter[str]] = {}
    for path, outcome, count in uses.values_list("exit_path_id", "outcome", "count").iterator():
        outcomes.setdefault(path, Counter())[outcome] += count
    steps: dict[str, Counter[int]] = {}
    slowest: dict[str, float] = {}
    for path, step, count, most in slow.values_list("exit_path_id", "up_to_ms", "count", "slowest_ms").iterator():
        steps.setdefault(path, Counter())[step] += count
        slowest[path] = max(most, slowest.get(path, 0.0))
    return [
        _health(path, outcomes.get(path, Counter()), steps.get(path, Counter()), slowest.get(path))
        for path in sorted({*outcomes, *steps})
    ]


def _health(path: str, outcomes: Mapping[str, int], steps: Mapping[int, int], slowest: float | None) -> Health:
    p50, p95, p99 = (percentile(steps, share, slowest or 0.0) for share in (0.5, 0.95, 0.99))
    return Health(path, outcomes, p50, p95, p99, slowest)


def _add_latencies(latencies: Mapping[tuple[str, datetime, int], Took]) -> None:
    if latencies:
        rows = [(*key, *astuple(latencies[key])) for key in sorted(latencies)]
        with connection.cursor() as cursor:
            cursor.execute(ADD_LATENCIES, [list(column) for column in zip(*rows, strict=True)])


def _add_fetches(fetches: Mapping[tuple[UUID, str, datetime, str], int]) -> None:
    if fetches:
        rows = [(*key, count) for key, count in sorted(fetches.items())]
        with connection.cursor() as cursor:
            cursor.execute(ADD_FETCHES, [list(column) for column in zip(*rows, strict=True)])


def _minute() -> datetime:
    return timezone.now().replace(second=0, microsecond=0)
