"""Standard Webhooks (standardwebhooks.com), version 1: HMAC-SHA-256 of id, moment and body. Knows nothing of Django.

A secret is `whsec_` and the base64 of its bytes. A moment is whole seconds since 1970 UTC, never a date: the reference
library for Python signs a wrong moment where a date carries another zone.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable, Mapping

PREFIX = "whsec_"
TOLERANCE = 300  # seconds, both ways
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


class NotSigned(Exception):
    """The message is not what a holder of a secret sent just now; says in words why."""


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The bytes that a secret stands for, its padding left out or not. Raises ValueError where it is none."""
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("A signing secret is whsec_ and base64.") from error
    if not key:
        raise ValueError("The signing secret is empty.")
    return key


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>`. Raises ValueError for an id with a dot, which could be read as another id and moment."""
    if "." in message_id or isinstance(timestamp, bool) or not isinstance(timestamp, int):
        raise ValueError("A message's id has no dot, and its moment is whole seconds since 1970 UTC.")
    text = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key_of(secret), text, "sha256")).decode()


def verify(
    secrets_: Iterable[str], headers: Mapping[str, str], body: bytes, *, now: float, prefix: str = "webhook"
) -> int:
    """The moment that the message was signed at. Raises NotSigned. `headers` has lower-case names; `now`: UTC seconds;
    `prefix`: of the three headers, `svix` with those who speak that dialect.

    One right signature of several is enough, under any of the secrets: that is how either side rotates.
    """
    try:
        message_id, moment, given = (headers[f"{prefix}-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise NotSigned(f"The header {error.args[0]} is missing.") from error
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 12) or "." in message_id:
        raise NotSigned("The moment is not whole seconds since 1970, or the id has a dot.")
    if abs(now - int(moment)) > TOLERANCE:
        raise NotSigned("It was signed more than five minutes ago, or lies in the future.")
    right = [sign(secret, message_id, int(moment), body).encode() for secret in secrets_]
    matches = [hmac.compare_digest(one.encode(), r) for one in given.split(" ") for r in right]
    if not any(matches):
        raise NotSigned("No signature is right.")
    return int(moment)
