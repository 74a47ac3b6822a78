"""Signatures of Standard Webhooks, which Svix and Resend share: HMAC-SHA-256 of id, moment and body."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping

TOLERANCE = 5 * 60  # seconds that the sender's clock and the way may take
PREFIX = "whsec_"


class NotSigned(Exception):
    """Not by a holder of the secret, or too long ago."""


def sign(message_id: str, timestamp: int, body: bytes, secret: str) -> str:
    """`v1,…` as the header carries it. Raises ValueError for a secret that is not base64."""
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Iterable[str],
    *,
    prefix: str = "webhook",
    now: float | None = None,
) -> str:
    """The id of the post. Several secrets while one is exchanged for another. Raises NotSigned."""
    message_id, stamp, given = (headers.get(f"{prefix}-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and stamp and given):
        raise NotSigned(f"It lacks {prefix}-id, {prefix}-timestamp or {prefix}-signature.")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 15):
        raise NotSigned("Its timestamp is no number of seconds.")
    if abs((time.time() if now is None else now) - int(stamp)) > TOLERANCE:
        raise NotSigned("Its timestamp is more than five minutes off.")
    expected = [sign(message_id, int(stamp), body, secret).encode() for secret in secrets]
    offered = [part.encode("utf-8", "replace") for part in given.split() if part.startswith("v1,")]
    if not any(hmac.compare_digest(one, other) for one in offered for other in expected):
        raise NotSigned("Its signature does not fit.")
    return message_id


def _key(secret: str) -> bytes:
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("A secret is whsec_ and base64.") from error
    if not key:
        raise ValueError("The secret is empty.")
    return key
