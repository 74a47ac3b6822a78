"""What is asked of an invariant, and what it may answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from django.utils import timezone

from incidents.models import ValidationCheck

Verdict = ValidationCheck.Verdict
MOST = 20  # offenders that are named


@dataclass(frozen=True, slots=True)
class Look:
    """`news`: since the cursor of each question; `all`: from the first row on; `keys`: of these consents, by number."""

    scope: Literal["news", "all", "keys"]
    consents: Sequence[int] = ()
    now: datetime = field(default_factory=timezone.now)


def news() -> Look:
    return Look("news")


def everything() -> Look:
    return Look("all")


def of_consents(ids: Sequence[int]) -> Look:
    return Look("keys", list(ids))


@dataclass(frozen=True, slots=True)
class Row:
    """One offender. `key` is the same whenever it is found again, so that it is told once."""

    key: str
    at: datetime
    words: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """`rows` are offenders that are told of; `count` how many there are now, also of those told before.

    `is_idle`: unmeasured because nothing happened that could be measured; a run is not in doubt because of it.
    """

    verdict: str
    count: int = 0
    observed: str = ""
    words: str = ""
    rows: Sequence[Row] = ()
    offenders: Sequence[str] = ()
    looked_at: int = 0
    is_idle: bool = False

    def and_(self, other: "Found") -> "Found":
        """Both together: broken where one is; else unmeasured where one is."""
        order = (Verdict.BREACHED, Verdict.UNMEASURED, Verdict.MET)
        return replace(
            self,
            verdict=min(self.verdict, other.verdict, key=order.index),
            count=self.count + other.count,
            observed="; ".join(filter(None, [self.observed, other.observed])),
            words=" ".join(filter(None, [self.words, other.words])),
            rows=[*self.rows, *other.rows],
            offenders=[*self.offenders, *other.offenders],
            looked_at=self.looked_at + other.looked_at,
            is_idle=False,
        )


def met(observed: str = "", looked_at: int = 0) -> Found:
    return Found(Verdict.MET, observed=observed, looked_at=looked_at)


def unmeasured(why: str) -> Found:
    return Found(Verdict.UNMEASURED, words=why)


def idle(why: str) -> Found:
    return Found(Verdict.UNMEASURED, words=why, is_idle=True)


def breached(count: int, words: str, *, offenders: Sequence[str] = (), rows: Sequence[Row] = ()) -> Found:
    return Found(Verdict.BREACHED, count, words=words, offenders=offenders, rows=rows)


@dataclass(frozen=True, slots=True)
class Invariant:
    """`is_irrecoverable`: one breach at any instant fails, also where the state heals afterwards."""

    id: str
    title: str
    tolerance: str
    ask: Callable[[Look], Found]
    is_irrecoverable: bool = False
