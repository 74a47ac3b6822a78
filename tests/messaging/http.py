"""A provider that is spoken to by HTTP, and does what it is told to with each call."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DROP, HANG = "drop", "hang"


class Calls(ThreadingHTTPServer):
    """`answers` are (status, body) or DROP or HANG, one a call; the last one for all that follow."""

    daemon_threads = True

    def __init__(self, *answers) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.answers = list(answers) or [(200, {"id": "given-1"})]
        self.taken = []
        self.end = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Call(BaseHTTPRequestHandler):
    server: Calls
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, dict(self.headers), json.loads(body)))
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        if answer == HANG:
            self.server.end.wait(10)
        if answer in (DROP, HANG):
            self.close_connection = True
            return
        status, given = answer
        said = given if isinstance(given, bytes) else json.dumps(given).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *arguments) -> None:
        """Tests say what matters."""


@contextmanager
def calls(*answers):
    server = Calls(*answers)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.end.set()
        server.shutdown()
        server.server_close()
