"""Where the state is not what the log says: found by comparing the two, put right by projecting again.

No login of ours can bring this about; an administrator who switches triggers off can, and leaves no other trace. So the
whole of it is compared again and again, in slices of three passes, and what has just been written at once:

* *consents*: a row is what its own decision says, and that decision is in the log and counts;
* *decisions*: no decision that counts outranks the row of its key, and the key has a row;
* *versions*: whatever has a history has a row, and an opt-out that ends the history is its state.

A pass names suspects, cheaply; `closer` looks at each of them in one statement and says what is wrong. A row whose own
decision is gone from the log, or is not what the history says it was, is left to people: projecting it again could turn
an opt-out that was recorded into none. Where it is none already, the opt-out is recorded again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.db.models import TextChoices

from consent.models import Cause, Choice
from consent.recording import NewDecision
from consent.refusals import DecisionsRefused
from consent.services import record
from consent.validation import MOST

SLICE = 20_000  # rows of one look
BY, REWRITTEN = "system:drift", "log_rewritten"  # who records an opt-out again that the log lost, and the reason


class Kind(TextChoices):
    STATE = "state", "a state that is not what the log says"
    MISSING = "missing", "a choice whose row is gone"
    LOST = "lost", "a state whose decision is gone from the log, or was rewritten"


@dataclass(frozen=True, slots=True)
class Pass:
    """`table`, `number`, `alias`: in whose order it goes; `suspects`: the keys to look at closer among {rows}."""

    name: str
    table: str
    number: str
    alias: str
    suspects: str

    def end(self, after: int, rows: int) -> int | None:
        """The number of the last of so many rows after one; None where there is none."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT max(n) FROM (SELECT {self.number} AS n FROM {self.table} WHERE {self.number} > %s "
                f"ORDER BY 1 LIMIT %s) slice",
                [after, rows],
            )
            last: int | None = cursor.fetchone()[0]
            return last


# The last row of each OR is the order of consent_effective: explicit, then newest, then out, then first.
CONSENTS = Pass(
    "consents",
    "consent_consent",
    "id",
    "c",
    """SELECT c.subject_id, c.purpose, c.channel FROM consent_consent c
         LEFT JOIN consent_decision d ON d.id = c.decision_id
        WHERE {rows}
          AND CASE WHEN c.decision_id IS NULL THEN c.state IS NOT NULL OR c.explicit
              ELSE d.id IS NULL OR d.choice IS DISTINCT FROM c.state OR d.explicit <> c.explicit
                OR d.decided_at IS DISTINCT FROM c.decided_at OR d.cause <> c.cause OR d.actor <> c.actor
                OR d.subject_id <> c.subject_id OR d.purpose <> c.purpose OR d.channel <> c.channel
                OR (NOT d.explicit AND EXISTS (SELECT FROM consent_decisionvoid v WHERE v.decision_id = d.id)) END""",
)
DECISIONS = Pass(
    "decisions",
    "consent_decision",
    "id",
    "d",
    """SELECT DISTINCT d.subject_id, d.purpose, d.channel FROM consent_decision d
         LEFT JOIN consent_consent c
           ON c.subject_id = d.subject_id AND c.purpose = d.purpose AND c.channel = d.channel
        WHERE {rows}
          AND (c.id IS NULL OR (
                c.decision_id IS DISTINCT FROM d.id
            AND (c.state IS NULL OR (d.explicit, d.decided_at, d.choice = 'opt_out', c.decision_id)
                                  > (c.explicit, c.decided_at, c.state = 'opt_out', d.id))
            AND (d.explicit OR NOT EXISTS (SELECT FROM consent_decisionvoid v WHERE v.decision_id = d.id))))""",
)
VERSIONS = Pass(
    "versions",
    "consent_historicalconsent",
    "history_id",
    "h",
    """SELECT DISTINCT h.subject_id, h.purpose, h.channel FROM consent_historicalconsent h
         LEFT JOIN consent_consent c ON c.id = h.id
        WHERE {rows}
          AND (c.id IS NULL OR (h.explicit AND h.state = 'opt_out' AND h.version >= c.version
                                AND c.state IS DISTINCT FROM 'opt_out'))""",
)
PASSES = (CONSENTS, DECISIONS, VERSIONS)

