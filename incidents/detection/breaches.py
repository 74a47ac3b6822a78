"""What must never happen, as questions: which of these versions, decisions or attempts break a promise?

A question knows no cursor and opens no incident: whoever asks says which rows are new, and what becomes of the answer.
It judges a row by what held at its time, which the history tells, and not by what holds now.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from messaging.gate import ALLOWED_ANYWAY

GRACE = timedelta(seconds=60)  # a mail that was on the wire when its person pressed

# Who leaves an explicit opt-out does so by an explicit opt-in of their own, in two steps; what the guard refuses.
REVERSED = """
    SELECT h.history_id, h.changed_at, h.purpose || '/' || h.channel || ', decision ' || coalesce(h.decision_id, 0)
      FROM consent_historicalconsent h
      JOIN consent_historicalconsent before ON before.id = h.id AND before.version = h.version - 1
      LEFT JOIN consent_decision d ON d.id = h.decision_id
     WHERE h.history_id = ANY (%(rows)s)
       AND before.explicit AND before.state = 'opt_out' AND NOT (h.explicit AND coalesce(h.state, '') = 'opt_out')
       AND (d.id IS NULL OR NOT d.explicit OR d.choice <> 'opt_in' OR d.reversal_id IS NULL)
     ORDER BY 1
"""
GAPS = """
    SELECT h.history_id, h.changed_at, 'version ' || h.version || ' of ' || h.purpose || '/' || h.channel
      FROM consent_historicalconsent h
     WHERE h.history_id = ANY (%(rows)s) AND h.version > 1
       AND NOT EXISTS (SELECT FROM consent_historicalconsent b WHERE b.id = h.id AND b.version = h.version - 1)
     ORDER BY 1
"""
UNGUARDED = """
    SELECT d.id, d.received_at, 'decision ' || d.id || ' by ' || d.db_user FROM consent_decision d
     WHERE d.id = ANY (%(rows)s) AND d.db_user NOT IN (
       SELECT rolname FROM pg_roles WHERE NOT rolsuper
          AND (pg_has_role(oid, 'holdfast_app', 'MEMBER') OR pg_has_role(oid, 'holdfast_oncall', 'MEMBER')))
     ORDER BY 1
"""
# An opt-out that was in force all the grace through: the version of its key when that began, unless an explicit opt-in
# at least as narrow came later and took effect before the message was accepted (consent.answers). Whoever was merged
# is known by both subjects from then on.
CONTACTED = """
    SELECT a.id, a.ended_at, 'message ' || m.id || ' about ' || m.purpose || '/' || m.channel
      FROM messaging_deliveryattempt a
      JOIN messaging_message m ON m.id = a.message_id
      JOIN consent_subject s ON s.id = m.subject_id
     CROSS JOIN LATERAL (
       SELECT k.id, k.purpose, k.channel FROM consent_consent k
        WHERE k.purpose IN (m.purpose, '*') AND k.channel IN (m.channel, '*')
          AND (k.subject_id = s.id OR k.subject_id = s.merged_into_id AND EXISTS (
                SELECT FROM consent_subjectmerge g WHERE g.merged_id = s.id AND g.merged_at < a.ended_at))) k
     CROSS JOIN LATERAL (
       SELECT h.state, h.explicit, h.decided_at FROM consent_historicalconsent h
        WHERE h.id = k.id AND h.changed_at + %(grace)s < a.ended_at ORDER BY h.version DESC LIMIT 1) held
     WHERE a.id = ANY (%(rows)s) AND a.outcome = 'accepted' AND m.purpose <> ''
       AND NOT m.message_class = ANY (%(allowed)s)
       AND NOT (m.message_class = 'consent_update' AND m.decision_id IS NOT NULL)
       AND NOT EXISTS (SELECT FROM consent_purpose p WHERE p.code = m.purpose AND p.regime = 'mandatory')
       AND held.state = 'opt_out' AND held.explicit
       AND NOT EXISTS (
         SELECT FROM consent_consent o JOIN consent_historicalconsent n ON n.id = o.id
          WHERE o.subject_id IN (s.id, s.merged_into_id)
            AND o.purpose IN (m.purpose, '*') AND o.channel IN (m.channel, '*')
            AND k.purpose IN (o.purpose, '*') AND k.channel IN (o.channel, '*')
            AND n.state = 'opt_in' AND n.explicit AND n.decided_at > held.decided_at AND n.changed_at <= a.ended_at)
     GROUP BY a.id, m.id ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Breach:
    """`row`: the id of what broke the promise, in its table; `at`: when; `words`: what it is, without a person."""

    row: int
    at: datetime
    words: str


def opt_outs_reversed(versions: Sequence[int]) -> list[Breach]:
    """I2. Of these versions of consent (`history_id`): what left an explicit opt-out without the person's own act."""
    return _found(REVERSED, versions)


def gaps(versions: Sequence[int]) -> list[Breach]:
    """I5. Of these versions of consent (`history_id`): those whose predecessor is missing."""
    return _found(GAPS, versions)


def unguarded_writes(decisions: Sequence[int]) -> list[Breach]:
    """I10. Of these decisions: those that were written by a login that may not."""
    return _found(UNGUARDED, decisions)


def contacts_after_opting_out(attempts: Sequence[int], grace: timedelta = GRACE) -> list[Breach]:
    """I3. Of these attempts: those by which a message was accepted for somebody who had opted out for longer than the
    grace, and whom neither the law nor their own request asks to tell."""
    return _found(CONTACTED, attempts, grace=grace, allowed=[str(each) for each in ALLOWED_ANYWAY])


def _found(query: str, rows: Iterable[int], **facts: Any) -> list[Breach]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"rows": list(rows), **facts})
        return [Breach(*row) for row in cursor.fetchall()]
