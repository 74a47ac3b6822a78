"""What is about no single person, for services that asked to be told of incidents. Rows only; `sending` calls them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Min, QuerySet

from messaging.models import Endpoint, WebhookDelivery


@dataclass(frozen=True, slots=True)
class News:
    """`source_id` makes it one event of its kind, however often it is owed; `facts` are JSON, with the incident's ref
    as `incident`."""

    kind: str
    source_id: int
    occurred_at: datetime
    facts: Mapping[str, Any]


def since() -> datetime | None:
    """Since when somebody is told; None: nobody is."""
    begun: datetime | None = _told().aggregate(begun=Min("created_at"))["begun"]
    return begun


def owe(news: Sequence[News]) -> int:
    """Write down what each endpoint is owed of it, once, from when it was made; returns how many events are new."""
    known = WebhookDelivery.objects.filter(
        kind__in=WebhookDelivery.OF_INCIDENTS, source_id__in=[one.source_id for one in news]
    )
    told = set(known.values_list("endpoint_id", "kind", "source_id"))
    rows = [
        WebhookDelivery(
            endpoint=endpoint, kind=one.kind, source_id=one.source_id, occurred_at=one.occurred_at, facts=one.facts
        )
        for endpoint in _told()
        for one in news
        if one.occurred_at >= endpoint.created_at and (endpoint.pk, one.kind, one.source_id) not in told
    ]
    WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _told() -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(about=Endpoint.About.INCIDENTS).exclude(state=Endpoint.State.RETIRED)
