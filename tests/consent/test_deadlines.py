"""Every worked example of the calendars, and the corners: receipt at midnight, daylight saving, leap days."""

from datetime import UTC, date, datetime

import pytest

from consent.deadlines import days_left, due


def noon(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00+00:00")


# received, 10 bd, 10 bd federal, 15 bd, 15 bd federal, 45 cd, 90 cd
WORKED = [
    ("2026-06-01", "2026-06-15", "2026-06-15", "2026-06-22", "2026-06-23", "2026-07-16", "2026-08-30"),
    ("2026-06-20", "2026-07-03", "2026-07-06", "2026-07-10", "2026-07-13", "2026-08-04", "2026-09-18"),
    ("2026-07-02", "2026-07-16", "2026-07-17", "2026-07-23", "2026-07-24", "2026-08-16", "2026-09-30"),
    ("2026-11-20", "2026-12-04", "2026-12-07", "2026-12-11", "2026-12-14", "2027-01-04", "2027-02-18"),
    ("2026-12-18", "2027-01-01", "2027-01-05", "2027-01-08", "2027-01-12", "2027-02-01", "2027-03-18"),
]
COLUMNS = [
    (10, "business_days", "weekends"),
    (10, "business_days", "us_federal"),
    (15, "business_days", "weekends"),
    (15, "business_days", "us_federal"),
    (45, "calendar_days", "weekends"),
    (90, "calendar_days", "weekends"),
]


@pytest.mark.parametrize(
    ("received", "rule", "last_day"),
    [
        pytest.param(received, rule, last_day, id=f"{received} {rule[0]} {rule[1]} {rule[2]}")
        for received, *last_days in WORKED
        for rule, last_day in zip(COLUMNS, last_days, strict=True)
    ],
)
def test_a_deadline_ends_with_its_last_day(received, rule, last_day):
    assert due(noon(received), *rule) == datetime.fromisoformat(f"{last_day}T23:59:59+00:00")


@pytest.mark.parametrize(
    ("received", "amount", "rolls", "last_day"),
    [
        ("2026-01-31", 1, False, "2026-02-28"),  # no 31 February: the month's last day …
        ("2026-01-31", 1, True, "2026-03-02"),  # … which is a Saturday, so Monday
        ("2028-01-31", 1, False, "2028-02-29"),  # a leap year's
        ("2028-02-29", 12, False, "2029-02-28"),
        ("2026-11-30", 3, False, "2027-02-28"),
        ("2026-12-15", 1, True, "2027-01-15"),
        ("2026-03-31", 3, True, "2026-06-30"),
    ],
)
def test_a_month_ends_on_the_same_date_or_the_months_last_day(received, amount, rolls, last_day):
    assert due(noon(received), amount, "months", rolls_to_working_day=rolls).date() == date.fromisoformat(last_day)


def test_a_last_day_on_a_federal_holiday_rolls_over_it_too():
    due_at = due(noon("2026-06-04"), 1, "months", "us_federal", rolls_to_working_day=True)

    assert due_at.date() == date(2026, 7, 6)  # 4 July is a Saturday; on Friday it is observed, but Monday is worked


def test_a_new_years_day_observed_in_december_is_no_working_day():
    assert due(noon("2027-12-30"), 1, "business_days", "us_federal").date() == date(2028, 1, 3)


def test_a_leap_day_counts_as_a_day():
    assert due(noon("2028-02-20"), 10, "calendar_days").date() == date(2028, 3, 1)


@pytest.mark.parametrize(
    ("received", "zone", "due_at"),
    [
        # 23:59 on 1 June in California is 2 June in UTC: the day is counted where the rule says.
        ("2026-06-02T06:59:00+00:00", "America/Los_Angeles", "2026-07-17T06:59:59+00:00"),
        ("2026-06-02T06:59:00+00:00", "UTC", "2026-07-17T23:59:59+00:00"),
        ("2026-06-02T07:00:00+00:00", "America/Los_Angeles", "2026-07-18T06:59:59+00:00"),
        # Received in summer time, due in winter time: the day still ends at local midnight.
        ("2026-10-01T12:00:00+00:00", "Europe/Berlin", "2026-11-15T22:59:59+00:00"),
        ("2026-02-20T12:00:00+00:00", "America/Los_Angeles", "2026-04-07T06:59:59+00:00"),
    ],
)
def test_days_are_counted_in_the_zone_of_the_rule(received, zone, due_at):
    moment = datetime.fromisoformat(received)

    assert due(moment, 45, "calendar_days", time_zone=zone) == datetime.fromisoformat(due_at)


def test_hours_are_exact_over_a_change_of_the_clocks():
    before_the_change = datetime.fromisoformat("2026-03-28T10:30:00+01:00")

    due_at = due(before_the_change, 72, "hours", time_zone="Europe/Berlin")

    assert due_at == datetime(2026, 3, 31, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "left"),
    [
        ("2026-07-13T12:00:00+00:00", 3),
        ("2026-07-17T06:00:00+00:00", 0),  # still the 16th in California
        ("2026-07-17T08:00:00+00:00", -1),
    ],
)
def test_days_left_are_counted_in_the_zone_of_the_rule(now, left):
    due_at = datetime.fromisoformat("2026-07-17T06:59:59+00:00")

    assert days_left(datetime.fromisoformat(now), due_at, "America/Los_Angeles") == left
