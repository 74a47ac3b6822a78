"""Signatures of senders, by scheme: checked over the raw bytes, in constant time, before anything is parsed.

Any of the active secrets may match, so that one can be changed for another while deliveries go on. Beside each check
stands what signs a test; what is signed, and under which name it is sent, both have from one place.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex

from incidents.models import AlertSource

WHOLE_NUMBER = re.compile(r"[0-9]{1,12}")
PREFIX = "whsec_"
# The header that each sender uses, unless its source names another.
PAGERDUTY, GRAFANA, WEBHOOKS = "X-PagerDuty-Signature", "X-Grafana-Alerting-Signature", "webhook-signature"
BODY_HMAC, SLACK, SLACK_TIME = "X-Hub-Signature-256", "X-Slack-Signature", "X-Slack-Request-Timestamp"


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
Signer = Callable[[bytes, str, Terms, datetime], dict[str, str]]


def pagerduty(sent: Sent, secrets: Sequence[str], terms: Terms) -> None:
    """`X-PagerDuty-Signature: v1=<hex>[,v1=<hex>…]`, HMAC-SHA256 of the body; any pair may match."""
    header = _header(sent, terms.header or PAGERDUTY)
    given = [part.strip().removeprefix("v1=") for part in header.split(",") if part.strip().startswith("v1=")]
    if not sent.body:
        raise BadSignature("An empty body is never signed.")
    _match([_hex(secret, sent.body) for secret in secrets], given)


def sign_pagerduty(body: bytes, secret: str, terms: Terms, at: datetime) -> dict[str, str]:
    return {_name(terms, PAGERDUTY): f"v1={_hex(secret, body)}"}


def grafana(sent: Sent, secrets: Sequence[str], terms: Terms) -> None:
    """Bare hex of HMAC-SHA256 of the body, or of `{timestamp}:{body}` where its contact point names a header for it."""
    header = _header(sent, terms.header or GRAFANA)
    signed = sent.body
    if terms.timestamp_header:
        stamp = _header(sent, terms.timestamp_header)
        _in_time(stamp, sent.at, terms.tolerance)
        signed = _of_grafana(stamp, sent.body)
    _match([_hex(secret, signed) for secret in secrets], [header.strip()])


def sign_grafana(body: bytes, secret: str, terms: Terms, at: datetime) -> dict[str, str]:
    if not terms.timestamp_header:
        return {_name(terms, GRAFANA): _hex(secret, body)}
    stamp = _stamp(at)
    return {terms.timestamp_header.lower(): stamp, _name(terms, GRAFANA): _hex(secret, _of_grafana(stamp, body))}


def standard_webhooks(sent: Sent, secrets: Sequence[str], terms: Terms) -> None:
    """`webhook-signature: v1,<base64> …` over `{id}.{timestamp}.{body}`; other versions beside it are passed over.

    Senders from before the standard say `svix-` where it says `webhook-`.
    """
    prefix = "svix" if "svix-id" in sent.headers and "webhook-id" not in sent.headers else "webhook"
    number, stamp = _header(sent, f"{prefix}-id"), _header(sent, f"{prefix}-timestamp")
    header = _header(sent, terms.header or f"{prefix}-signature")
    _in_time(stamp, sent.at, terms.tolerance)
    given = [part.removeprefix("v1,") for part in header.split() if part.startswith("v1,")]
    _match([_of_webhooks(secret, number, stamp, sent.body) for secret in secrets], given)


def sign_standard_webhooks(body: bytes, secret: str, terms: Terms, at: datetime) -> dict[str, str]:
    number, stamp = f"test_{token_hex(8)}", _stamp(at)
    signature = _of_webhooks(secret, number, stamp, body)
    return {"webhook-id": number, "webhook-timestamp": stamp, _name(terms, WEBHOOKS): f"v1,{signature}"}


def body_hmac(sent: Sent, secrets: Sequence[str], terms: Terms) -> None:
    """Hex of HMAC-SHA256 of the body, with or without `sha256=` before it, as GitHub sends it."""
    header = _header(sent, terms.header or BODY_HMAC)
    _match([_hex(secret, sent.body) for secret in secrets], [header.strip().removeprefix("sha256=")])


def sign_body_hmac(body: bytes, secret: str, terms: Terms, at: datetime) -> dict[str, str]:
    return {_name(terms, BODY_HMAC): f"sha256={_hex(secret, body)}"}


def slack(sent: Sent, secrets: Sequence[str], terms: Terms) -> None:
    """`X-Slack-Signature: v0=<hex>` over `v0:{timestamp}:{body}`."""
    header = _header(sent, terms.header or SLACK)
    stamp = _header(sent, SLACK_TIME)
    _in_time(stamp, sent.at, terms.tolerance)
    given = [header.removeprefix("v0=")] if header.startswith("v0=") else []
    _match([_hex(secret, _of_slack(stamp, sent.body)) for secret in secrets], given)


def sign_slack(body: bytes, secret: str, terms: Terms, at: datetime) -> dict[str, str]:
    stamp = _stamp(at)
    return {SLACK_TIME.lower(): stamp, _name(terms, SLACK): f"v0={_hex(secret, _of_slack(stamp, body))}"}


VERIFIERS: Mapping[str, Verifier] = {
    AlertSource.Signature.GRAFANA: grafana,
    AlertSource.Signature.PAGERDUTY: pagerduty,
    AlertSource.Signature.STANDARD_WEBHOOKS: standard_webhooks,
    AlertSource.Signature.HMAC: body_hmac,
    AlertSource.Signature.SLACK: slack,
}
SIGNERS: Mapping[str, Signer] = {
    AlertSource.Signature.GRAFANA: sign_grafana,
    AlertSource.Signature.PAGERDUTY: sign_pagerduty,
    AlertSource.Signature.STANDARD_WEBHOOKS: sign_standard_webhooks,
    AlertSource.Signature.HMAC: sign_body_hmac,
    AlertSource.Signature.SLACK: sign_slack,
}


def webhook_key(secret: str) -> bytes:
    """What stands behind `whsec_`. Raises ValueError where it is not base64 of at least sixteen bytes."""
    try:
        text = secret.removeprefix(PREFIX)
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)  # some leave the padding out
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


def _of_grafana(stamp: str, body: bytes) -> bytes:
    return stamp.encode() + b":" + body


def _of_slack(stamp: str, body: bytes) -> bytes:
    return f"v0:{stamp}:".encode() + body


def _of_webhooks(secret: str, number: str, stamp: str, body: bytes) -> str:
    signed = f"{number}.{stamp}.".encode() + body
    return base64.b64encode(hmac.digest(webhook_key(secret), signed, "sha256")).decode()


def _name(terms: Terms, usual: str) -> str:
    return (terms.header or usual).lower()


def _stamp(at: datetime) -> str:
    return str(int(at.timestamp()))


def _hex(secret: str, signed: bytes) -> str:
    return hmac.digest(secret.encode(), signed, "sha256").hex()


def _match(expected: Sequence[str], given: Sequence[str]) -> None:
    """Every pair is compared, so that the time tells nothing about which one matched."""
    if not expected:
        raise BadSignature("This source has no secret yet, so nothing can be checked.")
    pairs = [hmac.compare_digest(ours.encode(), theirs.encode()) for ours in expected for theirs in given]
    if not any(pairs):
        raise BadSignature("The signature does not match: the secret differs, or the body was changed on its way.")
