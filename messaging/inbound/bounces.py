"""Mails that say another one did not arrive: RFC 3464 first, then what hosts write without a standard.

A report, or a mail from nobody that speaks of a failure, is a bounce whatever its other headers say: real ones carry
`Auto-Submitted: auto-replied`. Nothing here raises. What came back for reasons that cannot be classed is unknown, which
suppresses nobody.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import islice

from flufl.bounce import all_failures

from messaging.inbound.auto_replies import calls_itself_one, is_receipt
from messaging.inbound.parsing import Mail, addresses_in, content_type, fields, text_of
from messaging.inbound.wordings import CODE, ENHANCED, FAILED, WORDS, Class, Reason, Verdict, judge

MESSAGE_ID = re.compile(r"<([^<>\s]{3,250})>")
INLINE = re.compile(r"^(?:Reporting-MTA|Final-Recipient):", re.IGNORECASE | re.MULTILINE)
XTEXT = re.compile(r"\\x\{([0-9A-Fa-f]{1,4})\}")
NOTIFIED = re.compile(
    r"notificationType\W{1,8}Bounce.{0,200}?bounceType\W{1,8}(Permanent|Transient|Undetermined)", re.DOTALL
)
TELLS_OF_ORIGINAL = ("text/rfc822-headers", "text/feedback-report", "text/delivery-status")
MOST = 50  # recipients of one report
LOOKED_AT = 10_000  # characters of a host's own words: it says what it has to say at the top
LARGEST_ASKED = 64 * 1024  # bytes of a mail about which flufl.bounce is asked
LONGEST = 500  # characters of a diagnostic that are kept
# Who writes bounces, and how they call them.
HOST = re.compile(
    r"mailer-?daemon|mail-daemon|mdaemon|mail deliver(?:y|er)? (?:sub)?system|microsoftexchange|"
    r"non-?delivery|mail ?system\b",
    re.IGNORECASE,
)
# The name of a host or of the person who runs one.
DAEMON = re.compile(
    HOST.pattern + r"|post_?master|(?:mail|system) administrator|mailadmin|bounce",
    re.IGNORECASE,
)
REPLY = re.compile(r"^\s*(?:re|aw|antw|rv|sv|vs)\s*:", re.IGNORECASE)  # a person's, about one
FORWARD = re.compile(r"^\s*(?:fwd?|wg|tr)\s*:", re.IGNORECASE)
ABOUT_RECIPIENTS = re.compile(
    r"following (?:e-?mail )?(?:recipient|address|user)|recipient\(s\)|failed recipient|one or more of its recipients",
    re.IGNORECASE,
)
MARKED = re.compile(r"^[ \t]*<?([^\s<>]+@[^\s<>:]+)>?(?=[\s:.,(]|$)", re.MULTILINE)
SUBJECT = re.compile(
    (
        r"undeliver|returned? mail|return(?:ed)? to sender|failure notice|errors? from |"
        r"message .{0,60}delayed|mail failed|delivery (?:status|failure|report|error|problem|has)|"
        r"mail (?:delivery|system) (?:fail|error)|mail could not|delivery .{0,20}fail|fail(?:ed|"
        r"ure).{0,20}deliver|nondeliver|non-deliver|not delivered|returning message|message (?:could not|"
        r"not delivered|rejected)|mail error|unzustellbar|nicht zustell|non remis|échec|no (?:se puede )?entrega|"
        r"failed mail|"
        r"warning: (?:could not|message)|delayed mail|user unknown|недоставлен|не доставлен|配信|退信"
    ),
    re.IGNORECASE,
)
# Where the returned mail begins: what it says is not what the host says.
ORIGINAL = re.compile(
    (
        r"^[ \t>*=_-]*(?:\|?-+ ?message text follows|below this line is a copy|this is a copy of|"
        r"-+ ?original message|original message (?:headers|header|follows)|(?:the )?header of the original|"
        r"unsent message (?:below|follows)|-+ ?returned (?:message|mail)|"
        r"your (?:original )?message (?:follows|is)|content-type: message/rfc822|message header(?:s)? follow|"
        r"-+ message header|the following is a copy|original mail|-+ ?the headers|undelivered message|"
        r"received: (?:from|by)|return-path:).*"
    ),
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Bounce:
    """What one report says about one recipient."""

    recipient: str
    verdict: Verdict
    action: str = ""
    diagnostic: str = ""
    reporting_mta: str = ""
    last_attempt_at: datetime | None = None


def bounces_of(mail: Mail) -> list[Bounce]:
    """One per recipient that the report names; empty where the mail is no bounce."""
    try:
        found = list(islice(_reported(mail), MOST)) or _notified(mail)
        if found:
            return [_with_recipient(bounce, mail) for bounce in found]
        return _unstandard(mail)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # what the email package stumbles over
        return []


def original_ids(mail: Mail) -> list[str]:
    """The Message-IDs of what was sent, as the report quotes it: the last one first, the report's own never."""
    own = mail.header("Message-ID").strip("<> ")
    found: list[str] = []
    for part in mail.parts:
        if content_type(part).startswith("message/") or content_type(part) in TELLS_OF_ORIGINAL:
            found += _ids(text_of(part))
    found += _ids(mail.text)
    for name in ("In-Reply-To", "References", "Original-Message-ID", "X-Original-Message-ID"):
        found += MESSAGE_ID.findall(mail.header(name))
    return [i for i in dict.fromkeys(reversed(found)) if i != own]


