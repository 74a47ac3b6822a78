"""SMTP servers to be talked to: one that takes everything, and one that fails at the phase it is told to."""

import socket
import socketserver
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller

from messaging.transports.smtp import Address, Relay, Timeouts

QUICK = Timeouts(connect=0.3, command=0.2, dot=0.2)
DROP, HANG = "drop", "hang"


@dataclass
class Received:
    sender: str
    recipients: list[str]
    content: bytes


@dataclass
class Inbox:
    """What aiosmtpd took, in order."""

    mails: list[Received] = field(default_factory=list)
    port: int = 0
    relays: list[Relay] = field(default_factory=list)

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(Received(envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        return f"250 2.0.0 Ok: queued as {len(self.mails):04X}"

    def relay(self, timeouts=QUICK) -> Relay:
        self.relays.append(Relay(Address(host="127.0.0.1", port=self.port), timeouts))
        return self.relays[-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def inbox():
    box = Inbox(port=free_port())
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        for relay in box.relays:
            relay.close()
        controller.stop()


class FaultServer(socketserver.ThreadingTCPServer):
    """Speaks SMTP until the phase that `faults` names, and does there what it says: a reply, DROP or HANG.

    Phases: greeting, ehlo, mail, again (the second mail of a connection), rcpt, data, body (dropped with the body half
    sent), dot.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, **faults: str) -> None:
        super().__init__(("127.0.0.1", 0), Session)
        self.faults = faults
        self.taken: list[bytes] = []
        self.connections = 0
        self.end = threading.Event()
        self.relays: list[Relay] = []

    def relay(self, timeouts=QUICK) -> Relay:
        self.relays.append(Relay(Address(host="127.0.0.1", port=self.server_address[1]), timeouts))
        return self.relays[-1]


class Session(socketserver.StreamRequestHandler):
    server: FaultServer

    def handle(self) -> None:
        self.server.connections += 1
        if not self.answer("greeting", "220 fault.example"):
            return
        mails = 0
        for line in self.rfile:
            verb = line[:4].strip().lower().decode()
            mails += verb == "mail"
            phase = "again" if verb == "mail" and mails > 1 else verb
            good = {"ehlo": "250 fault.example", "data": "354 go on", "quit": "221 bye"}.get(verb, "250 2.1.0 ok")
            if not self.answer(phase, good) or verb == "quit":
                return
            if verb == "data" and "data" not in self.server.faults and not self.body():
                return

    def body(self) -> bool:
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                self.server.taken.append(b"".join(lines))
                return self.answer("dot", "250 2.0.0 Ok: queued as 4F2A")
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            if "body" in self.server.faults:
                return False
        return False

    def answer(self, phase: str, good: str) -> bool:
        fault = self.server.faults.get(phase)
        if fault == HANG:
            self.server.end.wait(10)
        if fault in (HANG, DROP):
            return False
        self.wfile.write(f"{fault or good}\r\n".encode())
        return True


@contextmanager
def fault_server(**faults: str):
    server = FaultServer(**faults)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        for relay in server.relays:
            relay.close()
        server.end.set()
        server.shutdown()
        server.server_close()
