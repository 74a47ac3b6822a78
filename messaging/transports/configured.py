"""The transports of this installation, in the order in which they are tried, from MAIL_TRANSPORTS and TEXT_TRANSPORTS.

An entry is `name=address`. Mail: `smtp://`, `smtp+tls://` (STARTTLS), `smtp+ssl://`, with timeouts by phase
(`?connect=10&command=60&dot=600`), `anymail://postmark?server_token=…` (any of django-anymail's backends that speak
HTTP, with its options), `file:///folder?after=86400`. Texts: `https://:token@gateway.example/path`, `file://`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from messaging.transports.folder import DAY, Folder
from messaging.transports.gateway import Gateway
from messaging.transports.provider import Provider
from messaging.transports.replies import Transport
from messaging.transports.smtp import Address, Relay, Timeouts

EMAIL, SMS = "email", "sms"
PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@cache
def transports(channel: str) -> tuple[Transport, ...]:
    """Those of a channel, in order; made once a process. Raises ImproperlyConfigured, saying which entry is wrong."""
    entries = {EMAIL: settings.MAIL_TRANSPORTS, SMS: settings.TEXT_TRANSPORTS}.get(channel, ())
    made = tuple(transport_of(entry, channel) for entry in entries)
    if twice := named_twice():
        raise ImproperlyConfigured(f"Two transports are called {', '.join(twice)}; health and holds go by the name.")
    return made


def channels() -> list[str]:
    """Those that have a transport."""
    return [channel for channel in (EMAIL, SMS) if transports(channel)]


def transport_of(entry: str, channel: str = EMAIL) -> Transport:
    """Raises ImproperlyConfigured with what to write instead; never repeats the address, which may hold a password."""
    name, _, address = entry.partition("=")
    if not address or not name.isidentifier():
        raise ImproperlyConfigured("An entry is name=address, like relay=smtp+tls://user:password@relay.example:587.")
    try:
        parts = _parts(address)
        make = MAKERS[channel][parts.scheme]
        return make(name, parts, dict(parse_qsl(parts.query, keep_blank_values=True)))
    except KeyError as error:
        known = ", ".join(f"{scheme}://" for scheme in MAKERS[channel])
        raise ImproperlyConfigured(f"{name}: its address begins with none of {known}.") from error
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error


def _parts(address: str) -> SplitResult:
    """Raises ValueError where the address is none, or would be read as another one than was meant: what stands behind
    a / or # in a password would be no part of it, and the rest of it the name of a host.
    """
    try:
        parts = urlsplit(address)
        is_whole = parts.port != 0 and not parts.fragment and "@" not in parts.path + parts.query
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError(
            "this is no address. A port is a number from 1 to 65535, and in a password @ is written %40, : %3A, / %2F, "
            "? %3F, # %23 and % %25."
        )
    return parts


def is_unencrypted(entry: str) -> bool:
    """It would send people's addresses over the network in clear. Of what is no address, nothing is said here."""
    try:
        parts = urlsplit(entry.partition("=")[2])
    except ValueError:
        return False
    return parts.scheme in ("smtp", "http") and parts.hostname not in LOCAL


def _relay(name: str, parts: SplitResult, options: dict[str, str]) -> Transport:
    if not parts.hostname:
        raise ValueError("the address names no host.")
    if parts.path not in ("", "/"):
        raise ValueError("behind the port stand options alone: a relay has no path.")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("name a user and a password, or neither: smtp+tls://user:password@relay.example:587.")
    _know(options, "connect", "command", "dot")
    seconds = {phase: _seconds(phase, value) for phase, value in options.items()}
    address = Address(
        host=parts.hostname,
        port=parts.port or PORTS[parts.scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        starttls=parts.scheme == "smtp+tls",
        tls=parts.scheme == "smtp+ssl",
    )
    return Relay(address, Timeouts(**seconds), name=name)


def _provider(name: str, parts: SplitResult, options: dict[str, str]) -> Transport:
    provider = (parts.hostname or "").replace("-", "_")
    try:
        return Provider(name, provider, options)
    except ImportError as error:
        raise ValueError(f"django-anymail has no provider {provider!r} that is ready here: {error}.") from error


def _folder(name: str, parts: SplitResult, options: dict[str, str]) -> Transport:
    if not parts.path.startswith("/") or parts.netloc:
        raise ValueError("write file:///an/absolute/folder.")
    _know(options, "after")
    return Folder(name, Path(unquote(parts.path)), after=_seconds("after", options.get("after", str(DAY))))


def _gateway(name: str, parts: SplitResult, options: dict[str, str]) -> Transport:
    if not parts.hostname or not parts.password:
        raise ValueError("write https://:token@gateway.example/path.")
    if parts.scheme == "http" and parts.hostname not in LOCAL:
        raise ValueError("a gateway elsewhere is spoken to by https.")
    _know(options, "idempotent")
    if options.get("idempotent", "0") not in ("0", "1"):
        raise ValueError("write idempotent=1, or leave it out.")
    host = parts.netloc.rpartition("@")[2]
    url = parts._replace(netloc=host, query="").geturl()
    return Gateway(name, url, unquote(parts.password), is_idempotent=options.get("idempotent") == "1")


def _know(options: Mapping[str, str], *known: str) -> None:
    if unknown := set(options) - set(known):
        raise ValueError(f"there is no option {', '.join(sorted(unknown))}; known: {', '.join(known)}.")


def _seconds(option: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0
    if not 0 < seconds < inf:
        raise ValueError(f"{option} is a number of seconds, such as {option}=30.")
    return seconds


Maker = Callable[[str, SplitResult, dict[str, Any]], Transport]
MAKERS: dict[str, dict[str, Maker]] = {
    EMAIL: {"smtp": _relay, "smtp+tls": _relay, "smtp+ssl": _relay, "anymail": _provider, "file": _folder},
    SMS: {"https": _gateway, "http": _gateway, "file": _folder},
}


def all_names() -> list[str]:
    """Of every channel, as they stand in the settings."""
    return [entry.partition("=")[0] for entry in (*settings.MAIL_TRANSPORTS, *settings.TEXT_TRANSPORTS)]


def named_twice() -> list[str]:
    return sorted(name for name, count in Counter(all_names()).items() if count > 1)
