"""A bucket against what was to be expected of it: under which rules, by how much, and with which sums."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from incidents.detection import counts
from incidents.detection.baseline import BUCKET, LONGEST_EFFECT, Effect, hour_of_week
from incidents.detection.detectors import Settings, Sums, Verdict, judge
from incidents.detection.sends import effects, sends_of
from incidents.models import BaselineVersion, BucketScore, DetectorSettings, Series


@dataclass(frozen=True, slots=True)
class Judged:
    """A bucket with what led to its verdict."""

    score: BucketScore
    verdict: Verdict
    usual: float
    sends: list[Effect]


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of a series' group, and which version of them."""

    mode: str
    version: int
    values: Settings


def rules_for(group: str) -> Rules:
    row = DetectorSettings.objects.filter(pk=group).first()
    if row is None:
        return Rules(DetectorSettings.Mode.OFF, 0, Settings())
    version = row.history.order_by("-history_id").values_list("history_id", flat=True).first() or 0
    return Rules(row.mode, version, _values(row))


def settings_of(version: int | None) -> Settings:
    """The settings of a version, as an alarm names it; those that the product ships where there is none."""
    row = DetectorSettings.history.filter(history_id=version).first()
    return _values(row) if row else Settings()


def _values(row: Any) -> Settings:
    """Of the settings as they stand, or of a version of them."""
    return Settings(row.h, row.kappa, row.jump_p, row.jump_least, row.slump_h, row.slump, row.slump_least_mu)


def judge_in_turn(series: Series, starts: Sequence[datetime], rules: Rules, version: BaselineVersion) -> list[Judged]:
    """Each bucket with the sums that the series stands at, which go on from one to the next."""
    counted = counts.of_series(series, starts[0], starts[-1] + BUCKET)
    sent = _sent(series, starts, version)
    sums = Sums() if _other_settings(series, rules) else Sums(series.up, series.down, series.expected_down)
    judged = []
    for start in starts:
        each = _judged(series, start, counted.get(start, 0), sums, sent, rules, version)
        sums = each.verdict.sums
        judged.append(each)
    series.up, series.down, series.expected_down = sums.up, sums.down, sums.expected_down
    return judged


def judge_alone(series: Series, start: datetime, rules: Rules, version: BaselineVersion) -> Judged:
    """One bucket without the sums, which only closed ones add to."""
    count = counts.of_series(series, start, start + BUCKET).get(start, 0)
    return _judged(series, start, count, Sums(), _sent(series, [start], version), rules, version)


def _judged(
    series: Series,
    start: datetime,
    count: int,
    sums: Sums,
    sent: Sequence[Effect],
    rules: Rules,
    version: BaselineVersion,
) -> Judged:
    usual, felt = version.hours[hour_of_week(start, version.zone)], _felt(sent, start)
    mu = usual + sum(effect.expected(start) for effect in felt)
    verdict = judge(count, mu, version.phi, sums, rules.values)
    score = BucketScore(
        series=series,
        bucket=start,
        count=count,
        mu=mu,
        phi=version.phi,
        up=verdict.up,
        down=verdict.down,
        p=verdict.p,
        baseline=version,
        settings_version=rules.version,
    )
    return Judged(score, verdict, usual, felt)


def _sent(series: Series, starts: Sequence[datetime], version: BaselineVersion) -> list[Effect]:
    """What was sent that can still be felt in these buckets, in order of time."""
    sent = sends_of(series.purpose, series.channel, starts[0] - LONGEST_EFFECT, starts[-1] + BUCKET)
    return effects(sent, version.sends)


def _felt(sent: Sequence[Effect], start: datetime) -> list[Effect]:
    first = bisect_left(sent, start - LONGEST_EFFECT, key=attrgetter("at"))
    end = bisect_left(sent, start + BUCKET, key=attrgetter("at"))
    return [effect for effect in sent[first:end] if effect.expected(start) > 0]


def _other_settings(series: Series, rules: Rules) -> bool:
    """New settings begin with new sums: a sum of two settings could not be explained."""
    last = BucketScore.objects.filter(series=series).order_by("-bucket").first()
    return last is not None and last.settings_version != rules.version