def own_words(mail: Mail) -> str:
    """What the reporting host wrote itself, without the mail that it returns."""
    text = mail.text[:LOOKED_AT]
    start = ORIGINAL.search(text, min(20, len(text)))
    return text[: start.start()] if start else text


def is_from_daemon(mail: Mail) -> bool:
    """A host wrote it, by the name that it gives itself. Return paths of all that is sent in bulk speak of bounces."""
    return bool(DAEMON.search(mail.header("From")) or HOST.search(mail.header("Return-Path")))


def is_called_one(mail: Mail) -> bool:
    subject = mail.header("Subject")
    return bool(SUBJECT.search(subject)) and not REPLY.search(subject)


def _reported(mail: Mail) -> Iterator[Bounce]:
    """The blocks of message/delivery-status: the first is about the mail, each other one about a recipient."""
    for text in _statuses(mail):
        whole: dict[str, str] = {}
        for block in _blocks(text):
            if not ({"final-recipient", "original-recipient", "action", "status", "diagnostic-code"} & set(block)):
                whole |= block
                continue
            yield _of_block(whole | block, mail)
            whole = {k: v for k, v in (whole | block).items() if k in ("reporting-mta", "arrival-date")}


def _statuses(mail: Mail) -> list[str]:
    """As parts of their own; else where a relay or a person passed the report on as text."""
    if parts := [text_of(part) for part in mail.parts if "delivery-status" in content_type(part)]:
        return parts
    if HOST.search(mail.header("From")) and (inner := [text for report in mail.within for text in _statuses(report)]):
        return inner  # a gateway's report that holds the report of the host behind it
    if not (is_from_daemon(mail) or is_called_one(mail)):
        return []  # somebody writes about one
    text = re.sub(r"^(?:> ?)+", "", mail.text[: 2 * LOOKED_AT], flags=re.MULTILINE)
    found = INLINE.search(text)
    return (
        [text[found.start() : found.start() + 5000]] if found and re.search(r"^(?:Action|Status):", text, re.M) else []
    )


