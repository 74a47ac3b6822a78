"""Writing decisions down: one or a thousand in the same few statements, all of them or none."""

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.utils import timezone

from config.statements import blobs, pipeline, plain, prepared, texts
from consent.identifiers import Identity
from consent.models import Cause, Choice

INSERT = """
    INSERT INTO consent_decision
      (subject_id, purpose, channel, choice, explicit, cause, confidence, reasons, exit_path, decided_at, actor,
       notice_version, locale, commitment, idempotency_key, batch_id, reversal_id, message_id, restates_id)
    SELECT subject_id, purpose, channel, choice, explicit, cause, confidence, string_to_array(reasons, ','), exit_path,
           CASE WHEN is_now AND decided_at NOT BETWEEN clock_timestamp() - interval '1 second' AND clock_timestamp()
                THEN clock_timestamp() ELSE decided_at END,
           actor, notice_version, locale, commitment, idempotency_key, batch_id, reversal_id, message_id, restates_id
      FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bool[], %s::text[], %s::int[], %s::text[],
                  %s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[],
                  %s::uuid[], %s::uuid[], %s::uuid[], %s::bigint[], %s::bool[])
           WITH ORDINALITY AS new(subject_id, purpose, channel, choice, explicit, cause, confidence, reasons, exit_path,
                decided_at, actor, notice_version, locale, commitment, idempotency_key, batch_id, reversal_id,
                message_id, restates_id, is_now, position)
     ORDER BY position
    ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id, decided_at, received_at, idempotency_key
"""
REPLAYED = """
    SELECT idempotency_key, id, subject_id, purpose, channel, choice, decided_at, received_at
      FROM consent_decision WHERE idempotency_key = ANY (%s)
"""
STATES = """
    SELECT c.subject_id, c.purpose, c.channel, c.state, c.decided_at, c.decision_id FROM consent_consent c
      JOIN unnest(%s::uuid[], %s::text[], %s::text[]) AS k(subject_id, purpose, channel)
     USING (subject_id, purpose, channel)
"""
EVIDENCE = """
    INSERT INTO consent_evidence (decision_id, salt, content)
    SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::jsonb[])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """A choice to be recorded. `subject` is a known subject's id, or one or several identifiers of the same person.

    `explicit`: the subject, their agent or their signal said so. `idempotency_key`: the same key again changes nothing.
    `evidence`: JSON that shows the choice was made; kept apart, where it can be erased. `is_now`: it is made at this
    moment, and where the clock of this host is not the database's, the database's stands: a clock that runs behind must
    not put an opt-out before the opt-in that it follows, nor one that runs ahead have it refused.
    """

    subject: UUID | Sequence[Identity]
    purpose: str
    channel: str
    choice: str
    cause: str
    explicit: bool = True
    decided_at: datetime = field(default_factory=timezone.now)
    is_now: bool = False
    actor: str = "subject"
    exit_path: str = ""
    confidence: int = 100
    reasons: Sequence[str] = ()
    notice_version: str = ""
    locale: str = ""
    evidence: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    batch_id: UUID | None = None
    reversal_id: UUID | None = None
    message_id: UUID | None = None
    restates_id: int | None = None

    @property
    def is_opt_out(self) -> bool:
        return self.choice == Choice.OPT_OUT

    @property
    def is_worth_confirming(self) -> bool:
        return self.explicit and self.is_opt_out and self.cause != Cause.REPAIR


class Effective(NamedTuple):
    """The state of the decision's own key after it was recorded."""

    state: str
    since: datetime
    decision: int


class Recorded(NamedTuple):
    """A decision as the database holds it. `replayed`: its idempotency key had been used before."""

    id: int
    subject_id: UUID
    purpose: str
    channel: str
    choice: str
    decided_at: datetime
    received_at: datetime
    effective: Effective
    replayed: bool = False


@dataclass(slots=True)
class _Row:
    """A row of the log under way: drafted, then numbered by the database."""

    draft: NewDecision
    subject_id: UUID
    salt: bytes | None
    commitment: bytes | None


