"""How a message leaves: SMTP, one recipient a transaction, every reply kept, the point of no return in our hands.

smtplib's own `sendmail` and Django's backend lose the replies, and raise the same error for "never connected" and for
"took the mail, then went silent". The second must never be sent again as if it were the first.
"""

import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings

RELAY = "relay"  # the one transport of EMAIL_URL, as attempts and health name it
ENHANCED = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})\s")
QUEUED_AS = re.compile(
    r"\b(?:(?:queued|kept|accepted) as|queued mail for delivery|id=|ok:? id)[\s:=]*([\w.@<>-]+)", re.IGNORECASE
)
LINE_BREAK_ALONE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
REUSED_AT_MOST, IDLE_AT_MOST = 100, 30.0  # messages a connection, seconds between two of them


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said, in its own words."""

    code: int | None = None
    text: str = ""

    @classmethod
    def of(cls, code: int, raw: bytes) -> Self:
        return cls(code if code > 0 else None, raw.decode("utf-8", "replace").replace("\n", " ").replace("\0", ""))

    def without(self, recipient: str) -> "Reply":
        """Servers like to repeat the address; attempts are kept for good, and it must not be."""
        return Reply(self.code, re.sub(re.escape(recipient), "(the recipient)", self.text, flags=re.IGNORECASE))

    @property
    def enhanced_status(self) -> str:
        found = ENHANCED.match(self.text)
        return found[1] if found else ""

    @property
    def queue_id(self) -> str:
        found = QUEUED_AS.search(self.text)
        return found[1].strip("<>.")[:200] if found else ""

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


class InDoubt(NotSent):
    """Handed over, and no answer that can be relied on: it may have been sent."""


class LeaseLost(Exception):
    """Raised by the point-of-no-return hook: another worker has the message now. Nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds, per phase: one number for all would either hang or manufacture doubt (RFC 5321 section 4.5.3.2)."""

    connect: float = 10
    command: float = 60
    dot: float = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the relay is and how to talk to it."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    starttls: bool = False
    tls: bool = False

    @classmethod
    def from_settings(cls) -> Self:
        url: dict[str, Any] = settings.EMAIL_URL
        tls = bool(url.get("EMAIL_USE_SSL"))
        return cls(
            host=url["EMAIL_HOST"],
            port=url["EMAIL_PORT"] or (465 if tls else 25),
            user=url["EMAIL_HOST_USER"] or "",
            password=url["EMAIL_HOST_PASSWORD"] or "",
            starttls=bool(url.get("EMAIL_USE_TLS")),
            tls=tls,
        )


class Connection:
    """One session with the relay, for one message after the other."""

    def __init__(self, address: Address, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self.sent = 0
        self.used_at = time.monotonic()
        kind = smtplib.SMTP_SSL if address.tls else smtplib.SMTP
        # A name of our own: smtplib would ask DNS for one, and wait for the answer.
        self.smtp = kind(local_hostname=settings.MAIL_DOMAIN, timeout=timeouts.connect)
        try:
            with self._blaming_transport():
                self._open(address)
        except NotSent:
            self.close()
            raise

    def send(self, sender: str, recipient: str, raw: bytes, before_dot: Callable[[], None]) -> Reply:
        """Hand the bytes over and return the acceptance. `before_dot` is called when everything but the end was said:
        what raises there was not sent. Raises Temporary, Permanent or InDoubt.
        """
        if LINE_BREAK_ALONE.search(raw):
            raise Permanent(
                Reply(text="A line break that is not CRLF: servers read it differently, so it is not sent.")
            )
        with self._blaming_transport():
            self._expect(250, *self.smtp.mail(sender))
        with self._before_the_end():
            self._expect(250, *self.smtp.rcpt(recipient))
            self.smtp.putcmd("data")
            self._expect(354, *self.smtp.getreply())
            self.smtp.send(re.sub(rb"(?m)^\.", b"..", raw) + (b"" if raw.endswith(b"\r\n") else b"\r\n"))
        before_dot()
        return self._end()

    def _open(self, address: Address) -> None:
        self.smtp._host = address.host  # type: ignore[attr-defined]  # what starttls() and SMTP_SSL verify
        self._expect(220, *self.smtp.connect(address.host, address.port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the dot follows the body without a read
        self._wait(self.timeouts.command)
        self.smtp.ehlo_or_helo_if_needed()
        if address.starttls:
            self.smtp.starttls(context=ssl.create_default_context())
            self.smtp.ehlo()
        if address.user:
            self.smtp.login(address.user, address.password)

    def is_alive(self) -> bool:
        """Still good for another message."""
        if self.sent >= REUSED_AT_MOST or time.monotonic() - self.used_at > IDLE_AT_MOST:
            return False
        try:
            return self.smtp.rset()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False

    def close(self) -> None:
        self.smtp.close()

    def _end(self) -> Reply:
        self._wait(self.timeouts.dot)
        try:
            self.smtp.send(b".\r\n")
            reply = Reply.of(*self.smtp.getreply())
        except (OSError, smtplib.SMTPException) as error:
            raise InDoubt(Reply(text=f"No answer after the message was handed over: {error}")) from error
        self._wait(self.timeouts.command)
        self.sent += 1
        self.used_at = time.monotonic()
        match (reply.code or 0) // 100:
            case 2:
                return reply
            case 4:
                raise Temporary(reply)
            case 5:
                raise Permanent(reply)
        raise InDoubt(reply)

    @property
    def _sock(self) -> socket.socket:
        assert self.smtp.sock is not None  # connect() has returned
        return self.smtp.sock

    def _wait(self, seconds: float) -> None:
        self._sock.settimeout(seconds)

    def _expect(self, code: int, said: int, text: bytes) -> None:
        if said == code or (code == 250 and said == 251):
            return
        reply = Reply.of(said, text)
        raise (Permanent if said // 100 == 5 else Temporary)(reply, blames_transport=said == 421)

    @contextmanager
    def _before_the_end(self) -> Iterator[None]:
        """Nothing was sent yet, so losing the connection is safe to repeat."""
        try:
            yield
        except (OSError, smtplib.SMTPException) as error:
            raise Temporary(
                Reply(text=f"Lost before the message was handed over: {error}"), blames_transport=True
            ) from error

    @contextmanager
    def _blaming_transport(self) -> Iterator[None]:
        """Before a recipient is named a refusal is about us or the relay, never about this person."""
        try:
            yield
        except NotSent as error:
            raise Temporary(error.reply, blames_transport=True) from error
        except smtplib.SMTPResponseException as error:
            text = error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()
            raise Temporary(Reply.of(error.smtp_code, text), blames_transport=True) from error
        except (OSError, smtplib.SMTPException) as error:
            raise Temporary(Reply(text=f"The relay cannot be reached: {error}"), blames_transport=True) from error


class Relay:
    """The relay of EMAIL_URL. A thread keeps its connection from one message to the next."""

    name = RELAY

    def __init__(self, address: Address, timeouts: Timeouts | None = None) -> None:
        self.address = address
        self.timeouts = timeouts or Timeouts()
        self.kept = threading.local()

    def send(self, sender: str, recipient: str, raw: bytes, before_dot: Callable[[], None]) -> Reply:
        connection = self._connection()
        try:
            reply = connection.send(sender, recipient, raw, before_dot)
        except Permanent:
            self.kept.connection = connection  # a refusal ends the message, not the session
            raise
        except BaseException:
            connection.close()
            raise
        self.kept.connection = connection
        return reply

    def close(self) -> None:
        if connection := getattr(self.kept, "connection", None):
            connection.close()
            self.kept.connection = None

    def _connection(self) -> Connection:
        kept: Connection | None = getattr(self.kept, "connection", None)
        self.kept.connection = None
        if kept and kept.is_alive():
            return kept
        if kept:
            kept.close()
        return Connection(self.address, self.timeouts)
