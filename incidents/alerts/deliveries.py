"""What may be done with a delivery at the desk: send a test through the same door, and wipe a payload."""

import base64
import hmac
import json
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents.alerts.intake import Outcome, Signature, posted_as, sha256, verify
from incidents.alerts.signatures import BadSignature, webhook_key
from incidents.alerts.sources import secrets_of
from incidents.mapping import listed
from incidents.models import AlertDelivery, AlertSource

TITLE = "Test from Holdfast"
KEPT = timedelta(days=90)  # payloads; that they came, and what became of them, is kept for good
AT_ONCE = 500
Scheme = AlertSource.Signature


@transaction.atomic
def wipe(delivery: AlertDelivery, *, by: User | str) -> AlertDelivery:
    """Empty its payload and headers for good; that it came, when, its digest and its fate stay.

    Raises ValidationError while it waits to be read, under a legal hold, and when there is nothing left to wipe.
    """
    delivery = AlertDelivery.objects.select_for_update(of=("self",)).get(pk=delivery.pk)
    if delivery.outcome == Outcome.STORED:
        raise ValidationError("It has not been read yet. Wipe it in a moment, when its fate is known.")
    if delivery.wiped_at:
        raise ValidationError("It is wiped already.")
    if delivery.group and delivery.group.incident.legal_hold:
        raise ValidationError(f"{delivery.group.incident.ref} is under legal hold: nothing about it is thrown away.")
    delivery.raw_body, delivery.headers = b"", {}
    delivery.wiped_at, delivery.wiped_by = timezone.now(), actor_of(by)
    delivery.save(update_fields=["raw_body", "headers", "wiped_at", "wiped_by"])
    return delivery


def forget(now: datetime | None = None) -> int:
    """Wipe payloads that were kept long enough, but for those of an incident under legal hold; returns how many."""
    now = now or timezone.now()
    old = AlertDelivery.objects.past_keeping(now - KEPT).order_by("received_at").values("pk")[:AT_ONCE]
    wiped = {"raw_body": b"", "headers": {}, "wiped_at": now, "wiped_by": "system:retention"}
    return AlertDelivery.objects.filter(pk__in=old).update(**wiped)


def send_test(source: AlertSource) -> AlertDelivery:
    """A sample of the source's kind, signed as its sender would; checked and read like any other, and opens nothing.

    Raises ValidationError where the signature cannot be made or does not hold.
    """
    body, headers = sample(source)
    headers |= _signed(source, body)
    posted = posted_as("", body, headers)
    try:
        verify(source, posted)
    except BadSignature as error:
        raise ValidationError(f"The test was refused. {error}") from error
    is_signed = source.signature != Scheme.NONE
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


def _signed(source: AlertSource, body: bytes) -> dict[str, str]:
    """The headers of the scheme, made with the newest secret."""
    known = secrets_of(source)
    if source.signature == Scheme.NONE or not known:
        return {}
    secret, stamp, number = known[0], str(int(timezone.now().timestamp())), f"test_{_id()}"
    named = {source.timestamp_header.lower(): stamp} if source.timestamp_header else {}

    def header(usual: str) -> str:
        return source.signature_header.lower() or usual

    def hexed(signed: bytes) -> str:
        return hmac.digest(secret.encode(), signed, "sha256").hex()

    if source.signature == Scheme.STANDARD_WEBHOOKS:
        signed = hmac.digest(webhook_key(secret), f"{number}.{stamp}.".encode() + body, "sha256")
        value = f"v1,{base64.b64encode(signed).decode()}"
        return {"webhook-id": number, "webhook-timestamp": stamp, header("webhook-signature"): value}
    if source.signature == Scheme.SLACK:
        value = f"v0={hexed(f'v0:{stamp}:'.encode() + body)}"
        return {"x-slack-request-timestamp": stamp, header("x-slack-signature"): value}
    if source.signature == Scheme.PAGERDUTY:
        return {header("x-pagerduty-signature"): f"v1={hexed(body)}"}
    if source.signature == Scheme.HMAC:
        return {header("x-hub-signature-256"): f"sha256={hexed(body)}"}
    return named | {header("x-grafana-alerting-signature"): hexed(f"{stamp}:".encode() + body if named else body)}


def _now() -> str:
    return timezone.now().isoformat()


def _id() -> str:
    return secrets.token_hex(8)
