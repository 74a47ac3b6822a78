"""What senders wrote is emptied after a time, or by hand; that it came, and what became of it, is kept for good.

The words stand in the payload, in the groups that it told of, and where it could not be read in the reason. Lines of a
timeline, and an incident's title, are the incident's own record.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents.models import AlertDelivery, AlertGroup

Outcome = AlertDelivery.Outcome
KEPT = timedelta(days=90)
AT_ONCE = 500
GONE = "Wiped"


@transaction.atomic
def wipe(delivery: AlertDelivery, *, by: User | str) -> AlertDelivery:
    """Empty it, and what its groups say, for good; that it came, when, its digest and its fate stay.

    Raises ValidationError while it waits to be read, under a legal hold, and when there is nothing left to wipe.
    """
    delivery = AlertDelivery.objects.select_for_update(of=("self",)).get(pk=delivery.pk)
    if delivery.outcome == Outcome.STORED:
        raise ValidationError("It has not been read yet. Wipe it in a moment, when its fate is known.")
    if delivery.wiped_at:
        raise ValidationError("It is wiped already.")
    groups = AlertGroup.objects.filter(pk__in=[delivery.group_id, *delivery.more_groups])
    if held := groups.filter(incident__legal_hold=True).select_related("incident").first():
        raise ValidationError(f"{held.ref} is under legal hold: nothing about it is thrown away.")
    AlertDelivery.objects.filter(pk=delivery.pk).update(**_emptied(timezone.now(), actor_of(by)))
    _empty(groups.order_by("pk").select_for_update(no_key=True, of=("self",)))
    delivery.refresh_from_db()
    return delivery


def forget(now: datetime | None = None) -> int:
    """Wipe what was kept long enough, but for what an incident under legal hold needs; returns how many payloads."""
    now = now or timezone.now()
    old = AlertDelivery.objects.past_keeping(now - KEPT).order_by("received_at").values("pk")[:AT_ONCE]
    wiped = AlertDelivery.objects.filter(pk__in=old).update(**_emptied(now, "system:retention"))
    over = AlertGroup.objects.past_keeping(now - KEPT).order_by("pk").values("pk")[:AT_ONCE]
    AlertGroup.objects.filter(pk__in=over).update(group_key="", title=GONE, labels={}, fingerprints={})
    return wiped


def _emptied(now: datetime, by: str) -> dict[str, Any]:
    # A reason quotes its sender only where the body could not be read.
    reason = Case(When(outcome=Outcome.REJECTED, then=Value("")), default=F("reason"))
    emptied = {"raw_body": b"", "headers": {}, "sender_event_id": "", "reason": reason}
    return {**emptied, "wiped_at": now, "wiped_by": by}


def _empty(groups: Iterable[AlertGroup]) -> None:
    """The alerts' own states stay: the group may go on."""
    for group in groups:
        group.group_key, group.title, group.labels = "", GONE, {}
        group.fingerprints = {key: {**alert, "name": ""} for key, alert in group.fingerprints.items()}
        group.save(update_fields=["group_key", "title", "labels", "fingerprints"])
