"""What notifications do to the groups of a source: open, join, resolve. One open group per key, whoever races.

Locks are taken in one order: the incidents of the groups by their ids, then the groups. Closing an incident and tying
decisions to it lock the incident first as well, so nobody waits in a circle.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction

from incidents import joining, timeline
from incidents.alerts.reading import Notification, plain
from incidents.alerts.states import in_order, start_of, state_of, states_of, told
from incidents.changing import locked
from incidents.models import AlertDelivery, AlertGroup, AlertSource, Incident
from incidents.services import declare
from incidents.timeline import Kind, NewLine, Source

Outcome, State = AlertDelivery.Outcome, AlertGroup.State
# Incidents that one transaction opens: whoever declares one meanwhile waits for its number as long as that takes.
MOST_OPENED = 10
MOST_LABELS, LONGEST_LABEL = 50, 200
# Whole columns as arrays: for a hundred rows Django's bulk_update spends more on writing the statement than all else.
SAVE = """
    UPDATE incidents_alertgroup g
       SET state = n.state, is_open = n.is_open, fingerprints = n.fingerprints::jsonb, last_at = n.last_at,
           truncated_count = n.truncated_count, delivery_count = n.delivery_count, told_at = n.told_at,
           first_at = n.first_at, severity = n.severity, incident_id = n.incident_id
      FROM unnest(%s::bigint[], %s::text[], %s::boolean[], %s::text[], %s::timestamptz[], %s::int[], %s::int[],
                  %s::timestamptz[], %s::timestamptz[], %s::text[], %s::bigint[])
           AS n (id, state, is_open, fingerprints, last_at, truncated_count, delivery_count, told_at, first_at,
                 severity, incident_id)
     WHERE g.id = n.id
