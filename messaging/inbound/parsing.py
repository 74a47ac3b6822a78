"""A mail as it came, made readable: any line ends, any charset, any size, and never an error.

Whatever anybody sends is read in a time that grows with its size alone: what is looked at is bounded before the email
package sees it, since that takes the square of a long header, and recurses into parts.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.header import decode_header
from email.message import Message as Mime
from email.parser import BytesHeaderParser
from email.policy import compat32
from functools import cached_property
from html.parser import HTMLParser
from itertools import islice

LARGEST = 256 * 1024  # bytes that are looked at: what matters stands in front of attachments
LARGEST_HEAD = 64 * 1024  # bytes of headers: hosts refuse more (Postfix: 100 KiB)
LONGEST_TEXT = 50_000  # characters of a part
DEEPEST = 12  # parts within parts
MOST_PARTS = 100
LONGEST_HEADER = 2000
MOST_ALIKE = 50  # headers of one name
SPACES = re.compile(r"[ \t\r\n]+")
ENVELOPE_LINE = re.compile(rb"\AFrom [^\n]*\n")  # of an mbox
LONG_TYPE = re.compile(rb"^(content-type:(?:[^\n]|\n[ \t]){0,2000})(?:[^\n]|\n[ \t])*", re.IGNORECASE | re.MULTILINE)
# Parts that machines read are text, with a charset and an encoding; the email package would take them for mails.
REPORT_TYPE = re.compile(
    rb"^(content-type:\s*)message/((?:global-)?(?:delivery-status|disposition-notification)|feedback-report)",
    re.IGNORECASE | re.MULTILINE,
)
COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)

ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?", re.ASCII)
QUOTED = re.compile(r"\"[^\"@\s]{1,64}\"@[A-Za-z0-9.-]{1,250}", re.ASCII)


@dataclass(frozen=True)
class Mail:
    """Headers and parts of a mail, as plain text."""

    mime: Mime
    size: int = 0  # bytes that were looked at

    def header(self, name: str) -> str:
        """The first of its name in clear, on one line; empty where there is none."""
        return next(iter(self.headers(name)), "")

    def headers(self, name: str) -> list[str]:
        """As they came: what `get` returns has lost the bytes that no charset was named for."""
        values = (value for key, value in self.mime.raw_items() if key.lower() == name.lower())
        return [decoded(value) for value in islice(values, MOST_ALIKE)]

    def addresses(self, *names: str) -> list[str]:
        """The addresses in these headers, in lower case."""
        values = [value for name in names for value in self.headers(name)]
        return [address for value in values for address in addresses_in(value)]

    @cached_property
    def parts(self) -> list[Mime]:
        """Every part that holds something, in order; a mail within the mail counts as one part, its insides not."""
        return list(islice(_leaves(self.mime, 0), MOST_PARTS))

    @cached_property
    def within(self) -> list["Mail"]:
        """The mails that it holds."""
        holders = [part for part in self.parts if content_type(part) == "message/rfc822"]
        payloads = [payload for part in holders if isinstance(payload := part.get_payload(), list)]
        return [Mail(inner, self.size) for payload in payloads for inner in payload if isinstance(inner, Mime)]

    @cached_property
    def text(self) -> str:
        """What a person reads first: the plain text, or the HTML without its tags."""
        for kind, clear in (("text/plain", str), ("text/html", without_tags)):
            texts = [text_of(part) for part in self.parts if content_type(part) == kind]
            if any(text.strip() for text in texts):
                return clear("\n".join(texts)[: 2 * LONGEST_TEXT])
        return ""


def read(raw: bytes) -> Mail:
    """Also for bytes that are no mail at all: then nearly everything about it is empty."""
    clean = re.sub(rb"\r\n?", b"\n", raw[:LARGEST])
    head, gap, body = ENVELOPE_LINE.sub(b"", clean.lstrip(b"\n")).partition(b"\n\n")
    bounded = REPORT_TYPE.sub(rb"\1text/\2", LONG_TYPE.sub(rb"\1", head[:LARGEST_HEAD] + gap + body))
    if bounded.lower().count(b"boundary=") > MOST_PARTS:  # nobody who writes to us does that
        return Mail(BytesHeaderParser(policy=compat32).parsebytes(bounded), len(bounded))
    try:
        return Mail(message_from_bytes(bounded, policy=compat32), len(bounded))
    except RecursionError:  # mails within mails within mails
        return Mail(BytesHeaderParser(policy=compat32).parsebytes(bounded), len(bounded))


def content_type(part: Mime) -> str:
    """Of what calls itself of several parts and has none, since its boundary is nowhere: it is text."""
    try:
        name = part.get_content_type().lower()
    except (ValueError, LookupError, TypeError, AttributeError, IndexError):
        return "text/plain"
    return "text/plain" if name.startswith("multipart/") and not part.is_multipart() else name


def text_of(part: Mime) -> str:
    """A part's text, whatever it says about its charset and encoding."""
    if part.is_multipart():
        return "\n".join(_inner(part))[:LONGEST_TEXT]
    try:
        payload = part.get_payload(decode=True)
    except (ValueError, LookupError, TypeError, AssertionError):
        payload = None
    if not isinstance(payload, bytes):
        payload = str(part.get_payload()).encode("utf-8", "replace")
    return in_charset(payload[:LONGEST_TEXT], _charset(part)).replace("\r\n", "\n")


