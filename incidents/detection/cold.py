"""How EARS watches a series too young for a baseline: days of 24 hours where there are enough of them, else hours.

Arithmetic alone; `incidents.detection.watching` counts for it.
"""

from collections.abc import Sequence
from datetime import timedelta

from incidents.detection.detectors import Ears, ears

LEAST = 8  # opt-outs in an hour, or a day, below which a cold series says nothing
DAYS, HOURS = 14, 24
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def spans_of(age: timedelta) -> tuple[timedelta, int]:
    """Of which length the spans are that a series of this age is judged by, and how many of them are known."""
    span, many = (DAY, DAYS) if age >= (DAYS - 1) * DAY else (HOUR, HOURS)
    return span, min(many, age // span)


def alarm(numbers: Sequence[int], span: timedelta) -> Ears | None:
    """What EARS says of the newest span, which stands last; None where it is nothing to be told."""
    found = ears(numbers)
    return found if found and found.alarms and numbers[-1] >= LEAST else None