"""

# Causes of ours, beside those that senders name: no sender can say them, control characters are refused.
HEARTBEAT, OVERFLOW = "\0heartbeat", "\0overflow"


@dataclass(frozen=True, slots=True)
class Fate:
    outcome: str
    reason: str = ""
    group: AlertGroup | None = None
    groups: tuple[int, ...] = ()  # of a batch, all that it told of


class Folding:
    """The groups that a batch is about, locked in the caller's transaction and saved once at its end."""

    def __init__(self, source: AlertSource, group_keys: Iterable[str], now: datetime) -> None:
        self.source, self.now = source, now
        self.groups = _locked(source, {key_of(name) for name in group_keys})
        self.changed: dict[int, AlertGroup] = {}
        self.lines: list[NewLine] = []
        self.opened = 0

    def hear(self, said: Notification, received_at: datetime) -> Fate:
        """Open or join the incident of its group. Nothing that a sender writes makes it fail."""
        if said.told_at:  # a sender whose clock ran far ahead once would silence its cause until then
            said = replace(said, told_at=min(said.told_at, received_at))
        group = self.groups.get(key_of(said.group_key))
        if group and group.told_at and said.told_at and said.told_at < group.told_at:
            return Fate(Outcome.DUPLICATE, "Older than what was heard of it before.", group)
        if not said.alerts:
            return self._news_of(group, said, received_at)
        is_late = False
        if group:
            said, is_late = in_order(group, said, received_at)
        if group is None or not group.is_open:
            if not said.is_firing:
                return self._over(group, said, received_at, is_late=is_late)
            group = self._again(group, received_at) or self._begun(said, received_at)
        return self._folded(group, said, received_at)

    @property
    def has_opened_enough(self) -> bool:
        return self.opened >= MOST_OPENED

    def is_firing(self, group_key: str) -> bool:
        group = self.groups.get(key_of(group_key))
        return group is not None and bool(group.is_open) and group.state == State.FIRING

    def save(self) -> None:
        """The groups as they stand now, and the lines that tell how they came to."""
        _save(list(self.changed.values()))
        if self.lines:
            timeline.append_many(self.lines, source=Source.ALERT, actor=f"alert:{self.source.name}")

    def _folded(self, group: AlertGroup, said: Notification, received_at: datetime) -> Fate:
        before = (group.fingerprints, group.truncated_count, group.state)
        self._take(group, said, received_at)
        group.is_open = True if group.state == State.FIRING else None
        is_news = bool(said.note) or before != (group.fingerprints, group.truncated_count, group.state)
        if group.incident is None:
            if not group.is_open or not self.source.opens_incidents(self.now):
                return self._unopened(group)
            group.incident, is_news = _declared(self.source, group), True
            self.opened += 1
        grown = self._grown(group, group.incident, said)
        if not (is_news or grown):
            return Fate(Outcome.DUPLICATE, "Nothing changed since the last one.", group)
        old = before[2] if before[0] else ""
        news = grown or (joining.reported(group.incident, said.severity) if said.is_firing else "")
        text = joining.with_news(f"{group.title}: {said.note or told(group)}", news)
        self._tell(group, text, received_at, old=old, new=group.state)
        return Fate(Outcome.ACCEPTED, "", group)

    def _grown(self, group: AlertGroup, known: Incident, said: Notification) -> str:
        """By what fires now. The incident is locked, and read again, only where that is more than was known."""
        start = start_of(group)
        is_more = said.severity < known.severity or start < known.occurred_from
        if not (said.is_firing and is_more and known.status == Incident.Status.TRIAGE):
            return ""
        group.incident = locked(known)
        by = f"alert:{self.source.name}"
        return joining.take_in(group.incident, by=by, severity=said.severity, occurred_from=start)

    def _over(self, group: AlertGroup | None, said: Notification, received_at: datetime, *, is_late: bool) -> Fate:
        """Nobody has it open. Its end is kept with its group, so that what comes late of it is known as old."""
        if group:
            self._take(group, said, received_at)
        if is_late:
            return Fate(Outcome.DUPLICATE, "Late: that it is over was heard before.", group)
        return Fate(Outcome.ACCEPTED, "Resolved; nothing was open for this group.", group)

    def _take(self, group: AlertGroup, said: Notification, received_at: datetime) -> None:
        group.fingerprints = states_of(group.fingerprints, said, received_at)
        group.truncated_count = said.truncated
        group.state = state_of(group)
        group.severity = said.severity if said.is_firing else group.severity
        group.delivery_count += 1
        group.last_at = max(group.last_at, received_at)
        group.told_at = max(filter(None, (group.told_at, said.told_at)), default=None)
        self.changed[group.pk] = group

    def _news_of(self, group: AlertGroup | None, said: Notification, received_at: datetime) -> Fate:
        """News without an alert, such as a note at the sender: told where an incident goes on, and opens none."""
        if not said.note or group is None or group.incident is None or not group.incident.is_open:
            # Alertmanager sends no alerts with status resolved; it says nothing about any alert.
            return Fate(Outcome.EMPTY, "It names no alert, so it changes nothing.")
        group.delivery_count += 1
        self.changed[group.pk] = group
        self._tell(group, f"{group.title}: {said.note}", received_at, old="", new=group.state)
        return Fate(Outcome.ACCEPTED, "", group)

    def _tell(self, group: AlertGroup, text: str, received_at: datetime, *, old: str, new: str) -> None:
        if group.incident:
            self.lines.append(NewLine(group.incident.pk, Kind.ALERT, text, received_at, old, new))

    def _unopened(self, group: AlertGroup) -> Fate:
        """What fires is kept in its group meanwhile, and what still does at the end of a silence opens its incident."""
        if not group.is_open:
            return Fate(Outcome.ACCEPTED, "Resolved; nothing was open for this group.", group)
        if self.source.is_silenced(self.now):
            return Fate(
                Outcome.SILENCED, "Silenced; it opens an incident if it still fires when the silence ends.", group
            )
        return Fate(Outcome.MONITORED, "Only watched; it would have opened an incident.", group)

    def _again(self, group: AlertGroup | None, received_at: datetime) -> AlertGroup | None:
        """A cause that comes back while its incident is open belongs to it; so it does while it has none, unwiped."""
        if group is None or (group.incident is None and not group.group_key):
            return None
        if group.incident is None:
            group.first_at = received_at
        elif not group.incident.is_open:
            return None
        group.is_open = True
        return group

    def _begun(self, said: Notification, received_at: datetime) -> AlertGroup:
        """The constraint decides whose it is; whoever comes second joins."""
        key = key_of(said.group_key)
        try:
            with transaction.atomic():
                self.groups[key] = _new(self.source, said, received_at)
        except IntegrityError:
            quicker = _locked(self.source, {key}).get(key)
            if quicker is None or not quicker.is_open:
                raise
            self.groups[key] = quicker
        return self.groups[key]


