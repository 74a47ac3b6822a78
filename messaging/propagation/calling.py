"""One signed POST: to the very address that was checked, verified against the host's name; no redirects, no proxies.

The standard library's client is enough, and does none of what must not happen: it asks no resolver a second time,
follows nothing, and reads no proxy from the environment.
"""

import hashlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import certifi

from config.text import CONTROL_IN_LINES
from messaging.propagation.addresses import NotAllowed, look_up, place_of

MOST_ADDRESSES = 3
MOST_READ = 65_536  # bytes of an answer; the rest is not waited for
EXCERPT = 500  # characters of it that are kept


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `total` ends a call whose answer trickles in."""

    connect: float = 5
    read: float = 20
    total: float = 25


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; or, where `status` is None, what kept it from coming."""

    status: int | None
    text: str = ""
    error: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        return f"HTTP {self.status}" if self.status else f"{self.error.replace('_', ' ')}: {self.text}"


@cache
def trust() -> ssl.SSLContext:
    """The machine's authorities (SSL_CERT_FILE adds a company's own) and Mozilla's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeouts: Timeouts | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Call once. Whatever goes wrong is an answer; nothing is raised."""
    timeouts = timeouts or Timeouts()
    try:
        parts, host, port = place_of(url)
        sock = _connect(look_up(host, port), port, timeouts.connect)
    except NotAllowed as error:
        return Answer(None, str(error), "address_refused")
    except Exception as error:  # a name without address, a refused or lost connection, an address that became invalid
        return Answer(None, _words(error), "no_connection")
    connection = http.client.HTTPConnection(host, port)
    connection.sock = sock
    if parts.scheme == "https":
        connection.default_port = 443  # so that the Host header names no port that goes without saying
    try:
        with _ending(sock, timeouts.total):
            if parts.scheme == "https":
                connection.sock = (tls or trust()).wrap_socket(sock, server_hostname=host)
            connection.sock.settimeout(timeouts.read)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, {**headers, "Connection": "close"})
            return _read(connection.getresponse(), time.monotonic() + timeouts.read)
    except ssl.SSLError as error:
        return Answer(None, _words(error), "tls")
    except TimeoutError as error:
        return Answer(None, _words(error), "timeout")
    except Exception as error:  # whatever the other side makes of HTTP
        return Answer(None, _words(error), "broken_answer")
    finally:
        connection.close()
        sock.close()


def _connect(addresses: list[str], port: int, seconds: float) -> socket.socket:
    """The first of the checked addresses that answers; no name is looked up here."""
    deadline = time.monotonic() + seconds
    failure: OSError = OSError("no address")
    for address in addresses[:MOST_ADDRESSES]:
        try:
            return socket.create_connection((address, port), max(0.1, deadline - time.monotonic()))
        except OSError as error:
            failure = error
    raise failure


@contextmanager
def _ending(sock: socket.socket, seconds: float) -> Iterator[None]:
    """Shut the connection down after so long, whatever trickles through it: a time limit per read would not."""
    is_late = threading.Event()
    handle = sock.dup()  # TLS takes the first one over

    def end() -> None:
        is_late.set()
        try:
            handle.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if is_late.is_set():
            raise TimeoutError(f"No whole answer within {seconds:g} s.") from error
        raise
    finally:
        timer.cancel()
        timer.join()
        handle.close()


def _read(response: Any, deadline: float) -> Answer:
    """The status counts, and with it what the headers ask for; a body that breaks off or does not end takes nothing
    from it. What a service says when all went well may be about a person, and nobody needs it: of that the length and
    a digest stay.
    """
    text = b""
    with suppress(OSError, http.client.HTTPException, ValueError):  # ValueError: the size of a chunk that is none
        while len(text) < MOST_READ and time.monotonic() < deadline:
            if not (piece := response.read1(MOST_READ - len(text))):
                break
            text += piece
    headers = {name.lower(): value for name, value in response.getheaders()}
    if 200 <= response.status < 300:
        return Answer(response.status, _fingerprint(text), headers=headers)
    excerpt = _fit(text.decode("utf-8", "replace"))
    return Answer(response.status, excerpt, f"http_{response.status}" if response.status >= 300 else "", headers)


def _fingerprint(body: bytes) -> str:
    return f"{len(body):,} bytes, SHA-256 {hashlib.sha256(body).hexdigest()}" if body else ""


def _words(error: Exception) -> str:
    return _fit(str(error) or type(error).__name__)


def _fit(text: str) -> str:
    """As it can be stored: http.client repeats what it could not read as it came."""
    return CONTROL_IN_LINES.sub("", text)[:EXCERPT]
