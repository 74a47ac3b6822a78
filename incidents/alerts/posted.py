"""A delivery at the door, before anybody looked at it: its bytes, the headers that matter, and when it came."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from incidents.alerts.adapters import EVENT_IDS
from incidents.alerts.reading import is_json
from incidents.models import AlertSource

LARGEST = 256 * 1024
EVENTS = ("application/cloudevents+json", "application/cloudevents-batch+json")
# What is kept of the headers beside those that a source names: who sent it, and what was signed.
TELLING = frozenset(
    (
        "content-type", "user-agent", "x-webhook-id", "x-webhook-subscription", "x-pagerduty-signature",
        "x-grafana-alerting-signature", "webhook-id", "webhook-timestamp", "webhook-signature",
        "svix-id", "svix-timestamp", "svix-signature", "content-encoding",
        "x-hub-signature-256", "x-slack-signature", "x-slack-request-timestamp",
    )
)  # fmt: skip
NEVER = frozenset(("cookie", "authorization", "proxy-authorization", "x-forwarded-for", "x-real-ip", "forwarded"))
LONGEST_VALUE, MOST_HEADERS, LONGEST_ID = 2000, 60, 200


def digest_of(token: str) -> bytes:
    """SHA-256 is enough for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Posted:
    """`headers` have lower-case names. Of a body that is too large only `digest` and `size` are here."""

    token_digest: bytes
    body: bytes
    digest: bytes
    size: int
    headers: Mapping[str, str]
    at: datetime
    key: str = ""  # of the line it waited as on disk

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_too_large(self) -> bool:
        return self.size > LARGEST

    @property
    def is_packed(self) -> bool:
        return self.headers.get("content-encoding", "").strip().lower() not in ("", "identity")

    def is_of_a_kind_for(self, source: AlertSource) -> bool:
        """Senders of JSON say so; a binary CloudEvent is known by a header, and may hold anything."""
        if source.kind == AlertSource.Kind.CLOUDEVENTS:
            return self.media_type in EVENTS or "ce-specversion" in self.headers
        return is_json(self.media_type)

    def event_id(self, source: AlertSource) -> str:
        """What the sender calls this event on each attempt, where a header says it."""
        of_kind = EVENT_IDS.get(source.kind)
        found = of_kind(self.headers) if of_kind else ""
        return known_as(found) or self.key

    def kept_headers(self, source: AlertSource) -> dict[str, str]:
        named = {source.signature_header.lower(), source.timestamp_header.lower()} - {""}
        kept = TELLING | named
        return {name: value for name, value in self.headers.items() if name in kept or name.startswith("ce-")}


def known_as(event_id: str) -> str:
    """A sender's id in a form that fits; a long or strange one by its digest."""
    if len(event_id) <= LONGEST_ID and event_id.isprintable():
        return event_id
    return hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()


def headers_of(meta: Mapping[str, object]) -> dict[str, str]:
    """From WSGI's environment. Nothing that lets in or names a person, and nothing the database could not hold."""
    found = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): str(value).replace("\0", "")[:LONGEST_VALUE]
        for name, value in meta.items()
        if name.startswith("HTTP_") or name == "CONTENT_TYPE"
    }
    return {name: found[name] for name in sorted(found)[:MOST_HEADERS] if name not in NEVER}
