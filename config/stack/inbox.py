"""A real SMTP server that keeps every mail in a folder, and the page that shows them. Loopback only."""

import asyncio
import os
import re
import secrets
import signal
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from aiosmtpd.smtp import SMTP, Envelope, Session

from config.stack.inbox_page import Page

LARGEST = 30 * 1024 * 1024


class Keep:
    """Writes <arrival>-<random>.eml: a name that sorts by time, complete when it appears."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrivals = len(list(folder.glob("*.eml")))

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.arrivals += 1
        name = f"{self.arrivals:08d}-{secrets.token_hex(4)}"
        draft = self.folder / f"{name}.part"
        seen = f"X-Envelope-From: {one_line(envelope.mail_from)}\r\n" + "".join(
            f"X-Envelope-To: {one_line(recipient)}\r\n" for recipient in envelope.rcpt_tos
        )
        draft.write_bytes(seen.encode() + bytes(envelope.original_content or b""))
        draft.rename(self.folder / f"{name}.eml")
        return f"250 2.0.0 Kept as {name}"


def one_line(text: object) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", "", str(text or ""))


async def serve(smtp_port: int, page_port: int, folder: Path) -> None:
    os.umask(0o077)
    folder.mkdir(parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    keep = Keep(folder)

    def connection() -> SMTP:
        return SMTP(keep, hostname="inbox.holdfast.example", data_size_limit=LARGEST, enable_SMTPUTF8=True, loop=loop)

    smtp = await loop.create_server(connection, "127.0.0.1", smtp_port)
    page = ThreadingHTTPServer(("127.0.0.1", page_port), type("PageOf", (Page,), {"folder": folder}))
    Thread(target=page.serve_forever, daemon=True).start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with smtp:
        await ended.wait()
    page.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
