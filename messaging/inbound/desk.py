"""The queue of what a person must read: taken, answered, closed, or turned into the no that it was."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.models import Cause
from consent.services import actor_of
from messaging.inbound.opting_out import REPLY, Wish, opt_out
from messaging.models import HookDelivery, InboundMessage

State = InboundMessage.State


def wait_for_a_person(kind: str, why: str, *, hook: HookDelivery, digest: bytes) -> None:
    """What came without a letter and that no rule can settle. `digest`: the same is there once."""
    facts = {"source": hook.provider, "kind": kind, "state": State.OPEN, "outcome": why[:300], "hook": hook}
    InboundMessage.objects.get_or_create(raw_digest=digest, recipient="", defaults=facts)


@transaction.atomic
def take(inbound: InboundMessage, *, by: User | str) -> InboundMessage:
    """Say that it is yours. Raises ValidationError where it is somebody else's, or dealt with."""
    row = _open(inbound)
    if row.assigned_to and row.assigned_to != actor_of(by):
        raise ValidationError(f"{row.assigned_to} has taken it already.")
    row.assigned_to = actor_of(by)
    row.save(update_fields=["assigned_to"])
    return row


def answered(inbound: InboundMessage, *, reason: str, by: User | str) -> InboundMessage:
    """It was answered, with what is said in `reason`; the answer itself goes out from the desk's own mailbox."""
    return _close(inbound, State.ANSWERED, reason, by)


def close(inbound: InboundMessage, *, reason: str, by: User | str) -> InboundMessage:
    """Nothing has to be done about it."""
    return _close(inbound, State.CLOSED, reason, by)


@transaction.atomic
def was_a_no(inbound: InboundMessage, *, reason: str, by: User | str) -> InboundMessage:
    """A person read it as an opt-out, in whatever words: record that. Raises ValidationError for an unknown person."""
    row = _open(inbound)
    if row.subject_id is None:
        raise ValidationError("It is not known who wrote it. Find the person first, and record the opt-out there.")
    channel = "sms" if row.channel == "sms" else "email"
    row.decision_id = opt_out(
        Wish(
            person=row.subject_id,
            channel=channel,
            exit_path=REPLY,
            cause=Cause.SUPPORT,
            at=row.received_at,
            key=f"{REPLY}:read:{row.pk}",
            confidence=90,
            reasons=["read_by_staff"],
            message_id=row.message_id,
            evidence={"inbound": row.pk, "read_by": actor_of(by), "reason": reason},
        )
    )
    row.kind = InboundMessage.Kind.UNSUBSCRIBE
    row.save(update_fields=["decision_id", "kind"])
    return _close(row, State.CLOSED, reason, by)


@transaction.atomic
def _close(inbound: InboundMessage, state: str, reason: str, by: User | str) -> InboundMessage:
    if not reason.strip():
        raise ValidationError("Say what was done.")
    row = _open(inbound)
    row.state, row.handled_at, row.handled_by = state, timezone.now(), actor_of(by)
    row.handled_reason = reason[:200]
    row.assigned_to = row.assigned_to or actor_of(by)
    row.save(update_fields=["state", "handled_at", "handled_by", "handled_reason", "assigned_to"])
    return row


def _open(inbound: InboundMessage) -> InboundMessage:
    row = InboundMessage.objects.select_for_update().get(pk=inbound.pk)
    if row.state != State.OPEN:
        raise ValidationError(f"It waits for nobody: it is {row.get_state_display()}.")
    return row
