"""The round of detection: what was counted is judged, each bucket of each series once, and alarms are told.

A series' row is locked while it is judged, and says how far that came; so two workers, or one that comes twice, judge
no bucket twice. All detectors of a purpose and channel share one incident: a surge seen by three of them is one surge.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from config import steps
from consent import feed
from incidents import linking
from incidents.detection import counts, episodes, judging, learning, watching
from incidents.detection.baseline import BUCKET, bucket_of
from incidents.detection.sends import fold_own
from incidents.models import Alarm, BucketScore, DetectionCursor, DetectorSettings, Series

Detector, Mode = Alarm.Detector, DetectorSettings.Mode

GRACE = timedelta(seconds=20)  # for a decision that was received in a bucket and commits after its end
AT_ONCE = 288  # buckets of a series judged in one transaction: a day
COLD = timedelta(weeks=3)  # a younger series has no hour of week to be held against: EARS watches it


def detect(now: datetime | None = None) -> int:
    """Judge the buckets that have closed and of which all is counted; returns how many were judged.

    Where the reader of the log is behind, the newest buckets wait for it, and what is counted of the open one may be
    too little, never too much.
    """
    now = now or timezone.now()
    fold_own(now)
    unread = feed.oldest_unread(linking.READER)
    closed_to = bucket_of(min(now - GRACE, unread or now)) - BUCKET
    waiting = Series.objects.exclude(judged_to__gte=closed_to).values_list("pk", flat=True)
    judged, _ = steps.each({f"series {pk}": partial(_judge, pk, closed_to, now) for pk in waiting})
    _glance(now)
    _forget_daily(now)
    return sum(judged.values())


def _glance(now: datetime) -> None:
    """A jump need not wait for the end of its five minutes: so many, held against all that a whole bucket lets one
    expect, are rarer still. The bucket is judged when it has closed all the same, and its alarm is one.
    """
    start = bucket_of(now)
    busy = counts.busy_series(start)
    jumps: dict[str, steps.Step] = {}
    for series in Series.objects.filter(pk__in=busy, first_at__lt=now - COLD).order_by("pk"):
        rules = judging.rules_for(series.group)
        if rules.mode != Mode.OFF and busy[series.pk] >= rules.values.jump_least:
            jumps[f"series {series.pk}"] = partial(_glance_at, series, start, rules, now)
    steps.each(jumps)


@transaction.atomic
def _glance_at(series: Series, start: datetime, rules: judging.Rules, now: datetime) -> bool:
    locked = Series.objects.select_for_update(skip_locked=True).filter(pk=series.pk).first()
    if locked is None or Alarm.objects.filter(series=series, detector=Detector.JUMP, bucket=start).exists():
        return False
    each = judging.judge_alone(locked, start, rules, learning.current(locked, now))
    if each.verdict.is_jump:
        episodes.tell(locked, each, Detector.JUMP, rules)
    return each.verdict.is_jump


@transaction.atomic
def _judge(series_id: int, closed_to: datetime, now: datetime) -> int:
    series = Series.objects.select_for_update(skip_locked=True).filter(pk=series_id).first()
    if series is None or (series.judged_to and series.judged_to >= closed_to):
        return 0
    since = (series.judged_to + BUCKET) if series.judged_to else series.first_at
    starts = counts.buckets(since, min(closed_to + BUCKET, since + BUCKET * AT_ONCE))
    rules = judging.rules_for(series.group)
    if rules.mode != Mode.OFF and starts:
        if starts[-1] - series.first_at < COLD:
            watching.watch_cold(series, starts, rules)
        else:
            _judge_buckets(series, starts, rules, now)
        if series.group == "choice":  # who leaves is asked once for all groups
            watching.watch_composition(series, starts[-1], rules)
    series.judged_to = starts[-1] if starts else closed_to
    series.save()
    return len(starts)


def _judge_buckets(series: Series, starts: Sequence[datetime], rules: judging.Rules, now: datetime) -> None:
    version = learning.current(series, now)
    judged = judging.judge_in_turn(series, starts, rules, version)
    BucketScore.objects.bulk_create([each.score for each in judged])
    for each in judged:
        for detector, is_alarm in (
            (Detector.JUMP, each.verdict.is_jump),
            (Detector.RISE, each.verdict.is_rise),
            (Detector.SLUMP, each.verdict.is_slump),
        ):
            if is_alarm:
                episodes.tell(series, each, detector, rules)
        episodes.settle(series, each)


def _forget_daily(now: datetime) -> None:
    """Once a day."""
    with transaction.atomic():
        DetectionCursor.objects.get_or_create(name="forgetting")
        cursor = DetectionCursor.objects.select_for_update(skip_locked=True).filter(name="forgetting").first()
        if cursor and (cursor.moment is None or cursor.moment < now - timedelta(days=1)):
            counts.forget(now)
            cursor.moment = cursor.advanced_at = now
            cursor.save()
