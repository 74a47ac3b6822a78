"""Decisions in their minutes, by the cause that is known by now: added once, moved when it turns out another.

This is the only count of decisions there is: charts draw it, and detection watches it in steps of five minutes. What is
watched is a series, and begins with the first opt-out that is counted for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import connection

from consent.models import Cause
from incidents.detection.baseline import bucket_of

# Causes that are watched together. A repair is in none: it restates what was counted when it was made.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "choice": (Cause.SUBJECT_CHOICE, Cause.INCIDENT_NOTICE, Cause.PREFERENCE_SIGNAL, Cause.KEYWORD),
    "complaint": (Cause.COMPLAINT,),
    "desk": (Cause.PRIVACY_REQUEST, Cause.AGENT, Cause.SUPPORT),
    "machine": (Cause.AUTOMATED_SCRIPT, Cause.SCANNER_SUSPECTED),
    "records": (Cause.IMPORT, Cause.DEFAULT),
}
GROUP_OF = {str(cause): group for group, causes in GROUPS.items() for cause in causes}

# A decision that a drill wrote, by the name that its runner signs with. Incidents in drill mode do not make one: real
# people may opt out by real ways while a drill goes on.
DRILLS = ("drill:", "system:drill")
IS_DRILL = "(" + " OR ".join(f"d.actor LIKE '{name}%%'" for name in DRILLS) + ")"
# Nobody real: how the product tries its own ways out is in no count.
IS_CANARY = "EXISTS (SELECT FROM consent_subject s WHERE s.id = d.subject_id AND s.is_canary)"
# Those of the decisions that stand in a count: never more of them than it holds.
COUNTED = f"""
    SELECT id FROM (
    SELECT d.id, m.count, row_number() OVER (PARTITION BY m.id ORDER BY d.id) AS position
      FROM unnest(%(ids)s::bigint[], %(old)s::text[]) AS u(id, old) JOIN consent_decision d ON d.id = u.id
      JOIN incidents_decisionminute m
        ON (m.minute, m.choice, m.purpose, m.channel, m.exit_path, m.cause, m.is_drill)
         = (date_trunc('minute', d.received_at, 'UTC'), d.choice, d.purpose, d.channel, d.exit_path, u.old, {IS_DRILL})
     WHERE NOT {IS_CANARY}
    ) there WHERE position <= count
"""
MOVE_AWAY = f"""
    UPDATE incidents_decisionminute m
       SET count = greatest(m.count - n.count, 0), unexplained = greatest(m.unexplained - n.unexplained, 0)
      FROM (SELECT date_trunc('minute', d.received_at, 'UTC') AS minute, d.choice, d.purpose, d.channel, d.exit_path,
                   u.old AS cause, {IS_DRILL} AS is_drill, count(*),
                   count(*) FILTER (WHERE u.was_unknown) AS unexplained
              FROM unnest(%(ids)s::bigint[], %(old)s::text[], %(was)s::bool[]) AS u(id, old, was_unknown)
              JOIN consent_decision d ON d.id = u.id WHERE NOT {IS_CANARY} GROUP BY 1, 2, 3, 4, 5, 6, 7) n
     WHERE (m.minute, m.choice, m.purpose, m.channel, m.exit_path, m.cause, m.is_drill)
         = (n.minute, n.choice, n.purpose, n.channel, n.exit_path, n.cause, n.is_drill)
"""
# The minutes of decisions by their newest assessment; used by whoever counts.
COUNT = f"""
    INSERT INTO incidents_decisionminute AS m
           (minute, choice, purpose, channel, exit_path, cause, is_drill, count, unexplained)
    SELECT date_trunc('minute', d.received_at, 'UTC'), d.choice, d.purpose, d.channel, d.exit_path,
           coalesce(a.cause, d.cause), {IS_DRILL}, count(*),
           count(*) FILTER (WHERE coalesce(a.cause, d.cause) = 'subject_choice' AND d.exit_path = ''
                              AND coalesce(a.reasons, d.reasons) = '{{}}' AND d.choice = 'opt_out')
      FROM consent_decision d
      LEFT JOIN LATERAL (SELECT c.cause, c.reasons FROM incidents_causeassessment c WHERE c.decision_id = d.id
                          ORDER BY c.version DESC LIMIT 1) a ON true
     WHERE d.id = ANY (%(ids)s) AND NOT {IS_CANARY} GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (minute, choice, purpose, channel, exit_path, cause, is_drill)
    DO UPDATE SET count = m.count + EXCLUDED.count, unexplained = m.unexplained + EXCLUDED.unexplained
    RETURNING m.minute, m.purpose, m.channel, m.cause, m.choice = 'opt_out' AND NOT m.is_drill
"""
ADD_SERIES = """
    INSERT INTO incidents_series (purpose, channel, "group", first_at, up, down, expected_down)
    SELECT s.*, 0, 0, 0 FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[]) AS s
    ON CONFLICT (purpose, channel, "group") DO NOTHING
"""


def count(ids: Sequence[int]) -> None:
    """Into their minutes; what is watched of it has a series from then on."""
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(COUNT, {"ids": list(ids)})
            _begin_series(cursor.fetchall())


def counted(causes: Mapping[int, str]) -> set[int]:
    """Which of the decisions stand in the count of the cause that is named for them."""
    if not causes:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(COUNTED, {"ids": list(causes), "old": list(causes.values())})
        return {number for (number,) in cursor.fetchall()}


def take_away(standing: Sequence[tuple[int, str, bool]]) -> None:
    """(decision, the cause that it is counted under, whether it is counted as unexplained), out of their minutes."""
    if standing:
        ids, old, was = (list(column) for column in zip(*standing, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(MOVE_AWAY, {"ids": ids, "old": old, "was": was})


def _begin_series(counted: Iterable[tuple[datetime, str, str, str, bool]]) -> None:
    first: dict[tuple[str, str, str], datetime] = {}
    for minute, purpose, channel, cause, is_watched in counted:
        if is_watched and cause in GROUP_OF:
            key = (purpose, channel, GROUP_OF[cause])
            first[key] = min(bucket_of(minute), first.get(key, bucket_of(minute)))
    if first:
        rows = [(*key, at) for key, at in sorted(first.items())]
        with connection.cursor() as cursor:
            cursor.execute(ADD_SERIES, [list(column) for column in zip(*rows, strict=True)])
