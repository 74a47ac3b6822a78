"""Mail to us: kept as it came, then read: a bounce, a complaint, a no, or a letter for a person."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from config.text import without_addresses
from consent import subjects
from consent.identifiers import Identity
from consent.models import Cause, Identifier, Subject
from messaging import verp
from messaging.events import Kind, NewEvent, find_message, record_events
from messaging.inbound import auto_replies, revocation, text_messages
from messaging.inbound.bounces import Bounce, bounces_of, is_called_one, is_from_daemon, original_ids
from messaging.inbound.complaints import Complaint, complaint_of
from messaging.inbound.consequences import bounced, complained, digest_of
from messaging.inbound.opting_out import MAILTO, REPLY, Wish, opt_out
from messaging.inbound.parsing import Mail, read
from messaging.models import InboundMessage, Message
from messaging.verp import Signed, Use

log = structlog.get_logger(__name__)
AT_ONCE = 100
KEPT = timedelta(days=30)  # as they came, after they were dealt with
MOST_FORGOTTEN = 1000  # at once
ENVELOPE = ("X-Original-To", "Delivered-To", "Envelope-To", "To", "Cc")
State, What = InboundMessage.State, InboundMessage.Kind


@dataclass(frozen=True, slots=True)
class Found:
    """What a mail turned out to be."""

    kind: str
    state: str
    outcome: str
    message_id: UUID | None = None
    subject_id: UUID | None = None
    decision_id: int | None = None


def store(raw: bytes, *, source: str, sender: str = "", recipient: str = "") -> InboundMessage:
    """Keep it as it came. The same bytes to the same address again are the same mail."""
    row, _ = InboundMessage.objects.get_or_create(
        raw_digest=hashlib.sha256(raw).digest(),
        recipient=recipient[:320],
        defaults={"raw": raw, "source": source[:50], "sender": sender.strip("<>")[:320]},
    )
    return row


def read_stored(limit: int = AT_ONCE) -> int:
    """Read what waits, oldest first; any number of readers may do so at once. Returns how many."""
    done = 0
    while done < limit and _read_next():
        done += 1
    return done


@transaction.atomic
def _read_next() -> bool:
    waiting = InboundMessage.objects.select_for_update(skip_locked=True).filter(state=State.STORED)
    row = waiting.order_by("received_at", "pk").first()
    if row is None:
        return False
    try:
        with transaction.atomic():
            found = understood(row)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # the next one is not kept waiting for ever, and this one gets a person's eyes
        log.exception("inbound_not_read", inbound=row.pk)
        found = Found(What.UNKNOWN, State.OPEN, f"It could not be read by rule: {without_addresses(str(error))}")
    row.kind, row.state, row.outcome = found.kind, found.state, found.outcome[:300]
    row.message_id, row.subject_id, row.decision_id = found.message_id, found.subject_id, found.decision_id
    row.save()
    return True


def understood(row: InboundMessage) -> Found:
    """Say what it is and do what follows. A report is asked about first: real ones look like automatic answers."""
    if row.channel == "sms":
        return Found(*text_messages.understood(row))
    mail = read(bytes(row.raw or b""))
    row.subject = mail.header("Subject")[:300]
    row.sender = row.sender or next(iter(mail.addresses("From")), "")[:320]
    signed = verp.read(row.recipient) or verp.read_any(mail.addresses(*ENVELOPE))
    complaint = complaint_of(mail)
    if complaint is not None:
        return _complaint(row, complaint, signed)
    bounces = [] if signed and signed.use is Use.UNSUBSCRIBE else bounces_of(mail)
    message = _message(signed, original_ids(mail))
    if bounces:
        return _bounce(row, bounces, message)
    if signed and signed.use is Use.UNSUBSCRIBE and message:
        return _unsubscribe(row, mail, message)
    is_returned = signed is not None and signed.use is Use.BOUNCE
    if _is_automatic(mail, is_returned):
        return _automatic(row, message)
    if is_returned and not (message and _word(mail)):
        return _unknown(message)
    return _reply(row, mail, message if signed else None, message)


def forget() -> int:
    """Of a person who was erased, and of what was dealt with long ago, whoever wrote it: only what it was and what was
    done stays. What waits for a person waits as it came.
    """
    rows = InboundMessage.objects.filter(raw__isnull=False).exclude(state=State.STORED)
    erased = rows.filter(subject_id__in=Subject.objects.filter(erased_at__isnull=False).values("pk"))
    old = InboundMessage.objects.long_dealt_with(timezone.now() - KEPT).values("pk")[:MOST_FORGOTTEN]
    return sum(found.update(raw=None, sender="", subject="") for found in (erased, rows.filter(pk__in=old)))


def _message(signed: Signed | None, ids: Sequence[str]) -> Message | None:
    number = find_message(ids=[str(signed.message_id)] if signed else ids)
    return Message.objects.defer("sealed_raw", "sealed_context").filter(pk=number).first() if number else None


def _complaint(row: InboundMessage, complaint: Complaint, signed: Signed | None) -> Found:
    """Only abuse is a no. Whose, the address says that we signed, or the last Message-ID; else a person finds out."""
    message = _message(signed, complaint.message_ids[:1]) or _message(None, complaint.message_ids)
    if not complaint.is_abuse:
        if complaint.feedback == "not-spam" and message:
            _note(row, message, Kind.REPORTED, "said not to be spam")
        text = f"A report of {complaint.feedback}, which is no complaint about being written to."
        return Found(What.COMPLAINT, State.SETTLED, text, *_of(message))
    if message is None:
        return Found(
            What.COMPLAINT,
            State.OPEN,
            "A complaint that names no message of ours: whose it is, a person must find out.",
        )
    event = NewEvent(
        source="mail",
        kind=Kind.COMPLAINED,
        occurred_at=min(complaint.arrived_at or row.received_at, row.received_at),
        facts=[message.pk, *complaint.recipients[:1], "complained", complaint.feedback, complaint.reporter],
        message_id=message.pk,
        recipient=digest_of(complaint.recipients[0]) if complaint.recipients else None,
        payload={"reason": complaint.feedback, "reported_by": complaint.reporter},
    )
    decision = complained(message, event)
    text = "Opted out of everything by e-mail, and not written to." if decision else "They were opted out already."
    return Found(What.COMPLAINT, State.SETTLED, text, *_of(message), decision)


def _bounce(row: InboundMessage, bounces: Sequence[Bounce], message: Message | None) -> Found:
    bounced(bounces, message, row.received_at)
    first = bounces[0]
    text = f"{first.verdict.kind.value}: {first.verdict.status} {first.verdict.reason.value}".replace("  ", " ")
    state = State.SETTLED
    if message is None:
        text += ". It names no message of ours, so nothing was changed"
        state = State.SETTLED if first.action else State.OPEN  # told by words alone: a person may have written them
    return Found(What.BOUNCE, state, f"{text}.", *_of(message))


def _unsubscribe(row: InboundMessage, mail: Mail, message: Message) -> Found:
    """Writing to that address is the command (RFC 2369); mail programs put sentences of their own into the text."""
    word = revocation.language_of(mail.header("Subject")) or revocation.language_of(revocation.own_text(mail.text))
    wish = _wish(row, message, MAILTO, word or "", ["signed_address", *(["word"] if word else ["other_text"])])
    decision = opt_out(wish)
    _note(row, message, Kind.UNSUBSCRIBED, "by mailto:")
    return Found(What.UNSUBSCRIBE, State.SETTLED, _said(decision), *_of(message), decision)


def _automatic(row: InboundMessage, message: Message | None) -> Found:
    """Its subject tells of a person's leave, and is not kept with the message."""
    if message:
        _note(row, message, Kind.AUTORESPONDED, "")
    return Found(What.AUTO_REPLY, State.SETTLED, "An automatic answer: it changes nothing.", *_of(message))


