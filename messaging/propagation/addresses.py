"""Which addresses may be called: https on the public internet, looked up once and called where that led."""

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

from config.text import CONTROL

LONGEST = 500
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64: the last four bytes are an IPv4 address
PORTS = {"https": 443, "http": 80}


class NotAllowed(Exception):
    """An address that is not called; says why."""


def place_of(url: str) -> tuple[SplitResult, str, int]:
    """An endpoint's address taken apart, with host and port. Raises ValidationError in words for whoever typed it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValidationError({"url": "This is not a web address."}) from error
    if CONTROL.search(url) or not url.isascii() or " " in url or len(url) > LONGEST or not host:
        raise ValidationError({"url": "Give a web address like https://crm.example.com/hooks, in ASCII."})
    if parts.username is not None or parts.fragment:
        raise ValidationError({"url": "An address has neither a user name nor a fragment: calls are signed instead."})
    port = port or PORTS.get(parts.scheme, 0)
    if parts.scheme == "https" or (parts.scheme == "http" and is_listed(host, port)):
        return parts, host, port
    raise ValidationError({"url": "Give an https:// address."})


def refuse_private_literal(host: str, port: int) -> None:
    """A private address is refused when it is typed. A name may change its mind: it is asked before each call."""
    try:
        address = _literal(host)
    except (OSError, ValueError):
        return
    if not is_public(address) and not is_listed(host, port):
        raise ValidationError({"url": "This address is not on the public internet. See WEBHOOK_ALLOWED_HOSTS."})


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Also what resolvers take for an IPv4 address: 127.1, 0177.0.0.1, 0x7f000001, 2130706433."""
    return ipaddress.ip_address(host) if ":" in host else ipaddress.IPv4Address(socket.inet_aton(host))


def is_listed(host: str, port: int) -> bool:
    """The operator allows this host and port by name, wherever it lies."""
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}".lower() in {entry.lower() for entry in settings.WEBHOOK_ALLOWED_HOSTS}


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, for one call. Raises NotAllowed where any of them is not public; OSError without any."""
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("the host's name cannot be looked up") from error
    found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
    if not is_listed(host, port) and (bad := _not_public(found)):
        raise NotAllowed(f"{host} leads to {bad}, which is not on the public internet.")
    return found


def _not_public(addresses: Iterable[str]) -> str:
    for text in addresses:
        if not is_public(ipaddress.ip_address(text.partition("%")[0])):
            return text
    return ""


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Not loopback, private, link-local, carrier-grade NAT, multicast, reserved, nor IPv6 wrapped around such a one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
