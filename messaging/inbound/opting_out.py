"""A no that came back by mail, text message or complaint, recorded through the one door, once while it stands.

Such a no names no purpose, so it is about all of them: whoever wants to keep some says so on the preference page, to
which the confirmation leads; an answer that is not given means all (47 CFR 64.1200(a)(12) says so for text messages).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import Error
from django.utils import timezone

from consent import exit_paths, flow, subjects
from consent.identifiers import Identity
from consent.models import ANY, Choice, Consent
from consent.services import NewDecision, record

MAILTO, REPLY, COMPLAINT, KEYWORD, PROVIDER = "mailto", "mail-reply", "spam-complaint", "sms-keyword", "mail-provider"
ACTOR = "system:inbound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`key` names the mail or event, so that reading it twice records one choice. `reasons` say how sure it is."""

    person: UUID | Identity
    channel: str
    exit_path: str
    cause: str
    at: datetime
    key: str
    confidence: int = 100
    reasons: Sequence[str] = ()
    message_id: UUID | None = None
    locale: str = ""
    evidence: Mapping[str, Any] | None = None


def opt_out(wish: Wish) -> int | None:
    """The decision's number; None where an explicit no of this width stands already, and nothing had to be recorded."""
    flow.started(wish.exit_path)
    try:
        return _opted_out(wish)
    except Error:
        exit_paths.count_use(wish.exit_path, exit_paths.Outcome.FAILED, "error")
        raise
    finally:
        flow.took(wish.exit_path, (timezone.now() - wish.at).total_seconds())


def _opted_out(wish: Wish) -> int | None:
    if stands(wish.person, wish.channel):
        return None
    [recorded] = record(
        [
            NewDecision(
                subject=wish.person if isinstance(wish.person, UUID) else [wish.person],
                purpose=ANY,
                channel=wish.channel,
                choice=Choice.OPT_OUT,
                cause=wish.cause,
                decided_at=wish.at,
                actor=ACTOR,
                exit_path=wish.exit_path,
                confidence=wish.confidence,
                reasons=list(wish.reasons),
                message_id=wish.message_id,
                locale=wish.locale,
                evidence=wish.evidence,
                idempotency_key=wish.key,
            )
        ]
    )
    return None if recorded.replayed else recorded.id


def stands(person: UUID | Identity, channel: str) -> bool:
    """Whether they said no to everything on this channel, and to nothing there yes since."""
    if isinstance(person, Identity):
        found = subjects.find([person]).get((person.kind, person.digest))
        if found is None:
            return False
        person = found
    root = subjects.roots([person]).get(person)
    rows = Consent.objects.filter(subject=root, channel__in=[channel, ANY], explicit=True)
    noes = [row.decided_at for row in rows if row.state == Choice.OPT_OUT and row.purpose == ANY and row.decided_at]
    yeses = [row.decided_at for row in rows if row.state == Choice.OPT_IN and row.decided_at]
    return bool(noes) and max(noes) >= max(yeses, default=max(noes))
