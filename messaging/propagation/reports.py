"""A report of what a service holds: begun under a name, sent in parts, finished; and findings that a person settles."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from messaging.models import Difference, Endpoint, StateReport
from messaging.propagation.differing import BY


def begin(endpoint: Endpoint, name: str, *, by: User | str, held_at: datetime | None = None) -> StateReport:
    """The report of that name, begun now where there is none. `held_at`: when the service looked; now, if not told.

    Raises ValidationError for a retired endpoint, and for a moment that lies ahead.
    """
    if endpoint.state == Endpoint.State.RETIRED:
        raise ValidationError({"endpoint": "It is retired: nothing is compared with it any more."})
    now = timezone.now()
    if held_at and held_at > now:
        raise ValidationError({"held_at": "This moment lies in the future."})
    facts: dict[str, Any] = {"held_at": held_at or now, "started_by": actor_of(by)}
    report, _ = StateReport.objects.get_or_create(endpoint=endpoint, name=name, defaults=facts)
    return report


@transaction.atomic
def finish(report: StateReport, *, is_complete: bool, by: User | str) -> StateReport:
    """No more parts come. Of a complete report, whom it does not name the service does not know: what differed about
    them is settled. A second call changes nothing.
    """
    row = StateReport.objects.select_for_update().get(pk=report.pk)
    if row.finished_at:
        return row
    row.finished_at, row.finished_by, row.is_complete = timezone.now(), actor_of(by), is_complete
    row.save()
    if is_complete:
        unnamed = Difference.objects.open().filter(endpoint=row.endpoint_id, found_at__lt=row.started_at)
        unnamed.exclude(last_report=row).update(
            settled_at=timezone.now(), settled_by=BY, settled_reason=f"Not named in {row.name}"[:200]
        )
    return row


@transaction.atomic
def settle(difference: Difference, *, reason: str, by: User | str) -> Difference:
    """A person has seen to it. Should a later report still show it, it is found anew. Raises ValidationError."""
    if not reason.strip():
        raise ValidationError("Say what was done about it.")
    row = Difference.objects.select_for_update().get(pk=difference.pk)
    if row.settled_at:
        raise ValidationError("It is settled already.")
    row.settled_at, row.settled_by, row.settled_reason = timezone.now(), actor_of(by), reason.strip()[:200]
    row.save()
    return row
