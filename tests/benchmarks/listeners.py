"""Listeners of the event stream, in one process, that read whatever comes: `listeners PORT KEY COUNT`."""

import os
import selectors
import socket
import sys

ADDRESS = "/api/v1/telemetry/stream/"


def listen(port: int, key: str, count: int) -> None:
    """Open them, say so, and read until somebody ends this process."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        opened = socket.create_connection(("127.0.0.1", port), timeout=30)
        opened.sendall(f"GET {ADDRESS} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        if b" 200 " not in opened.recv(4096):
            raise SystemExit(1)
        opened.setblocking(False)
        selector.register(opened, selectors.EVENT_READ)
    print("open", flush=True)
    while True:
        for ready, _ in selector.select():
            os.read(ready.fd, 65_536)


if __name__ == "__main__":
    listen(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
