"""Addresses that say which message they belong to, signed: a bounce, a reply or an unsubscribe that quotes nothing is
still known, and nobody can make one up for somebody else's message.

`b+{message}.{mac}@…` is the return path, `{mailbox}+{message}.{mac}@…` the mailto: of List-Unsubscribe and the address
for replies. The message's id is in the mail that its recipient holds; the MAC, 64 bits of HMAC-SHA-256 under a key of
its own, binds it to one use: the return path, which any relay sees, opts nobody out.
"""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parseaddr
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from django.conf import settings

from config.keys import derive
from messaging.models import Message

MAC_DIGITS = 16
SIGNED = re.compile(rf"[^@\s]{{1,20}}\+([0-9a-f]{{32}})\.([0-9a-f]{{{MAC_DIGITS}}})@[^@\s]+", re.ASCII)


class Use(StrEnum):
    BOUNCE = "bounce"
    UNSUBSCRIBE = "unsubscribe"
    REPLY = "reply"


@dataclass(frozen=True, slots=True)
class Signed:
    """What an address of ours was made for."""

    use: Use
    message_id: UUID


def return_path(message: Message) -> str:
    """The envelope sender. Without a domain for bounces it is MAIL_FROM's address, and bounces go where that leads."""
    if not settings.MAIL_BOUNCES:
        return _bare(settings.MAIL_FROM)
    return _address("b", settings.MAIL_BOUNCES, Use.BOUNCE, message)


def unsubscribe_address(message: Message) -> str:
    """For mailto: in List-Unsubscribe; empty where no mailbox is read."""
    mailbox, _, domain = settings.MAIL_UNSUBSCRIBE.rpartition("@")
    return _address(mailbox, domain, Use.UNSUBSCRIBE, message) if mailbox else ""


def reply_address(message: Message) -> str:
    """For Reply-To; empty where replies go to MAIL_FROM."""
    mailbox, _, domain = settings.MAIL_REPLIES.rpartition("@")
    return _address(mailbox, domain, Use.REPLY, message) if mailbox else ""


def read(address: str) -> Signed | None:
    """None for what we did not sign. Relays may have changed capitals; the mailbox and the domain are not looked at."""
    found = SIGNED.fullmatch(address.strip().strip("<>").lower())
    if found is None:
        return None
    message_id, mac = UUID(found[1]), found[2]
    return next((Signed(use, message_id) for use in Use if hmac.compare_digest(mac, _mac(use, message_id))), None)


def read_any(addresses: Iterable[str]) -> Signed | None:
    return next((signed for address in addresses if (signed := read(address))), None)


def is_ours(address: str) -> bool:
    """Whether mail to this address is for us: what we signed, and the bare mailboxes."""
    plain = address.strip().strip("<>").lower()
    return read(plain) is not None or plain in own_mailboxes()


def own_mailboxes() -> set[str]:
    named = (settings.MAIL_UNSUBSCRIBE, settings.MAIL_REPLIES, parseaddr(settings.MAIL_FROM)[1])
    return {mailbox.lower() for mailbox in named if mailbox}


@lru_cache(maxsize=8)
def _bare(mailbox: str) -> str:
    return parseaddr(mailbox)[1]


def _address(mailbox: str, domain: str, use: Use, message: Message) -> str:
    return f"{mailbox}+{message.pk.hex}.{_mac(use, message.pk)}@{domain}"


def _mac(use: Use, message_id: UUID) -> str:
    return hmac.digest(derive("mail-address"), f"{use}/{message_id.hex}".encode(), "sha256").hex()[:MAC_DIGITS]
