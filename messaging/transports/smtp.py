"""How a message leaves: SMTP, one recipient a transaction, every reply kept, the point of no return in our hands.

smtplib's own `sendmail` and Django's backend lose the replies, and raise the same error for "never connected" and for
"took the mail, then went silent". The second must never be sent again as if it were the first.
"""

import select
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from django.conf import settings

from messaging.transports.blame import refusal
from messaging.transports.replies import (
    AFTER_END,
    UNTIL_END,
    Envelope,
    InDoubt,
    NotSent,
    Permanent,
    Reply,
    Temporary,
    patient,
)

REUSED_AT_MOST, IDLE_AT_MOST = 100, 30.0  # messages a connection, seconds between two of them
LONG = 1.0  # seconds for a reply, after which nobody else should wait behind this one
AT_END = 32_768  # bytes of a message that leave in one write with its final dot: the kernel takes them without waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds, per phase: one number for all would either hang or manufacture doubt (RFC 5321 section 4.5.3.2)."""

    connect: float = 10
    command: float = 60
    dot: float = 600

    def __post_init__(self) -> None:
        """Raises ValueError where a message would outlast its lease."""
        if self.connect + self.command > UNTIL_END or self.command + self.dot > AFTER_END:
            raise ValueError(
                f"no worker waits that long: connect and command may be {UNTIL_END:.0f} seconds together, "
                f"command and dot {AFTER_END:.0f}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the relay is and how to talk to it."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    starttls: bool = False
    tls: bool = False


class Session(smtplib.SMTP):
    """Says once for each message when the relay lets us wait for a reply."""

    takes_long: Callable[[], None] | None = None

    def getreply(self) -> tuple[int, bytes]:
        if self.takes_long and self.sock and not self._is_answered(LONG):
            told, self.takes_long = self.takes_long, None
            told()
        return super().getreply()

    def _is_answered(self, seconds: float) -> bool:
        assert self.sock is not None
        has_more = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return has_more or bool(poll.poll(seconds * 1000))


class TLSSession(Session, smtplib.SMTP_SSL):
    pass


class Connection:
    """One session with the relay, for one message after the other."""

    def __init__(self, address: Address, timeouts: Timeouts, takes_long: Callable[[], None]) -> None:
        self.timeouts = timeouts
        self.sent = 0
        self.used_at = time.monotonic()
        kind = TLSSession if address.tls else Session
        # A name of our own: smtplib would ask DNS for one, and wait for the answer.
        self.smtp = kind(local_hostname=settings.MAIL_DOMAIN, timeout=timeouts.connect)
        self.smtp.takes_long = takes_long
        try:
            with self._blaming_transport():
                self._open(address)
        except NotSent:
            self.close()
            raise

    def begin(self, envelope: Envelope, takes_long: Callable[[], None]) -> None:
        """Name the sender: the first thing that a session says of a message, and the proof that it is still open.
        Addresses are bare and were checked when they came in: smtplib would take each apart to find that out.
        """
        self.smtp.takes_long = takes_long
        of_mail, _ = self._notify(envelope)
        with self._blaming_transport():
            self._expect(250, *self.smtp.docmd("MAIL", f"FROM:<{envelope.sender}>{of_mail}"))

    def hand_over(self, envelope: Envelope, before_end: Callable[[], None]) -> Reply:
        """`Transport.send`, once it has begun."""
        _, of_rcpt = self._notify(envelope)
        with self._before_the_end():
            self._expect(250, *self.smtp.docmd("RCPT", f"TO:<{envelope.recipient}>{of_rcpt}"))
            self._expect(354, *self.smtp.docmd("DATA"))
            rest = _transparent(envelope.raw)
            if len(rest) > AT_END:
                self.smtp.send(rest)
                rest = b""
        before_end()
        return self._end(rest + b".\r\n")

    def _notify(self, envelope: Envelope) -> tuple[str, str]:
        """Ask for a report under the message's own id where the relay offers that and a mailbox of ours reads reports
        (RFC 3461 sections 4.1, 4.3, 4.4).
        """
        if not settings.MAIL_BOUNCES or not self.smtp.has_extn("dsn"):
            return "", ""
        return f" RET=HDRS ENVID={envelope.message_id}", " NOTIFY=SUCCESS,FAILURE,DELAY"

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

    def is_worn(self) -> bool:
        """It has served enough, or was silent so long that the relay may have forgotten it."""
        return self.sent >= REUSED_AT_MOST or time.monotonic() - self.used_at > IDLE_AT_MOST

    def start_over(self) -> bool:
        """Forget the message that was refused; whether the relay has done so too."""
        try:
            return self.smtp.rset()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False

    def close(self) -> None:
        self.smtp.close()

    def _end(self, rest: bytes) -> Reply:
        with self._before_the_end():  # what could not be written whole did not leave whole: the relay saw no end
            self.smtp.send(rest)
        self._wait(self.timeouts.dot)
        try:
            reply = Reply.of(*self.smtp.getreply())
        except (OSError, smtplib.SMTPException) as error:
            raise InDoubt(Reply(text=f"No answer after the message was handed over: {error}")) from error
        self._wait(self.timeouts.command)
        self.sent += 1
        self.used_at = time.monotonic()
        match (reply.code or 0) // 100:
            case 2:
                return reply
            case 4 | 5:
                raise refusal(reply)
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
        raise refusal(Reply.of(said, text))

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
    """An SMTP relay. A thread keeps its connection from one message to the next."""

    is_idempotent = False
    after = 0.0
    tells_when_long = True

    def __init__(self, address: Address, timeouts: Timeouts | None = None, *, name: str = "relay") -> None:
        self.name = name
        self.address = address
        self.timeouts = timeouts or Timeouts()
        self.kept = threading.local()

    def send(
        self, envelope: Envelope, before_end: Callable[[], None], takes_long: Callable[[], None] = patient
    ) -> Reply:
        if not _breaks_lines_by_crlf(envelope.raw):
            raise Permanent(
                Reply(text="A line break that is not CRLF: servers read it differently, so it is not sent.")
            )
        connection = self._begun(envelope, takes_long)
        try:
            reply = connection.hand_over(envelope, before_end)
        except Permanent:  # a refusal of one ends the message, not the session
            if connection.start_over():
                self.kept.connection = connection
            else:
                connection.close()
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

    def _begun(self, envelope: Envelope, takes_long: Callable[[], None]) -> Connection:
        """In the session that was kept, if it still takes a message; else in a new one."""
        kept: Connection | None = getattr(self.kept, "connection", None)
        self.kept.connection = None
        if kept and not kept.is_worn():
            with suppress(NotSent):
                kept.begin(envelope, takes_long)
                return kept
        if kept:
            kept.close()
        connection = Connection(self.address, self.timeouts, takes_long)
        try:
            connection.begin(envelope, takes_long)
        except NotSent:
            connection.close()
            raise
        return connection


def _breaks_lines_by_crlf(raw: bytes) -> bool:
    return raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")


def _transparent(raw: bytes) -> bytes:
    """As it stands on the wire, so that no line of it can be the end (RFC 5321 section 4.5.2)."""
    doubled = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:]
    return doubled if doubled.endswith(b"\r\n") else doubled + b"\r\n"
