"""A series with a past of four weeks, and how people leave it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents.detection import counts
from incidents.detection.baseline import BUCKET, bucket_of
from incidents.models import DecisionMinute, Series


@pytest.fixture
def now():
    return bucket_of(timezone.now()) + timedelta(seconds=30)


@pytest.fixture
def series(now):
    """Four weeks in which two left every five minutes, judged until two hours ago."""
    start = bucket_of(now) - timedelta(weeks=4)
    quiet = bucket_of(now) - timedelta(hours=2)
    leave(counts.buckets(start, quiet), 2)
    return Series.objects.create(
        purpose="marketing", channel="email", group="choice", first_at=start, judged_to=quiet - BUCKET
    )


def leave(buckets, count, **facts):
    facts = {"purpose": "marketing", "channel": "email", "cause": "subject_choice", "exit_path": "one-click"} | facts
    DecisionMinute.objects.bulk_create(
        [DecisionMinute(minute=at, choice="opt_out", count=count, **facts) for at in buckets]
    )


def last(now, hours, until=0.0):
    end = bucket_of(now)
    return counts.buckets(end - timedelta(hours=hours), end - timedelta(hours=until))
