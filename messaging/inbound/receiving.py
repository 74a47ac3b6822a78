"""A small mail server for what comes back: only to our own addresses, bounded in size and rate, stored before 250."""

import asyncio
import ssl
import time
from collections import deque
from email.utils import parseaddr

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, close_old_connections

from config.nudge import nudge
from messaging import verp
from messaging.inbound import mail

log = structlog.get_logger(__name__)
MOST_CONNECTIONS = 50
MOST_RECIPIENTS = 10
A_MINUTE = 120  # mails from one peer
MOST_PEERS = 10_000  # that are remembered
NO_SUCH = "550 5.1.1 There is no such mailbox here"
AWAY = "451 4.3.0 It could not be stored, try again later"
TOO_MANY = "421 4.7.0 Too many mails within a minute, try again later"


class Rate:
    """How many mails a peer handed in within the last minute."""

    def __init__(self, most: int = A_MINUTE) -> None:
        self.most = most
        self.seen: dict[str, deque[float]] = {}

    def allows(self, peer: str) -> bool:
        now = time.monotonic()
        if len(self.seen) >= MOST_PEERS and peer not in self.seen:
            self.seen = {name: times for name, times in self.seen.items() if times and times[-1] > now - 60}
        times = self.seen.setdefault(peer, deque())
        while times and times[0] <= now - 60:
            times.popleft()
        if len(times) >= self.most:
            return False
        times.append(now)
        return True


class Receiver:
    """What aiosmtpd asks while a mail is handed in."""

    def __init__(self, rate: Rate | None = None) -> None:
        self.rate = rate or Rate()

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self.rate.allows(_peer(session)):
            return TOO_MANY
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        if not verp.is_ours(address):
            return NO_SUCH
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """One answer for all recipients, in LMTP too: they are stored together, or the sender tries again."""
        content = envelope.original_content or b""
        recipients = [parseaddr(address)[1] or address for address in envelope.rcpt_tos]
        try:
            await sync_to_async(_store)(bytes(content), envelope.mail_from or "", recipients)
        except (DatabaseError, InterfaceError) as error:
            log.error("mail_not_stored", error=str(error))
            return AWAY
        nudge("messaging.tasks.read_inbound")
        answer = "250 2.0.0 Stored"
        return "\r\n".join([answer] * len(recipients)) if isinstance(server, LMTP) else answer


def _store(raw: bytes, sender: str, recipients: list[str]) -> None:
    close_old_connections()
    try:
        for recipient in recipients:
            mail.store(raw, source="smtp", sender=sender, recipient=recipient)
    finally:
        close_old_connections()


def _peer(session: Session) -> str:
    peer = session.peer
    return str(peer[0]) if isinstance(peer, tuple) and peer else "local"


def encryption() -> ssl.SSLContext | None:
    """What STARTTLS is answered with; None: it is not offered. Raises ImproperlyConfigured."""
    certificate, key = settings.RECEIVE_MAIL_CERTIFICATE, settings.RECEIVE_MAIL_KEY
    if not certificate and not key:
        return None
    if not certificate:
        raise ImproperlyConfigured("RECEIVE_MAIL_KEY is of no use without RECEIVE_MAIL_CERTIFICATE.")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key or None, password="")  # never asked for at a terminal
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = error.strerror or error if isinstance(error, OSError) else error
        raise ImproperlyConfigured(f"RECEIVE_MAIL_CERTIFICATE, RECEIVE_MAIL_KEY: {why}.") from error
    return context


async def serve(
    host: str, port: int, *, size: int, lmtp: bool, ended: asyncio.Event, tls: ssl.SSLContext | None = None
) -> None:
    """Until `ended`; whoever is in the middle of a mail may finish it within ten seconds. With `tls`, STARTTLS is
    offered; a sender that does without it is heard too, as relays do (RFC 3207 section 4).
    """
    loop = asyncio.get_running_loop()
    handler, sessions = Receiver(), set[SMTP]()
    make = LMTP if lmtp else SMTP

    class Counted(make):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            if len(sessions) >= MOST_CONNECTIONS and self not in sessions:  # STARTTLS makes it anew
                transport.write(b"421 4.7.0 Too many connections, try again later\r\n")  # type: ignore[attr-defined]
                transport.close()
                return
            sessions.add(self)
            super().connection_made(transport)

        def connection_lost(self, error: Exception | None) -> None:
            if self in sessions:
                sessions.discard(self)
                super().connection_lost(error)

    def connection() -> SMTP:
        return Counted(
            handler,
            hostname="holdfast",
            data_size_limit=size,
            enable_SMTPUTF8=True,
            loop=loop,
            timeout=60,
            tls_context=tls,
        )

    server = await loop.create_server(connection, host, port)
    log.info("receiving_mail", host=host, port=port, lmtp=lmtp, starttls=tls is not None)
    await ended.wait()
    server.close()
    for _ in range(100):
        if not sessions:
            break
        await asyncio.sleep(0.1)
    for session in list(sessions):
        if session.transport:
            session.transport.close()
