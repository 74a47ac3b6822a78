"""By when: plain arithmetic, without a database."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from incidents.deadlines import clock_due, review_due, update_due


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("aware", "due"),
    [
        ("2026-06-01T10:00:00", "2026-06-04T10:00:00"),
        ("2026-06-05T23:59:59", "2026-06-08T23:59:59"),  # through a weekend
        ("2028-02-27T12:00:00", "2028-03-01T12:00:00"),  # over a leap day
    ],
)
def test_72_hours_are_72_hours(aware, due):
    assert clock_due(at(aware), 72, "hours") == at(due)


def test_72_hours_do_not_stretch_when_the_clocks_change():
    aware = datetime(2026, 3, 28, 12, 0, tzinfo=ZoneInfo("Europe/Berlin"))  # the night of the change lies inside

    due = clock_due(aware, 72, "hours")

    assert due.astimezone(ZoneInfo("Europe/Berlin")).hour == 13
    assert (due - aware).total_seconds() == 72 * 3600


def test_without_a_number_nothing_is_counted():
    assert clock_due(at("2026-06-01T10:00:00"), None, "hours") is None


def test_a_month_under_eu_law_ends_on_a_working_day():
    due = clock_due(at("2026-01-31T10:00:00"), 1, "months", rolls_to_working_day=True, time_zone="Europe/Brussels")

    assert due.astimezone(ZoneInfo("Europe/Brussels")).date().isoformat() == "2026-03-02"  # 28 February is a Saturday


def test_the_next_word_is_due_after_the_interval_or_never():
    assert update_due(at("2026-06-01T10:00:00"), 30) == at("2026-06-01T10:30:00")
    assert update_due(at("2026-06-01T10:00:00"), None) is None


@pytest.mark.parametrize(
    ("holidays_of", "due"),
    [("", "2026-12-31"), ("DE", "2027-01-04"), ("US", "2027-01-04"), ("DE-BY", "2027-01-04")],
)
def test_a_review_is_due_after_so_many_working_days(holidays_of, due):
    """Closed on Thursday 24 December 2026."""
    assert review_due(at("2026-12-24T15:00:00"), 5, holidays_of).date().isoformat() == due


def test_a_country_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="public holidays of ZZ"):
        review_due(at("2026-12-24T15:00:00"), 5, "ZZ")
