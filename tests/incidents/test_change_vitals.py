"""What operators see of change sets, over HTTP: Prometheus and the probe of readiness."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consent.services import open_batch, record
from incidents.changes import applying, deciding, rolling_back, running, undeclared, vitals
from incidents.models import ChangeSet, Rollback
from tests.factories import ChangeSetFactory, RollbackFactory, incident, opt_out
from tests.incidents.change_sets import (
    OUT,
    applied,
    begun,
    draft,
    fresh,
    imported,
    in_review,
    officer,
    responder,
)

pytestmark = pytest.mark.django_db
LATE = timedelta(minutes=5)


def told(client, name):
    """The samples of a metric, by their labels."""
    lines = client.get("/metrics").content.decode().splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
    return {labels.removeprefix(name): float(value) for labels, _, value in found}


def ready(client):
    return client.get("/readyz").json()["change_sets"]


def undeclared_opt_outs(people):
    batch = open_batch("patch", reason="At night", by="user:anna")
    facts = {"explicit": False, "cause": "automated_script", "actor": "db:oncall", "batch_id": batch.pk}
    record([opt_out(person, **facts) for person in people])
    return undeclared.roll_back_undeclared({"batch": str(batch.pk)}, reason="Not meant.", by=officer())


def test_sets_are_counted_by_state_and_a_state_of_none_is_told_as_zero(client):
    imported(1)
    applied(OUT)
    draft(OUT)
    draft(OUT)

    states = told(client, "holdfast_change_sets")

    assert len(states) == len(ChangeSet.State.values)
    assert {labels: count for labels, count in states.items() if count} == {
        '{state="applied"}': 1.0, '{state="draft"}': 2.0,
    }  # fmt: skip


def test_what_waits_for_a_second_person_is_told_apart_from_what_is_being_taken_back(client):
    people = imported(2)
    waiting = undeclared_opt_outs(people)
    assert told(client, "holdfast_rollbacks_open") == {'{state="waiting"}': 1.0, '{state="running"}': 0.0}
    assert (ready(client)["waiting_for_second_person"], ready(client)["taking_back"]) == (1, 0)

    undeclared.confirm(waiting, by=responder())

    assert told(client, "holdfast_rollbacks_open") == {'{state="waiting"}': 0.0, '{state="running"}': 1.0}
    assert ready(client)["taking_back"] == 1
    running.run_due()
    assert told(client, "holdfast_rollbacks_open") == {'{state="waiting"}': 0.0, '{state="running"}': 0.0}


def test_the_oldest_that_waits_says_since_when_and_nothing_is_told_without_one(client):
    assert told(client, "holdfast_rollback_age_seconds") == {}
    RollbackFactory()
    RollbackFactory(started_at=timezone.now() - LATE)

    [(labels, seconds)] = told(client, "holdfast_rollback_age_seconds").items()

    assert labels == '{state="waiting"}'
    assert seconds >= LATE.total_seconds()


def test_one_that_stands_still_until_somebody_decides_is_seen_by_the_probe(client):
    imported(2)
    change = begun(OUT)
    assert (ready(client)["applying"], ready(client)["paused"]) == (1, 0)

    applying.pause(change, reason="Wait.", by=officer())

    assert ready(client) == {"applying": 0, "paused": 1, "taking_back": 0, "waiting_for_second_person": 0}


def test_what_is_due_and_that_no_worker_comes_for_is_told(client):
    imported(1)
    change = begun(OUT)
    assert told(client, "holdfast_change_sets_left_alone") == {"": 0.0}
    ChangeSet.objects.update(next_at=timezone.now() - LATE)
    assert told(client, "holdfast_change_sets_left_alone") == {"": 1.0}

    assert running.claim(running.SETS)  # somebody is at it

    assert told(client, "holdfast_change_sets_left_alone") == {"": 0.0}
    rolling_back.roll_back(fresh(change), reason="Stop.", by=officer())
    Rollback.objects.update(next_at=timezone.now() - LATE)
    assert told(client, "holdfast_change_sets_left_alone") == {"": 1.0}


def test_a_bypass_that_nobody_looked_at_in_time_is_told(client):
    imported(1)
    change, seconds = in_review(OUT, incident=incident()), officer()
    change = deciding.bypass(change, by=responder(), reason="It burns", second=seconds)
    deciding.second(change, by=seconds)
    assert told(client, "holdfast_change_set_reviews_overdue") == {"": 0.0}

    ChangeSet.objects.update(review_due_at=timezone.now() - LATE)

    assert told(client, "holdfast_change_set_reviews_overdue") == {"": 1.0}


def test_a_scrape_asks_as_much_of_the_database_however_many_sets_there_are(django_assert_num_queries):
    imported(1)
    applied(OUT)
    ChangeSetFactory.create_batch(20)

    with django_assert_num_queries(5):
        list(vitals.metrics())
