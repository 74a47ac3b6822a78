"""`manage.py receive_mail`: the server that bounces, complaints, unsubscribes and replies are handed to."""

import asyncio
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from messaging.inbound.receiving import serve


class Command(BaseCommand):
    help = "Receive mail to our own addresses by SMTP or LMTP, store it, and answer. A relay in front of it keeps TLS."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--lmtp", action="store_true", help="Speak LMTP, as a relay on this machine may prefer.")
        parser.add_argument("--at", default=settings.RECEIVE_MAIL, metavar="HOST:PORT", help="RECEIVE_MAIL otherwise.")

    def handle(self, *args: Any, at: str, lmtp: bool, **options: Any) -> None:
        host, _, port = at.rpartition(":")
        if not host or not port.isdecimal():
            raise CommandError(f"RECEIVE_MAIL is HOST:PORT, like 127.0.0.1:8026, and not {at!r}.")
        try:
            asyncio.run(self.until_told(host.strip("[]"), int(port), lmtp))
        except OSError as error:
            raise CommandError(f"It cannot listen at {at}: {error}") from error

    async def until_told(self, host: str, port: int, lmtp: bool) -> None:
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await serve(host, port, size=settings.RECEIVE_MAIL_SIZE, lmtp=lmtp, ended=ended)
