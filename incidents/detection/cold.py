"""How EARS watches a series too young for a baseline: days of 24 hours where there are enough of them, else hours.

Arithmetic alone; `incidents.detection.watching` counts for it.
"""

import math
from collections.abc import Sequence
from datetime import timedelta

from incidents.detection.detectors import Z_C1_C2, Ears, ears

LEAST = 8  # opt-outs in an hour, or a day, below which a cold series says nothing
DAYS, HOURS = 14, 24
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def spans_of(age: timedelta) -> tuple[timedelta, int]:
    """Of which length the spans are that a series of this age is judged by, and how many of them are known."""
    span, many = (DAY, DAYS) if age >= (DAYS - 1) * DAY else (HOUR, HOURS)
    return span, min(many, age // span)


def alarm(numbers: Sequence[int], span: timedelta) -> Ears | None:
    """What EARS says of the newest span, which stands last; None where it is nothing to be told.

    Each morning is far above the night before it. Once a day is known, an hour must be above the day's busiest too.
    """
    found = ears(numbers)
    if found is None or not found.alarms or numbers[-1] < LEAST:
        return None
    busiest = max(numbers[:-1])
    is_usual = span == HOUR and len(numbers) == HOURS and numbers[-1] <= busiest + Z_C1_C2 * math.sqrt(busiest)
    return None if is_usual else found
