"""A message is taken by one worker at a time: under a lease, rendered, asked about, and committed before any socket."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import structlog
from cryptography.exceptions import InvalidTag
from django.db import transaction
from django.db.models.functions import Now

from messaging import gate
from messaging.composing import compose, preferences_url
from messaging.models import DeliveryAttempt, Message, TemplateVersion
from messaging.rendering import RenderError, published, render

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=150)  # for connecting and everything up to the final dot
State = Message.State
Texts = Callable[[str], list[TemplateVersion]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that is ours until the lease ends."""

    message: Message
    attempt: DeliveryAttempt


@transaction.atomic(durable=True)
def claim(message_id: UUID | None = None, *, transport: str, texts: Texts = published) -> Claim | Message | None:
    """Take one due message under a lease, rendered and asked about. One that must not or cannot be sent is settled
    instead and given back as such; nothing due, or taken by another worker, is None.
    """
    due = Message.objects.due(Now()).order_by("not_before", "created_at").select_for_update(skip_locked=True)
    message = (due.filter(pk=message_id) if message_id else due).first()
    if message is None:
        return None
    if message.expires_at and Message.objects.filter(pk=message.pk, expires_at__lte=Now()).exists():
        return _settled(message, State.EXPIRED, "Its time had passed before it could be sent.")
    try:
        if refusal := gate.refusal_of(message):
            return _settled(message, State.SUPPRESSED, refusal)
        frozen = {} if message.render_hash is not None else _render(message, texts)
    except (RenderError, InvalidTag) as error:  # one that cannot be made ready must not keep the others waiting
        why = str(error) or "The address cannot be opened: was PRIVACY_KEY changed since it was stored?"
        log.error("message_not_rendered", message=str(message.pk), template=message.template_key, error=why)
        return _settled(message, State.RENDER_FAILED, why)
    message.state, message.lease, message.attempts_made = State.SENDING, uuid4(), message.attempts_made + 1
    Message.objects.filter(pk=message.pk).update(
        state=State.SENDING,
        lease=message.lease,
        lease_until=Now() + LEASE,
        attempts_made=message.attempts_made,
        **frozen,
    )
    attempt = DeliveryAttempt(
        message=message, number=message.attempts_made, transport=transport, lease=message.lease or UUID(int=0)
    )
    attempt.save(force_insert=True)
    return Claim(message, attempt)


def _render(message: Message, texts: Texts) -> dict[str, object]:
    """Fix the bytes for good, and what they were made from."""
    rendered, version, is_degraded = render(
        texts(message.template_key),
        message.template_key,
        message.context,
        locale=message.locale,
        preferences_url=preferences_url(message),
    )
    message.raw = compose(message, rendered, version)
    message.render_hash = hashlib.sha256(message.raw).digest()
    return {
        "raw": message.raw,
        "render_hash": message.render_hash,
        "template_version": version,
        "is_degraded": is_degraded,
    }


def _settled(message: Message, state: str, why: str) -> Message:
    message.state, message.last_error = state, why[:500]
    settled_at = None if state == State.RENDER_FAILED else Now()
    Message.objects.filter(pk=message.pk).update(state=state, last_error=message.last_error, settled_at=settled_at)
    return message
