"""`manage.py receive_mail`: the server that bounces, complaints, unsubscribes and replies are handed to."""

import asyncio
import signal
from ssl import SSLContext
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from messaging.inbound.receiving import encryption, serve


class Command(BaseCommand):
    help = "Receive mail to our own addresses by SMTP or LMTP, store it, and answer."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--lmtp", action="store_true", help="Speak LMTP, as a relay on this machine may prefer.")
        parser.add_argument("--at", default=settings.RECEIVE_MAIL, metavar="HOST:PORT", help="RECEIVE_MAIL otherwise.")

    def handle(self, *args: Any, at: str, lmtp: bool, **options: Any) -> None:
        host, _, port = at.rpartition(":")
        if not host or not port.isdecimal():
            raise CommandError(f"RECEIVE_MAIL is HOST:PORT, like 127.0.0.1:8026, and not {at!r}.")
        try:
            asyncio.run(self.until_told(host.strip("[]"), int(port), lmtp, encryption()))
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"It cannot listen at {at}: {error}") from error

    async def until_told(self, host: str, port: int, lmtp: bool, tls: SSLContext | None) -> None:
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await serve(host, port, size=settings.RECEIVE_MAIL_SIZE, lmtp=lmtp, ended=ended, tls=tls)
