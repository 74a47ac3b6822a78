"""Ways out that fall silent: held against their own usual by themselves, or against hours that an officer names."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from consent.models import ExitPath
from consent.services import record
from incidents import linking, silence
from incidents.models import Alarm, DecisionMinute, ExitPathWatch, Incident
from tests.factories import ExitPathFactory, PurposeFactory, opt_out

NOON = datetime(2031, 3, 5, 12, tzinfo=UTC)  # a Wednesday, long after the watches were made
HOUR = timedelta(hours=1)


def uses(path, moments, count=1):
    DecisionMinute.objects.bulk_create(
        DecisionMinute(
            minute=at, choice="opt_out", purpose="marketing", channel="email", cause="subject_choice",
            exit_path=path, count=count,
        )
        for at in moments
    )  # fmt: skip


def by_day(weeks, until=NOON, each=6):
    """So many an hour from eight to eight, and nobody at night."""
    hours = [until - HOUR * n for n in range(1, weeks * 168)]
    return [at.replace(minute=60 // each * n) for at in hours if 8 <= at.hour < 20 for n in range(each)]


@pytest.mark.parametrize("code", ["one-click", "sms-keyword", "pigeon"])
def test_each_way_out_is_held_against_its_usual_and_nobody_had_to_ask_for_it(db, code):
    if code == "pigeon":
        ExitPathFactory(code=code)  # registered by an officer, and nobody watches it by hand
    uses(code, by_day(4))

    assert silence.watch(NOON + HOUR) == 0
    assert silence.watch(NOON + 2 * HOUR) == 0  # twelve were to be expected
    assert [silence.watch(NOON + 4 * HOUR) for _ in range(2)] == [1, 0]

    alarm, incident = Alarm.objects.get(), Incident.objects.get()
    assert (alarm.detector, alarm.exit_path, incident.exit_paths) == ("silence", code, [code])
    assert (incident.status, incident.severity) == ("triage", "sev3")
    assert alarm.inputs["expected"] == pytest.approx(24, rel=0.2)
    assert alarm.inputs["p"] < silence.UNLIKELY
    assert "uses are usual at these hours" in incident.timeline.first().text


def test_nobody_is_missed_at_night(db):
    evening = NOON.replace(hour=20)
    uses("one-click", by_day(4, until=evening))

    assert silence.watch(evening + 11 * HOUR) == 0


def test_a_way_out_of_less_than_three_weeks_or_of_rare_use_has_no_usual(db):
    uses("one-click", by_day(2))
    uses("support-post", [NOON - timedelta(days=4 * n + 1) for n in range(10)])

    assert silence.watch(NOON + timedelta(days=5)) == 0


def test_a_reader_of_the_log_that_is_behind_makes_nobody_silent(committed):
    PurposeFactory(code="marketing")
    now = timezone.now()
    uses("one-click", [now - HOUR / 6 * n for n in range(1, 4 * 168 * 6)])  # day and night
    record([opt_out("anna@example.org", exit_path="api")])

    assert silence.watch(now + 4 * HOUR) == 0
    linking.read_log()
    assert silence.watch(now + 4 * HOUR) == 1


def test_what_was_closed_or_not_to_be_watched_is_silent_from_then_on_only(db):
    uses("one-click", by_day(4))
    later = NOON + 12 * HOUR
    watch = ExitPathWatch.objects.get(pk="one-click")
    watch.is_active = False
    watch.save_as("user:anna", "It moves to another page")
    assert silence.watch(later) == 0

    watch.is_active = True
    with time_machine.travel(later - HOUR / 2, tick=False):
        watch.save_as("user:anna", "It is back")

    assert silence.watch(later) == 0
    ExitPath.objects.filter(pk="one-click").update(is_active=False)
    assert silence.watch(later + timedelta(days=2)) == 0


def test_hours_that_an_officer_names_go_before_the_usual(db):
    uses("one-click", by_day(4))
    watch = ExitPathWatch.objects.get(pk="one-click")
    watch.used_within_hours = 24
    watch.save_as("user:anna", "It is on every mail")

    assert silence.watch(NOON + 20 * HOUR) == 0
    assert [silence.watch(NOON + 25 * HOUR) for _ in range(2)] == [1, 0]
    assert Alarm.objects.get().inputs["words"] == "nobody used it for 24 hours"
    watch.used_within_hours = 12
    with time_machine.travel(NOON + 50 * HOUR, tick=False):
        watch.save_as("user:anna", "Twelve hours are long enough")
    assert silence.watch(NOON + 60 * HOUR) == 0  # it is not watched for so long
