"""By when something about an incident is due: plain arithmetic, tested without a database.

A term in hours ends to the minute, whatever the clocks on the wall did meanwhile. How days and months are counted is
told in `consent.deadlines`; a review's working days may also leave out the public holidays of a country.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

import holidays

from consent.deadlines import business_days, due, is_weekday

LAST_SECOND = time(23, 59, 59)


def clock_due(
    started_at: datetime,
    amount: int | None,
    unit: str,
    calendar: str = "weekends",
    *,
    rolls_to_working_day: bool = False,
    time_zone: str = "UTC",
) -> datetime | None:
    """The last moment (UTC) of a legal term that counts from then; None where the law names no number.

    72 hours after awareness (GDPR 33(1)) are `clock_due(detected_at, 72, "hours")`.
    """
    if not amount:
        return None
    return due(started_at, amount, unit, calendar, rolls_to_working_day=rolls_to_working_day, time_zone=time_zone)


def update_due(last: datetime, minutes: int | None) -> datetime | None:
    """When people who wait hear the next word; None where a severity has no such clock."""
    return last + timedelta(minutes=minutes) if minutes else None


def review_due(closed_at: datetime, days: int, holidays_of: str = "") -> datetime:
    """The end (UTC) of the last of so many working days after the day of closing. `holidays_of`: DE, DE-BY, US …;
    empty: only weekends are left out. Raises ValueError for a country that nobody knows."""
    last_day = business_days(closed_at.astimezone(UTC).date(), days, working_day(holidays_of))
    return datetime.combine(last_day, LAST_SECOND, UTC)


def working_day(holidays_of: str) -> Callable[[date], bool]:
    if not holidays_of:
        return is_weekday
    country, _, part = holidays_of.partition("-")
    return lambda day: is_weekday(day) and day not in public_holidays(country, part, day.year)


@cache
def public_holidays(country: str, part: str, year: int) -> frozenset[date]:
    """With the next year's, whose New Year's Day may be observed in this one. Raises ValueError."""
    try:
        return frozenset(holidays.country_holidays(country, subdiv=part or None, years=[year, year + 1]))
    except NotImplementedError as error:
        raise ValueError(f"Nobody knows the public holidays of {country}{f'-{part}' if part else ''}.") from error
