"""How the ways out are used: completed uses are folded from the log, refused and broken-off ones counted at once."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from django.db import connection
from django.utils import timezone

from consent import feed
from consent.models import Choice, ExitPathMinute

Outcome = ExitPathMinute.Outcome
Minute = tuple[str, datetime, str, str]  # exit path, minute, outcome, cause

ADD = """
    INSERT INTO consent_exitpathminute AS m (exit_path_id, minute, outcome, cause, count)
    SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::int[])
    ON CONFLICT (exit_path_id, minute, outcome, cause) DO UPDATE SET count = m.count + EXCLUDED.count
"""
USED = """
    UPDATE consent_exitpath e SET last_used_at = u.at
      FROM unnest(%s::text[], %s::timestamptz[]) AS u(code, at)
     WHERE e.code = u.code AND (e.last_used_at IS NULL OR e.last_used_at < u.at)
"""


def count_use(exit_path: str, outcome: str, cause: str = "") -> None:
    """A use that left no decision: refused, or broken off. `cause` is the code of what was in the way."""
    _add({(exit_path, _minute(timezone.now()), outcome, cause): 1})


def fold(limit: int = 1000) -> int:
    """Count the completed uses that the log has news of; returns how many decisions were looked at."""
    with feed.reading("exit-paths", limit) as decisions:
        opt_outs = [d for d in decisions if d.exit_path and d.choice == Choice.OPT_OUT]
        _add(Counter((d.exit_path, _minute(d.received_at), Outcome.COMPLETED, d.cause) for d in opt_outs))
        latest: dict[str, datetime] = {}
        for decision in opt_outs:
            latest[decision.exit_path] = max(decision.received_at, latest.get(decision.exit_path, decision.received_at))
        with connection.cursor() as cursor:
            cursor.execute(USED, [list(latest), list(latest.values())])
        return len(decisions)


def _add(uses: Mapping[Minute, int]) -> None:
    if not uses:
        return
    rows = [(*minute, count) for minute, count in sorted(uses.items())]
    with connection.cursor() as cursor:
        cursor.execute(ADD, [list(column) for column in zip(*rows, strict=True)])


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
