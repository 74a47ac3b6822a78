"""What is owed is written down here, once each; and what staff may do with a message that waits or was not sent."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from config.models import User
from consent import subjects
from consent.models import Channel, Identifier
from consent.services import actor_of
from messaging import policy
from messaging.freezing import UNREADY, Texts, freeze, why_not
from messaging.models import (
    RECIPIENTS,
    DeliveryEvent,
    Message,
    Template,
    TemplateVersion,
)
from messaging.rendering import published

log = structlog.get_logger(__name__)
State = Message.State
SENT_AGAIN = [
    State.IN_DOUBT, State.REJECTED, State.FAILED, State.RENDER_FAILED, State.CLOSED_UNKNOWN, State.FILED,
]  # fmt: skip
AT_ONCE = 1000  # messages that are held in one transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message that is owed. `cause` says why in a word that is the same however often it is asked for."""

    template_key: str
    subject_id: UUID
    cause: str
    context: Mapping[str, Any]
    locale: str = "en"
    purpose: str = ""
    channel: str = Channel.EMAIL
    decision_id: int | None = None
    request_id: int | None = None
    incident_id: int | None = None
    notice_id: int | None = None
    version: TemplateVersion | None = None  # a text that was approved for it: rendered from no other
    lane: str = ""  # empty: as its channel asks for
    on_doubt: str = ""  # empty: as the policy of its class says
    not_before: datetime = field(default_factory=timezone.now)
    owed_by: datetime | None = None
    expires_at: datetime | None = None

    @property
    def intent(self) -> bytes:
        """What makes two messages the same one: why, to whom, by which way, with which text."""
        facts = [self.cause, str(self.subject_id), str(self.channel), self.template_key]
        return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).digest()


@transaction.atomic
def enqueue(messages: Sequence[NewMessage]) -> None:
    """Owe them, each once, with their bytes: a message with the same intent as an earlier one changes nothing. A fixed
    number of statements. Without an address, or a text that will do, the row is there all the same, and says why
    nothing was sent.

    Raises ValidationError for an unknown template.
    """
    if not messages:
        return
    classes = dict(Template.objects.values_list("key", "message_class"))
    if unknown := {message.template_key for message in messages} - set(classes):
        raise ValidationError(f"No such template: {', '.join(sorted(unknown))}.")
    addresses = {
        kind: addresses_of({m.subject_id for m in messages if RECIPIENTS[m.channel] == kind}, kind)
        for kind in {RECIPIENTS[message.channel] for message in messages}
    }
    texts = cache(published)
    Message.objects.bulk_create(
        [_row(m, classes[m.template_key], addresses[RECIPIENTS[m.channel]].get(m.subject_id), texts) for m in messages],
        ignore_conflicts=True,
    )


def addresses_of(subject_ids: Iterable[UUID], kind: str = Identifier.Kind.EMAIL) -> dict[UUID, bytes]:
    """The sealed address of each person that has one of this kind: the one told last. Two statements."""
    roots = subjects.roots(subject_ids)
    known = Identifier.objects.filter(subject__in=set(roots.values()), kind=kind, sealed__isnull=False).order_by(
        "created_at", "pk"
    )
    by_root = {identifier.subject_id: bytes(identifier.sealed or b"") for identifier in known}
    return {subject_id: by_root[root] for subject_id, root in roots.items() if root in by_root}


def no_address(message: Message) -> str:
    kind = Identifier.Kind(message.recipient_kind).label
    return f"No {kind} is known for this person, or it was erased: nothing was sent."


def hold(message: Message, *, reason: str, by: User | str) -> None:
    """Keep a waiting message back. Raises ValidationError once it is on its way."""
    refusal = "It is on its way or settled: it cannot be held."
    change(message, [*Message.WAITING], State.HELD, "held", refusal, reason, by)


def hold_all(messages: QuerySet[Message], *, reason: str, by: User | str) -> int:
    """Keep back whichever of these wait, a thousand in a transaction; returns how many."""
    total = 0
    while held := _hold_some(messages, {"by": actor_of(by), "reason": reason}):
        total += held
    return total


@transaction.atomic
def _hold_some(messages: QuerySet[Message], payload: dict[str, Any]) -> int:
    waiting = messages.filter(state__in=Message.WAITING).order_by("pk").select_for_update(of=("self",))
    ids, now = list(waiting.values_list("pk", flat=True)[:AT_ONCE]), timezone.now()
    Message.objects.filter(pk__in=ids).update(state=State.HELD, not_before=now, settled_at=None)
    events = [_event(pk, "staff", "held", payload, now) for pk in ids]
    DeliveryEvent.objects.bulk_create(events, ignore_conflicts=True)
    return len(ids)


def release(message: Message, *, reason: str, by: User | str) -> None:
    """Let a held message go."""
    change(message, [State.HELD], State.RETRY_WAIT, "released", "It is not held.", reason, by)


