"""What operators see: whether a restore stands open, what was put back, and how old the mark outside is."""

import time
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from prometheus_client.core import GaugeMetricFamily, Metric

from config.health import COLLECTORS, DETAILS
from consent import answers, older_copy, opt_out_journal
from incidents.models import Restore
from incidents.restores import watching, witnesses


def metrics() -> Iterable[Metric]:
    standing = GaugeMetricFamily("holdfast_database_went_back", "1 while a restore waits for a person to let go.")
    standing.add_metric([], int(Restore.objects.open().exists()))
    age = GaugeMetricFamily(
        "holdfast_database_mark_age_seconds", "Since the mark on this host's disk was written; absent without one."
    )
    if (seconds := mark_age()) is not None:
        age.add_metric([], seconds)
    return [standing, age]


def detail() -> str:
    """For /readyz: traffic may come all the same, an opt-out is taken at any time."""
    standing = Restore.objects.open().values_list("state", flat=True).first()
    return str(standing) if standing else "watched" if opt_out_journal.is_kept() else "not watched"


def mark_age() -> float | None:
    try:
        return max(0.0, time.time() - (Path(settings.SPOOL_DIR) / witnesses.NAME).stat().st_mtime)
    except OSError:
        return None


def register() -> None:
    answers.DOUBTS.append(f"EXISTS (SELECT FROM incidents_restore WHERE state = '{Restore.State.FOUND}')")
    older_copy.WITNESSES.append(watching.lacks_what_is_known)
    DETAILS["restore"] = detail
    COLLECTORS.append(metrics)
