"""A no by mail or text is a use of its way out: begun when it is read, timed from its arrival, failed when it fails."""

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone

from consent import flow
from consent.exit_paths import Outcome
from messaging.inbound import opting_out
from messaging.inbound.opting_out import Wish, opt_out
from tests.factories import SubjectFactory

pytestmark = pytest.mark.django_db


def wish(**facts):
    known = {"person": SubjectFactory().pk, "channel": "email", "exit_path": "mailto", "cause": "subject_choice"}
    return Wish(**known | {"at": timezone.now() - timedelta(seconds=40), "key": "mail:1"} | facts)


def health():
    flow.flush()
    now = timezone.now()
    [found] = flow.health(now - timedelta(minutes=5), now + timedelta(minutes=1), ["mailto"])
    return found


def test_it_is_begun_and_timed_from_its_arrival():
    opt_out(wish())

    assert health().count(Outcome.STARTED) == 1
    assert health().slowest_ms == pytest.approx(40_000, rel=0.2)


def test_an_error_of_ours_is_counted_as_failed_and_still_raised(monkeypatch):
    def record(decisions):
        raise DatabaseError("broken")

    monkeypatch.setattr(opting_out, "record", record)
    with pytest.raises(DatabaseError):
        opt_out(wish())

    assert (health().count(Outcome.STARTED), health().count(Outcome.FAILED)) == (1, 1)