def write(drafts: Sequence[tuple[NewDecision, UUID]]) -> list[Recorded]:
    """Insert drafts with their subjects and say what holds now: at most four statements, in one transaction."""
    # By key: two calls that repeat the same keys in another order would each wait for the other.
    order = sorted(range(len(drafts)), key=lambda i: drafts[i][0].idempotency_key or "")
    rows = [_Row(draft, subject_id, *_commit_to(draft.evidence)) for draft, subject_id in (drafts[i] for i in order)]
    keys = {(row.subject_id, row.draft.purpose, row.draft.channel) for row in rows}
    columns = _columns(rows)
    with prepared() as cursor, prepared() as after, pipeline():
        cursor.execute(INSERT, columns)
        after.execute(STATES, columns[:3] if len(keys) == len(rows) else _key_columns(keys))  # one round trip for both
        inserted = cursor.fetchall()
        states = _states(after)
    with prepared() as cursor:
        old = _replayed(cursor, rows) if len(inserted) < len(rows) else {}
        numbers = _numbered(rows, inserted)
        _keep_evidence(cursor, [(numbers[i][0], row) for i, row in enumerate(rows) if row.salt and i in numbers])
        facts = [
            old[row.draft.idempotency_key] if i not in numbers else _facts(row, *numbers[i])
            for i, row in enumerate(rows)
        ]
        if elsewhere := {f[1:4] for f in facts} - keys:  # a replay under a subject that was merged since
            cursor.execute(STATES, _key_columns(elsewhere))
            states |= _states(cursor)
    written = [Recorded(*f, effective=states[f[1:4]], replayed=i not in numbers) for i, f in enumerate(facts)]
    return [recorded for _, recorded in sorted(zip(order, written, strict=True), key=lambda pair: pair[0])]


Key = tuple[UUID, str, str]


def _key_columns(keys: Collection[Key]) -> list[str]:
    people, purposes, channels = zip(*keys, strict=True)
    return [plain(people), texts(purposes), texts(channels)]


def _states(cursor: Any) -> dict[Key, Effective]:
    return {(s, p, c): Effective(state, since, decision) for s, p, c, state, since, decision in cursor.fetchall()}


Facts = tuple[int, UUID, str, str, str, datetime, datetime]


def _facts(row: _Row, number: int, decided_at: datetime, received_at: datetime) -> Facts:
    draft = row.draft
    return number, row.subject_id, draft.purpose, draft.channel, draft.choice, decided_at, received_at


def _numbered(
    rows: Sequence[_Row], inserted: Sequence[tuple[int, datetime, datetime, str | None]]
) -> dict[int, tuple[int, datetime, datetime]]:
    """Which row got which number. RETURNING keeps the order of insertion; a skipped row had a key that is missing."""
    taken = {key for *_, key in inserted}
    positions = (
        i for i, row in enumerate(rows) if row.draft.idempotency_key in taken or row.draft.idempotency_key is None
    )
    fresh: dict[int, tuple[int, datetime, datetime]] = {}
    seen: set[str] = set()
    numbers = iter(inserted)
    for i in positions:
        key = rows[i].draft.idempotency_key
        if key is not None and key in seen:
            continue  # the same key twice in one call: the second is a replay of the first
        seen |= {key} if key else set()
        number, decided_at, received_at, _ = next(numbers)
        fresh[i] = (number, decided_at, received_at)
    return fresh


def _replayed(cursor: Any, rows: Sequence[_Row]) -> dict[str | None, Facts]:
    cursor.execute(REPLAYED, [[row.draft.idempotency_key for row in rows if row.draft.idempotency_key]])
    return {key: tuple(facts) for key, *facts in cursor.fetchall()}


def _commit_to(evidence: Mapping[str, Any] | None) -> tuple[bytes | None, bytes | None]:
    """A salt, and the hash that the log keeps when the evidence itself is erased."""
    if evidence is None:
        return None, None
    salt = secrets.token_bytes(32)
    return salt, hashlib.sha256(salt + canonical(evidence)).digest()


def canonical(evidence: Mapping[str, Any]) -> bytes:
    return json.dumps(evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _keep_evidence(cursor: Any, kept: Sequence[tuple[int, _Row]]) -> None:
    if kept:
        contents = texts(json.dumps(row.draft.evidence) for _, row in kept)
        cursor.execute(EVIDENCE, [plain(number for number, _ in kept), blobs(row.salt for _, row in kept), contents])


def _columns(rows: Sequence[_Row]) -> list[str]:
    drafts = [row.draft for row in rows]
    return [
        plain(row.subject_id for row in rows),
        texts(d.purpose for d in drafts),
        texts(d.channel for d in drafts),
        texts(d.choice for d in drafts),
        plain(d.explicit for d in drafts),
        texts(d.cause for d in drafts),
        plain(d.confidence for d in drafts),
        texts(",".join(d.reasons) for d in drafts),
        texts(d.exit_path for d in drafts),
        plain(d.decided_at.isoformat() for d in drafts),
        texts(d.actor for d in drafts),
        texts(d.notice_version for d in drafts),
        texts(d.locale for d in drafts),
        blobs(row.commitment for row in rows),
        texts(d.idempotency_key for d in drafts),
        plain(d.batch_id for d in drafts),
        plain(d.reversal_id for d in drafts),
        plain(d.message_id for d in drafts),
        plain(d.restates_id for d in drafts),
        plain(d.is_now for d in drafts),
    ]
