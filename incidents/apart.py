"""Work that is done in turn and does not hang together: a part that breaks does not stop those behind it."""

from collections.abc import Callable, Mapping

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection

log = structlog.get_logger(__name__)


def each(parts: Mapping[str, Callable[[], int | None]]) -> int:
    """Do all of them; returns how much they did together. What broke is logged at once, and the first of it is raised
    when all had their turn, so that whoever called fails too. Where the database is gone, or the worker's time is up,
    nothing more is begun."""
    done, broken = 0, None
    for name, part in parts.items():
        try:
            done += part() or 0
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            connection.ensure_connection()
            if not connection.is_usable():
                raise
            log.exception("part_broken", part=name)
            broken = broken or error
    if broken:
        raise broken
    return done