@transaction.atomic
def cancel(message: Message, *, reason: str, by: User | str) -> None:
    """Withdraw a message. Refused where an attempt may have been sent; one that was plainly refused was not."""
    refusal = "It is on its way or settled: it cannot be cancelled."
    locked = Message.objects.select_for_update().get(pk=message.pk)
    if locked.attempts.maybe_sent().exists():
        raise ValidationError("An attempt came so far that it may have been sent: it cannot be cancelled any more.")
    change(message, [*Message.WAITING, State.HELD], State.CANCELLED, "cancelled", refusal, reason, by)


@transaction.atomic
def resend(message: Message, *, reason: str, by: User | str) -> None:
    """Try once more what was refused, given up or is in doubt: the same bytes under the same Message-ID.

    A doubt about what the law asks for is two people's to decide, see `doubts`.
    """
    _not_alone(message)
    refusal = "Only what was refused, given up or is in doubt is sent again."
    change(message, SENT_AGAIN, State.RETRY_WAIT, "resent", refusal, reason, by)


@transaction.atomic
def close_unknown(message: Message, *, reason: str, by: User | str) -> None:
    """Give up on finding out; it is reported as unknown for good, never as sent and never as failed."""
    _not_alone(message)
    change(message, [State.IN_DOUBT], State.CLOSED_UNKNOWN, "closed_unknown", "It is not in doubt.", reason, by)


def _not_alone(message: Message) -> None:
    locked = Message.objects.select_for_update().get(pk=message.pk)
    if locked.needs_two and locked.state in Message.DOUBTFUL:
        raise ValidationError("The law asks for this message: one person proposes what becomes of it, another agrees.")


@transaction.atomic
def change(
    message: Message, come_from: Sequence[str], to: str, kind: str, refusal: str, reason: str, by: User | str
) -> None:
    """Move a message by hand, with its reason in its story. Raises ValidationError with `refusal`."""
    if not reason.strip():
        raise ValidationError("Say why.")
    locked = Message.objects.select_for_update().get(pk=message.pk)
    if locked.state not in come_from:
        raise ValidationError(f"{refusal} It is {locked.get_state_display()}.")
    if locked.sealed_recipient is None and to == State.RETRY_WAIT:
        raise ValidationError(no_address(locked))
    if to == State.RETRY_WAIT and locked.state in SENT_AGAIN:
        is_unanswered = locked.state in Message.DOUBTFUL or (locked.is_pinned and locked.state == State.FAILED)
        locked.possible_duplicate |= is_unanswered
        locked.is_pinned = False  # whoever decides that it goes again lets it go by whatever works
    locked.state, locked.not_before = to, timezone.now()
    locked.settled_at = None if to in (State.RETRY_WAIT, State.HELD) else timezone.now()
    locked.save(update_fields=["state", "not_before", "settled_at", "possible_duplicate", "is_pinned"])
    note(locked, "staff", kind, {"by": actor_of(by), "reason": reason})


def note(message: Message, source: str, kind: str, payload: dict[str, Any], *, at: datetime | None = None) -> None:
    """Put something that happened into the message's story; what is told twice with its moment is there once."""
    event = _event(message.pk, source, kind, payload, at or timezone.now())
    DeliveryEvent.objects.bulk_create([event], ignore_conflicts=True)


def _event(message_id: UUID, source: str, kind: str, payload: dict[str, Any], moment: datetime) -> DeliveryEvent:
    facts = [str(message_id), source, kind, payload, moment.isoformat()]
    return DeliveryEvent(
        message_id=message_id,
        source=source,
        event_key=hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest(),
        kind=kind,
        occurred_at=moment,
        payload=payload,
    )


def _row(message: NewMessage, message_class: str, address: bytes | None, texts: Texts) -> Message:
    lane = message.lane or policy.lane(message.channel)
    row = Message(
        intent=message.intent,
        message_class=message_class,
        channel=message.channel,
        purpose=message.purpose,
        subject_id=message.subject_id,
        decision_id=message.decision_id,
        request_id=message.request_id,
        incident_id=message.incident_id,
        notice_id=message.notice_id,
        sealed_recipient=address,
        template_key=message.template_key,
        locale=message.locale,
        lane=lane,
        on_doubt=message.on_doubt or policy.on_doubt(message_class, lane),
        not_before=message.not_before,
        owed_by=message.owed_by,
        expires_at=message.expires_at,
    )
    row.context = message.context
    if address is None:
        row.state, row.last_error, row.settled_at = State.SUPPRESSED, no_address(row), timezone.now()
    else:
        _freeze(row, [message.version] if message.version else texts(message.template_key))
    return row


def _freeze(row: Message, versions: Sequence[TemplateVersion]) -> None:
    """What cannot be made ready is owed all the same, and visible: it keeps nobody else of its batch waiting."""
    try:
        freeze(row, versions)
        row.state = State.READY
    except UNREADY as error:
        row.state, row.last_error = State.RENDER_FAILED, why_not(error)
        log.error("message_not_rendered", message=str(row.pk), template=row.template_key, error=row.last_error)