# What changed lately is found by the news of the log and of the history: both name the key.
CHANGES = Pass(
    "changes",
    VERSIONS.table,
    VERSIONS.number,
    VERSIONS.alias,
    """SELECT h.subject_id, h.purpose, h.channel FROM consent_historicalconsent h
         LEFT JOIN consent_consent c ON c.id = h.id
         LEFT JOIN consent_decision d ON d.id = c.decision_id
        WHERE {rows}
          AND (c.id IS NULL OR (c.decision_id IS NULL AND c.state IS NOT NULL)
               OR (c.decision_id IS NOT NULL
                   AND (d.id IS NULL OR (d.choice, d.explicit) IS DISTINCT FROM (c.state, c.explicit))))""",
)

# An opt-out of the history, newest version of a row, that is not in the log as it was: `said` is its decision if it is.
CLOSER = """
    SELECT k.subject_id, k.purpose, k.channel, c.id,
           CASE WHEN c.id IS NULL THEN 'missing'
                WHEN (c.decision_id IS NOT NULL AND own.id IS NULL) OR untold.yes THEN 'lost'
                ELSE 'state' END,
           coalesce(e.explicit AND e.choice = 'opt_out', false)
             AND (c.id IS NULL OR c.state IS DISTINCT FROM 'opt_out' OR NOT c.explicit)
           OR (untold.yes AND c.state IS DISTINCT FROM 'opt_out')
      FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS k(subject_id, purpose, channel)
      LEFT JOIN consent_consent c
        ON c.subject_id = k.subject_id AND c.purpose = k.purpose AND c.channel = k.channel
      LEFT JOIN LATERAL consent_effective(k.subject_id, k.purpose, k.channel) e ON true
      LEFT JOIN consent_decision own ON own.id = c.decision_id
      LEFT JOIN LATERAL (
        SELECT h.state, h.explicit, h.decided_at, h.decision_id FROM consent_historicalconsent h
         WHERE h.id = c.id ORDER BY h.version DESC LIMIT 1) newest ON true
      LEFT JOIN consent_decision said
        ON said.id = newest.decision_id AND said.explicit AND said.choice = 'opt_out'
       AND said.decided_at = newest.decided_at
       AND said.subject_id = k.subject_id AND said.purpose = k.purpose AND said.channel = k.channel
     CROSS JOIN LATERAL (
       SELECT coalesce(newest.explicit AND newest.state = 'opt_out' AND said.id IS NULL, false)
              AND NOT coalesce(e.explicit AND e.choice = 'opt_out' AND e.decided_at >= newest.decided_at, false) AS yes
       ) untold
     WHERE (c.id IS NULL AND (e.id IS NOT NULL OR NOT EXISTS (
              SELECT FROM consent_decision any_ WHERE any_.subject_id = k.subject_id
                 AND any_.purpose = k.purpose AND any_.channel = k.channel)))
        OR (c.id IS NOT NULL
            AND ((c.state, c.explicit, c.cause, c.actor, c.decided_at, c.decision_id)
                 IS DISTINCT FROM
                 (e.choice, coalesce(e.explicit, false), coalesce(e.cause, ''), coalesce(e.actor, ''), e.decided_at,
                  e.id)
                 OR (untold.yes AND c.state IS DISTINCT FROM 'opt_out')))
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """`reverses`: an explicit opt-out does not count because of it. `consent_id` is None where the row is gone."""

    subject_id: UUID
    purpose: str
    channel: str
    consent_id: int | None
    kind: str
    reverses: bool

    @property
    def name(self) -> str:
        return f"{self.subject_id}/{self.purpose}/{self.channel}"


def walk() -> None:
    """For the rest of the transaction: from the rows at hand by an index to each other one, and never all of a table.
    For a few thousand rows the planner would read a million."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off; "
            "SET LOCAL jit = off"
        )


