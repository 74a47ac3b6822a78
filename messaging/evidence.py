"""What can be shown about a message, and what is known of a person's messages, in words for staff."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.policy import default
from uuid import UUID

from cryptography.exceptions import InvalidTag
from django.urls import reverse

from consent.models import Channel
from consent.story import Entry
from messaging.models import DeliveryAttempt, Message, Template

NEWEST = 500
TOKEN = re.compile(r"(/(?:u|preferences|read)/)[A-Za-z0-9_-]{20,}")
SHOWN_HEADERS = (
    "From", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "Auto-Submitted",
    "Content-Language", "Feedback-ID",
)  # fmt: skip
DEEDS = {
    "held": "Held back",
    "released": "Let go",
    "cancelled": "Withdrawn",
    "resent": "To be sent again",
    "closed_unknown": "Closed as unknown",
    "queued": "Queued at the provider",
    "sent": "Passed on by the provider",
    "deferred": "Not delivered yet, it is tried again",
    "delivered": "Delivered to the recipient's server",
    "bounced_soft": "Came back, for now",
    "bounced_hard": "Came back for good",
    "refused": "Refused by the provider",
    "complained": "Reported as spam",
    "unsubscribed": "Unsubscribed by mail",
    "autoresponded": "Answered by a program",
    "replied": "Answered by somebody",
    "reported": "Reported to a feedback loop",
    "acknowledged": "The person said that it reached them",
    "late_reply": "The relay's answer came after the lease",
    "asked_again": "The transport was asked again",
    "proposed": "Proposed",
    "withdrawn": "The proposal was withdrawn",
}
UNOPENED = "(It cannot be opened: was PRIVACY_KEY changed since it was stored?)"
State = Message.State
NOT_SENT: dict[str, str] = {
    State.REJECTED: "it was refused. It was not sent.",
    State.FAILED: "it was tried, and nothing took it. It was not sent.",
    State.CANCELLED: "sending was begun and withdrawn. It was not sent.",
    State.EXPIRED: "sending was begun and came too late. It was not sent.",
    State.SUPPRESSED: "sending was begun and given up. It was not sent.",
}


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened to a message."""

    at: datetime
    text: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """A message as it went out, without the tokens in its links: whoever holds one acts as the person."""

    headers: list[tuple[str, str]]
    text: str
    html: str


def level_of(message: Message) -> str:
    """How much is proved. Nobody can prove that a mail was read, and none of these says so."""
    if message.complained_at:
        return "E5: its recipient reported it as spam, so it arrived."
    if message.acknowledged_at:
        return "E5: the person said that it reached them."
    if message.delivery in (Message.Delivery.BOUNCED_HARD, Message.Delivery.BOUNCED_SOFT):
        return "E3: whoever was to pass it on says that it did not reach the recipient."
    if message.delivery == Message.Delivery.DELIVERED:
        return "E4: the recipient's server confirmed delivery."
    if message.state == State.FILED:
        return "E1: it lies in a file for somebody to send. No relay has it."
    if message.state == State.ACCEPTED:
        return "E3: a relay took it, and gave the answer below. Whether it was delivered is not known."
    if message.state in Message.DOUBTFUL:
        return "E2: it was handed over without an answer. It may have been sent."
    if message.tries:
        return f"E2: {_begun(message)}"
    if message.render_hash:
        return "E1: its text is fixed by a hash. It was not sent."
    return "E0: it is owed. It was not sent."


def _begun(message: Message) -> str:
    """What became of one that no relay took. Where an earlier try is in doubt, a later refusal does not undo it."""
    if message.possible_duplicate:
        return "sending was begun more than once. An earlier try may have been sent."
    return NOT_SENT.get(message.state, "sending was begun. It is not known to have been sent.")


def story_of(message: Message) -> list[Line]:
    """Everything that happened to it, oldest first: two statements."""
    lines = [Line(message.created_at, _owed(message))]
    for attempt in message.attempts.order_by("number"):
        lines.append(Line(attempt.started_at, f"Attempt {attempt.number} by {attempt.transport} begun"))
        if attempt.ended_at:
            lines.append(Line(attempt.ended_at, _ended(attempt)))
    for event in message.events.order_by("pk"):
        why = event.payload.get("reason") or event.payload.get("reply") or ""
        what = DEEDS.get(event.kind, event.kind.replace("_", " ").capitalize())
        lines.append(
            Line(event.occurred_at, f"{what}{f': {why}' if why else ''}", event.payload.get("by", event.source))
        )
    return sorted(lines, key=lambda line: line.at)


def contents_of(message: Message) -> Contents | None:
    """None where it was not rendered, or where its bytes were erased. A text message is its text alone."""
    try:
        raw = message.raw
    except InvalidTag:
        return Contents(headers=[], text=UNOPENED, html="")
    if not raw:
        return None
    if message.channel != Channel.EMAIL:
        return Contents(headers=[], text=_redacted(raw.decode()), html="")
    mail = message_from_bytes(raw, policy=default)
    text, html = (mail.get_body([kind]) for kind in ("plain", "html"))
    return Contents(
        headers=[(name, _redacted(str(mail[name]))) for name in SHOWN_HEADERS if mail[name]],
        text=_redacted(text.get_content()) if text else "",
        html=_redacted(html.get_content()) if html else "",
    )


def told(subject_ids: list[UUID]) -> Iterable[Entry]:
    """The provider that messaging registers with `consent.story`: a line per message, tied to its decision."""
    messages = list(
        Message.objects.filter(subject_id__in=subject_ids)
        .defer("sealed_raw", "sealed_context")
        .order_by("-created_at")[:NEWEST]
    )
    titles = dict(Template.objects.values_list("key", "title")) if messages else {}
    yield from _entries(messages, titles)


def _entries(messages: list[Message], titles: dict[str, str]) -> Iterator[Entry]:
    for message in messages:
        text = f"{titles.get(message.template_key, message.template_key)}: {message.get_state_display()}"
        if message.last_error and message.state not in (State.ACCEPTED, State.SENDING):
            text += f". {message.last_error}"
        if message.possible_duplicate:
            text += ". It may have been sent twice"
        url = reverse("admin:messaging_message_change", args=[message.pk])
        yield Entry(message.created_at, "message", text, "system:messaging", message.decision_id, url)


def _owed(message: Message) -> str:
    owed = f"Owed{f' for decision #{message.decision_id}' if message.decision_id else ''}"
    return f"{owed}. {message.last_error}" if message.sealed_recipient is None and not message.render_hash else owed


def _ended(attempt: DeliveryAttempt) -> str:
    outcome = State(attempt.outcome).label if attempt.outcome in State.values else attempt.outcome
    reply = f"{attempt.reply_code or ''} {attempt.reply_text}".strip()
    return f"Attempt {attempt.number}: {outcome}{f'. The relay said: {reply}' if attempt.reply_code else f'. {reply}'}"


def _redacted(text: str) -> str:
    return TOKEN.sub(r"\1…", text)
