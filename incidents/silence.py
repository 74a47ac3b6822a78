"""Ways out that people used to use, and nobody does any more: nobody complains of a door that they cannot find."""

from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from config.steps import each
from incidents.detection import counts
from incidents.detection.raising import raise_alarm
from incidents.models import Alarm, ExitPathWatch, Incident


def watch(now: datetime | None = None) -> int:
    """Raise an alarm, once a day, for each that was used within so many hours and is not; returns how many."""
    now = now or timezone.now()
    watched = ExitPathWatch.objects.filter(is_active=True, used_within_hours__isnull=False, exit_path__is_active=True)
    raised, _ = each({found.exit_path_id: partial(_look, found, now) for found in watched})
    return sum(raised.values())


def _look(watch: ExitPathWatch, now: datetime) -> bool:
    since = now - timedelta(hours=watch.used_within_hours or 0)
    changed = watch.history.order_by("-history_id").values_list("history_date", flat=True).first()
    used = counts.opt_outs(since, now, exit_path=watch.exit_path_id, count__gt=0)
    if (changed and changed > since) or used.exists():
        return False
    return _tell(watch, since, now)


def _tell(watch: ExitPathWatch, since: datetime, now: datetime) -> bool:
    path = watch.exit_path_id
    words = f"nobody used it for {watch.used_within_hours} hours"
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
                inputs={"since": since.isoformat(), "hours": watch.used_within_hours, "words": words},
            ),
            began=since,
            severity=Incident.Severity.SEV3,
        )