def in_charset(payload: bytes, charset: str) -> str:
    for name in (charset, "utf-8"):
        try:
            if name and codecs.lookup(name)._is_text_encoding:
                return payload.decode(name)
        except (LookupError, ValueError):
            continue
    return payload.decode("latin-1")


def decoded(value: object) -> str:
    """A header in clear: encoded words decoded, on one line, and not endless."""
    text = in_charset(str(value)[:LONGEST_HEADER].encode("utf-8", "surrogateescape"), "")
    try:
        pieces = decode_header(text)
        text = "".join(
            in_charset(piece, charset or "") if isinstance(piece, bytes) else piece for piece, charset in pieces
        )
    except (ValueError, LookupError, TypeError):
        pass
    return SPACES.sub(" ", text.encode("utf-8", "replace").decode().replace("\0", "")).strip()


def addresses_in(text: str) -> list[str]:
    """Every address in a text, each once, in lower case."""
    found = QUOTED.findall(text) + ADDRESS.findall(text)
    return list(dict.fromkeys(address.strip(".'").lower() for address in found))


def fields(text: str) -> dict[str, str]:
    """`Name: value` lines with their continuations, names in lower case; the first of a name counts."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1] in (" ", "\t") and name:
            found[name] += " " + line.strip()
            continue
        key, colon, value = line.partition(":")
        name = key.strip().lower() if colon and " " not in key.strip() else ""
        if name in found:
            name = ""
        elif name:
            found[name] = value.strip()
    return {name: decoded(value) for name, value in found.items()}


def without_tags(html: str) -> str:
    reader = _Text()
    try:
        reader.feed(COMMENT.sub(" ", html))  # unended ones cost the parser the square of their number
        reader.close()
    except (AssertionError, ValueError):  # what the parser cannot make sense of
        return re.sub(r"<[^>]{0,500}>", " ", html)
    return "".join(reader.pieces)


class _Text(HTMLParser):
    BREAKS = frozenset({"br", "p", "div", "tr", "li", "h1", "h2", "h3", "hr", "blockquote"})

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.hidden = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("script", "style", "title"):
            self.hidden = tag
        elif tag == "blockquote":
            self.pieces.append("\n> ")  # what is answered, as plain text marks it
        elif tag in self.BREAKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == self.hidden:
            self.hidden = ""
        elif tag in self.BREAKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.pieces.append(data)


def _leaves(part: Mime, depth: int) -> Iterator[Mime]:
    payload = part.get_payload()
    if content_type(part).startswith("multipart/") and isinstance(payload, list) and depth < DEEPEST:
        for inner in payload:
            if isinstance(inner, Mime):
                yield from _leaves(inner, depth + 1)
    else:
        yield part


def _inner(part: Mime) -> Iterator[str]:
    """The blocks of a delivery status, or the mail that a part holds."""
    payload = part.get_payload()
    for inner in payload if isinstance(payload, list) else []:
        if not isinstance(inner, Mime):
            continue
        yield "\n".join(f"{name}: {decoded(value)}" for name, value in inner.items()) + "\n"
        if not inner.is_multipart():
            yield str(inner.get_payload())


def _charset(part: Mime) -> str:
    try:
        return part.get_content_charset("") or ""
    except (ValueError, LookupError, TypeError):
        return ""
