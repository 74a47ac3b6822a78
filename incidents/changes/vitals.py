"""What operators see of change sets: which state they are in, what is being taken back, and what waits for somebody."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Count, F, Min, Q
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from config.health import COLLECTORS, DETAILS
from incidents.models import ChangeSet, Rollback

GRACE = timedelta(seconds=90)  # after which what is due has been left alone; whoever is at it holds a lease
OPEN = (Rollback.State.WAITING, Rollback.State.RUNNING)


def by_state() -> dict[str, int]:
    """Every state is there, also those of no set."""
    found = ChangeSet.objects.order_by().values_list("state").annotate(count=Count(F("pk")))
    return dict.fromkeys(ChangeSet.State.values, 0) | dict(found)


def rollbacks() -> dict[str, tuple[int, datetime | None]]:
    """How many wait for a second person and how many are under way, and since when the oldest of them."""
    found = (
        Rollback.objects.open().order_by().values_list("state").annotate(count=Count(F("pk")), since=Min("started_at"))
    )
    return dict.fromkeys(OPEN, (0, None)) | {state: (count, since) for state, count, since in found}


def left_alone(now: datetime) -> int:
    """Due, and nobody is at it: people wait for what is to be written, or go on being harmed until it is taken back."""
    is_due = Q(next_at__lt=now - GRACE) & (Q(lease_until=None) | Q(lease_until__lt=now))
    return ChangeSet.objects.filter(is_due).count() + Rollback.objects.filter(is_due).count()


def metrics() -> Iterable[Metric]:
    now = timezone.now()
    sets = GaugeMetricFamily("holdfast_change_sets", "Change sets by their state.", labels=["state"])
    for state, count in by_state().items():
        sets.add_metric([state], count)
    undoing = GaugeMetricFamily(
        "holdfast_rollbacks_open", "Rollbacks that wait for a second person, or are under way.", labels=["state"]
    )
    age = GaugeMetricFamily(
        "holdfast_rollback_age_seconds", "Since the oldest of them began; absent without one.", labels=["state"]
    )
    for state, (count, since) in rollbacks().items():
        undoing.add_metric([state], count)
        if since:
            age.add_metric([state], (now - since).total_seconds())
    alone = GaugeMetricFamily(
        "holdfast_change_sets_left_alone", "Sets and rollbacks that are due, and nobody is at it."
    )
    alone.add_metric([], left_alone(now))
    unread = GaugeMetricFamily(
        "holdfast_change_set_reviews_overdue",
        "Approvals bypassed, and nobody has looked at it within the time for that.",
    )
    unread.add_metric([], ChangeSet.objects.review_overdue(now).count())
    return [sets, undoing, age, alone, unread]


def detail() -> dict[str, int]:
    """For /readyz: what is under way, and what stands still until a person decides."""
    sets, undoing = by_state(), {state: count for state, (count, _) in rollbacks().items()}
    return {
        "applying": sum(sets[state] for state in ChangeSet.AT_WORK),
        "paused": sets[ChangeSet.State.PAUSED],
        "taking_back": undoing[Rollback.State.RUNNING],
        "waiting_for_second_person": undoing[Rollback.State.WAITING],
    }


def register() -> None:
    DETAILS["change_sets"] = detail
    COLLECTORS.append(metrics)
