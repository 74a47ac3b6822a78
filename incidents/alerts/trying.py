"""Trying a source out: a sample of what its sender sends, through the same door, which opens nothing."""

import json
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from incidents.alerts.intake import Signature, posted_as, signed, verify
from incidents.alerts.signatures import BadSignature
from incidents.mapping import listed
from incidents.models import AlertDelivery, AlertSource

TITLE = "Test from Holdfast"


def send_test(source: AlertSource) -> AlertDelivery:
    """A sample of the source's kind, signed as its sender would; checked and read like any other, and opens nothing.

    Raises ValidationError where the signature cannot be made or does not hold.
    """
    body, headers = sample(source)
    headers |= signed(source, body)
    posted = posted_as("", body, headers)
    try:
        verify(source, posted)
    except BadSignature as error:
        raise ValidationError(f"The test was refused. {error}") from error
    is_signed = source.signature != AlertSource.Signature.NONE
    return AlertDelivery.objects.create(
        source=source,
        raw_body=body,
        body_digest=sha256(body).digest(),
        size=len(body),
        content_type=posted.media_type,
        headers=posted.kept_headers(source),
        signature=Signature.VALID if is_signed else Signature.NONE,
        is_test=True,
        received_at=posted.at,
    )


def sample(source: AlertSource) -> tuple[bytes, dict[str, str]]:
    """A body of the kind, and the headers that belong to it."""
    make: dict[str, Callable[[], dict[str, Any]]] = {
        AlertSource.Kind.ALERTMANAGER: lambda: _group("4"),
        AlertSource.Kind.GRAFANA: lambda: _group("1"),
        AlertSource.Kind.PAGERDUTY: _pagerduty,
        AlertSource.Kind.CLOUDEVENTS: lambda: _event(source),
        AlertSource.Kind.STANDARD_WEBHOOKS: lambda: {"type": "test", "timestamp": _now(), **_mapped(source)},
        AlertSource.Kind.GENERIC: lambda: _mapped(source),
    }
    is_event = source.kind == AlertSource.Kind.CLOUDEVENTS
    kind = "application/cloudevents+json" if is_event else "application/json"
    return json.dumps(make[source.kind]()).encode(), {"content-type": kind, "user-agent": "Holdfast"}


def _group(version: str) -> dict[str, Any]:
    labels = {"alertname": TITLE, "severity": "info"}
    alert = {"status": "firing", "labels": labels, "annotations": {}, "fingerprint": "0" * 16, "startsAt": _now()}
    facts = {"groupLabels": labels, "commonLabels": labels, "commonAnnotations": {}, "alerts": [alert]}
    return {"version": version, "groupKey": "{}:{test}", "status": "firing", "receiver": "holdfast", **facts}


def _pagerduty() -> dict[str, Any]:
    incident = {"id": "TEST", "type": "incident", "status": "triggered", "title": TITLE, "urgency": "low"}
    return {"event": {"id": _id(), "event_type": "incident.triggered", "occurred_at": _now(), "data": incident}}


def _event(source: AlertSource) -> dict[str, Any]:
    facts = {"specversion": "1.0", "id": _id(), "source": "/holdfast", "type": "test", "subject": TITLE}
    return {**facts, **_mapped(source)}


def _mapped(source: AlertSource) -> dict[str, Any]:
    """A document that has something where the mapping points."""
    document: dict[str, Any] = {}
    for name in ("key", "title", "severity", "status"):
        for pointer in listed(source.mapping.get(name, [])):
            _put(document, pointer.split("/")[1:], "info" if name == "severity" else TITLE)
    return document


def _put(document: dict[str, Any], steps: list[str], value: str) -> None:
    """Steps into lists are not made up: such a mapping is tried with a real message."""
    for step in steps[:-1]:
        document = document.setdefault(step.replace("~1", "/").replace("~0", "~"), {})
        if not isinstance(document, dict):
            return
    if steps:
        document.setdefault(steps[-1].replace("~1", "/").replace("~0", "~"), value)


def _now() -> str:
    return timezone.now().isoformat()


def _id() -> str:
    return secrets.token_hex(8)
