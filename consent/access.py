"""Everything that is stored here about a person, for themselves to read: GDPR art. 15 and 20, Civ. Code 1798.110."""

import hashlib
import json
from typing import Any
from uuid import UUID

from consent import subjects
from consent.facts import STATES, scope_in_words
from consent.identifiers import unseal
from consent.models import Cause, Consent, Decision, Identifier, PrivacyRequest, Subject


def people(subject_id: UUID) -> list[UUID]:
    """The subject that speaks for the person, first, and all that were merged into it."""
    root = subjects.roots([subject_id]).get(subject_id, subject_id)
    return [root, *Subject.objects.filter(merged_into=root).order_by("pk").values_list("pk", flat=True)]


def stored_about(subject_id: UUID) -> dict[str, Any]:
    """Identifiers, standing choices, every decision with its evidence, and requests: five statements."""
    ids = people(subject_id)
    return {
        "subject": str(ids[0]),
        "identifiers": [
            {"kind": i.kind, "value": unseal(i.kind, bytes(i.sealed)), "known_since": i.created_at.isoformat()}
            for i in Identifier.objects.filter(subject__in=ids).order_by("pk")
            if i.sealed is not None
        ],
        "choices": [
            {
                "purpose": consent.purpose,
                "channel": consent.channel,
                "state": consent.state,
                "said_by_the_person": consent.explicit,
                "since": consent.decided_at.isoformat() if consent.decided_at else None,
            }
            for consent in Consent.objects.filter(subject__in=ids).order_by("purpose", "channel")
        ],
        "decisions": [
            _decision(d)
            for d in Decision.objects.filter(subject__in=ids).select_related("evidence").order_by("decided_at", "pk")
        ],
        "requests": [
            {
                "ref": request.ref,
                "kind": request.kind,
                "received_at": request.received_at.isoformat(),
                "details": request.details,
                "state": request.state,
            }
            for request in PrivacyRequest.objects.filter(subject__in=ids).order_by("pk")
        ],
    }


def as_json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, indent=2, ensure_ascii=False, sort_keys=False).encode()


def digest(data: dict[str, Any]) -> str:
    """SHA-256 of the file: shows later which state of the data was handed out."""
    return hashlib.sha256(as_json(data)).hexdigest()


def as_text(data: dict[str, Any]) -> str:
    """The same facts in lines for a letter or a mail."""
    kinds, causes = dict(Identifier.Kind.choices), dict(Cause.choices)
    lines = [f"{kinds[i['kind']]}: {i['value']} (since {_day(i['known_since'])})" for i in data["identifiers"]]
    lines += [
        f"{scope_in_words(c['purpose'], c['channel'])}: {STATES[c['state']]}"
        + (f" since {_day(c['since'])}" if c["since"] else "")
        for c in data["choices"]
    ]
    lines += [
        f"{d['decided_at'][:16].replace('T', ' ')} UTC: {STATES[d['choice']]}, "
        f"{scope_in_words(d['purpose'], d['channel'])} ({causes[d['cause']]})"
        for d in data["decisions"]
    ]
    lines += [f"{r['ref']}: request of {_day(r['received_at'])} ({r['kind']})" for r in data["requests"]]
    return "\n".join(lines) or "Nothing."


def _decision(decision: Decision) -> dict[str, Any]:
    evidence = getattr(decision, "evidence", None)
    return {
        "number": decision.pk,
        "purpose": decision.purpose,
        "channel": decision.channel,
        "choice": decision.choice,
        "said_by_the_person": decision.explicit,
        "cause": decision.cause,
        "way_out": decision.exit_path,
        "decided_at": decision.decided_at.isoformat(),
        "received_at": decision.received_at.isoformat(),
        "evidence": evidence.content if evidence else None,
    }


def _day(moment: str) -> str:
    return moment[:10]
