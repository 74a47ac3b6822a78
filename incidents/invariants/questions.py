"""What is wrong among the rows of a table: SQL, asked of the newest rows, of a slice, of all, or of some consents.

The newest rows are read in log order where the table tells the transaction of a row (`consent.feed`), so that what
commits late cannot be passed over; else a question looks again at the last thousand rows before its cursor. The sweep
comes round to every row anyway. A row is judged by what held at its time, which the history tells. What is found is
known by its key, so that it is told once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from incidents import chain
from incidents.changes.undeclared import ALONE


@dataclass(frozen=True, slots=True)
class Question:
    """`wrong` selects row, moment, words; {rows} stands for which rows. `number` is the column in whose order it goes,
    `tx` the one with the row's transaction, `until` what a row must be so that it can be judged yet. `of_consents`:
    which rows are about some consents, where that can be said. `find` answers in place of SQL, between two numbers."""

    code: str
    name: str
    title: str
    table: str
    number: str
    wrong: str
    of_consents: str = ""
    find: Callable[[int, int], Sequence[tuple[int, datetime, str]]] | None = None
    tx: str = ""
    until: str = ""
    facts: Callable[[], dict[str, Any]] = dict

    @property
    def cursor(self) -> str:
        return f"{self.code}:{self.name}"

    @property
    def order(self) -> str:
        """`number` without the alias that the question gives its table."""
        return self.number.partition(".")[2]


LOST = Question(
    "I1",
    "gone",
    "An opt-out that was recorded is gone from the log, or was rewritten",
    "consent_historicalconsent",
    "h.history_id",
    tx="tx",
    of_consents="h.id = ANY (%(consents)s)",
    wrong="""
        SELECT h.history_id, h.changed_at, 'decision ' || h.decision_id || ' about ' || h.purpose || '/' || h.channel
          FROM consent_historicalconsent h
         WHERE {rows} AND h.explicit AND h.state = 'opt_out'
           AND NOT EXISTS (
             SELECT FROM consent_decision d
              WHERE d.id = h.decision_id AND d.explicit AND d.choice = 'opt_out' AND d.decided_at = h.decided_at
                AND d.subject_id = h.subject_id AND d.purpose = h.purpose AND d.channel = h.channel)""",
)
ANSWERED = Question(
    "I1",
    "answered",
    "An opt-out that was answered is not in the log",
    "config_idempotencyrecord",
    "r.id",
    wrong="""
        SELECT a.id, a.created_at, 'answer ' || a.id || ' named decision ' || (told.d ->> 'id')
          FROM (SELECT r.id, r.created_at, convert_from(r.body, 'UTF8')::jsonb AS said FROM config_idempotencyrecord r
                 WHERE {rows} AND r.status = 201) a
         CROSS JOIN LATERAL (
           SELECT jsonb_path_query(a.said, 'lax $.decisions[*]') UNION ALL
           SELECT a.said WHERE jsonb_typeof(a.said) = 'object') told(d)
         WHERE told.d ->> 'choice' = 'opt_out' AND told.d ->> 'received_at' IS NOT NULL
           AND told.d ->> 'id' ~ '^[0-9]{1,18}$'
           AND NOT EXISTS (SELECT FROM consent_decision d
                            WHERE d.id = CASE WHEN told.d ->> 'id' ~ '^[0-9]{1,18}$'
                                              THEN (told.d ->> 'id')::bigint END)""",
)
# Who leaves an explicit opt-out does so by an explicit opt-in of their own, in two steps; what the guard refuses.
REVERSED = Question(
    "I2",
    "reversed",
    "An opt-out was reversed without the person's own act",
    "consent_historicalconsent",
    "h.history_id",
    tx="tx",
    of_consents="h.id = ANY (%(consents)s)",
    wrong="""
        SELECT h.history_id, h.changed_at, h.purpose || '/' || h.channel || ', decision ' || coalesce(h.decision_id, 0)
          FROM consent_historicalconsent h
          JOIN consent_historicalconsent before ON before.id = h.id AND before.version = h.version - 1
          LEFT JOIN consent_decision d ON d.id = h.decision_id
         WHERE {rows}
           AND before.explicit AND before.state = 'opt_out' AND NOT (h.explicit AND coalesce(h.state, '') = 'opt_out')
           AND (d.id IS NULL OR NOT d.explicit OR d.choice <> 'opt_in' OR NOT EXISTS (
                SELECT FROM consent_reversal r JOIN consent_reversalconfirmation c ON c.reversal_id = r.id
                 WHERE r.id = d.reversal_id))""",
)
GAP = Question(
    "I5",
    "gap",
    "The history of a choice has a gap",
    "consent_historicalconsent",
    "h.history_id",
    tx="tx",
    of_consents="h.id = ANY (%(consents)s)",
    wrong="""
        SELECT h.history_id, h.changed_at, 'version ' || h.version || ' of ' || h.purpose || '/' || h.channel
          FROM consent_historicalconsent h
         WHERE {rows} AND h.version > 1
           AND NOT EXISTS (SELECT FROM consent_historicalconsent b WHERE b.id = h.id AND b.version = h.version - 1)""",
)
# The expression is that of consent_write_history. What the hash does not hold is the same facts under the names that
# simple-history gives them.
LEAF = Question(
    "I5",
    "leaf",
    "A version of a choice was rewritten",
    "consent_historicalconsent",
    "h.history_id",
    tx="tx",
    of_consents="h.id = ANY (%(consents)s)",
    wrong="""
        SELECT h.history_id, h.changed_at, 'version ' || h.version || ' of ' || h.purpose || '/' || h.channel
          FROM consent_historicalconsent h
         WHERE {rows} AND (
               (h.history_date, h.history_user_id, h.history_change_reason)
               IS DISTINCT FROM (h.changed_at, h.actor, h.cause)
            OR h.leaf_hash IS DISTINCT FROM sha256('\\x00'::bytea || record_send(ROW(1::int2, h.history_id, h.id,
                 h.subject_id, h.purpose::text, h.channel::text, h.state::text, h.explicit, h.cause::text,
                 h.actor::text, h.decided_at, h.decision_id, h.version, h.previous::text, h.changed_at, h.tx,
                 h.db_user::text))))""",
)
# A state that differs from its own decision is drift, and is put right as such: I4.
FORGED = Question(
    "I5",
    "forged",
    "The newest version of a choice is not its state",
    "consent_historicalconsent",
    "h.history_id",
    tx="tx",
    of_consents="h.id = ANY (%(consents)s)",
    wrong="""
        SELECT h.history_id, h.changed_at, 'version ' || h.version || ' of ' || h.purpose || '/' || h.channel
          FROM consent_historicalconsent h JOIN consent_consent c ON c.id = h.id AND h.version >= c.version
          LEFT JOIN consent_decision d ON d.id = c.decision_id
         WHERE {rows} AND c.state IS NOT DISTINCT FROM d.choice AND (
               h.version > c.version
            OR (h.state, h.explicit, h.decision_id, h.decided_at)
               IS DISTINCT FROM (c.state, c.explicit, c.decision_id, c.decided_at))""",
)
UNTOLD = Question(
    "I5",
    "untold",
    "The state of a choice has no history",
    "consent_consent",
    "c.id",
    of_consents="c.id = ANY (%(consents)s)",
    wrong="""
        SELECT c.id, c.changed_at, 'version ' || c.version || ' of ' || c.purpose || '/' || c.channel
          FROM consent_consent c
          LEFT JOIN consent_historicalconsent h ON h.id = c.id AND h.version = c.version
         WHERE {rows} AND h.history_id IS NULL""",
)
ORPHAN = Question(
    "I5",
    "orphan",
    "The row of a choice was deleted and made anew",
    "consent_historicalconsent",
    "h.history_id",
    tx="tx",
    of_consents="h.id = ANY (%(consents)s)",
    wrong="""
        SELECT h.history_id, h.changed_at, 'consent ' || h.id || ' of ' || h.purpose || '/' || h.channel
          FROM consent_historicalconsent h
         WHERE {rows} AND h.version = 1 AND NOT EXISTS (SELECT FROM consent_consent c WHERE c.id = h.id)
           AND EXISTS (SELECT FROM consent_consent o WHERE o.subject_id = h.subject_id
                          AND o.purpose = h.purpose AND o.channel = h.channel)""",
)
CHAIN = Question(
    "I5", "chain", "A line of a timeline was changed", "incidents_timelineentry", "t.id", wrong="", find=chain.faults
)
# A data migration is run by an administrator: what a change set planned, and nothing beside it, is guarded too.
UNGUARDED = Question(
    "I10",
    "login",
    "A choice was written by a login that may not",
    "consent_decision",
    "d.id",
    tx="tx",
    of_consents="(d.subject_id, d.purpose, d.channel) IN (SELECT c.subject_id, c.purpose, c.channel "
    "FROM consent_consent c WHERE c.id = ANY (%(consents)s))",
    wrong="""
        SELECT d.id, d.received_at, 'decision ' || d.id || ' by ' || d.db_user FROM consent_decision d
         WHERE {rows} AND d.db_user NOT IN (
           SELECT rolname FROM pg_roles WHERE NOT rolsuper
              AND (pg_has_role(oid, 'holdfast_app', 'MEMBER') OR pg_has_role(oid, 'holdfast_oncall', 'MEMBER')))
           AND (d.explicit OR NOT EXISTS (
             SELECT FROM incidents_changebatch b JOIN incidents_plannedwrite p
                 ON p.change_set_id = b.change_set_id AND p.batch = b.number AND p.subject_id = d.subject_id
                AND p.purpose = d.purpose AND p.channel = d.channel
              WHERE b.batch_id = d.batch_id AND p.choice = d.choice))""",
)
# Asked of a set's first batch: nothing of a set changes once it has one. A script or migration was read as code.
UNAPPROVED = Question(
    "I10",
    "approvals",
    "A change set was applied that nobody had let through",
    "incidents_changebatch",
    "b.id",
    wrong="""
        SELECT b.id, b.applied_at, 'CS-' || s.id || ', revision ' || s.revision
          FROM incidents_changebatch b JOIN incidents_changeset s ON s.id = b.change_set_id
         CROSS JOIN LATERAL (
           SELECT count(*) FILTER (WHERE a.verdict = 'approve'
                                     AND a.given_by <> ALL (s.created_by || s.editors)) AS agreed,
                  count(*) FILTER (WHERE a.verdict = 'decline') AS declined
             FROM incidents_changeapproval a
            WHERE a.change_set_id = s.id AND a.revision = s.revision AND a.plan_digest = s.plan_digest) given
         WHERE {rows} AND b.number = 1
           AND NOT (s.seconded_at IS NOT NULL AND s.bypassed_at IS NOT NULL AND s.seconded_by = s.second_person
                    AND s.seconded_by <> ALL (s.bypassed_by || s.created_by || s.editors))
           AND (given.agreed < greatest(s.required_approvals, (s.kind <> 'migration')::int) OR given.declined > 0)""",
)
# The on-call login may write, a little: a session that opts people in, or reaches as many as take two people to take
# back, is told of by its transaction. An incident of its own, for it is milder than a login that may not write at all.
UNDECLARED = Question(
    "I10.session",
    "undeclared",
    "A session wrote choices that no change set had planned",
    "consent_decision",
    "d.id",
    tx="tx",
    wrong="""
        SELECT w.tx, min(w.received_at), 'transaction ' || w.tx || ' of ' || w.db_user || ' wrote ' || count(*)
               || ' decisions, ' || count(*) FILTER (WHERE w.choice = 'opt_in') || ' of them opt-ins. '
               || 'To take it back: Taken back, +, by this transaction'
          FROM consent_decision w
         WHERE w.tx IN (
                 SELECT d.tx FROM consent_decision d WHERE {rows} AND NOT d.explicit AND d.db_user IN (
                   SELECT rolname FROM pg_roles WHERE NOT rolsuper AND pg_has_role(oid, 'holdfast_oncall', 'MEMBER')
                      AND NOT pg_has_role(oid, 'holdfast_app', 'MEMBER')))
           AND NOT w.explicit
           AND NOT EXISTS (SELECT FROM incidents_changebatch b WHERE b.batch_id = w.batch_id)
         GROUP BY w.tx, w.db_user HAVING count(*) > %(alone)s OR bool_or(w.choice = 'opt_in')""",
    facts=lambda: {"alone": ALONE},
)
