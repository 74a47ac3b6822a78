"""While the log is busy: what is counted is judged, and what is not counted yet waits for its reader."""

from datetime import timedelta

import pytest

from consent.services import record
from incidents import linking
from incidents.detection import alarms
from incidents.detection.baseline import BUCKET, bucket_of
from incidents.models import Alarm, BucketScore
from tests.factories import PurposeFactory, opt_out
from tests.incidents.detection.conftest import last, leave

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def busy(committed, series):
    """Sixty have just left, and somebody writes for so long that no reader may come to them yet."""
    PurposeFactory(code="marketing")
    with committed.connect("holdfast_app", autocommit=False) as slow:
        slow.execute("SELECT pg_current_xact_id()")
        record([opt_out(f"p{n}@example.org") for n in range(60)])
        assert linking.read_log() == 0
        yield slow


def test_a_surge_of_the_last_hours_is_told_while_somebody_writes_for_long(busy, now):
    leave(last(now, 2), 8)

    judged = alarms.detect(now)

    assert judged == 24
    assert Alarm.objects.filter(detector="D2").exists()


def test_a_jump_is_told_by_what_is_counted_of_it_so_far(busy, now):
    leave(last(now, 2), 2)
    leave([bucket_of(now)], 40)

    alarms.detect(now)

    assert Alarm.objects.get().count == 40


def test_a_bucket_is_judged_when_all_of_it_is_counted(busy, now):
    leave(last(now, 2), 2)
    later = now + timedelta(minutes=15)

    alarms.detect(later)
    assert BucketScore.objects.filter(bucket__gte=bucket_of(now)).count() == 0
    busy.rollback()
    linking.read_log()
    alarms.detect(later)

    newest = BucketScore.objects.order_by("bucket").filter(bucket__gte=bucket_of(now))
    assert sum(score.count for score in newest) == 60
    assert newest.last().bucket == bucket_of(later) - BUCKET
