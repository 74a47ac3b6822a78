"""Text messages to us: STOP in any of its words is a no, HELP is answered once a day, the rest is for a person."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError

from consent import subjects
from consent.identifiers import Identity
from consent.models import Cause, Identifier
from messaging.inbound import revocation
from messaging.inbound.opting_out import KEYWORD, Wish, opt_out
from messaging.models import InboundMessage
from messaging.services import NewMessage, enqueue

HELP_TEMPLATE = "help_sms"
State, What = InboundMessage.State, InboundMessage.Kind


class Unreadable(Exception):
    """A post that is no text message, in words for whoever set the gateway up."""


@dataclass(frozen=True, slots=True)
class Text:
    """As a gateway tells it."""

    id: str
    sender: str
    recipient: str
    text: str


def parse(body: bytes) -> Text:
    """`{"id": …, "from": "+49…", "to": "…", "text": "STOP"}`. Raises Unreadable."""
    try:
        facts: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable("It is not JSON.") from error
    values = [facts.get(name) for name in ("id", "from", "to", "text")] if isinstance(facts, dict) else []
    if not values or not all(isinstance(value, str) for value in values):
        raise Unreadable("Send id, from, to and text, each a string.")
    return Text(*(str(value) for value in values))


def store(body: bytes, *, source: str) -> InboundMessage:
    """Keep it to be read; the same id of the same gateway again is the same text message. Raises Unreadable."""
    told = parse(body)
    row, _ = InboundMessage.objects.get_or_create(
        raw_digest=hashlib.sha256(json.dumps([source, told.id, told.sender]).encode()).digest(),
        recipient=told.recipient[:320],
        defaults={"channel": "sms", "source": source[:50], "sender": told.sender[:320], "raw": body},
    )
    return row


def understood(row: InboundMessage) -> tuple[str, str, str, UUID | None, UUID | None, int | None]:
    """Kind, state, outcome, message, person, decision."""
    told = parse(bytes(row.raw or b""))
    word, wants_help = revocation.language_of(told.text), revocation.help_language_of(told.text)
    try:
        number = Identity.of(Identifier.Kind.PHONE, told.sender)
    except ValidationError:
        return (
            What.UNKNOWN,
            State.OPEN,
            "The sender is no telephone number: whose it is, a person must find out.",
            None,
            None,
            None,
        )
    if word:
        return _stop(row, number, word)
    person = subjects.find([number]).get((number.kind, number.digest))
    if wants_help and person:
        return _help(row, person, wants_help)
    return What.REPLY, State.OPEN, "A text message for a person.", None, person, None


def _stop(
    row: InboundMessage, number: Identity, word: str
) -> tuple[str, str, str, UUID | None, UUID | None, int | None]:
    """Also from a number that nobody knew: then it is known from now on, and opted out."""
    decision = opt_out(
        Wish(
            person=number,
            channel="sms",
            exit_path=KEYWORD,
            cause=Cause.KEYWORD,
            at=row.received_at,
            key=f"{KEYWORD}:{bytes(row.raw_digest).hex()[:40]}",
            reasons=["word", "sender_number"],
            locale=word,
            evidence={"inbound": row.pk, "sha256": bytes(row.raw_digest).hex()},
        )
    )
    person = subjects.find([number]).get((number.kind, number.digest))
    text = "Opted out of all text messages." if decision else "They had opted out already: no second text."
    return What.UNSUBSCRIBE, State.SETTLED, text, None, person, decision


def _help(row: InboundMessage, person: UUID, locale: str) -> tuple[str, str, str, UUID | None, UUID | None, int | None]:
    enqueue(
        [
            NewMessage(
                template_key=HELP_TEMPLATE,
                subject_id=person,
                cause=f"help:{row.received_at.date()}",
                context={},
                locale=locale,
                channel="sms",
            )
        ]
    )
    return What.HELP, State.SETTLED, "Answered with the help text, once a day at most.", None, person, None
