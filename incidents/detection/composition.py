"""D4: not how many leave but who. A mail domain, a network or a cause with a share that chance does not explain.

It tells "people are leaving" from "one gateway presses links" and "one script runs".
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

LEAST_EVENTS = 20
LEAST_OF_ONE = 5
ALPHA = 1 / 20_000  # of a window, shared among all that is tested in it
FLOOR = 0.005  # share of what was never seen before: new names turn up every day


@dataclass(frozen=True, slots=True)
class Shift:
    """`name` of `kind` had `count` of `total`, where `share` of them was expected; `p` is the chance of so many."""

    kind: str
    name: str
    count: int
    total: int
    share: float
    p: float


def shifts(
    now: Mapping[str, Mapping[str, int]], before: Mapping[str, Mapping[str, int]], alpha: float = ALPHA
) -> list[Shift]:
    """What has a greater share of the window than of the past, the unlikeliest first. Outer keys are kinds.

    Each kind has a total of its own: where evidence is missing, a decision counts in fewer kinds. Bonferroni over all
    that is tested.
    """
    tested = [
        (kind, name, count, sum(counts.values()))
        for kind, counts in now.items()
        if sum(counts.values()) >= LEAST_EVENTS and sum(before.get(kind, {}).values()) >= LEAST_EVENTS
        for name, count in counts.items()
        if count >= LEAST_OF_ONE
    ]
    found = []
    for kind, name, count, total in tested:
        past = before[kind]
        share = max(FLOOR, past.get(name, 0) / sum(past.values()))
        if count > share * total and (p := binomial_tail(count, total, share)) < alpha / len(tested):
            found.append(Shift(kind, name, count, total, share, p))
    return sorted(found, key=lambda shift: (shift.p, shift.kind, shift.name))


def binomial_tail(count: int, total: int, share: float) -> float:
    """P(Y ≥ count) of `total`, each with chance `share`."""
    if count <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    return min(1.0, math.fsum(math.exp(_log_pmf(k, total, share)) for k in range(count, total + 1)))


def _log_pmf(k: int, n: int, share: float) -> float:
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + k * math.log(share) + (n - k) * math.log1p(-share)