def open_unopened(source: AlertSource, now: datetime) -> int:
    """Incidents for what was heard while the source opened none and still fires; returns how many, MOST_OPENED at most.

    In the caller's transaction, in which the source's row is locked.
    """
    firing = AlertGroup.objects.select_for_update(no_key=True).unopened().filter(source=source)
    lines = []
    for group in firing.order_by("pk")[:MOST_OPENED]:
        group.incident = _declared(source, group)
        group.save(update_fields=["incident"])
        text = f"{group.title}: heard while it was silenced, and it still fires. {told(group)}"
        lines.append(NewLine(group.incident.pk, Kind.ALERT, text, now, "", group.state))
    timeline.append_many(lines, source=Source.ALERT, actor=f"alert:{source.name}")
    return len(lines)


def key_of(group_key: str) -> bytes:
    return hashlib.sha256(group_key.encode()).digest()


def _locked(source: AlertSource, keys: set[bytes]) -> dict[bytes, AlertGroup]:
    """The newest group of each key; a closed one matters too, while its incident is open."""
    newest = AlertGroup.objects.filter(source=source, key__in=keys).order_by("key", "-pk").distinct("key")
    found = dict(newest.values_list("pk", "incident_id"))
    incidents = Incident.objects.select_for_update(no_key=True).filter(pk__in=found.values()).order_by("pk")
    list(incidents.values_list("pk", flat=True))
    groups = AlertGroup.objects.select_for_update(no_key=True, of=("self",)).select_related("incident")
    return {bytes(group.key): group for group in groups.filter(pk__in=found).order_by("pk")}


def _save(groups: Sequence[AlertGroup]) -> None:
    if not groups:
        return
    columns: list[list[Any]] = [
        [group.pk for group in groups],
        [group.state for group in groups],
        [group.is_open for group in groups],
        [json.dumps(group.fingerprints) for group in groups],
        [group.last_at for group in groups],
        [group.truncated_count for group in groups],
        [group.delivery_count for group in groups],
        [group.told_at for group in groups],
        [group.first_at for group in groups],
        [group.severity for group in groups],
        [group.incident_id for group in groups],
    ]
    with connection.cursor() as cursor:
        cursor.execute(SAVE, columns)


def _new(source: AlertSource, said: Notification, received_at: datetime) -> AlertGroup:
    return AlertGroup.objects.create(
        source=source,
        key=key_of(said.group_key),
        group_key=said.group_key.replace("\0", "this product: "),
        title=said.title,
        severity=said.severity,
        type=said.type,
        labels=_labels(said),
        first_at=received_at,
        last_at=received_at,
    )


def _declared(source: AlertSource, group: AlertGroup) -> Incident:
    """The incident that answers for it from now on. We are aware of it since its first delivery."""
    return declare(
        group.title,
        occurred_from=start_of(group),
        detected_at=group.first_at,
        severity=group.severity,
        type=group.type,
        status=Incident.Status.TRIAGE,
        mode=Incident.Mode.DRILL if source.is_drill else Incident.Mode.REAL,
        by=f"alert:{source.name}",
        source=Source.ALERT,
    )


def _labels(said: Notification) -> dict[str, str]:
    """Those that all of its alerts share, in a form that the database takes."""
    return {
        plain(name)[:LONGEST_LABEL]: plain(value)[:LONGEST_LABEL]
        for name, value in list(said.labels.items())[:MOST_LABELS]
    }
