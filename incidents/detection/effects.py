"""What sends lead to, learnt from the past, and what is usual beside them. Arithmetic over counts, as in `baseline`.

Several sends may be felt in one bucket, and a bucket holds the usual besides. So each count is shared out among all
that let one expect it, in proportion (expectation maximisation for a sum of Poisson means): nobody is credited with
what another led to. In turn the usual is learnt from what the sends leave, and the sends from what the usual leaves.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from incidents.detection.baseline import (
    BUCKET,
    DELAY,
    LONGEST_EFFECT,
    RATE,
    Baseline,
    Bucket,
    bucket_of,
    delay_of,
    learn,
    rate_of,
)

ALL = ""  # the name that stands for all families, and for sends that have none
TURNS = 3  # of the usual and the sends
ROUNDS, SETTLED = 10, 0.01  # of sharing out beside one usual, at most, and until no rate moves by more than that
HARDLY_FELT = 3 * DELAY // BUCKET  # buckets after a send
ENOUGH = 0.25  # share of an hour's buckets that are quiet, to tell what is usual then
STEP, LAST = BUCKET.total_seconds(), LONGEST_EFFECT // BUCKET

Told = Mapping[str, Sequence[float]]  # family → opt-outs per message, and their mean delay in seconds
Felt = Mapping[str, Sequence[tuple[int, float, float]]]  # family → (place in the past, messages felt, seconds of each)


@dataclass(frozen=True, slots=True)
class Sent:
    """`size` messages at a moment."""

    at: datetime
    size: int
    family: str


@dataclass(slots=True)
class Credit:
    """`messages` were felt while somebody counted, and led to `opt_outs`, after so many seconds all together."""

    messages: float = 0.0
    opt_outs: float = 0.0
    seconds: float = 0.0

    def add(self, messages: float, opt_outs: float, seconds: float) -> None:
        self.messages += messages
        self.opt_outs += opt_outs
        self.seconds += seconds


def learn_beside(
    sent: Sequence[Sent], past: Sequence[Bucket], prior: float, zone: str = "UTC"
) -> tuple[Baseline, dict[str, list[float]]]:
    """The usual, and what each family of sends leads to, and under "" all of them.

    `past` is in order of time and may have gaps. `prior`: opt-outs per message, as long as few messages say otherwise.
    Where sends come at the same hours of each day, in the same sizes, nothing tells them from the usual, and what was
    assumed of them stands.
    """
    assumed: Told = {family: [prior, DELAY.total_seconds()] for family in {ALL, *(send.family for send in sent)}}
    if not sent or not past:
        return learn(past, zone), {ALL: list(assumed[ALL])}
    history = _History(sent, past)
    usual = learn(_quiet(sent, _beside(history, assumed)), zone)
    told: Told = {family: [prior or RATE, delay] for family, (_, delay) in assumed.items()}
    for _ in range(TURNS):
        told = _share_out(history, [usual.usual(bucket.start) for bucket in past], told, prior)
        usual = learn(_beside(history, told), zone)
    return usual, {family: list(learnt) for family, learnt in told.items()}


class _History:
    """The past, and the sends of each family by the bucket that they began in, counted from the first of all."""

    def __init__(self, sent: Sequence[Sent], past: Sequence[Bucket]) -> None:
        self.past = past
        first = min(past[0].start, *(bucket_of(send.at) for send in sent))
        self.place = {(bucket.start - first) // BUCKET: n for n, bucket in enumerate(past)}
        self.end = (past[-1].start - first) // BUCKET + 1
        self.sends: defaultdict[str, defaultdict[int, list[tuple[float, int]]]] = defaultdict(lambda: defaultdict(list))
        for send in sent:
            start = bucket_of(send.at)
            self.sends[send.family][(start - first) // BUCKET].append(((send.at - start).total_seconds(), send.size))

    def felt(self, told: Told) -> Felt:
        return {
            family: [(self.place[at], n, s) for at, n, s in _felt(sends, told[family][1], self.end) if at in self.place]
            for family, sends in self.sends.items()
        }


def _felt(sends: Mapping[int, list[tuple[float, int]]], delay: float, end: int) -> Iterator[tuple[int, float, float]]:
    """(bucket, messages that are felt in it, seconds since they were sent, all together), where there are any.

    From its second bucket on a send is felt by the same part less in each: so those of all sends fade as one.
    """
    part = math.exp(-STEP / delay)
    starts, fading, aging = sorted(sends, reverse=True), 0.0, 0.0
    at, gone = -1, 0  # `gone`: the bucket after which nothing is felt any more
    while starts or at < gone:
        if at >= gone:
            at, fading, aging = starts[-1], 0.0, 0.0
        if at >= end:
            return
        fading, aging = fading * part, (aging + STEP * fading) * part
        for since, size in sends.get(at - 1, ()):
            left = size * math.exp(-(STEP - since) / delay) * (1 - part)
            fading, aging = fading + left, aging + left * (1.5 * STEP - since)
        for since, size in sends.get(at - LAST - 1, ()):
            left = size * math.exp(-(STEP * (LAST + 1) - since) / delay) * (1 - part)
            fading, aging = fading - left, aging - left * ((LAST + 1.5) * STEP - since)
        begun = [(since, size * (1 - math.exp(-(STEP - since) / delay))) for since, size in sends.get(at, ())]
        if begun:
            starts.pop()
            gone = at + LAST + 1
        yield (
            at,
            fading + sum(felt for _, felt in begun),
            aging + sum(felt * max(0.0, STEP / 2 - since) for since, felt in begun),
        )
        at += 1


def _quiet(sent: Sequence[Sent], past: Sequence[Bucket]) -> list[Bucket]:
    """Buckets away from sends; of an hour of the day that has too few, all, less what is assumed of the sends."""
    loud = {bucket_of(send.at) + BUCKET * n for send in sent for n in range(HARDLY_FELT + 1)}
    quiet, of_hour = Counter[int](), Counter[int]()
    for bucket in past:
        of_hour[bucket.start.hour] += 1
        quiet[bucket.start.hour] += bucket.start not in loud
    return [b for b in past if b.start not in loud or quiet[b.start.hour] < ENOUGH * of_hour[b.start.hour]]


def _beside(history: _History, told: Told) -> list[Bucket]:
    """The past with what the sends let one expect of it."""
    means = _expected(history.felt(told), told, [0.0] * len(history.past))
    return [replace(bucket, sends=mean) for bucket, mean in zip(history.past, means, strict=True)]


def _expected(felt: Felt, told: Told, usual: Sequence[float]) -> list[float]:
    means = list(usual)
    for family, places in felt.items():
        rate = told[family][0]
        for at, messages, _ in places:
            means[at] += rate * messages
    return means


def _share_out(history: _History, usual: Sequence[float], told: Told, prior: float) -> Told:
    """Rates and delays, beside this usual, from the part of each count that falls to each family."""
    counts = [bucket.count for bucket in history.past]
    for _ in range(ROUNDS):
        before, felt = told, history.felt(told)
        means, credits = _expected(felt, told, usual), {family: Credit() for family in felt}
        for family, places in felt.items():
            rate, credit = told[family][0], credits[family]
            for at, messages, seconds in places:
                part = counts[at] * rate / means[at]
                credit.add(messages, part * messages, part * seconds)
        told = _told(credits, prior)
        if all(abs(told[family][0] - before[family][0]) <= SETTLED * before[family][0] for family in told):
            break
    return told


def _told(credits: Mapping[str, Credit], prior: float) -> dict[str, list[float]]:
    """Of all first: what they led to is assumed of a family that has sent little."""
    of_all = Credit()
    for each in credits.values():
        of_all.add(each.messages, each.opt_outs, each.seconds)
    told = {ALL: [rate_of(of_all.messages, of_all.opt_outs, prior), delay_of(of_all.opt_outs, of_all.seconds)]}
    for family, each in sorted(credits.items()):
        if family != ALL:
            rate = rate_of(each.messages, each.opt_outs, told[ALL][0])
            told[family] = [rate, delay_of(each.opt_outs, each.seconds)]
    return told
