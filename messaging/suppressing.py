"""Addresses that are not written to: because mail to them comes back, or because their owner called it spam.

A suppression is no choice and lifts none: it stands beside the person's opt-outs, ends by itself where what was wrong
may pass, and is lifted by staff with a reason.
"""

from datetime import timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.identifiers import Identity
from consent.models import Identifier
from consent.services import actor_of
from messaging.inbound.wordings import Class, Verdict, judge
from messaging.inbound.wordings import Reason as Why
from messaging.models import Message, Suppression

Reason = Suppression.Reason
BY_RULE = "system:tracking"
# Of what came back for good, what speaks of the mailbox. A full one, a size, a policy and a refusal of content do not:
# they are about this mail, this sender or this week.
SUPPRESSES: dict[Why, tuple[str, timedelta | None]] = {
    Why.MAILBOX: (Reason.NO_MAILBOX, None),
    Why.DOMAIN: (Reason.NO_DOMAIN, timedelta(days=30)),  # a domain that lapsed, or a name server in trouble
    Why.DISABLED: (Reason.DISABLED, timedelta(days=90)),
}


def digest_of_recipient(message: Message) -> bytes | None:
    """None where the address was erased."""
    return Identity(Identifier.Kind.EMAIL, message.recipient).digest if message.sealed_recipient else None


def for_bounce(digest: bytes, verdict: Verdict, message_id: UUID | None = None) -> Suppression | None:
    """None where the bounce says nothing about the mailbox."""
    if verdict.kind is not Class.PERMANENT or verdict.reason not in SUPPRESSES:
        return None
    reason, lasts = SUPPRESSES[verdict.reason]
    return suppress(digest, reason, detail=verdict.status, lasts=lasts, message_id=message_id)


def for_refusal(message: Message, said: str) -> Suppression | None:
    """A server that says to our face what others say by mail: it names the recipient, since it was asked about them."""
    digest = digest_of_recipient(message)
    return for_bounce(digest, judge(said), message.pk) if digest else None


@transaction.atomic
def suppress(
    digest: bytes, reason: str, *, detail: str = "", lasts: timedelta | None = None, message_id: UUID | None = None
) -> Suppression:
    """From now on, and at least as long as it was suppressed already; a complaint is never weakened to a bounce."""
    ends = timezone.now() + lasts if lasts else None
    Suppression.objects.bulk_create([Suppression(digest=digest, reason=reason)], ignore_conflicts=True)
    row = Suppression.objects.select_for_update().get(digest=digest)
    is_new = not row.history.exists()
    if not is_new and row.holds():
        if row.reason == Reason.COMPLAINT or (row.expires_at is None and reason != Reason.COMPLAINT):
            return row
        if row.expires_at and ends and row.expires_at >= ends and row.reason == reason:
            return row
    row.reason, row.detail, row.message_id, row.expires_at = reason, detail[:100], message_id, ends
    row.save_as(BY_RULE, "Reported" if is_new else "Reported again")
    return row


def take_back(message: Message, *, reason: str) -> None:
    """What was read out of an answer to this message turned out to say nothing about its recipient."""
    reasons = [why for why, _ in SUPPRESSES.values()]
    for row in Suppression.objects.filter(message_id=message.pk, reason__in=reasons):
        if row.holds():
            lift(row, reason=reason, by=BY_RULE)


@transaction.atomic
def lift(suppression: Suppression, *, reason: str, by: User | str) -> Suppression:
    """The address is written to again from now on. The person's own choices stay as they are."""
    if not reason.strip():
        raise ValidationError("Say why.")
    row = Suppression.objects.select_for_update().get(pk=suppression.pk)
    if not row.holds():
        raise ValidationError("It is lifted already.")
    row.expires_at = timezone.now()
    row.save_as(actor_of(by), reason)
    return row