def _notified(mail: Mail) -> list[Bounce]:
    """Amazon SES by way of SNS by way of mail: its notification as JSON in the text."""
    found = NOTIFIED.search(mail.text)
    if not found:
        return []
    text = mail.text.replace("\\", "")
    address = re.search(r'"bouncedRecipients":\[.{0,500}?"emailAddress":"([^"]+)"', text, re.DOTALL)
    said = re.search(r'"diagnosticCode":"([^"]*)"', text)
    status = re.search(r'"status":"([245]\.\d+\.\d+)"', text)
    verdict = judge(said[1] if said else "", status[1] if status else "", "failed")
    if verdict.status == "":
        kind = Class.PERMANENT if found[1] == "Permanent" else Class.TEMPORARY
        verdict = Verdict(kind, verdict.reason)
    return [Bounce(address_in(address[1]) if address else "", verdict, "failed", said[1][:LONGEST] if said else "")]


def _blocks(text: str) -> list[dict[str, str]]:
    return [found for block in re.split(r"\n[ \t]*\n", text) if (found := fields(block))]


def _of_block(block: dict[str, str], mail: Mail) -> Bounce:
    action = (block.get("action", "").split() or [""])[0].lower().strip("();,")
    diagnostic = block.get("diagnostic-code", "")
    status = block.get("status", "")
    said = "\n".join(filter(None, [diagnostic, block.get("x-display-name", "")]))
    verdict = judge(said, status, action)
    if verdict.reason is Reason.UNKNOWN or verdict.kind is Class.UNKNOWN:
        fuller = judge(f"{said}\n{own_words(mail)}", status, action)
        kind = fuller.kind if verdict.kind is Class.UNKNOWN else verdict.kind
        verdict = Verdict(kind, fuller.reason, verdict.status or fuller.status)
    names = ("final-recipient", "original-recipient", "x-actual-recipient")
    recipient = next((address for name in names if (address := recipient_in(block.get(name, "")))), "")
    return Bounce(
        recipient,
        verdict,
        action,
        diagnostic[:LONGEST],
        block.get("reporting-mta", "").rpartition(";")[2].strip()[:200],
        moment(block.get("last-attempt-date", "")),
    )


def _with_recipient(bounce: Bounce, mail: Mail) -> Bounce:
    if bounce.recipient:
        return bounce
    recipient = next(iter(_recipients(mail)), "")
    return Bounce(recipient, bounce.verdict, bounce.action, bounce.diagnostic, bounce.reporting_mta)


def _unstandard(mail: Mail) -> list[Bounce]:
    if not _sounds_like_one(mail):
        return []
    words = own_words(mail)
    verdict = judge(words)
    opinion = [] if verdict.kind is not Class.UNKNOWN and verdict.status else _second_opinion(mail)
    if verdict.kind is Class.UNKNOWN and opinion:
        verdict = Verdict(opinion[0][1], verdict.reason, verdict.status)
    if verdict.kind in (Class.UNKNOWN, Class.DELIVERED) and not opinion:
        return []
    recipients = _recipients(mail) or [address for address, _ in opinion]
    if not recipients and not (ENHANCED.search(words) or CODE.search(words) or any(w.search(words) for *_, w in WORDS)):
        return []
    said = next((line.strip() for line in words.splitlines() if CODE.search(line) or ENHANCED.search(line)), "")
    return [Bounce(recipient, verdict, diagnostic=said[:LONGEST]) for recipient in recipients[:MOST] or [""]]


def _sounds_like_one(mail: Mail) -> bool:
    """A host's own words. Automatic answers have no sender either, and speak of mailboxes and of numbers to call;
    people who run hosts write letters; and people ask about bounces that they got.
    """
    if mail.header("X-Failed-Recipients") or "delivery-status" in mail.header("Content-Type"):
        return True
    is_host = bool(HOST.search(mail.header("From")) or HOST.search(mail.header("Return-Path")))
    if calls_itself_one(mail) or (is_receipt(mail) and not is_host):
        return False
    words = own_words(mail)
    has_code, speaks_of_it = bool(ENHANCED.search(words) or CODE.search(words)), bool(FAILED.search(words))
    if is_host:
        return is_called_one(mail) or has_code or speaks_of_it
    if is_from_daemon(mail) or mail.header("Return-Path").replace(" ", "") == "<>":
        return is_called_one(mail) or (speaks_of_it and (has_code or not mail.addresses("From")))
    return is_called_one(mail) and (has_code or speaks_of_it) and _is_built_like_one(mail, words)


