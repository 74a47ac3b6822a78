"""Without Celery and Redis: one command does what waits."""

from io import StringIO

import pytest
from django.core.management import call_command

from consent.models import FeedCursor
from consent.services import record
from tests.factories import PurposeFactory, opt_out


@pytest.fixture
def a_choice(committed):
    PurposeFactory(code="marketing")
    return record([opt_out("anna@example.org", exit_path="api")])[0]


def test_it_brings_every_reader_of_the_log_up_to_date(a_choice):
    said = StringIO()

    call_command("pump", stdout=said)

    assert "choices: 1" in said.getvalue()
    assert set(FeedCursor.objects.values_list("decision", flat=True)) == {a_choice.id}


def test_a_second_run_has_nothing_to_do(a_choice):
    call_command("pump", stdout=StringIO())
    said = StringIO()

    call_command("pump", stdout=said)

    assert said.getvalue() == ""
