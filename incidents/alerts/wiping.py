"""Payloads are emptied after a time, or by hand; that they came, and what became of them, is kept for good."""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents.models import AlertDelivery

Outcome = AlertDelivery.Outcome
KEPT = timedelta(days=90)
AT_ONCE = 500


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
