"""What an alarm of D1, D2 or D3 tells, once an hour while it goes on, and when its trouble is over."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from incidents import timeline
from incidents.detection import causes
from incidents.detection.baseline import BUCKET
from incidents.detection.causes import span_of
from incidents.detection.detectors import Settings, Sums, judge, rise_limit
from incidents.detection.judging import Judged, Rules
from incidents.detection.raising import BY, raise_alarm
from incidents.models import Alarm, BucketScore, Episode, Incident, Series
from incidents.timeline import Kind, Source

Detector = Alarm.Detector

QUIET = timedelta(hours=2)
QUIET_SUM = 1.0  # a sum below is the usual noise: a busy series is hardly ever at 0 for two hours
AGAIN_AFTER = timedelta(hours=1)  # an alarm that goes on is told once an hour
LONGEST_TRAIL = 576


def tell(series: Series, each: Judged, detector: str, rules: Rules) -> None:
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
    else:  # where people closed its incident, the alarm has opened another
        incident = alarm.incident or episode.incident
        Episode.objects.filter(pk=episode.pk).update(last_alarm_at=start, quiet_since=None, incident=incident)


def settle(series: Series, each: Judged) -> None:
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
    """Where its incident goes on, which may be another one by now."""
    incident = episode.incident.survivor if episode.incident else None
    if incident and incident.is_open:
        text = f"{episode.series}: as usual again since {episode.quiet_since:%H:%M} UTC. The incident stays open until "
        timeline.append(incident, Kind.ALERT, text + "somebody closes it.", source=Source.SYSTEM, actor=BY)


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
