"""Work in steps: one that breaks is told, and the others are done all the same."""

from io import StringIO

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connection

from config.steps import each, in_turn
from incidents.management.commands import pump


def broken():
    raise IntegrityError("what nobody thought of")


@pytest.mark.django_db
def test_a_step_that_breaks_is_named_and_keeps_none_of_the_others_from_being_done():
    counts, errors = each({"first": lambda: 1, "second": broken, "third": lambda: 3})

    assert (counts, list(errors)) == ({"first": 1, "second": 0, "third": 3}, ["second"])


@pytest.mark.django_db
def test_whoever_called_fails_too_when_every_step_had_its_turn():
    done = []

    with pytest.raises(IntegrityError, match="nobody thought of"):
        in_turn({"broken": broken, "silent": lambda: None, "behind": lambda: done.append("behind")})

    assert done == ["behind"]
    assert in_turn({"two": lambda: 2, "none": lambda: None, "one": lambda: True}) == 3


def test_a_worker_whose_time_is_over_goes_no_further():
    def over():
        raise SoftTimeLimitExceeded

    with pytest.raises(SoftTimeLimitExceeded):
        each({"first": over, "second": pytest.fail})


def test_while_the_database_is_away_no_further_step_is_tried(committed):
    def ask():
        connection.cursor().execute("SELECT 1")

    with committed.away(), pytest.raises(OperationalError):
        each({"first": ask, "second": pytest.fail})


@pytest.mark.django_db
def test_the_pump_goes_on_after_a_step_that_broke(monkeypatch):
    left = [2, 0]
    monkeypatch.setattr(pump, "STEPS", {"judged": broken, "sent": lambda: left.pop(0)})
    told = StringIO()

    with pytest.raises(IntegrityError):
        call_command("pump", once=True, stdout=told)

    assert "       2  sent" in told.getvalue()
