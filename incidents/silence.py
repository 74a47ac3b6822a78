"""Ways out that people used to use, and nobody does any more: nobody complains of a door that they cannot find.

Each is held against its own usual at the hours that it was silent, once three weeks of it are known; or against the
hours that its watch names, where an officer knows better.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from config.steps import in_turn
from consent import feed
from consent.models import ExitPath
from incidents import linking
from incidents.detection import counts
from incidents.detection.baseline import Baseline, Bucket, learn
from incidents.detection.detectors import tail
from incidents.detection.raising import raise_alarm
from incidents.models import Alarm, DecisionMinute, ExitPathWatch, Incident

HOUR = timedelta(hours=1)
PAST = timedelta(weeks=6)  # that the usual is learnt from
LEAST_PAST = timedelta(weeks=3)  # of use, below which nobody knows what is usual
LATEST = timedelta(hours=24)  # teach nothing yet: it may have begun to fade
UNLIKELY = 1e-6  # of a silence so long by chance; one may begin after each use, and there are thousands of them a week


def watch(now: datetime | None = None) -> int:
    """Raise an alarm, once a day, for each way out that ought to have been used and was not; returns how many."""
    now = now or timezone.now()
    paths = ExitPath.objects.filter(is_active=True).exclude(watch__is_active=False).select_related("watch")
    counted_to = min(now, feed.oldest_unread(linking.READER) or now)
    return in_turn({path.pk: partial(_look, path, now, counted_to) for path in paths})


def _look(path: ExitPath, now: datetime, counted_to: datetime) -> bool:
    """A reader of the log that is behind makes nobody silent: the usual is asked about what is counted."""
    found: ExitPathWatch | None = getattr(path, "watch", None)
    if found and found.used_within_hours is not None:
        return _look_by_hours(found, found.used_within_hours, now)
    return _look_by_usual(path, found, counted_to)


def _look_by_hours(watch: ExitPathWatch, hours: int, now: datetime) -> bool:
    since = now - timedelta(hours=hours)
    if _changed_at(watch) > since or _used(watch.exit_path_id, since, now).exists():
        return False
    return _tell(watch.exit_path_id, since, now, {"hours": hours, "words": f"nobody used it for {hours} hours"})


def _look_by_usual(path: ExitPath, watch: ExitPathWatch | None, now: datetime) -> bool:
    used = _used(path.pk, now - PAST, now)
    last = used.order_by("-minute").values_list("minute", flat=True).first()
    if last is None or now - last < HOUR:
        return False
    first = used.order_by("minute").values_list("minute", flat=True)[0]
    changed = [_changed_at(row) for row in (path, watch) if row]  # closed, or not to be watched, until then
    since = max(last, *changed)
    if last - first < LEAST_PAST or now - since < HOUR:
        return False
    usual = _usual(path.pk, first, min(last, now - LATEST))
    expected = _expected(usual, since, now)
    chance = 1 - tail(1, expected, usual.phi)
    if chance >= UNLIKELY:
        return False
    words = f"nobody used it since {since:%Y-%m-%d %H:%M} UTC, where {expected:.1f} uses are usual at these hours"
    facts = {"expected": round(expected, 3), "phi": round(usual.phi, 3), "p": chance, "buckets": usual.buckets}
    return _tell(path.pk, since, now, {**facts, "zone": usual.zone, "words": words})


def _used(path: str, since: datetime, until: datetime) -> QuerySet[DecisionMinute]:
    return counts.opt_outs(since, until, exit_path=path, count__gt=0)


def _changed_at(row: ExitPath | ExitPathWatch) -> datetime:
    newest = row.history.order_by("-history_id").values_list("history_date", flat=True).first()
    return newest or datetime.min.replace(tzinfo=UTC)


def _usual(path: str, since: datetime, until: datetime) -> Baseline:
    """Uses in each hour of the week, and how far they scatter: full hours only, the empty ones too."""
    first = since.replace(minute=0, second=0, microsecond=0) + HOUR
    used = dict(_used(path, first, until).values_list(TruncHour("minute", tzinfo=UTC)).annotate(n=Sum("count")))
    hours = [first + HOUR * n for n in range(max(0, (until - first) // HOUR))]
    return learn((Bucket(at, used.get(at, 0)) for at in hours), settings.DETECTION_TIME_ZONE)


def _expected(usual: Baseline, since: datetime, until: datetime) -> float:
    """How many uses were to be expected in between."""
    total, at = 0.0, since
    while at < until:
        end = min(at.replace(minute=0, second=0, microsecond=0) + HOUR, until)
        total += usual.usual(at) * ((end - at) / HOUR)
        at = end
    return total


def _tell(path: str, since: datetime, now: datetime, inputs: dict[str, Any]) -> bool:
    key = f"silence:{path}:{now:%Y-%m-%d}"
    if Alarm.objects.filter(key=key).exists():
        return False
    with transaction.atomic():
        return raise_alarm(
            Alarm(
                detector=Alarm.Detector.SILENCE,
                key=key,
                title=f"Way out {path} fell silent",
                exit_path=path,
                bucket=now,
                inputs={"since": since.isoformat(), **inputs},
            ),
            began=since,
            severity=Incident.Severity.SEV3,
        )
