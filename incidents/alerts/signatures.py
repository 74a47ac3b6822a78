"""Signatures of senders, one function per scheme: over the raw bytes, in constant time, before anything is parsed.

Any of the active secrets may match, so that one can be changed for another while deliveries go on.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from incidents.models import AlertSource

WHOLE_NUMBER = re.compile(r"[0-9]{1,12}")
PREFIX = "whsec_"


class BadSignature(Exception):
    """The text says what does not hold, for whoever configures the sender."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery as it is checked. `headers` have lower-case names; `at` is when it was received."""

    body: bytes
    headers: Mapping[str, str]
    at: datetime


@dataclass(frozen=True, slots=True)
class Terms:
    """What a source says about its signature; an empty header means the usual one."""

    header: str = ""
    timestamp_header: str = ""
    tolerance: timedelta = timedelta(minutes=5)


Verifier = Callable[[Sent, Sequence[str], Terms], None]


def pagerduty(sent: Sent, secrets: Sequence[str], terms: Terms) -> None:
    """`X-PagerDuty-Signature: v1=<hex>[,v1=<hex>…]`, HMAC-SHA256 of the body; any pair may match."""
    header = _header(sent, terms.header or "X-PagerDuty-Signature")
    given = [part.strip().removeprefix("v1=") for part in header.split(",") if part.strip().startswith("v1=")]
    if not sent.body:
        raise BadSignature("An empty body is never signed.")
    _match([_hex(secret, sent.body) for secret in secrets], given)


def grafana(sent: Sent, secrets: Sequence[str], terms: Terms) -> None:
    """Bare hex of HMAC-SHA256 of the body, or of `{timestamp}:{body}` where its contact point names a header for it."""
    header = _header(sent, terms.header or "X-Grafana-Alerting-Signature")
    signed = sent.body
    if terms.timestamp_header:
        stamp = _header(sent, terms.timestamp_header)
        _in_time(stamp, sent.at, terms.tolerance)
        signed = stamp.encode() + b":" + sent.body
    _match([_hex(secret, signed) for secret in secrets], [header.strip()])


def standard_webhooks(sent: Sent, secrets: Sequence[str], terms: Terms) -> None:
    """`webhook-signature: v1,<base64> …` over `{id}.{timestamp}.{body}`; other versions beside it are passed over."""
    number, stamp = _header(sent, "webhook-id"), _header(sent, "webhook-timestamp")
    header = _header(sent, terms.header or "webhook-signature")
    _in_time(stamp, sent.at, terms.tolerance)
    signed = f"{number}.{stamp}.".encode() + sent.body
    given = [part.removeprefix("v1,") for part in header.split() if part.startswith("v1,")]
    _match([base64.b64encode(hmac.digest(webhook_key(secret), signed, "sha256")).decode() for secret in secrets], given)


def body_hmac(sent: Sent, secrets: Sequence[str], terms: Terms) -> None:
    """Hex of HMAC-SHA256 of the body, with or without `sha256=` before it, as GitHub sends it."""
    header = _header(sent, terms.header or "X-Hub-Signature-256")
    _match([_hex(secret, sent.body) for secret in secrets], [header.strip().removeprefix("sha256=")])


def slack(sent: Sent, secrets: Sequence[str], terms: Terms) -> None:
    """`X-Slack-Signature: v0=<hex>` over `v0:{timestamp}:{body}`."""
    header = _header(sent, terms.header or "X-Slack-Signature")
    stamp = _header(sent, "X-Slack-Request-Timestamp")
    _in_time(stamp, sent.at, terms.tolerance)
    signed = f"v0:{stamp}:".encode() + sent.body
    given = [header.removeprefix("v0=")] if header.startswith("v0=") else []
    _match([_hex(secret, signed) for secret in secrets], given)


VERIFIERS: Mapping[str, Verifier] = {
    AlertSource.Signature.GRAFANA: grafana,
    AlertSource.Signature.PAGERDUTY: pagerduty,
    AlertSource.Signature.STANDARD_WEBHOOKS: standard_webhooks,
    AlertSource.Signature.HMAC: body_hmac,
    AlertSource.Signature.SLACK: slack,
}


def webhook_key(secret: str) -> bytes:
    """What stands behind `whsec_`. Raises ValueError where it is not base64 of at least sixteen bytes."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if len(key) < 16:
        raise ValueError("too short")
    return key


def _header(sent: Sent, name: str) -> str:
    value = sent.headers.get(name.lower(), "")
    if not value:
        raise BadSignature(f"The header {name} is missing.")
    return value


def _in_time(stamp: str, now: datetime, tolerance: timedelta) -> None:
    if not WHOLE_NUMBER.fullmatch(stamp):
        raise BadSignature("The signed time is not in whole seconds.")
    away = int(stamp) - now.timestamp()
    if abs(away) > tolerance.total_seconds():
        word = "ahead of" if away > 0 else "behind"
        raise BadSignature(f"The signed time is {abs(away):.0f} s {word} ours: a late repeat, or a clock that is off.")


def _hex(secret: str, signed: bytes) -> str:
    return hmac.digest(secret.encode(), signed, "sha256").hex()


def _match(expected: Sequence[str], given: Sequence[str]) -> None:
    """Every pair is compared, so that the time tells nothing about which one matched."""
    if not expected:
        raise BadSignature("This source has no secret yet, so nothing can be checked.")
    pairs = [hmac.compare_digest(ours.encode(), theirs.encode()) for ours in expected for theirs in given]
    if not any(pairs):
        raise BadSignature("The signature does not match: the secret differs, or the body was changed on its way.")
