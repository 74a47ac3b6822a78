"""Reading CloudEvents 1.0 over HTTP: structured, batched (which may be empty) and binary.

https://github.com/cloudevents/spec, version 1.0.2: formats/json-format.md and bindings/http-protocol-binding.md.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

from incidents.alerts.adapters.generic import mapped
from incidents.alerts.reading import Notification, Rules, Unreadable, is_json, json_of, moment, text, title_of

STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
MOST = 1000  # events in a batch
LONGEST_ID = 200


def event_id(headers: Mapping[str, str]) -> str:
    """Of a binary event, whose attributes are headers; those of others stand in the body."""
    if "ce-id" not in headers:
        return ""
    try:
        return _id_of(decoded(headers.get("ce-source", "")), decoded(headers["ce-id"]))
    except Unreadable:
        return ""


def read(body: bytes, headers: Mapping[str, str], rules: Rules) -> list[Notification]:
    """Raises Unreadable: one bad event of a batch refuses the batch, whose sender sees it as one delivery."""
    media = _media_type(headers.get("content-type"))
    if media == BATCHED:
        events = json_of(body)
        if not isinstance(events, list) or len(events) > MOST:
            raise Unreadable(f"A batch is a JSON array of at most {MOST} events.")
        return [_notification(event, rules, f"[{index}]") for index, event in enumerate(events)]
    if media == STRUCTURED:
        return [_notification(json_of(body), rules)]
    return [_notification(_binary(body, headers, media), rules)]


def decoded(value: str) -> str:
    """One round of percent-decoding; over-long and broken UTF-8 is refused (HTTP binding 3.1.3.2)."""
    try:
        # WSGI hands headers over as Latin-1; what is not ASCII there was sent in the raw.
        return unquote_to_bytes(value.strip().strip('"').encode("latin-1")).decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise Unreadable("A ce- header is not percent-encoded UTF-8.") from error


def _binary(body: bytes, headers: Mapping[str, str], media: str) -> dict[str, Any]:
    event: dict[str, Any] = {
        name.removeprefix("ce-"): decoded(value) for name, value in headers.items() if name.startswith("ce-")
    }
    if "specversion" not in event:
        raise Unreadable("This is no CloudEvent: neither its type nor a ce-specversion header says so.")
    if body and is_json(media):
        event["data"] = json_of(body)
    return event


def _notification(event: Any, rules: Rules, where: str = "") -> Notification:
    if not isinstance(event, dict):
        raise Unreadable(f"{where or 'The event'} must be a JSON object.")
    if event.get("specversion") != "1.0":
        raise Unreadable(f'{where}.specversion must be "1.0".'.lstrip("."))
    number, source, kind = (text(event, name, where) for name in ("id", "source", "type"))
    subject = event.get("subject")
    if subject is not None and not isinstance(subject, str):
        raise Unreadable(f"{where}.subject must be text.".lstrip("."))
    if "data_base64" in event:
        data = _decoded_data(event["data_base64"], where)
        if is_json(_media_type(event.get("datacontenttype"))):  # then it is the same as `data` (JSON format 3.1.1)
            with suppress(Unreadable):  # the envelope counts, whatever its data are
                event = {**event, "data": json_of(data)}
    return mapped(
        event,
        rules,
        key=" · ".join(part for part in (source, kind, subject) if part),
        title=title_of(kind, subject, otherwise=kind),
        event_id=_id_of(source, number),
        told_at=moment(event.get("time"), f"{where}.time".lstrip(".")),
    )


def _decoded_data(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise Unreadable(f"{where}.data_base64 is not base64.".lstrip(".")) from error


def _media_type(value: Any) -> str:
    return value.partition(";")[0].strip().lower() if isinstance(value, str) else ""


def _id_of(source: str, number: str) -> str:
    """An id is unique within its source only."""
    both = f"{source} {number}"
    return both if len(both) <= LONGEST_ID and both.isprintable() else hashlib.sha256(both.encode()).hexdigest()
