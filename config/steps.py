"""Work in several steps, each for itself: one that breaks keeps none of the others from being done."""

from collections.abc import Callable, Mapping

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection

log = structlog.get_logger(__name__)

Step = Callable[[], int]


def each(steps: Mapping[str, Step]) -> tuple[dict[str, int], list[str]]:
    """How much each did, and which of them broke: these are logged, and did nothing that anybody knows of.

    Raises the database's error while it is away, since the other steps could do nothing either.
    """
    counts = dict.fromkeys(steps, 0)
    broken: list[str] = []
    for what, step in steps.items():
        try:
            counts[what] = step()
        except SoftTimeLimitExceeded:  # the worker's time is over, not the step's
            raise
        except Exception:
            log.exception("step_broken", step=what)
            broken.append(what)
            if not connection.is_usable():
                connection.close()
                connection.ensure_connection()
    return counts, broken
