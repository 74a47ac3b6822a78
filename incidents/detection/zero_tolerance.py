"""What must never happen, not even once: no statistics, no threshold. Each rule looks at what is new, from a cursor.

A rule looks again at the last thousand rows before its cursor, so that what committed late is seen; a breach is known
by its key, so that it is told once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from incidents.detection.raising import raise_alarm
from incidents.models import Alarm, DetectionCursor, Incident
from messaging.gate import ALLOWED_ANYWAY

BATCH, OVERLAP = 5_000, 1_000
GRACE = timedelta(seconds=60)  # a mail that was on the wire when its person pressed


@dataclass(frozen=True, slots=True)
class Rule:
    """`newest`: where the look ends, from (after, limit); `query`: what is wrong in between: row, moment, words."""

    code: str
    title: str
    newest: str
    query: str
    facts: Callable[[], dict[str, Any]] = dict


VERSIONS = """
    SELECT max(history_id) FROM (
      SELECT history_id FROM consent_historicalconsent WHERE history_id > %s ORDER BY 1 LIMIT %s) v
"""
RULES = (
    Rule(
        "I2",
        "An opt-out was reversed without the person's own act",
        VERSIONS,
        """SELECT h.history_id, h.changed_at, h.purpose || '/' || h.channel || ', decision ' || h.decision_id
             FROM consent_historicalconsent h
             JOIN consent_historicalconsent before ON before.id = h.id AND before.version = h.version - 1
             LEFT JOIN consent_decision d ON d.id = h.decision_id
            WHERE h.history_id > %(after)s AND h.history_id <= %(last)s
              AND before.explicit AND before.state = 'opt_out' AND h.state IS DISTINCT FROM 'opt_out'
              AND (d.id IS NULL OR NOT d.explicit OR d.choice <> 'opt_in' OR d.reversal_id IS NULL)""",
    ),
    Rule(
        "I5",
        "The history of a choice has a gap",
        VERSIONS,
        """SELECT h.history_id, h.changed_at, 'version ' || h.version || ' of ' || h.purpose || '/' || h.channel
             FROM consent_historicalconsent h
            WHERE h.history_id > %(after)s AND h.history_id <= %(last)s AND h.version > 1
              AND NOT EXISTS (
                SELECT FROM consent_historicalconsent b WHERE b.id = h.id AND b.version = h.version - 1)""",
    ),
    Rule(
        "I10",
        "A choice was written by a login that may not",
        "SELECT max(id) FROM (SELECT id FROM consent_decision WHERE id > %s ORDER BY 1 LIMIT %s) d",
        """SELECT d.id, d.received_at, 'decision ' || d.id || ' by ' || d.db_user FROM consent_decision d
            WHERE d.id > %(after)s AND d.id <= %(last)s AND d.db_user NOT IN (
              SELECT rolname FROM pg_roles WHERE NOT rolsuper
                 AND (pg_has_role(oid, 'holdfast_app', 'MEMBER') OR pg_has_role(oid, 'holdfast_oncall', 'MEMBER')))""",
    ),
    Rule(
        "I3",
        "A message was accepted for somebody who had opted out",
        # An attempt that is under way is looked at when it has ended: the cursor waits before it, an hour at most.
        """SELECT least(max(id),
                        min(id) FILTER (WHERE ended_at IS NULL AND started_at > now() - interval '1 hour') - 1)
             FROM (SELECT id, ended_at, started_at FROM messaging_deliveryattempt
                    WHERE id > %s ORDER BY id LIMIT %s) a""",
        """SELECT a.id, a.ended_at, 'message ' || m.id || ' about ' || m.purpose || '/' || m.channel
             FROM messaging_deliveryattempt a JOIN messaging_message m ON m.id = a.message_id
            WHERE a.id > %(after)s AND a.id <= %(last)s AND a.outcome = 'accepted' AND m.purpose <> ''
              AND NOT m.message_class = ANY (%(allowed)s)
              AND NOT EXISTS (SELECT FROM consent_purpose p WHERE p.code = m.purpose AND p.regime = 'mandatory')
              AND EXISTS (
                SELECT FROM consent_subject s JOIN consent_consent c ON c.subject_id = coalesce(s.merged_into_id, s.id)
                 WHERE s.id = m.subject_id AND c.state = 'opt_out' AND c.explicit
                   AND c.purpose IN (m.purpose, '*') AND c.channel IN (m.channel, '*')
                   AND c.changed_at + %(grace)s < a.ended_at
                   AND NOT EXISTS (
                     SELECT FROM consent_consent n
                      WHERE n.subject_id = c.subject_id AND n.state = 'opt_in' AND n.explicit
                        AND n.decided_at > c.decided_at
                        AND n.purpose IN (m.purpose, '*') AND n.channel IN (m.channel, '*')))""",
        lambda: {"grace": GRACE, "allowed": [str(each) for each in ALLOWED_ANYWAY]},
    ),
)


def look(limit: int = BATCH) -> int:
    """One look of every rule; returns how many breaches are new."""
    return sum(_look(rule, limit) for rule in RULES)


@transaction.atomic
def _look(rule: Rule, limit: int) -> int:
    name = f"zero:{rule.code}"
    DetectionCursor.objects.get_or_create(name=name)
    cursor = DetectionCursor.objects.select_for_update(skip_locked=True).filter(name=name).first()
    if cursor is None:
        return 0
    after = max(0, cursor.number - OVERLAP)
    with connection.cursor() as sql:
        sql.execute(rule.newest, [after, limit + OVERLAP])
        last = sql.fetchone()[0]
        if last is None or last <= after:
            return 0
        sql.execute(rule.query, {"after": after, "last": last, **rule.facts()})
        found = sql.fetchall()
    cursor.number, cursor.advanced_at = max(cursor.number, last), timezone.now()
    cursor.save()
    return sum(_tell(rule, *row) for row in found)


def _tell(rule: Rule, row: int, at: datetime, words: str) -> bool:
    alarm = Alarm(
        detector=Alarm.Detector.ZERO,
        key=f"{rule.code}:{row}",
        title=rule.title,
        bucket=at,
        count=1,
        inputs={"rule": rule.code, "row": row, "words": f"{rule.code}: {words}"},
    )
    return raise_alarm(alarm, began=at, severity=Incident.Severity.SEV1)