def between(a_pass: Pass, after: int, last: int) -> list[Difference]:
    """What is wrong between two numbers of a pass."""
    number = f"{a_pass.alias}.{a_pass.number}"
    return _closer_among(a_pass, f"{number} > %(after)s AND {number} <= %(last)s", {"after": after, "last": last})


def among(a_pass: Pass, numbers: Sequence[int]) -> list[Difference]:
    """What is wrong about these rows."""
    return _closer_among(a_pass, f"{a_pass.alias}.{a_pass.number} = ANY (%(rows)s)", {"rows": list(numbers)})


def _closer_among(a_pass: Pass, which: str, facts: dict[str, Any]) -> list[Difference]:
    with connection.cursor() as cursor:
        cursor.execute(a_pass.suspects.replace("{rows}", which), facts)
        keys = cursor.fetchall()
    return closer(keys)


def closer(keys: Iterable[tuple[UUID, str, str]]) -> list[Difference]:
    """Which of these keys are not what the log says, in the order of the keys. Another statement, and so a later look:
    what was put right in between is no longer a difference."""
    wanted = sorted(set(keys))
    if not wanted:
        return []
    with connection.cursor() as cursor:
        cursor.execute(CLOSER, [list(column) for column in zip(*wanted, strict=True)])
        return [Difference(*row) for row in cursor.fetchall()]


def of_consents(ids: Sequence[int]) -> list[Difference]:
    """Which of these rows are not what the log says, by their numbers; a row that is gone is found by its history."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT subject_id, purpose, channel FROM consent_consent WHERE id = ANY (%(ids)s) UNION "
            "SELECT subject_id, purpose, channel FROM consent_historicalconsent WHERE id = ANY (%(ids)s)",
            {"ids": list(ids)},
        )
        keys = cursor.fetchall()
    return closer(keys)


def repair(differences: Sequence[Difference]) -> list[Difference]:
    """Project again what can be, and record again what neither log nor state knows any more; returns what is still
    wrong afterwards."""
    _all_or_each(_record_again, [one for one in differences if one.kind == Kind.LOST and one.reverses])
    _all_or_each(_project, [one for one in differences if one.kind != Kind.LOST])
    return closer((one.subject_id, one.purpose, one.channel) for one in differences)


def _all_or_each(mend: Callable[[Sequence[Difference]], None], differences: Sequence[Difference]) -> None:
    """What is refused is tried one by one, so that one such row keeps no other waiting."""
    try:
        with transaction.atomic():
            mend(differences)
    except (DatabaseError, DecisionsRefused):
        for one in differences:
            try:
                with transaction.atomic():
                    mend([one])
            except (DatabaseError, DecisionsRefused):
                continue


def _record_again(lost: Sequence[Difference]) -> None:
    """Opt-outs that only the history tells of: in doubt it is an opt-out."""
    drafts = [
        NewDecision(
            subject=one.subject_id,
            purpose=one.purpose,
            channel=one.channel,
            choice=Choice.OPT_OUT,
            cause=Cause.REPAIR,
            is_now=True,
            actor=BY,
            reasons=[REWRITTEN],
        )
        for one in lost
    ]
    for start in range(0, len(drafts), MOST):
        record(drafts[start : start + MOST])


def _project(differences: Sequence[Difference]) -> None:
    gone = [one for one in differences if one.consent_id is None]
    there = [one.consent_id for one in differences if one.consent_id is not None]
    with connection.cursor() as cursor:
        if gone:
            columns: list[Any] = [
                [one.subject_id for one in gone],
                [one.purpose for one in gone],
                [one.channel for one in gone],
            ]
            cursor.execute("SELECT consent_restore(%s::uuid[], %s::text[], %s::text[])", columns)
        if there:
            cursor.execute("SELECT consent_reproject(%s::bigint[])", [there])
