"""A service that is told of changes, on loopback: it answers as it is told to, and keeps what it got."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from messaging.signing import verify

DROP, TRICKLE = "drop", "trickle"


@dataclass
class Call:
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict:
        return json.loads(self.body)

    def verify(self, *secrets: str) -> int:
        return verify(secrets, self.headers, self.body, now=time.time())


class Receiver(ThreadingHTTPServer):
    """`answers`: what comes next, each a status, (status, headers), DROP or TRICKLE; then 204 for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[Call] = []
        self.answers: list = []
        self.body = b""
        self.end = threading.Event()
        self.place = f"127.0.0.1:{self.server_address[1]}"
        self.url = f"http://{self.place}/changes?from=holdfast"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.calls.append(Call({name.lower(): value for name, value in self.headers.items()}, body))
        answer = self.server.answers.pop(0) if self.server.answers else 204
        if answer == DROP:
            return
        if answer == TRICKLE:
            self.trickle()
            return
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def trickle(self) -> None:
        try:
            while not self.server.end.wait(0.02):
                self.wfile.write(b"H")
        except OSError:
            return

    def log_message(self, *arguments) -> None:
        """Quiet."""


@contextmanager
def receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.end.set()
        server.shutdown()
        server.server_close()
