"""May this person be contacted? The rows that cover a question, and what follows from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from uuid import UUID

from config.statements import blobs, plain, prepared, texts
from consent.identifiers import Identity
from consent.models import ANY, Choice, Purpose

# Conditions in SQL: while one of them is met, no yes can be relied on. Part of the same statement as the answer;
# whoever knows of such a state adds it when the process starts.
DOUBTS: list[str] = []

# Written once for a list of questions, and once for one: a plan for a list of unknown length is never kept.
COVERED = """
    SELECT {position}, {doubt}, p.regime, c.purpose, c.channel, c.state, c.explicit, c.decided_at, c.decision_id
      FROM {questions}
      JOIN consent_purpose p ON p.code = q.purpose
      LEFT JOIN consent_identifier i ON i.kind = q.kind AND i.digest = q.digest
      LEFT JOIN consent_subject s ON s.id = coalesce(q.subject_id, i.subject_id)
      LEFT JOIN consent_consent c ON c.subject_id = coalesce(s.merged_into_id, s.id) AND c.state IS NOT NULL
           AND c.purpose IN (q.purpose, '*') AND c.channel IN (q.channel, '*')
"""
MANY = """unnest(%s::int[], %s::uuid[], %s::text[], %s::bytea[], %s::text[], %s::text[])
           AS q(position, subject_id, kind, digest, purpose, channel)"""
ONE = """(SELECT %s::uuid AS subject_id, %s::text AS kind, %s::bytea AS digest, %s::text AS purpose,
                   %s::text AS channel) q"""


@cache
def covering() -> str:
    return COVERED.format(position="q.position", doubt=" OR ".join(DOUBTS) or "false", questions=MANY)


@cache
def covering_one() -> str:
    return COVERED.format(position="0", doubt=" OR ".join(DOUBTS) or "false", questions=ONE)


@dataclass(frozen=True, slots=True)
class Query:
    """May `subject` be contacted for `purpose` by `channel`? Both must be named: `*` is an answer, not a question."""

    subject: UUID | Identity
    purpose: str
    channel: str


@dataclass(frozen=True, slots=True)
class Covering:
    """A consent row whose key covers a question."""

    purpose: str
    channel: str
    state: str
    explicit: bool
    decided_at: datetime
    decision_id: int

    def is_at_least_as_narrow_as(self, other: "Covering") -> bool:
        return other.purpose in (self.purpose, ANY) and other.channel in (self.channel, ANY)


@dataclass(frozen=True, slots=True)
class Answer:
    """`state`: opted_in, opted_out or never_asked; `reason`: the rule that decided; `decision`: what it rests on;
    `is_in_doubt`: an opt-out may be missing here, and is on its way."""

    allowed: bool
    state: str
    reason: str
    decision: int | None = None
    since: datetime | None = None
    is_in_doubt: bool = False


UNKNOWN_PURPOSE = Answer(False, "never_asked", "unknown_purpose")


def answer(regime: str, rows: Sequence[Covering]) -> Answer:
    """What the rows that cover one question say, explicit ones first; without any, what the purpose's regime says."""
    for explicit in (True, False):
        if ruling := _ruling([row for row in rows if row.explicit is explicit]):
            is_in = ruling.state == Choice.OPT_IN
            prefix = "explicit_" if explicit else "recorded_"
            if not is_in and regime == Purpose.Regime.MANDATORY:
                return Answer(True, "opted_out", "mandatory", ruling.decision_id, ruling.decided_at)
            state = "opted_in" if is_in else "opted_out"
            return Answer(is_in, state, prefix + ruling.state, ruling.decision_id, ruling.decided_at)
    if regime == Purpose.Regime.OPT_IN:
        return Answer(False, "never_asked", "opt_in_needed")
    return Answer(True, "never_asked", "mandatory" if regime == Purpose.Regime.MANDATORY else "no_objection")


def check(queries: Sequence[Query]) -> list[Answer]:
    """One answer per query, in order, by one statement. An unknown purpose is answered with no."""
    rows: dict[int, list[Covering]] = {}
    is_in_doubt = False
    regimes: dict[int, str] = {}
    with prepared() as cursor:
        if len(queries) == 1:
            cursor.execute(covering_one(), _row(queries[0]))
        else:
            cursor.execute(covering(), _columns(queries))
        for position, doubt, regime, purpose, channel, state, explicit, decided_at, decision_id in cursor.fetchall():
            regimes[position], is_in_doubt = regime, doubt
            if state is not None:
                row = Covering(purpose, channel, state, explicit, decided_at, decision_id)
                rows.setdefault(position, []).append(row)
    answers = [
        answer(regimes[position], rows.get(position, ())) if position in regimes else UNKNOWN_PURPOSE
        for position in range(len(queries))
    ]
    return [replace(one, is_in_doubt=True) for one in answers] if is_in_doubt else answers


def _ruling(rows: Iterable[Covering]) -> Covering | None:
    """An opt-out rules, the newest first, unless an opt-in at least as narrow came later; else the newest opt-in."""
    newest_first = sorted(rows, key=lambda row: (row.decided_at, row.state), reverse=True)
    opt_ins = [row for row in newest_first if row.state == Choice.OPT_IN]
    for row in newest_first:
        if row.state == Choice.OPT_OUT and not any(
            opt_in.decided_at > row.decided_at and opt_in.is_at_least_as_narrow_as(row) for opt_in in opt_ins
        ):
            return row
    return opt_ins[0] if opt_ins else None


def _row(query: Query) -> list[UUID | str | bytes | None]:
    subject = query.subject
    if isinstance(subject, UUID):
        return [subject, None, None, query.purpose, query.channel]
    return [None, subject.kind, subject.digest, query.purpose, query.channel]


def _columns(queries: Sequence[Query]) -> list[str]:
    subjects = [q.subject if isinstance(q.subject, UUID) else None for q in queries]
    identities = [q.subject if isinstance(q.subject, Identity) else None for q in queries]
    return [
        plain(range(len(queries))),
        plain(subjects),
        texts(i.kind if i else None for i in identities),
        blobs(i.digest if i else None for i in identities),
        texts(q.purpose for q in queries),
        texts(q.channel for q in queries),
    ]
