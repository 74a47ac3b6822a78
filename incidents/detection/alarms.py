"""Judging what was counted: each bucket of each series once, and from an alarm to an incident in triage.

A series' row is locked while it is judged, and says how far that came; so two workers, or one that comes twice, judge
no bucket twice. All detectors of a purpose and channel share one incident: a surge seen by three of them is one surge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone

from consent import feed
from incidents import timeline
from incidents.detection import causes, counts, learning
from incidents.detection.baseline import BUCKET, LONGEST_EFFECT, Effect, bucket_of, hour_of_week
from incidents.detection.causes import span_of
from incidents.detection.detectors import Settings, Sums, Verdict, judge, rise_limit
from incidents.detection.raising import BY, raise_alarm
from incidents.detection.sends import effects, fold_own, sends_of
from incidents.models import (
    Alarm,
    BaselineVersion,
    BucketScore,
    DetectionCursor,
    DetectorSettings,
    Episode,
    Incident,
    Marker,
    Series,
)
from incidents.timeline import Kind, Source

log = structlog.get_logger(__name__)
Detector, Mode = Alarm.Detector, DetectorSettings.Mode

GRACE = timedelta(seconds=20)  # for a decision that was received in a bucket and commits after its end
AT_ONCE = 288  # buckets of a series judged in one transaction: a day
QUIET = timedelta(hours=2)
QUIET_SUM = 1.0  # a sum below is the usual noise: a busy series is hardly ever at 0 for two hours
AGAIN_AFTER = timedelta(hours=1)  # an alarm that goes on is told once an hour
LONGEST_TRAIL = 576
COLD = timedelta(weeks=3)  # a younger series has no hour of week to be held against: EARS watches it


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


def detect(now: datetime | None = None) -> int:
    """Count what the log has news of and judge the buckets that have closed; returns how many were judged."""
    now = now or timezone.now()
    while counts.fold():
        pass
    fold_own(now)
    if feed.lag(counts.READER):
        return 0  # another process is at it: what is not counted yet must not be judged
    closed_to = bucket_of(now - GRACE) - BUCKET
    waiting = Series.objects.exclude(judged_to__gte=closed_to).values_list("pk", flat=True)
    judged = sum(_judge(pk, closed_to, now) for pk in list(waiting))
    _glance(now)
    _forget_daily(now)
    return judged


def _glance(now: datetime) -> None:
    """A jump need not wait for the end of its five minutes: so many, held against all that a whole bucket lets one
    expect, are rarer still. The bucket is judged when it has closed all the same, and its alarm is one.
    """
    start = bucket_of(now)
    busy = counts.busy_series(start)
    for series in Series.objects.filter(pk__in=busy, first_at__lt=now - COLD).order_by("pk"):
        rules = rules_for(series.group)
        if rules.mode != Mode.OFF and busy[series.pk] >= rules.values.jump_least:
            _glance_at(series, start, rules, now)


@transaction.atomic
def _glance_at(series: Series, start: datetime, rules: Rules, now: datetime) -> None:
    locked = Series.objects.select_for_update(skip_locked=True).filter(pk=series.pk).first()
    if locked is None or Alarm.objects.filter(series=series, detector=Detector.JUMP, bucket=start).exists():
        return
    each = _verdict_alone(locked, start, rules, learning.current(locked, now))
    if each.verdict.is_jump:
        _raise_for(locked, each, Detector.JUMP, rules)


@transaction.atomic
def _judge(series_id: int, closed_to: datetime, now: datetime) -> int:
    series = Series.objects.select_for_update(skip_locked=True).filter(pk=series_id).first()
    if series is None or (series.judged_to and series.judged_to >= closed_to):
        return 0
    since = (series.judged_to + BUCKET) if series.judged_to else series.first_at
    starts = counts.buckets(since, min(closed_to + BUCKET, since + BUCKET * AT_ONCE))
    rules = rules_for(series.group)
    if rules.mode != Mode.OFF and starts:
        if starts[-1] - series.first_at < COLD:
            learning.watch_cold(series, starts, rules, raise_alarm)
        else:
            _judge_buckets(series, starts, rules, now)
        if series.group == "choice":  # who leaves is asked once for all groups
            learning.watch_composition(series, starts[-1], rules, raise_alarm)
    series.judged_to = starts[-1] if starts else closed_to
    series.save()
    return len(starts)


def rules_for(group: str) -> Rules:
    row = DetectorSettings.objects.filter(pk=group).first()
    if row is None:
        return Rules(Mode.OFF, 0, Settings())
    version = row.history.order_by("-history_id").values_list("history_id", flat=True).first() or 0
    values = Settings(row.h, row.kappa, row.jump_p, row.jump_least, row.slump_h, row.slump, row.slump_least_mu)
    return Rules(row.mode, version, values)


def _judge_buckets(series: Series, starts: Sequence[datetime], rules: Rules, now: datetime) -> None:
    version = learning.current(series, now)
    judged = _verdicts(series, starts, rules, version)
    BucketScore.objects.bulk_create([each.score for each in judged])
    for each in judged:
        for detector, is_alarm in (
            (Detector.JUMP, each.verdict.is_jump),
            (Detector.RISE, each.verdict.is_rise),
            (Detector.SLUMP, each.verdict.is_slump),
        ):
            if is_alarm:
                _raise_for(series, each, detector, rules)
        _settle(series, each)


def _verdicts(series: Series, starts: Sequence[datetime], rules: Rules, version: BaselineVersion) -> list[Judged]:
    """Each bucket against what was to be expected; the sums go on from where the series stands."""
    counted = counts.of_series(series, starts[0], starts[-1] + BUCKET)
    sent = sends_of(series.purpose, series.channel, starts[0] - LONGEST_EFFECT, starts[-1] + BUCKET)
    sums = Sums(series.up, series.down, series.expected_down)
    if _other_settings(series, rules):
        sums = Sums()
    judged = []
    for start in starts:
        usual = version.hours[hour_of_week(start)]
        felt = _felt(sent, version.sends, start)
        mu = usual + sum(effect.expected(start) for effect in felt)
        verdict = judge(counted.get(start, 0), mu, version.phi, sums, rules.values)
        sums = verdict.sums
        score = BucketScore(
            series=series,
            bucket=start,
            count=counted.get(start, 0),
            mu=mu,
            phi=version.phi,
            up=verdict.up,
            down=verdict.down,
            p=verdict.p,
            baseline=version,
            settings_version=rules.version,
        )
        judged.append(Judged(score, verdict, usual, felt))
    series.up, series.down, series.expected_down = sums.up, sums.down, sums.expected_down
    return judged


def _verdict_alone(series: Series, start: datetime, rules: Rules, version: BaselineVersion) -> Judged:
    """One bucket without the sums, which only closed ones add to."""
    sent = sends_of(series.purpose, series.channel, start - LONGEST_EFFECT, start + BUCKET)
    usual, felt = version.hours[hour_of_week(start)], _felt(sent, version.sends, start)
    mu = usual + sum(effect.expected(start) for effect in felt)
    count = counts.of_series(series, start, start + BUCKET).get(start, 0)
    verdict = judge(count, mu, version.phi, Sums(), rules.values)
    score = BucketScore(series=series, bucket=start, count=count, mu=mu, phi=version.phi, p=verdict.p, baseline=version)
    return Judged(score, verdict, usual, felt)


def _felt(sent: Sequence[Marker], learnt: Mapping[str, Sequence[float]], start: datetime) -> list[Effect]:
    return [effect for effect in effects(sent, learnt) if effect.expected(start) > 0]


def _other_settings(series: Series, rules: Rules) -> bool:
    """New settings begin with new sums: a sum of two settings could not be explained."""
    last = BucketScore.objects.filter(series=series).order_by("-bucket").first()
    return last is not None and last.settings_version != rules.version


def _raise_for(series: Series, each: Judged, detector: str, rules: Rules) -> None:
    """One alarm of D1, D2 or D3, with all that explains it."""
    start, kind = each.score.bucket, "slump" if detector == Detector.SLUMP else "surge"
    episode = Episode.objects.open().filter(series=series, kind=kind).first()
    if episode and _is_told(series, detector, start):
        Episode.objects.filter(pk=episode.pk).update(last_alarm_at=start, quiet_since=None)
        return
    trail = _trail(series, each, detector, rules.values)
    by_sum = detector != Detector.JUMP
    is_up = detector == Detector.RISE
    values = rules.values
    alarm = Alarm(
        detector=detector,
        key=f"{detector}:{series.pk}:{start.isoformat()}",
        title=_title(series, kind),
        series=series,
        bucket=start,
        count=each.score.count,
        mu=each.score.mu,
        phi=each.score.phi,
        s=(each.verdict.up if is_up else each.verdict.down) if by_sum else None,
        p=each.verdict.p,
        threshold=(rise_limit(each.score.mu, values) if is_up else values.slump_h) if by_sum else values.jump_p,
        kappa=(values.kappa if is_up else values.slump) if by_sum else None,
        baseline=each.score.baseline,
        settings_version=rules.version,
        inputs={
            "trail": trail,
            "usual": each.usual,
            "sends": [{**asdict(effect), "at": effect.at.isoformat()} for effect in each.sends],
        },
        mode=rules.mode,
    )
    span = span_of(series, {datetime.fromisoformat(point[0]): point[2] for point in trail})
    alarm.candidates = causes.rank(replace(span, until=start + BUCKET))
    raise_alarm(alarm, began=span.since, severity=Incident.Severity.SEV2 if kind == "slump" else Incident.Severity.SEV3)
    if episode is None:
        Episode.objects.create(
            series=series, kind=kind, incident=alarm.incident, began_at=span.since, last_alarm_at=start
        )
    else:
        Episode.objects.filter(pk=episode.pk).update(last_alarm_at=start, quiet_since=None)


def _title(series: Series, kind: str) -> str:
    way = "by all ways" if series.channel == "*" else f"by {series.channel}"
    what = "all purposes" if series.purpose == "*" else series.purpose
    if kind == "slump":
        return f"Opt-outs of {what} {way} stopped coming"
    return f"More opt-outs of {what} {way} than usual"


def _trail(series: Series, each: Judged, detector: str, values: Settings) -> list[list[Any]]:
    """[bucket, count, μ, φ] of every bucket that the sum gathered over, the oldest first; of D1 the one bucket."""
    points = [each.score]
    if detector != Detector.JUMP:
        name = "up" if detector == Detector.RISE else "down"
        before = BucketScore.objects.filter(
            series=series, bucket__lt=each.score.bucket, settings_version=each.score.settings_version
        )
        for score in before.order_by("-bucket")[:LONGEST_TRAIL]:
            reached = getattr(score, name)
            limit = rise_limit(score.mu, values) if detector == Detector.RISE else values.slump_h
            if reached <= 0 or (reached > limit and _ended_a_sum(detector, score, points, values)):
                break
            points.append(score)
    return [[p.bucket.isoformat(), p.count, p.mu, p.phi] for p in reversed(points)]


def _ended_a_sum(detector: str, score: BucketScore, later: Sequence[BucketScore], values: Settings) -> bool:
    """Beyond its limit D2 begins again. D3 may be beyond it and wait: then its sum went on from there."""
    if detector == Detector.RISE:
        return True
    following = later[-1]
    alone = judge(following.count, following.mu, following.phi, Sums(), values).down
    return abs(following.down - alone) < 1e-9


def _is_told(series: Series, detector: str, start: datetime) -> bool:
    return Alarm.objects.filter(
        series=series, detector=detector, bucket__gt=start - AGAIN_AFTER, bucket__lt=start
    ).exists()


def _settle(series: Series, each: Judged) -> None:
    """End an episode after two hours as usual. Its incident stays: people close it, and are told that this ended."""
    end = each.score.bucket + BUCKET
    for episode in Episode.objects.open().filter(series=series).select_related("incident"):
        sum_now = each.verdict.sums.down if episode.kind == "slump" else each.verdict.sums.up
        if sum_now > QUIET_SUM or episode.last_alarm_at >= each.score.bucket:
            episode.quiet_since = None
        elif episode.quiet_since is None:
            episode.quiet_since = each.score.bucket
        if episode.quiet_since and end - episode.quiet_since >= QUIET:
            episode.ended_at = end
            _tell_end(episode)
        episode.save(update_fields=["quiet_since", "ended_at"])


def _tell_end(episode: Episode) -> None:
    if episode.incident and episode.incident.is_open:
        text = f"{episode.series}: as usual again since {episode.quiet_since:%H:%M} UTC. The incident stays open until "
        timeline.append(episode.incident, Kind.ALERT, text + "somebody closes it.", source=Source.SYSTEM, actor=BY)


def _forget_daily(now: datetime) -> None:
    """Once a day."""
    with transaction.atomic():
        DetectionCursor.objects.get_or_create(name="forgetting")
        cursor = DetectionCursor.objects.select_for_update(skip_locked=True).filter(name="forgetting").first()
        if cursor and (cursor.moment is None or cursor.moment < now - timedelta(days=1)):
            counts.forget(now)
            cursor.moment = cursor.advanced_at = now
            cursor.save()