def _unknown(message: Message | None) -> Found:
    """No rule knows whether the message came back or somebody wrote, so nothing is concluded from it."""
    text = "It came to a return path, and is no bounce by rule and no automatic answer: read what it says."
    return Found(What.UNKNOWN, State.OPEN, text, *_of(message))


def _reply(row: InboundMessage, mail: Mail, signed: Message | None, quoted: Message | None) -> Found:
    """One of the words, alone, is a no; everything else is read by a person."""
    message = signed or quoted
    word = _word(mail)
    person = message.subject_id if message else _known(mail)
    if message:
        _note(row, message, Kind.REPLIED, "")
    if not word or person is None:
        text = "Somebody unknown asked to stop: find out who." if word else "A letter for a person."
        return Found(What.REPLY, State.OPEN, text, message.pk if message else None, person)
    how = "signed_address" if signed else "quotes_message_id" if quoted else "from_address"
    confidence = {"signed_address": 100, "quotes_message_id": 95, "from_address": 70}[how]
    decision = opt_out(_wish(row, message, REPLY, word, [how, "word"], person, confidence))
    return Found(What.UNSUBSCRIBE, State.SETTLED, _said(decision), message.pk if message else None, person, decision)


def _word(mail: Mail) -> str | None:
    """The language of the word that it is, alone; in the subject only where nothing else was written."""
    own = revocation.own_text(mail.text)
    return revocation.language_of(own) or (revocation.language_of(mail.header("Subject")) if not own else None)


