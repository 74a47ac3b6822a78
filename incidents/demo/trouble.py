"""The made-up company's bad day: a mailing went out twice, a template patch broke, the relay's queue grew."""

import json
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db.models import F, Value
from django.db.models.functions import Replace
from django.utils import timezone

from config.models import User
from incidents import alerts, linking, services
from incidents.demo.people import LEAVING
from incidents.models import AlertSource
from messaging.models import TemplateBody, TemplateVersion
from messaging.publishing import check, draft_from


def incident(now: datetime, officer: User) -> None:
    """Declared late, with the start it really had; the choices since then are tied by looking back."""
    declared = services.declare(
        "Product news went out twice",
        occurred_from=now - LEAVING,
        severity="sev2",
        summary="The mailing of the morning was queued a second time. People leave by the mail program's own button.",
        by=officer,
        purposes=["product_news"],
        exit_paths=["one-click"],
    )
    services.add_note(
        declared,
        "The second run of the mailing job began here.",
        by=officer,
        occurred_at=now - LEAVING + timedelta(minutes=2),
    )
    services.add_note(
        declared, "Mailing job stopped; the queue is empty.", by=officer, occurred_at=now - timedelta(minutes=48)
    )
    while linking.backfill():
        pass


def failed_template(officer: User) -> None:
    """A rushed patch of a confirmation names what does not exist: its gates keep it from being sent."""
    newest = TemplateVersion.objects.published("opt_out_confirmation").first()
    if newest is None:
        return
    draft = draft_from(newest, by="user:responder")
    TemplateBody.objects.filter(version=draft, locale="de").update(
        text=Replace(F("text"), Value("{{ purpose"), Value("{{ purpos"))
    )
    try:
        check(draft, reason="Shorter text for the incident", by=officer)
    except ValidationError:
        return


def alert(officer: User) -> None:
    """One delivery of a source that watches the mail relay. It begins now: all made-up choices were received before."""
    if AlertSource.objects.exists():
        return
    _, token = alerts.issue_source("Alertmanager of the platform team", by=officer)
    body = {
        "version": "4",
        "groupKey": '{}:{alertname="MailQueueGrows"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "holdfast",
        "groupLabels": {"alertname": "MailQueueGrows"},
        "commonLabels": {"alertname": "MailQueueGrows", "severity": "warning"},
        "commonAnnotations": {"summary": "The relay's queue has been growing for ten minutes"},
        "externalURL": "http://alertmanager.example",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "MailQueueGrows", "severity": "warning", "instance": "relay-1"},
                "annotations": {"summary": "The relay's queue has been growing for ten minutes"},
                "startsAt": timezone.now().isoformat(),
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "",
                "fingerprint": "8a5f1e0c9b7d3f21",
            }
        ],
    }
    alerts.store(token, json.dumps(body).encode(), "application/json")
    alerts.read_stored()
