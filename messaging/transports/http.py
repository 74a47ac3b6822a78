"""What a transport that is spoken to by HTTP has in common: one request, and what its end says about the message."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from messaging.transports.blame import speaks_of_us
from messaging.transports.replies import InDoubt, NotSent, Permanent, Reply, Temporary

CONNECT, READ = 10.0, 60.0  # seconds
# Refused before anything was done with it, and worth another try (RFC 9110 15.5.9, 15.6.4; RFC 6585 4; RFC 8470 5.2).
TRY_LATER = frozenset({408, 425, 429, 503})
# Not about this message: a key that is wrong or spent, an address of the provider's that moved.
ABOUT_US = frozenset({401, 402, 403, 404, 405})


class Handshake(HTTPSConnection):
    """No agreement on encryption is no connection. What breaks the same encryption later may come after the request:
    under TLS 1.3 a server's alert does, and so does whatever cannot be read of its answer.
    """

    def connect(self) -> None:
        try:
            super().connect()
        except OSError as error:
            raise NewConnectionError(self, f"No agreement on encryption: {error}") from error


class Encrypted(HTTPSConnectionPool):
    ConnectionCls = Handshake


class LastMoment(HTTPAdapter):
    """Calls its hook when the request is ready and nothing of it has left, as SMTP does before the final dot.

    The connection is made inside; a failure to make it is told apart from one after it, see `told`.
    """

    def __init__(self) -> None:
        super().__init__(max_retries=0)
        self.before_end: Callable[[], None] = lambda: None

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": HTTPConnectionPool, "https": Encrypted}

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.before_end()
        kwargs["timeout"] = (CONNECT, READ)
        kwargs["proxies"] = {}  # what the environment says of proxies is not about people's mail
        return super().send(*args, **kwargs)


def session(adapter: LastMoment) -> requests.Session:
    """Kept open from one message to the next; goes where it is told and nowhere else."""
    made = requests.Session()
    made.trust_env = False
    made.max_redirects = 0
    for prefix in ("https://", "http://"):
        made.mount(prefix, adapter)
    return made


@contextmanager
def told() -> Iterator[None]:
    """What a failed request proves. Only a connection that was never made proves that nothing left."""
    try:
        yield
    except requests.ConnectTimeout as error:
        raise Temporary(Reply(text="No connection to the provider in time."), blames_transport=True) from error
    except requests.ConnectionError as error:
        if was_never_made(error):
            raise Temporary(Reply(text="The provider cannot be reached."), blames_transport=True) from error
        raise InDoubt(Reply(text="The connection broke after the message was handed over.")) from error
    except requests.Timeout as error:
        raise InDoubt(Reply(text="No answer in time after the message was handed over.")) from error
    except requests.RequestException as error:
        raise InDoubt(Reply(text=f"No answer that can be relied on: {type(error).__name__}.")) from error


def refusal(status: int, text: str) -> NotSent:
    """An answer that is no acceptance. A 5xx that does not say "later" may have come after the work was done."""
    reply = Reply(status, text)
    if status in TRY_LATER:
        return Temporary(reply, blames_transport=True)
    if 400 <= status < 500:
        is_about_us = status in ABOUT_US or speaks_of_us(reply)
        return Temporary(reply, blames_transport=True) if is_about_us else Permanent(reply)
    return InDoubt(reply)


def was_never_made(error: requests.ConnectionError) -> bool:
    """Name not found, refused, or no agreement on encryption: nothing of the request had been written."""
    cause: BaseException | None = error
    while cause is not None:
        reason = getattr(cause.args[0], "reason", None) if cause.args else None
        if isinstance(reason, NewConnectionError):
            return True
        cause = cause.__cause__
    return False
