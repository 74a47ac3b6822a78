"""What every transport is given and gives back: an envelope, a reply in the server's words, or why it was not sent."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self
from uuid import UUID

ENHANCED = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})\s")
# Seconds that a transport may have for one message: until everything but the end is said, and from then on until it is
# answered. Leases and the limits of tasks are longer, so that none of them cuts a message that may have been sent.
UNTIL_END, AFTER_END = 150.0, 660.0
QUEUED_AS = re.compile(
    r"\b(?:(?:queued|kept|accepted) as|queued mail for delivery|id=|ok:? id)[\s:=]*([\w.@<>-]+)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message to one recipient: who it is from and to on the wire, its bytes, and the row that it stands for."""

    sender: str
    recipient: str
    raw: bytes
    message_id: UUID


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said, in its own words."""

    code: int | None = None
    text: str = ""
    given_id: str = ""  # the id under which it knows the message, where it says so outside the text

    @classmethod
    def of(cls, code: int, raw: bytes) -> Self:
        return cls(code if code > 0 else None, raw.decode("utf-8", "replace").replace("\n", " ").replace("\0", ""))

    def without(self, recipient: str) -> "Reply":
        """Servers like to repeat the address; attempts are kept for good, and it must not be."""
        if recipient.casefold() not in self.text.casefold():
            return self
        text = re.sub(re.escape(recipient), "(the recipient)", self.text, flags=re.IGNORECASE)
        return Reply(self.code, text, self.given_id)

    @property
    def enhanced_status(self) -> str:
        found = ENHANCED.match(self.text)
        return found[1] if found else ""

    @property
    def queue_id(self) -> str:
        found = QUEUED_AS.search(self.text)
        return (self.given_id or (found[1].strip("<>.") if found else ""))[:200]

    def __str__(self) -> str:
        return f"{self.code or ''} {self.text}".strip()


class NotSent(Exception):
    """An attempt that did not end with an acceptance; the subclass says whether trying again helps."""

    def __init__(self, reply: Reply, *, blames_transport: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.blames_transport = blames_transport


class Temporary(NotSent):
    """Certainly not sent; another try may succeed."""


class Permanent(NotSent):
    """Certainly not sent; this recipient or this message is refused for good."""


class Refused(Permanent):
    """By a server that spoke of this one recipient, whose words are judged as those of a bounce are."""


class InDoubt(NotSent):
    """Handed over, and no answer that can be relied on: it may have been sent."""


class LeaseLost(Exception):
    """Raised by the point-of-no-return hook: another worker has the message now. Nothing was sent."""


def patient() -> None:
    """Nobody waits behind this message."""


class Transport(Protocol):
    """A way for messages of one channel to leave.

    `is_idempotent`: handing the same message over twice makes one of it, so that a doubt is cleared by asking again.
    `after`: seconds that a message must have waited before this last resort may have it; 0 for a transport proper.
    `tells_when_long`: it calls `takes_long`, so that a worker may have several messages for it in hand.
    """

    name: str
    is_idempotent: bool
    after: float
    tells_when_long: bool

    def send(
        self, envelope: Envelope, before_end: Callable[[], None], takes_long: Callable[[], None] = patient
    ) -> Reply:
        """Hand it over and return the acceptance. `before_end` is called when everything but the end was said: what
        raises there was not sent. `takes_long` is called when the other side lets us wait, before or after that.
        Raises Temporary, Permanent or InDoubt, and within AFTER_END.
        """
        ...
