"""Reading what was stored: each source by one reader at a time, in the order of receipt, a hundred in one transaction.

In one transaction the groups are locked and saved once for all of them, so that a storm of repeats costs little. A
storm of causes takes several, since the numbers of incidents are given one by one until a transaction ends. Where one
delivery of the hundred cannot be used, each is read for itself, and only that one is put aside.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from incidents.alerts.adapters import ADAPTERS
from incidents.alerts.grouping import HEARTBEAT, Fate, Folding
from incidents.alerts.posted import known_as
from incidents.alerts.reading import Alert, Notification, Rules, Severity, Unreadable, in_utf8, plain
from incidents.models import AlertDelivery, AlertSource

log = structlog.get_logger(__name__)
Outcome = AlertDelivery.Outcome
AT_ONCE = 100
SAVE = """
    UPDATE incidents_alertdelivery d
       SET outcome = n.outcome, group_id = n.group_id, more_groups = n.more_groups::bigint[], reason = n.reason,
           sender_event_id = n.event_id, parsed_at = %s
      FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[])
           AS n (id, outcome, group_id, more_groups, reason, event_id)
     WHERE d.id = n.id
"""


@dataclass(slots=True)
class Read:
    """A delivery and what it says, or why it says nothing. `event_id` is known from the body alone."""

    delivery: AlertDelivery
    notifications: list[Notification]
    unreadable: str = ""
    event_id: str = ""


def read_stored() -> int:
    """Read what is waiting; returns how many."""
    waiting = AlertDelivery.objects.to_read().filter(source=OuterRef("pk"))
    sources = AlertSource.objects.filter(Exists(waiting)).values_list("pk", flat=True)
    return sum(_read_source(pk) for pk in list(sources))


def _read_source(source_id: int) -> int:
    count = 0
    while True:
        with transaction.atomic():
            # A firing and its resolution must not change places, so the source's row lets one reader in.
            source = AlertSource.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=source_id).first()
            stored = AlertDelivery.objects.to_read().filter(source_id=source_id)
            deliveries = list(stored.order_by("received_at", "pk")[:AT_ONCE]) if source else []
            if source is None or not deliveries:
                return count
            count += _read_or_put_aside(source, deliveries)
            if heard := [one.received_at for one in deliveries if not one.is_test]:
                AlertSource.objects.filter(pk=source_id).update(last_seen_at=max(heard))


def _read_or_put_aside(source: AlertSource, deliveries: Sequence[AlertDelivery]) -> int:
    """What cannot be used is put aside with a reason: the next delivery of its source is not kept waiting for ever."""
    try:
        with transaction.atomic():
            return read(source, deliveries)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(deliveries) > 1:
            for delivery in AlertDelivery.objects.filter(pk__in=[one.pk for one in deliveries]).order_by(
                "received_at", "pk"
            ):
                _read_or_put_aside(source, [delivery])
            return len(deliveries)
        log.exception("alert_not_read", delivery=deliveries[0].pk)
        [again] = AlertDelivery.objects.filter(pk=deliveries[0].pk)
        _settle(again, Fate(Outcome.REJECTED, f"It could not be used: {error}"))
        _save([again])
        return 1


def read(source: AlertSource, deliveries: Sequence[AlertDelivery]) -> int:
    """Open or join the incidents of their groups, and write each delivery's fate. In the caller's transaction.

    Returns how many of them it came to: those after many new incidents are for the next transaction.
    """
    rules = Rules(source.mapping, source.severity_map, source.type)
    found = [_parsed(source, delivery, rules) for delivery in deliveries]
    known = _known(source, found)
    names = {said.group_key for one in found for said in one.notifications}
    folding = Folding(source, {*names, HEARTBEAT}, timezone.now())
    if heard := [one.received_at for one in deliveries if not one.is_test]:
        _is_back(folding, source, heard)
    settled: list[AlertDelivery] = []
    for one in found:
        if folding.has_opened_enough:
            break
        settled.append(one.delivery)
        _settle(one.delivery, _fate(one, folding, known))
        if one.event_id and one.event_id not in known:
            one.delivery.sender_event_id = known_as(one.event_id)
            known[one.event_id] = one.delivery.pk
    folding.save()
    _save(settled)
    return len(settled)


def _parsed(source: AlertSource, delivery: AlertDelivery, rules: Rules) -> Read:
    headers = {**delivery.headers, "content-type": delivery.headers.get("content-type", delivery.content_type)}
    try:
        body = in_utf8(bytes(delivery.raw_body), headers["content-type"])
        said = ADAPTERS[source.kind](body, headers, rules)
    except Unreadable as unreadable:
        return Read(delivery, [], str(unreadable))
    return Read(delivery, said, "", "" if delivery.sender_event_id else _event_id(said))


def _event_id(said: Sequence[Notification]) -> str:
    """Of a batch its events' ids together: sent again as a whole, it is known as the same."""
    ids = [one.event_id for one in said if one.event_id]
    if len(ids) < 2:
        return "".join(ids)
    return "batch:" + hashlib.sha256("\n".join(ids).encode()).hexdigest()


