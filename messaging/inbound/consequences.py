"""What follows from news about a message: its story, a suppression where an address is dead, a no where one was said.

A hard bounce is a suppression and never an opt-out: mailboxes also fail by the thousand when a host does. A complaint
is the person's own no, as clear as a button: an explicit opt-out, and a suppression until staff lift it.
"""

from collections.abc import Sequence
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from consent.identifiers import Identity
from consent.models import Cause, Identifier
from messaging import suppressing
from messaging.events import Kind, NewEvent, record_events
from messaging.inbound.bounces import Bounce
from messaging.inbound.opting_out import COMPLAINT, Wish, opt_out
from messaging.inbound.wordings import Class
from messaging.models import Message, Suppression


def identity_of(address: str) -> Identity | None:
    """Of an address that somebody reported; None for what is no address."""
    try:
        return Identity.of(Identifier.Kind.EMAIL, address)
    except ValidationError:  # reports name addresses that nobody could write to
        return None


def digest_of(address: str) -> bytes | None:
    """Its blind index."""
    identity = identity_of(address)
    return identity.digest if identity else None


def kind_of(bounce: Bounce) -> Kind:
    if bounce.verdict.kind is Class.DELIVERED:
        return Kind.DELIVERED if bounce.action == "delivered" else Kind.SENT
    if bounce.verdict.kind is Class.PERMANENT:
        return Kind.BOUNCED_HARD
    return Kind.DEFERRED if bounce.action == "delayed" else Kind.BOUNCED_SOFT


@transaction.atomic
def bounced(bounces: Sequence[Bounce], message: Message | None, heard_at: datetime) -> list[NewEvent]:
    """Record a report. Only one that names a message of ours changes what is written to: anybody can make one up."""
    events = [_of(bounce, message, heard_at) for bounce in bounces]
    fresh = record_events(events)
    for event, bounce in zip(events, bounces, strict=True):
        if event in fresh and message and (digest := suppressing.digest_of_recipient(message)):
            suppressing.for_bounce(digest, bounce.verdict, message.pk)
    return fresh


@transaction.atomic
def complained(message: Message, event: NewEvent) -> int | None:
    """An explicit opt-out of everything by e-mail and a suppression; the decision's number where one was recorded.

    The suppression comes first, so that no confirmation goes to somebody who calls our mail spam.
    """
    if not record_events([event]):
        return None
    if digest := suppressing.digest_of_recipient(message):
        suppressing.suppress(digest, Suppression.Reason.COMPLAINT, message_id=message.pk)
    return said_no(message, event, COMPLAINT, reasons=["feedback_report"])


@transaction.atomic
def said_no_by_address(address: Identity, event: NewEvent, exit_path: str) -> int | None:
    """A no that names no message of ours: the address is enough, and says less surely whose it is."""
    if exit_path == COMPLAINT:
        suppressing.suppress(address.digest, Suppression.Reason.COMPLAINT)
    return said_no(address, event, exit_path, reasons=["recipient_address"], confidence=70)


def said_no(
    who: Message | Identity, event: NewEvent, exit_path: str, *, reasons: Sequence[str], confidence: int = 100
) -> int | None:
    """Record the no that an event carries. It is dated by its teller, but never in our future."""
    message = who if isinstance(who, Message) else None
    return opt_out(
        Wish(
            person=who.subject_id if isinstance(who, Message) else who,
            channel="email",
            exit_path=exit_path,
            cause=Cause.COMPLAINT if exit_path == COMPLAINT else Cause.SUBJECT_CHOICE,
            at=min(event.occurred_at, timezone.now()),
            key=f"{exit_path}:{event.key.hex()[:40]}",
            reasons=reasons,
            confidence=confidence,
            message_id=message.pk if message else None,
            locale=message.locale if message else "",
        )
    )


def _of(bounce: Bounce, message: Message | None, heard_at: datetime) -> NewEvent:
    """K6: the message, the recipient, the action, the status and who reports it."""
    occurred_at = min(bounce.last_attempt_at or heard_at, heard_at)
    return NewEvent(
        source="mail",
        kind=kind_of(bounce),
        occurred_at=occurred_at,
        facts=[
            message.pk if message else "",
            bounce.recipient,
            bounce.action,
            bounce.verdict.status,
            bounce.reporting_mta,
        ]
        + ([] if message else [bounce.diagnostic, heard_at.date()]),
        message_id=message.pk if message else None,
        recipient=digest_of(bounce.recipient),
        payload={
            "reason": f"{bounce.verdict.status} {bounce.verdict.reason.value}".strip(),
            "reply": bounce.diagnostic,
            "reported_by": bounce.reporting_mta,
        },
    )
