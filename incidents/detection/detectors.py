"""The detectors: plain functions of a count, its mean and its dispersion, and of the sum so far.

D1 asks of one bucket, D2 and D3 of all since things were last as usual (Page 1954; Lucas 1985; Höhle & Paul 2008), EARS
of days where no week is known yet (Hutwagner et al. 2003). Counts are Poisson, or negative binomial with variance φμ.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

POISSON_BELOW = 1.001  # a φ so close to 1 is Poisson: the other form divides by φ − 1
BUSY = 0.5  # how much D2's limit grows with the logarithm of what is to be expected
Z_C1_C2, Z_C3 = 3.0902, 1.96  # Φ⁻¹(0.999), Φ⁻¹(0.975)
LEAST_SD = 0.5  # a quiet past has no scatter, and one press would be an alarm
BASE_DAYS, GUARD_DAYS = 7, 2


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides. `h`: limit of D2's sum (`rise_limit`); `kappa`: the rise; `slump`: the share left in a slump."""

    h: float = 7.0
    kappa: float = 2.0
    jump_p: float = 1 / 20_000
    jump_least: int = 4
    slump_h: float = 7.0
    slump: float = 0.5
    slump_least_mu: float = 8.0


@dataclass(frozen=True, slots=True)
class Sums:
    """What has gathered since things were last as usual; `expected_down`: opt-outs expected since `down` left 0."""

    up: float = 0.0
    down: float = 0.0
    expected_down: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one bucket. `p`: chance of so many or more; `up` and `down`: the sums that were held against their limits."""

    p: float
    up: float
    down: float
    is_jump: bool
    is_rise: bool
    is_slump: bool
    sums: Sums


def judge(count: int, mu: float, phi: float, sums: Sums, settings: Settings) -> Verdict:
    """D1, D2 and D3 for one bucket. A sum that passed its limit begins again at 0."""
    p = tail(count, mu, phi)
    up = max(0.0, sums.up + log_ratio(count, mu, phi, settings.kappa))
    down = max(0.0, sums.down + log_ratio(count, mu, phi, settings.slump))
    expected = sums.expected_down + mu if down > 0 else 0.0
    is_rise = up > rise_limit(mu, settings)
    is_slump = down > settings.slump_h and expected >= settings.slump_least_mu
    return Verdict(
        p=p,
        up=up,
        down=down,
        is_jump=count >= settings.jump_least and p < settings.jump_p,
        is_rise=is_rise,
        is_slump=is_slump,
        sums=Sums(0.0 if is_rise else up, 0.0 if is_slump else down, 0.0 if is_slump else expected),
    )


def rise_limit(mu: float, settings: Settings) -> float:
    """D2's limit in a bucket: `h` where little happens, more by day in a busy series.

    A sum of few large counts reaches any limit by chance more often than one of many small ones: simulated for one
    false alarm a month, the limit is 5 to 7 for a mean of 0.3 and 6.75 to 7.5 for 4.
    """
    return settings.h + BUSY * math.log1p(mu)


def tail(count: int, mu: float, phi: float) -> float:
    """P(Y ≥ count) for mean μ and variance φμ."""
    if count <= 0:
        return 1.0
    size, q = _size(mu, phi), (phi - 1) / phi
    if count <= mu:  # the shorter way round
        return max(0.0, 1.0 - sum(math.exp(_log_pmf(k, mu, phi)) for k in range(count)))
    term = total = math.exp(_log_pmf(count, mu, phi))
    k = count
    while term > total * 1e-12 and k < count + 100_000:
        term *= mu / (k + 1) if size == math.inf else (k + size) / (k + 1) * q
        total += term
        k += 1
    return min(1.0, total)


def log_ratio(count: int, mu: float, phi: float, kappa: float) -> float:
    """How much likelier the count is where the mean is κμ than where it is μ, as a logarithm."""
    if phi < POISSON_BELOW:
        return count * math.log(kappa) - mu * (kappa - 1)
    r0 = mu / (phi - 1)
    r1 = kappa * r0
    counted = math.lgamma(count + r1) - math.lgamma(r1) - math.lgamma(count + r0) + math.lgamma(r0) if count else 0.0
    return counted - (r1 - r0) * math.log(phi)


def _size(mu: float, phi: float) -> float:
    return math.inf if phi < POISSON_BELOW else mu / (phi - 1)


def _log_pmf(k: int, mu: float, phi: float) -> float:
    r = _size(mu, phi)
    if r == math.inf:
        return -mu + k * math.log(mu) - math.lgamma(k + 1)
    log_q = math.log((phi - 1) / phi)
    return math.lgamma(k + r) - math.lgamma(r) - math.lgamma(k + 1) - r * math.log(phi) + k * log_q


@dataclass(frozen=True, slots=True)
class Ears:
    """The three statistics of the newest day or hour, in standard deviations, and which of them say alarm."""

    c1: float
    c2: float
    c3: float

    @property
    def alarms(self) -> tuple[str, ...]:
        limits = (("C1", self.c1, Z_C1_C2), ("C2", self.c2, Z_C1_C2), ("C3", self.c3, Z_C3))
        return tuple(name for name, value, limit in limits if value > limit)


def ears(counts: Sequence[int]) -> Ears | None:
    """For a cold start; the newest count stands last. None with fewer than twelve: then nothing can be said yet."""
    if len(counts) < BASE_DAYS + GUARD_DAYS + 3:
        return None
    c1 = _over(counts, len(counts) - 1, 0)
    last_three = [_over(counts, len(counts) - 1 - back, GUARD_DAYS) for back in range(3)]
    return Ears(c1, last_three[0], sum(max(0.0, c2 - 1) for c2 in last_three))


def _over(counts: Sequence[int], position: int, guard: int) -> float:
    """How far a count lies above the seven before it (before the guard), in their standard deviations."""
    base = counts[position - guard - BASE_DAYS : position - guard]
    return (counts[position] - fmean(base)) / max(stdev(base), LEAST_SD)
