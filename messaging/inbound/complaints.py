"""Abuse reports (ARF, RFC 5965): who said that a mail of ours is spam, and about which mail."""

import re
from dataclasses import dataclass
from datetime import datetime

from messaging.inbound.bounces import address_in, moment, original_ids
from messaging.inbound.parsing import Mail, addresses_in, content_type, fields, text_of

ABUSE = "abuse"
# Microsoft's feedback loop sends no feedback part: the mail complained about, under a subject of its own.
LOOP_SUBJECT = re.compile(r"^complaint about message from ", re.IGNORECASE)
FEEDBACK = re.compile(r"^Feedback-Type:", re.IGNORECASE | re.MULTILINE)
LOOP_HEADER = "x-hmxmroriginalrecipient"


@dataclass(frozen=True, slots=True)
class Complaint:
    """`feedback`: abuse, fraud, virus, not-spam, auth-failure, other … as reported. `recipients`: empty when redacted.

    `message_ids`: the last Message-ID first: the ones before it are those of the mails around ours.
    """

    feedback: str
    recipients: list[str]
    message_ids: list[str]
    arrived_at: datetime | None = None
    reporter: str = ""

    @property
    def is_abuse(self) -> bool:
        return self.feedback == ABUSE


def complaint_of(mail: Mail) -> Complaint | None:
    """None where the mail is no abuse report."""
    try:
        passed_on = (found for inner in mail.within if (found := _reported(inner)))
        return _reported(mail) or _of_loop(mail) or next(passed_on, None)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # what the email package stumbles over
        return None


def _reported(mail: Mail) -> Complaint | None:
    text = _feedback(mail)
    if text is None:
        return None
    facts = fields(text)
    named = [a for value in re.findall(r"^Original-Rcpt-To:(.*)$", text, re.I | re.M) for a in addresses_in(value)]
    words = facts.get("feedback-type", "").split()
    return Complaint(
        feedback=words[0].lower().strip(";,") if words else "other",
        recipients=list(dict.fromkeys(named))[:50],
        message_ids=original_ids(mail),
        arrived_at=moment(facts.get("arrival-date", "") or facts.get("received-date", "")),
        reporter=(facts.get("reporting-mta", "").rpartition(";")[2] or facts.get("user-agent", ""))[:100].strip(),
    )


def _feedback(mail: Mail) -> str | None:
    """The part that machines read; where a relay made plain text of it, the text that has its first field."""
    texts = [text_of(part) for part in mail.parts if content_type(part) == "text/feedback-report"]
    if not texts and "feedback-report" in mail.header("Content-Type").lower():
        texts = [text for part in mail.parts if FEEDBACK.search(text := text_of(part))]
    return texts[0] if texts else None


def _of_loop(mail: Mail) -> Complaint | None:
    if not LOOP_SUBJECT.search(mail.header("Subject")):
        return None
    part = next((p for p in mail.parts if content_type(p) == "message/rfc822"), None)
    if part is None:
        return None
    recipient = address_in(fields(text_of(part)).get(LOOP_HEADER, ""))
    return Complaint(ABUSE, [recipient] if recipient else [], original_ids(mail), reporter="feedback loop")
