"""The bytes on the wire, made once: a message has one identity whatever is tried, and tells machines what it is."""

import quopri
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import lru_cache

from django.conf import settings
from django.utils import timezone

from consent.identifiers import PLAIN_EMAIL
from consent.models import Channel
from consent.tokens import Token, issue
from messaging import verp
from messaging.models import Message, TemplateVersion
from messaging.models.template import ENDABLE
from messaging.rendering import Rendered, RenderError

LONGEST_PLAIN = 70  # characters: with the header's name below the 78 of a line
BOUNDARY = "=_holdfast"  # quoted-printable never holds "=_": no text can be taken for it (RFC 2045 section 6.7)


def compose(message: Message, rendered: Rendered, version: TemplateVersion) -> bytes:
    """MIME with CRLF line ends: plain text, and HTML where the version has it. A text message is its text alone.

    Raises RenderError where no header takes the address.
    """
    if message.channel != Channel.EMAIL:
        return rendered.text.strip().encode()
    headers = {
        "From": _mailbox(settings.MAIL_FROM),
        "Subject": rendered.subject,
        "Date": format_datetime(timezone.now()),
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Feedback-ID": f"{version.template_id}:v{version.number}:{message.message_class}:holdfast",
        "Content-Language": rendered.locale,
        "MIME-Version": "1.0",
    }
    text = _part("plain", rendered.text)
    body = _alternatives(text, _part("html", rendered.html)) if rendered.html else text
    folded = [_folded(name, value) for name, value in headers.items()]
    return b"".join([_one_line_each(message), _to(message.recipient), *folded, body])


@lru_cache(maxsize=200)  # nearly all are the same from mail to mail
def _folded(name: str, value: str) -> bytes:
    """Encoded and folded as RFC 5322 and RFC 2047 want it."""
    return SMTP.fold_binary(*SMTP.header_store_parse(name, value))


@lru_cache(maxsize=8)
def _mailbox(address: str) -> str:
    """With its name quoted where it must be."""
    name, bare = parseaddr(address)
    return str(Address(name, addr_spec=bare))


def _to(address: str) -> bytes:
    """No parser is asked about an address of plain words that fits on a line. Raises RenderError."""
    if len(address) <= LONGEST_PLAIN and PLAIN_EMAIL.fullmatch(address):
        return f"To: {address}\r\n".encode()
    try:
        return _folded.__wrapped__("To", str(Address(addr_spec=address)))  # kept by no cache: it names a person
    except (HeaderParseError, ValueError) as error:
        raise RenderError("No mail can be written to this address: correct it, and send the message again.") from error


def _part(subtype: str, content: str) -> bytes:
    """A body with its headers, of lines that every relay passes on unchanged."""
    headers = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    lines = b"\r\n".join(content.encode().splitlines()) + b"\r\n"
    return headers.encode() + quopri.encodestring(lines)


def _alternatives(*parts: bytes) -> bytes:
    """The last is the best, for whoever can show it (RFC 2046 section 5.1.4)."""
    start = f'Content-Type: multipart/alternative; boundary="{BOUNDARY}"\r\n'
    between, end = f"\r\n--{BOUNDARY}\r\n".encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
    return start.encode() + b"".join(between + part for part in parts) + end


def message_id(message: Message) -> str:
    """The same on every try, so that a copy can be known for one."""
    return f"<{message.pk}@{settings.MAIL_DOMAIN}>"


def preferences_url(message: Message) -> str:
    return f"{settings.PUBLIC_URL}/preferences/{_token(message)}/"


def unsubscribe_url(message: Message) -> str:
    return f"{settings.PUBLIC_URL}/u/{_token(message)}/"


def _one_line_each(message: Message) -> bytes:
    """Headers that must not be folded: a folded List-Unsubscribe breaks DKIM at some relays, and the email package
    would encode an address longer than its line.
    """
    headers = {"Message-ID": message_id(message)}
    if address := verp.reply_address(message):
        headers["Reply-To"] = address
    if message.message_class in ENDABLE:
        ways = [f"<{unsubscribe_url(message)}>"]
        if address := verp.unsubscribe_address(message):
            ways.append(f"<mailto:{address}?subject=unsubscribe>")
        headers["List-Unsubscribe"] = ", ".join(ways)
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058 section 3.1
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("ascii")


def _token(message: Message) -> str:
    return issue(Token(message.subject_id, "*", "email", message.pk))
