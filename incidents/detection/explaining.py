"""An alarm explained, long after: computed again from what it stored, and told in words a person can check."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from incidents.detection import composition
from incidents.detection.baseline import Effect, hour_of_week
from incidents.detection.detectors import Settings, Sums, ears, judge, tail
from incidents.detection.raising import digest_of
from incidents.models import Alarm

Detector = Alarm.Detector
NEAR = 1e-6  # of a figure: what rounding may change


@dataclass(slots=True)
class Explanation:
    """Whether the alarm agrees with what it stored; `is_checked` is False where there is nothing to compute again."""

    agrees: bool
    is_checked: bool = True
    words: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)


def explain(alarm: Alarm) -> Explanation:
    """Compute it again from its inputs and its baseline, by the functions that raised it."""
    explanation = Explanation(agrees=True)
    if bytes(alarm.inputs_digest) != digest_of(alarm.inputs):
        explanation.differs.append("Its inputs are not those that it was raised with: their digest differs.")
    check = {
        Detector.JUMP: _of_bucket,
        Detector.RISE: _of_bucket,
        Detector.SLUMP: _of_bucket,
        Detector.EARS: _of_days,
        Detector.COMPOSITION: _of_composition,
    }.get(Detector(alarm.detector))
    if check is None:
        explanation.is_checked = False
        explanation.words.append(alarm.inputs.get("words", ""))
    else:
        check(alarm, explanation)
    explanation.agrees = not explanation.differs
    return explanation


def _of_bucket(alarm: Alarm, to: Explanation) -> None:
    trail = alarm.inputs["trail"]
    _check_mean(alarm, to)
    _same(to, "chance", tail(alarm.count, alarm.mu or 0.0, alarm.phi or 1.0), alarm.p)
    to.words.append(
        f"In the five minutes from {alarm.bucket:%Y-%m-%d %H:%M} UTC {alarm.count} opted out, where {alarm.mu:.2f} "
        f"were to be expected (variance {alarm.phi:.2f} times the mean). So many or more come by chance once in "
        f"{1 / max(alarm.p or 0.0, 1e-300):,.0f} such buckets."
    )
    if alarm.s is None:
        to.words.append(f"D1 speaks where that is rarer than once in {1 / (alarm.threshold or 1):,.0f}.")
        return
    _same(to, "sum", _sum_of(alarm, trail), alarm.s)
    counted, expected = sum(point[1] for point in trail), sum(point[2] for point in trail)
    what = "as many" if (alarm.kappa or 0) > 1 else "as few"
    to.words.append(
        f"Over {len(trail)} buckets {counted} opted out where {expected:.1f} were to be expected. The evidence for "
        f"{alarm.kappa:g} times {what} gathered to {alarm.s:.2f}, beyond its limit of {alarm.threshold:.2f}."
    )


def _check_mean(alarm: Alarm, to: Explanation) -> None:
    """μ is the usual of its hour in the baseline that it names, and what sends led one to expect."""
    usual, sends = alarm.inputs["usual"], [_effect(send) for send in alarm.inputs["sends"]]
    if alarm.baseline:
        _same(to, "usual of the hour", alarm.baseline.hours[hour_of_week(alarm.bucket, alarm.baseline.zone)], usual)
        _same(to, "scatter", alarm.baseline.phi, alarm.phi)
    _same(to, "mean", usual + sum(send.expected(alarm.bucket) for send in sends), alarm.mu)
    to.words.append(f"Usual at this hour of the week: {usual:.2f} in five minutes.")
    if sends:
        to.words.append(f"{len(sends)} send(s) under way let one expect {(alarm.mu or 0) - usual:.2f} more.")


def _sum_of(alarm: Alarm, trail: Sequence[Sequence[Any]]) -> float:
    """The sum over the trail, from nothing, with the factor of the alarm; before its end it never passed a limit."""
    is_up = alarm.detector == Detector.RISE
    factor, endless = alarm.kappa or 1.0, math.inf
    settings = Settings(h=endless, kappa=factor) if is_up else Settings(slump_h=endless, slump=factor)
    sums, reached = Sums(), 0.0
    for _, count, mu, phi in trail:
        verdict = judge(count, mu, phi, sums, settings)
        sums, reached = verdict.sums, verdict.up if is_up else verdict.down
    return reached


def _of_days(alarm: Alarm, to: Explanation) -> None:
    numbers = alarm.inputs["counts"]
    found = ears(numbers)
    _same(to, "statistic", max(found.c1, found.c2, found.c3) if found else 0.0, alarm.s)
    to.words.append(f"{alarm.inputs['words']}. The counts before it: {', '.join(map(str, numbers[:-1]))}.")


def _of_composition(alarm: Alarm, to: Explanation) -> None:
    facts = alarm.inputs
    _same(to, "share", max(composition.FLOOR, facts["past"] / facts["past_total"]), facts["share"])
    _same(to, "chance", composition.binomial_tail(facts["count"], facts["total"], facts["share"]), alarm.p)
    to.words.append(
        f"{facts['words']} (before: {facts['past']} of {facts['past_total']}). By chance that happens with probability "
        f"{alarm.p:.1e}."
    )


def _effect(send: Mapping[str, Any]) -> Effect:
    return Effect(datetime.fromisoformat(send["at"]), send["size"], send["rate"], send["delay"])


def _same(to: Explanation, what: str, again: float, stored: float | None) -> None:
    if stored is None or abs(again - stored) > NEAR * max(1.0, abs(stored)):
        to.differs.append(f"The {what} comes out as {again:.6g}, and was stored as {stored}.")
