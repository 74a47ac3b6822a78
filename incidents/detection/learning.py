"""What a series taught so far: its baseline, learnt anew each day.

Times of alarm teach nothing: an attack must not become the usual. But what goes on for a week, a business that has
doubled or has halved, is how things are, whatever its alarms say: from then on it alone teaches, from its begin.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from incidents.detection import counts
from incidents.detection.baseline import LONGEST_EFFECT, RATE, Bucket, bucket_of
from incidents.detection.effects import Sent, learn_beside
from incidents.detection.sends import sends_of
from incidents.models import BaselineVersion, Episode, Series

PAST = timedelta(weeks=8)
LASTING = timedelta(weeks=1)
ONE_CHANGE = timedelta(hours=24)  # times of alarm no farther apart are one: a quiet night ends an episode
NOT_YET = timedelta(hours=24)  # the newest day teaches nothing: an incident must not become the usual

Time = tuple[datetime, datetime]  # from and until


def current(series: Series, now: datetime) -> BaselineVersion:
    """The newest baseline, learnt again once a day has passed."""
    learnt_to = bucket_of(now.replace(hour=0, minute=0, second=0, microsecond=0) - NOT_YET)
    by_our_clocks = BaselineVersion.objects.filter(series=series, zone=settings.DETECTION_TIME_ZONE)
    newest = by_our_clocks.order_by("-pk").first()
    if newest and newest.learnt_to >= learnt_to:
        return newest
    return _learn(series, max(series.first_at, learnt_to - PAST), learnt_to)


def _learn(series: Series, since: datetime, until: datetime) -> BaselineVersion:
    alarms = _times_of_alarm(series, since, until)
    levels = lasting(alarms)
    since = max([since, *(begin for begin, _ in levels)])
    alarms = [time for time in alarms if not any(begin <= time[0] < end for begin, end in levels)]
    counted = counts.of_series(series, since, until)
    starts = [at for at in counts.buckets(since, until) if not any(begin <= at < end for begin, end in alarms)]
    sent = [
        Sent(marker.at, marker.size, marker.family)
        for marker in sends_of(series.purpose, series.channel, since - LONGEST_EFFECT, until)
    ]
    past = [Bucket(at, counted.get(at, 0)) for at in starts]
    baseline, taught = learn_beside(sent, past, RATE if series.group == "choice" else 0.0, settings.DETECTION_TIME_ZONE)
    text = ";".join(f"{at.isoformat()}={counted.get(at, 0)}" for at in starts)
    return BaselineVersion.objects.create(
        series=series,
        hours=list(baseline.hours),
        zone=baseline.zone,
        phi=baseline.phi,
        buckets=baseline.buckets,
        sends=taught,
        learnt_from=since,
        learnt_to=until,
        inputs_digest=hashlib.sha256(text.encode()).digest(),
    )


def lasting(alarms: Iterable[Time]) -> list[Time]:
    """Of these times of alarm what went on for a week, with the quiet nights between."""
    runs: list[Time] = []
    for begin, end in sorted(alarms):
        if runs and begin - runs[-1][1] <= ONE_CHANGE:
            runs[-1] = (runs[-1][0], max(runs[-1][1], end))
        else:
            runs.append((begin, end))
    return [(begin, end) for begin, end in runs if end - begin >= LASTING]


def _times_of_alarm(series: Series, since: datetime, until: datetime) -> list[Time]:
    met = Episode.objects.filter(Q(ended_at=None) | Q(ended_at__gt=since), series=series, began_at__lt=until)
    return [(begin, min(end or until, until)) for begin, end in met.values_list("began_at", "ended_at")]
