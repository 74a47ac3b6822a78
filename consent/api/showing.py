"""From records to JSON: ids are texts, moments are UTC with a Z, states are words."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from config.problems import TRANSLATIONS, Fault, Refused, invalid
from consent import receipts
from consent.answers import Answer
from consent.models import Consent, Decision
from consent.recording import Recorded
from consent.refusals import DecisionsRefused

STATES = {"opt_in": "opted_in", "opt_out": "opted_out", None: "never_asked"}
CONFLICTS = {"reversal_needed", "guard", "used", "not_confirmable"}  # right in itself, not now: 409


def moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat()[:-6] + "Z"


def _moment_or_none(value: datetime | None) -> str | None:
    return moment(value) if value else None


def facts(row: Recorded | Decision) -> dict[str, Any]:
    """What a receipt signs."""
    return {
        "id": str(row.id),
        "subject": str(row.subject_id),
        "purpose": row.purpose,
        "channel": row.channel,
        "choice": row.choice,
        "decided_at": moment(row.decided_at),
        "received_at": moment(row.received_at),
    }


def recorded(row: Recorded) -> dict[str, Any]:
    """The answer to one recorded choice."""
    body = facts(row)
    return {**body, "effective": effective(row), "receipt": receipts.sign(body)}


def recorded_list(rows: Sequence[Recorded]) -> dict[str, Any]:
    """The answer to many: one receipt signs them all, in order."""
    bodies = [facts(row) for row in rows]
    receipt = receipts.sign_all(bodies)
    for body, row in zip(bodies, rows, strict=True):
        body["effective"] = effective(row)
    return {"decisions": bodies, "receipt": receipt}


def effective(row: Recorded) -> dict[str, Any]:
    now = row.effective
    return {"state": STATES[now.state], "since": moment(now.since), "decision": str(now.decision)}


def decision(row: Decision) -> dict[str, Any]:
    """A decision of the log."""
    return {
        **facts(row),
        "explicit": row.explicit,
        "cause": row.cause,
        "confidence": row.confidence,
        "reasons": row.reasons,
        "exit_path": row.exit_path,
        "actor": row.actor,
        "notice_version": row.notice_version,
        "locale": row.locale,
        "message": str(row.message_id) if row.message_id else None,
        "batch": str(row.batch_id) if row.batch_id else None,
        "reversal": str(row.reversal_id) if row.reversal_id else None,
        "restates": str(row.restates_id) if row.restates_id else None,
    }


def answer(row: Answer) -> dict[str, Any]:
    return {
        "allowed": row.allowed,
        "state": row.state,
        "reason": row.reason,
        "decision": str(row.decision) if row.decision is not None else None,
        "since": _moment_or_none(row.since),
    }


def consent(row: Consent) -> dict[str, Any]:
    return {
        "purpose": row.purpose,
        "channel": row.channel,
        "state": STATES[row.state],
        "explicit": row.explicit,
        "cause": row.cause,
        "since": _moment_or_none(row.decided_at),
        "decision": str(row.decision_id) if row.decision_id else None,
    }


def version(row: Any) -> dict[str, Any]:
    """A version of a consent: from what, to what, why, who."""
    return {
        "id": str(row.history_id),
        "at": moment(row.history_date),
        "purpose": row.purpose,
        "channel": row.channel,
        "version": row.version,
        "from": STATES[row.previous],
        "to": STATES[row.state],
        "explicit": row.explicit,
        "cause": row.cause,
        "actor": row.actor,
        "decision": str(row.decision_id) if row.decision_id else None,
    }


def refusal(error: DecisionsRefused, at: str = "") -> Refused:
    """The problem of refused decisions; `at` stands before each pointer, with {} for the entry's index."""
    faults = [
        Fault(at.format(problem.index) + (f"/{problem.field}" if problem.field else ""), problem.code, problem.message)
        for problem in error.problems
    ]
    codes = {problem.code for problem in error.problems}
    if codes <= CONFLICTS:
        return invalid(faults, 409, sorted(codes)[0])
    if codes == {"reused"}:
        return invalid(faults, 422, "idempotency_reused")
    return invalid(faults)


TRANSLATIONS[DecisionsRefused] = refusal
