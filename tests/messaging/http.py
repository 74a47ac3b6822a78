"""A provider that is spoken to by HTTP, and does what it is told to with each call."""

import json
import os
import socket
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DROP, HANG, GARBLED = "drop", "hang", "garbled"


class Calls(ThreadingHTTPServer):
    """`answers` are (status, body) or DROP, HANG or GARBLED (in clear, where encryption was agreed on), one a call; the
    last one for all that follow. `certificate` and its key in one file: by TLS.
    """

    daemon_threads = True

    def __init__(self, *answers, certificate=None) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.tls = certificate and ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        if self.tls:
            self.tls.load_cert_chain(certificate)
        self.answers = list(answers) or [(200, {"id": "given-1"})]
        self.taken = []
        self.end = threading.Event()

    def handle_error(self, request, client_address) -> None:
        if not self.tls:  # one who does not trust it ends the handshake
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.server_address[1]}"


class Call(BaseHTTPRequestHandler):
    server: Calls
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, dict(self.headers), json.loads(body)))
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        if answer == HANG:
            self.server.end.wait(10)
        if answer == GARBLED:
            with socket.socket(fileno=os.dup(self.request.fileno())) as bare:
                bare.sendall(b"no record of TLS")
        if answer in (DROP, HANG, GARBLED):
            self.close_connection = True
            return
        status, given = answer
        said = given if isinstance(given, bytes) else json.dumps(given).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def finish(self) -> None:
        super().finish()
        if self.server.tls:
            self.request.close()

    def log_message(self, *arguments) -> None:
        """Tests say what matters."""


@contextmanager
def calls(*answers, certificate=None):
    server = Calls(*answers, certificate=certificate)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.end.set()
        server.shutdown()
        server.server_close()
