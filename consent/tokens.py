"""Tokens in links of messages: they name a person and a scope, need no row, and keep working however often used.

One token opens `/u/{token}/`, `/preferences/{token}/` and `/read/{token}/`: whoever holds the message holds it. It
does not expire: the law asks for thirty or sixty days at least, and an old wish to stop is a wish to stop.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass
from uuid import UUID

from config.keys import derive

VERSION = b"\x01"
MAC_BYTES = 16
NO_MESSAGE = UUID(int=0)
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Token:
    """Who, about what, and through which message the link came."""

    subject_id: UUID
    purpose: str
    channel: str
    message_id: UUID | None = None


def issue(token: Token) -> str:
    """About 100 URL-safe characters: short enough to keep a List-Unsubscribe header on one line."""
    scope = f"{token.purpose}/{token.channel}".encode()
    body = VERSION + token.subject_id.bytes + (token.message_id or NO_MESSAGE).bytes + scope
    return _text(body + _mac(body))


def read(text: str) -> Token | None:
    """None for whatever this product did not issue: forged, cut, or of another installation."""
    if len(text) > LONGEST:
        return None
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error):
        return None
    if _text(raw) != text:  # the decoder skips what is not of its alphabet: one token would have many spellings
        return None
    body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if not body.startswith(VERSION) or not hmac.compare_digest(mac, _mac(body)):
        return None
    message_id = UUID(bytes=body[17:33])
    purpose, _, channel = body[33:].decode().partition("/")
    return Token(UUID(bytes=body[1:17]), purpose, channel, None if message_id == NO_MESSAGE else message_id)


def hint(text: str) -> UUID | None:
    """Whom a spoilt token was made for, by its look: cut, wrapped or mistyped ones still begin like ours.

    Nothing may be done on its word; it helps somebody to find out whose wish was lost.
    """
    try:
        raw = base64.urlsafe_b64decode(text[: LONGEST - LONGEST % 4][:24].encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        return None
    return UUID(bytes=raw[1:17]) if raw.startswith(VERSION) and len(raw) >= 17 else None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _mac(body: bytes) -> bytes:
    return hmac.digest(derive("unsubscribe-token"), body, "sha256")[:MAC_BYTES]
