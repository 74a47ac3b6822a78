"""A mail server in a process of its own that says how many mails it took, and between which moments."""

import multiprocessing
import smtplib
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from aiosmtpd.controller import Controller

from config.stack.environment import free_port

SPAWN = multiprocessing.get_context("spawn")
PATIENCE = 120


class Count:
    def __init__(self, taken: Any) -> None:
        self.taken = taken  # how many, the first moment, the last

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        now = time.monotonic()
        if not self.taken[0]:
            self.taken[1] = now
        self.taken[2] = now
        self.taken[0] += 1
        return "250 2.0.0 Ok: queued as 4F2A"


def serve(port: int, taken: Any, ready: Connection) -> None:
    controller = Controller(Count(taken), hostname="127.0.0.1", port=port)
    controller.start()
    ready.send(True)
    try:
        ready.recv()  # until the other end is closed
    except EOFError:
        controller.stop()


def keep_sending(port: int, raw: bytes, count: int) -> None:
    """The ceiling: one connection, kept open. Beside the server, since a fresh process imports this without Django."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="bench.example") as smtp:
        for number in range(count):
            smtp.sendmail("privacy@holdfast.example", f"person{number}@example.org", raw)


class CountingServer:
    """Times at the receiving end: what a sender needs to start counts for nobody."""

    def __init__(self) -> None:
        self.port = free_port(19200, set())
        self.taken = SPAWN.Array("d", 3, lock=False)
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=serve, args=(self.port, self.taken, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def rate(self, count: int, send: Callable[[], Any]) -> float:
        """Mails per second between the first and the last of so many, which `send` has somebody send."""
        self.expect_nothing()
        send()
        self.wait_for(count)
        return (count - 1) / (self.taken[2] - self.taken[1])

    def expect_nothing(self) -> None:
        self.taken[0] = 0

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.taken[0] < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{int(self.taken[0])} of {count} mails came within {PATIENCE} s.")
            time.sleep(0.01)

    def close(self) -> None:
        self.pipe.close()
        self.process.join(10)
