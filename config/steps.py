"""Work in several steps, each for itself: one that breaks keeps none of the others from being done."""

from collections.abc import Callable, Mapping

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection

log = structlog.get_logger(__name__)

Step = Callable[[], int | None]


def each(steps: Mapping[str, Step]) -> tuple[dict[str, int], dict[str, Exception]]:
    """How much each did, and what broke: that is logged, and did nothing that anybody knows of.

    Raises the database's error while it is away, since the other steps could do nothing either.
    """
    counts = dict.fromkeys(steps, 0)
    broken: dict[str, Exception] = {}
    for what, step in steps.items():
        try:
            counts[what] = step() or 0
        except SoftTimeLimitExceeded:  # the worker's time is over, not the step's
            raise
        except Exception as error:
            log.exception("step_broken", step=what)
            broken[what] = error
            if not connection.is_usable():
                connection.close()
                connection.ensure_connection()
    return counts, broken


def in_turn(steps: Mapping[str, Step]) -> int:
    """How much they did together. Raises the first error when all had their turn, so that whoever called fails too."""
    counts, broken = each(steps)
    for error in broken.values():
        raise error
    return sum(counts.values())