def _is_automatic(mail: Mail, is_returned: bool) -> bool:
    """Apple's mail program marks the unsubscribe that its user pressed as an automatic answer. What comes to a return
    path from a host, or from nobody, may be a bounce in words that no rule knows.
    """
    if mail.header("X-Apple-Unsubscribe") and revocation.language_of(mail.header("Subject")):
        return False
    if auto_replies.calls_itself_one(mail) or auto_replies.is_receipt(mail):
        return True
    if is_from_daemon(mail) or is_called_one(mail):
        return False
    return auto_replies.says_so(mail) if is_returned else auto_replies.is_automatic(mail)


def _known(mail: Mail) -> UUID | None:
    for address in mail.addresses("From")[:1]:
        if digest := digest_of(address):
            identity = Identity.of(Identifier.Kind.EMAIL, address)
            return subjects.find([identity]).get((identity.kind, digest))
    return None


def _wish(
    row: InboundMessage,
    message: Message | None,
    exit_path: str,
    locale: str,
    reasons: Sequence[str],
    person: UUID | None = None,
    confidence: int = 100,
) -> Wish:
    who = person or (message.subject_id if message else None)
    if who is None:
        raise ValueError("A wish belongs to somebody.")
    return Wish(
        person=who,
        channel="email",
        exit_path=exit_path,
        cause=Cause.SUBJECT_CHOICE,
        at=row.received_at,
        key=f"{exit_path}:{bytes(row.raw_digest).hex()[:40]}",
        confidence=confidence,
        reasons=reasons,
        message_id=message.pk if message else None,
        locale=locale,
        evidence={"inbound": row.pk, "sha256": bytes(row.raw_digest).hex()},
    )


def _note(row: InboundMessage, message: Message, kind: Kind, reason: str) -> None:
    event = NewEvent(
        source="mail",
        kind=kind,
        occurred_at=row.received_at,
        facts=[message.pk, kind, bytes(row.raw_digest).hex()],
        message_id=message.pk,
        payload={"reason": reason} if reason else {},
    )
    record_events([event])


def _said(decision: int | None) -> str:
    return "Opted out of everything by e-mail." if decision else "They had opted out already."


def _of(message: Message | None) -> tuple[UUID | None, UUID | None]:
    return (message.pk, message.subject_id) if message else (None, None)