def _is_built_like_one(mail: Mail, words: str) -> bool:
    """It returns a mail, gives an address on a line of its own as one that failed, or is one that was passed on."""
    if FORWARD.search(mail.header("Subject")):
        return bool(HOST.search(mail.text[:LOOKED_AT]))
    if any(content_type(part) in ("message/rfc822", "text/rfc822-headers") for part in mail.parts):
        return True
    own = set(mail.addresses("From"))
    marked = [a for line in MARKED.findall(words) for a in addresses_in(line) if a not in own]
    is_about_them = bool(ABOUT_RECIPIENTS.search(words)) or bool(ORIGINAL.search(mail.text[:LOOKED_AT], 20))
    return is_about_them and bool(marked or CODE.search(words))


def _second_opinion(mail: Mail) -> list[tuple[str, Class]]:
    """Not about large mails: its rules take the square of the lines they look at."""
    if mail.size > LARGEST_ASKED:
        return []
    try:
        temporary, permanent = all_failures(mail.mime)
    except Exception:  # it is asked about whatever anybody sends
        return []
    return [(_text(a), Class.PERMANENT) for a in sorted(permanent)] + [
        (_text(a), Class.TEMPORARY) for a in sorted(temporary)
    ]


def _text(address: bytes | str) -> str:
    text = address.decode("ascii", "replace") if isinstance(address, bytes) else address
    return text.lower()


def _recipients(mail: Mail) -> list[str]:
    """Who was not reached, from the surest place that says so."""
    if failed := [a for value in mail.headers("X-Failed-Recipients") for a in addresses_in(value)]:
        return failed
    ours = set(mail.addresses("To", "From", "Return-Path", "X-Original-To", "Delivered-To"))
    words = own_words(mail)
    marked = [a for line in MARKED.findall(words) for a in addresses_in(line)]
    for found in (marked, addresses_in(words), _in_original(mail)):
        if others := [a for a in found if a not in ours and not DAEMON.search(a.partition("@")[0])]:
            return others
    return [a for a, _ in _second_opinion(mail)] or [a for a in marked if a in set(mail.addresses("To"))]


def _in_original(mail: Mail) -> list[str]:
    for part in mail.parts:
        if content_type(part) in ("message/rfc822", "text/rfc822-headers"):
            return addresses_in(fields(text_of(part)).get("to", "")[:LOOKED_AT])
    text = mail.text[: 2 * LOOKED_AT]
    start = ORIGINAL.search(text, min(20, len(text)))
    return (
        addresses_in("".join(re.findall(r"^To:(.*)$", text[start.start() :], re.MULTILINE | re.I)[:1])) if start else []
    )


def recipient_in(field: str) -> str:
    """Of `rfc822; a@example.org`; and of RFC 6533's `utf-8; ü@example.org`, whose letters may be written `\\x{FC}`."""
    kind, _, address = field.partition(";")
    if kind.strip().lower() != "utf-8":
        return address_in(field)
    clear = XTEXT.sub(lambda found: chr(int(found[1], 16)), address[:LONGEST]).strip(" <>").lower()
    return clear if clear.count("@") == 1 and " " not in clear else ""


def address_in(text: str) -> str:
    return next(iter(addresses_in(text)), "")


def _ids(text: str) -> list[str]:
    return [
        found
        for value in re.findall(r"^[> ]*Message-ID:[ \t]*(.*(?:\n[ \t]+.*)?)", text, re.I | re.M)
        for found in MESSAGE_ID.findall(value)
    ]


def moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else None
