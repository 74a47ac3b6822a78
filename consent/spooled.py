"""A call that waits on disk, and the line it is written as."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from config.idempotency import Answer, Claim
from config.keys import Seal
from consent import journal
from consent.identifiers import Identity
from consent.recording import NewDecision

SEAL = Seal("spool")
UUIDS = ("batch_id", "reversal_id", "message_id")


@dataclass(frozen=True, slots=True)
class Spooled:
    """`key` names the call; `answer` is what its caller got, kept under its claim where it has one."""

    key: str
    drafts: Sequence[NewDecision]
    claim: Claim | None
    answer: Answer


def to_line(call: Spooled) -> bytes:
    """JSON with the key in the open, for whoever looks into the journal, and the rest sealed."""
    content = {
        "drafts": [_plain(draft) for draft in call.drafts],
        "claim": call.claim and [call.claim.account_id, call.claim.key, call.claim.fingerprint.hex()],
        "answer": [call.answer.status, call.answer.body.decode()],
    }
    return journal.sealed_line(call.key, content, SEAL)


def from_line(line: bytes) -> Spooled | None:
    """None for a line that was cut off, or sealed by another key."""
    opened = journal.opened(line, SEAL)
    if opened is None:
        return None
    key, content = opened
    claim = content["claim"]
    return Spooled(
        key=key,
        drafts=[
            replace(_draft(facts), idempotency_key=f"{key}:{index}") for index, facts in enumerate(content["drafts"])
        ],
        claim=Claim(claim[0], claim[1], bytes.fromhex(claim[2])) if claim else None,
        answer=Answer(content["answer"][0], content["answer"][1].encode()),
    )


def _plain(draft: NewDecision) -> dict[str, Any]:
    facts = asdict(draft) | {"decided_at": draft.decided_at.isoformat(), "is_now": False}
    facts |= {name: facts[name] and str(facts[name]) for name in UUIDS}
    if isinstance(draft.subject, UUID):
        facts["subject"] = str(draft.subject)
    else:
        facts["subject"] = [[identity.kind, identity.value] for identity in draft.subject]
    return facts


def _draft(facts: dict[str, Any]) -> NewDecision:
    subject = facts["subject"]
    known: UUID | list[Identity]
    known = UUID(subject) if isinstance(subject, str) else [Identity(kind, value) for kind, value in subject]
    return NewDecision(
        **{
            **facts,
            **{name: facts[name] and UUID(facts[name]) for name in UUIDS},
            "subject": known,
            "decided_at": datetime.fromisoformat(facts["decided_at"]),
        }
    )
