"""By when something must be done: plain arithmetic on days, tested without a database.

The day of the event is day 0 and is not counted. A deadline in days or months ends with its last day, in the zone
where the rule counts days; one in hours ends to the minute.
"""

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays

LAST_SECOND = time(23, 59, 59)
SATURDAY = 5


def due(
    received_at: datetime,
    amount: int,
    unit: str,
    calendar: str = "weekends",
    *,
    rolls_to_working_day: bool = False,
    time_zone: str = "UTC",
) -> datetime:
    """The last moment (UTC) for what was received then. Units and calendars are those of `DeadlineRule`."""
    if unit == "hours":
        return received_at.astimezone(UTC) + timedelta(hours=amount)
    is_working_day = WORKING_DAYS[calendar]
    last_day = COUNT[unit](day_of(received_at, time_zone), amount, is_working_day)
    while rolls_to_working_day and not is_working_day(last_day):
        last_day += timedelta(days=1)
    return datetime.combine(last_day, LAST_SECOND, ZoneInfo(time_zone)).astimezone(UTC)


def days_left(now: datetime, due_at: datetime, time_zone: str = "UTC") -> int:
    """Whole days until the last day: 0 on that day, negative after it."""
    return (day_of(due_at, time_zone) - day_of(now, time_zone)).days


def day_of(moment: datetime, time_zone: str = "UTC") -> date:
    """The day that a rule counts the moment to, and the one that a person is told."""
    return moment.astimezone(ZoneInfo(time_zone)).date()


def calendar_days(day: date, amount: int, _: Callable[[date], bool]) -> date:
    return day + timedelta(days=amount)


def business_days(day: date, amount: int, is_working_day: Callable[[date], bool]) -> date:
    """The amount-th working day after `day`; with an amount of 0 the day itself."""
    for _ in range(amount):
        day += timedelta(days=1)
        while not is_working_day(day):
            day += timedelta(days=1)
    return day


def months(day: date, amount: int, _: Callable[[date], bool]) -> date:
    """The same date so many months later, or the last day of a month that lacks it (Reg. 1182/71 art. 3(2)(c))."""
    year, month = divmod(day.year * 12 + day.month - 1 + amount, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def is_weekday(day: date) -> bool:
    return day.weekday() < SATURDAY


def is_us_federal_working_day(day: date) -> bool:
    """Not on a weekend and not on a US federal holiday or the day it is observed on (5 USC 6103)."""
    return is_weekday(day) and day not in _us_federal(day.year)


@cache
def _us_federal(year: int) -> frozenset[date]:
    # The next year too: its New Year's Day is observed on 31 December where it falls on a Saturday.
    return frozenset(holidays.country_holidays("US", years=[year, year + 1]))


COUNT = {"calendar_days": calendar_days, "business_days": business_days, "months": months}
WORKING_DAYS = {"weekends": is_weekday, "us_federal": is_us_federal_working_day}
