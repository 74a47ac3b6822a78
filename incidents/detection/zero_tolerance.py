"""What must never happen, not even once: no statistics, no threshold. Each rule looks at what is new in its log.

Versions of consent, decisions and attempts that ended are read in log order, so that what commits late is seen. A
breach is known by its key, so that it is told once, however often somebody looks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from time import monotonic

from consent import feed
from incidents import looking
from incidents.detection import breaches
from incidents.detection.breaches import Breach
from incidents.detection.raising import raise_alarm
from incidents.models import Alarm, Incident
from messaging.models import DeliveryAttempt

BATCH = 5_000
TURN = 10.0  # seconds, after which the rest is left to the next look


@dataclass(frozen=True, slots=True)
class Rule:
    """`breaks`: which of the rows with these ids break it."""

    code: str
    title: str
    breaks: Callable[[Sequence[int]], list[Breach]]


@contextmanager
def _versions(limit: int) -> Iterator[list[int]]:
    with feed.changes("changes:zero-tolerance", limit) as versions:
        yield [version.pk for version in versions]


@contextmanager
def _decisions(limit: int) -> Iterator[list[int]]:
    with feed.reading("zero-tolerance", limit) as decisions:
        yield [decision.pk for decision in decisions]


def _attempts(limit: int) -> AbstractContextManager[list[int]]:
    return looking.new_in(DeliveryAttempt, limit, tx="ended_tx", where="AND ended_at IS NOT NULL")


VERSION_RULES = (
    Rule("I2", "An opt-out was reversed without the person's own act", breaches.opt_outs_reversed),
    Rule("I5", "The history of a choice has a gap", breaches.gaps),
)
DECISION_RULES = (Rule("I10", "A choice was written by a login that may not", breaches.unguarded_writes),)
ATTEMPT_RULES = (
    Rule("I3", "A message was accepted for somebody who had opted out", breaches.contacts_after_opting_out),
)
RULES = (*VERSION_RULES, *DECISION_RULES, *ATTEMPT_RULES)
LOOKS: tuple[tuple[Callable[[int], AbstractContextManager[list[int]]], tuple[Rule, ...]], ...] = (
    (_versions, VERSION_RULES),
    (_decisions, DECISION_RULES),
    (_attempts, ATTEMPT_RULES),
)


def look(limit: int = BATCH) -> int:
    """One look of every rule, at all that is new or as far as a turn allows; returns how many breaches are new."""
    ends, new = monotonic() + TURN, 0
    for news, rules in LOOKS:
        seen = limit
        while seen == limit:
            with news(limit) as rows:
                new += sum(_tell(rule, breach) for rule in rules for breach in (rule.breaks(rows) if rows else ()))
            seen = len(rows) if monotonic() < ends else 0
    return new


def _tell(rule: Rule, breach: Breach) -> bool:
    alarm = Alarm(
        detector=Alarm.Detector.ZERO,
        key=f"{rule.code}:{breach.row}",
        title=rule.title,
        bucket=breach.at,
        count=1,
        inputs={"rule": rule.code, "row": breach.row, "words": f"{rule.code}: {breach.words}"},
    )
    return raise_alarm(alarm, began=breach.at, severity=Incident.Severity.SEV1)
