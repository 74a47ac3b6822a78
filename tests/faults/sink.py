"""A mail server that counts what it took, fails where it is told to, and stands still at any word of a dialogue."""

import re
import socket
import socketserver
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

DROP, HANG = "drop", "hang"
MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([^@>]+)@", re.IGNORECASE | re.MULTILINE)
NUMBER = re.compile(r"person(\d+)@")
GOOD = {"ehlo": "250 sink.example", "data": "354 go on", "quit": "221 bye", "greeting": "220 sink.example"}
LONGEST_HOLD = 60  # seconds; a test that forgot to let go ends all the same


def everybody(number: int) -> bool:
    return True


def every(nth: int, rest: int = 0) -> Callable[[int], bool]:
    """Of the people, who are numbered by their addresses."""
    return lambda number: number % nth == rest


@dataclass
class Hold:
    """One dialogue that stands still before the server's answer: `reached` when it does, `port` is the client's end,
    `ended` when that client has gone.
    """

    whose: Callable[[int], bool]
    reached: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    answer: str | None = None
    port: int = 0
    number: int = -1

    def until_reached(self, seconds: float = 30) -> "Hold":
        assert self.reached.wait(seconds), "no message came to where it was to be held"
        return self

    def let_go(self, answer: str | None = None) -> None:
        """On with the dialogue, with this answer instead of the good one."""
        self.answer = answer
        self.go.set()


class Sink:
    """`taken` counts accepted mails by message; a fault is what a phase answers, for the people it is for.

    Phases: greeting, ehlo, mail, rcpt, data, body (the first line of it has come), dot (the mail is whole; it is
    taken before the answer unless the answer refuses it).
    """

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.faults: dict[str, list[tuple[str, Callable[[int], bool]]]] = defaultdict(list)
        self.holds: dict[str, Hold] = {}
        self.ports: set[int] = set()  # of clients that had a mail taken
        self.lock = threading.Lock()
        self.expected = 0
        self.address = ("127.0.0.1", 0)
        self.server: Server | None = None
        self.open()

    @property
    def port(self) -> int:
        return self.address[1]

    def open(self) -> None:
        self.server = Server(self.address, Session)
        self.server.sink = self
        self.address = self.server.server_address
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        """Nobody listens any more: connections are refused, and those that were open are cut."""
        for hold in self.holds.values():
            hold.go.set()
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server.cut_all()
            self.server = None

    def fault(self, phase: str, answer: str, whose: Callable[[int], bool] = everybody) -> None:
        self.faults[phase].append((answer, whose))

    def fault_of(self, phase: str, number: int) -> str:
        """Before a recipient is named everybody is meant."""
        return next((answer for answer, whose in self.faults[phase] if number < 0 or whose(number)), "")

    def heal(self) -> None:
        self.faults.clear()

    def meet(self, clients: int) -> None:
        """The next so many clients wait for each other before their first mail."""
        self.meeting, self.expected = threading.Barrier(clients), clients

    def meet_at(self, phase: str) -> None:
        with self.lock:
            if phase != "mail" or not self.expected:
                return
            self.expected -= 1
        self.meeting.wait(LONGEST_HOLD)

    def hold(self, phase: str, whose: Callable[[int], bool] = everybody) -> Hold:
        """The next dialogue that comes to the phase stands still there."""
        self.holds[phase] = hold = Hold(whose)
        return hold

    def take(self, content: bytes, port: int) -> None:
        found = MESSAGE_ID.search(content)
        with self.lock:
            self.taken[found[1].decode() if found else f"no Message-ID: {content[:80]!r}"] += 1
            self.ports.add(port)

    def held_at(self, phase: str, number: int) -> Hold | None:
        with self.lock:
            hold = self.holds.get(phase)
            return self.holds.pop(phase) if hold and hold.whose(number) else None


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64
    sink: Sink

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.open_sockets: set[socket.socket] = set()

    def process_request(self, request, client_address) -> None:
        self.open_sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        self.open_sockets.discard(request)
        super().shutdown_request(request)

    def cut_all(self) -> None:
        for one in list(self.open_sockets):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request, client_address) -> None:
        """A client that was killed is what these tests are about."""


class Session(socketserver.StreamRequestHandler):
    server: Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.sink, self.number, self.held = self.server.sink, -1, []
        try:
            self.talk()
        finally:
            for hold in self.held:
                hold.ended.set()

    def talk(self) -> None:
        if not self.answer("greeting"):
            return
        for line in self.rfile:
            verb = line[:4].strip().lower().decode("ascii", "replace")
            if verb == "rcpt" and (found := NUMBER.search(line.decode("utf-8", "replace"))):
                self.number = int(found[1])
            going_on = self.answer(verb)
            if verb == "quit" or not going_on:
                return
            if verb == "data" and going_on is not REFUSED and not self.body():
                return

    def body(self) -> "bool | object":
        lines: list[bytes] = []
        for line in self.rfile:
            if line == b".\r\n":
                return self.answer("dot", b"".join(lines))
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            if len(lines) == 1 and not self.answer("body"):
                return False
        return False

    def answer(self, phase: str, content: bytes | None = None) -> "bool | object":
        """False: the connection ends here. REFUSED: the server said no, and goes on listening."""
        said = self.sink.fault_of(phase, self.number)
        self.sink.meet_at(phase)
        if content is not None and not said.startswith(("4", "5")):
            self.sink.take(content, self.client_address[1])
        if hold := self.sink.held_at(phase, self.number):
            said = self.stand_still(hold) or said
        if said == HANG:
            self.rfile.read(1)  # until the client gives up
        if said in (DROP, HANG):
            return False
        if phase != "body":
            good = "250 2.0.0 Ok: queued as 4F2A" if phase == "dot" else GOOD.get(phase, "250 2.1.0 ok")
            self.wfile.write(f"{said or good}\r\n".encode())
        if said.startswith("421"):
            return False
        return REFUSED if said else True

    def stand_still(self, hold: Hold) -> str | None:
        hold.port, hold.number = self.client_address[1], self.number
        self.held.append(hold)
        hold.reached.set()
        hold.go.wait(LONGEST_HOLD)
        return hold.answer


REFUSED = object()