def _known(source: AlertSource, found: Iterable[Read]) -> dict[str, int]:
    """Which of the events were here before, in the number of their first delivery."""
    wanted = {known_as(one.event_id): one.event_id for one in found if one.event_id}
    if not wanted:
        return {}
    there = AlertDelivery.objects.filter(source=source, sender_event_id__in=wanted)
    return {wanted[event_id]: pk for event_id, pk in there.values_list("sender_event_id", "pk")}


def _fate(one: Read, folding: Folding, known: dict[str, int]) -> Fate:
    if one.unreadable:
        return Fate(Outcome.REJECTED, one.unreadable)
    if one.delivery.is_test:
        titles = ", ".join(said.title for said in one.notifications) or "nothing"
        return Fate(Outcome.MONITORED, f"A test, which opens nothing. It was understood as: {titles}")
    if one.event_id in known:
        return Fate(Outcome.DUPLICATE, f"The same event as delivery #{known[one.event_id]}.")
    if not one.notifications:
        return Fate(Outcome.EMPTY, "It holds no event about an alert, so it changes nothing.")
    return _together([folding.hear(said, one.delivery.received_at) for said in one.notifications])


def _together(fates: Sequence[Fate]) -> Fate:
    """Of several events in one delivery: the first that did something is its outcome, and all are told."""
    if len(fates) == 1:
        return fates[0]
    telling = next((fate for fate in fates if fate.outcome == Outcome.ACCEPTED), fates[0])
    counts: dict[str, int] = {}
    for fate in fates:
        counts[Outcome(fate.outcome).label] = counts.get(Outcome(fate.outcome).label, 0) + 1
    told = ", ".join(f"{count} {words}" for words, count in counts.items())
    groups = {fate.group.pk: fate.group for fate in fates if fate.group}
    refs = dict.fromkeys(group.ref for group in groups.values() if group.ref)
    reason = f"{len(fates)} events: {told}. {' '.join(refs)}".strip()
    return Fate(telling.outcome, reason, telling.group, tuple(sorted(groups)))


def _is_back(folding: Folding, source: AlertSource, heard: Sequence[datetime]) -> None:
    """The next delivery ends a silence that was noticed."""
    if folding.is_firing(HEARTBEAT):
        said = Notification(
            group_key=HEARTBEAT,
            title=f"{source.name} is silent",
            severity=Severity.SEV3,
            alerts=(Alert("heartbeat", False, "heartbeat"),),
            note="heard again. The incident stays open until somebody closes it.",
        )
        folding.hear(said, min(heard))


def _settle(delivery: AlertDelivery, fate: Fate) -> None:
    delivery.outcome, delivery.group, delivery.reason = fate.outcome, fate.group, plain(fate.reason)[:300]
    delivery.more_groups = [group for group in fate.groups if group != delivery.group_id]


def _save(deliveries: Sequence[AlertDelivery]) -> None:
    columns: list[list[Any]] = [
        [one.pk for one in deliveries],
        [one.outcome for one in deliveries],
        [one.group_id for one in deliveries],
        ["{" + ",".join(map(str, one.more_groups)) + "}" for one in deliveries],
        [one.reason for one in deliveries],
        [one.sender_event_id for one in deliveries],
    ]
    with connection.cursor() as cursor:
        cursor.execute(SAVE, [timezone.now(), *columns])
