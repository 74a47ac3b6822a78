"""What operators see of validation: for /readyz, Prometheus, the dashboard and the list of runs."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Sum
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from config.health import COLLECTORS, DETAILS
from incidents.invariants import INVARIANTS, Verdict
from incidents.invariants.choices import ROUND, ROUND_OF_VERSIONS
from incidents.models import DetectionCursor, DriftRepair, ValidationRun
from incidents.validation.running import interval


def newest() -> ValidationRun | None:
    return ValidationRun.objects.of_everything().order_by("-started_at").first()


def compared_at() -> datetime | None:
    """When a round of the comparison of states with the log last ended."""
    return DetectionCursor.objects.filter(name=ROUND).values_list("moment", flat=True).first()


def looked_through_at() -> datetime | None:
    """When a round through all versions of all choices last ended."""
    return DetectionCursor.objects.filter(name=ROUND_OF_VERSIONS).values_list("moment", flat=True).first()


def detail() -> dict[str, Any]:
    last, round_, versions, now = newest(), compared_at(), looked_through_at(), timezone.now()
    told: dict[str, Any] = {"verdict": None, "seconds_ago": None}
    if last:
        told = {
            "verdict": last.verdict,
            "broken": last.broken,
            "unmeasured": last.unmeasured,
            "seconds_ago": _age(last.ended_at, now),
        }
    return told | {
        "every_seconds": int(interval().total_seconds()),
        "states_compared_seconds_ago": _age(round_, now) if round_ else None,
        "histories_looked_through_seconds_ago": _age(versions, now) if versions else None,
    }


def metrics() -> Iterable[Metric]:
    """An invariant that is unmeasured has no number: it is neither 1 nor 0."""
    now, last, round_ = timezone.now(), newest(), compared_at()
    kept = GaugeMetricFamily("holdfast_invariant", "1: met, 0: broken, absent: unmeasured.", labels=["id"])
    age = GaugeMetricFamily("holdfast_validation_age_seconds", "Since the invariants were last asked.")
    if last:
        age.add_metric([], (now - last.ended_at).total_seconds())
        verdicts = dict(last.checks.exclude(verdict=Verdict.UNMEASURED).values_list("invariant", "verdict"))
        for code in INVARIANTS:
            if code in verdicts:
                kept.add_metric([code], int(verdicts[code] == Verdict.MET))
    sweep = GaugeMetricFamily("holdfast_state_sweep_age_seconds", "Since all states were compared with the log.")
    if round_:
        sweep.add_metric([], (now - round_).total_seconds())
    histories = GaugeMetricFamily("holdfast_history_sweep_age_seconds", "Since all versions of choices were looked at.")
    if versions := looked_through_at():
        histories.add_metric([], (now - versions).total_seconds())
    repaired = CounterMetricFamily(
        "holdfast_states_put_right", "States that were not what the log says, and are again."
    )
    repaired.add_metric([], DriftRepair.objects.aggregate(Sum("repaired"))["repaired__sum"] or 0)
    return [kept, age, sweep, histories, repaired]


def register() -> None:
    DETAILS["validation"] = detail
    COLLECTORS.append(metrics)


def _age(at: datetime, now: datetime) -> int:
    return int((now - at).total_seconds())
