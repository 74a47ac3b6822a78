"""The guard follows the incidents: raised while one about choices burns, relaxed when the last of them is contained.

What a person sets by hand stands: from then on only an incident that is declared, or burns again, after it counts.
Opt-outs are accepted at every level.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Max, Q

from consent.models import GuardChange
from consent.services import guard_level, set_guard
from incidents import timeline
from incidents.invariants import standing
from incidents.models import Incident, TimelineEntry
from incidents.timeline import Kind, Source
from incidents.vocabulary import IncidentType

BY = "system:incidents"
Level = GuardChange.Level
LEVELS = [str(level) for level in Level]  # from the mildest to the strictest
FREEZING = (IncidentType.RESUBSCRIBED,)
FREEZING_KEY = "restore"  # how the key of an incident begins whose database went back in time
PROTECTING = (
    IncidentType.LOST, IncidentType.NOT_HONOURED, IncidentType.LATE, IncidentType.SIGNAL_IGNORED,
    IncidentType.OVER_SUPPRESSION, IncidentType.IDENTITY, IncidentType.SCANNER, IncidentType.DRIFT,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    level: str
    by: Sequence[Incident]


@transaction.atomic
def follow() -> int:
    """Set the guard as the incidents ask for; returns 1 where it was changed. Two who follow at once take turns."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('incidents.guarding'))")
    by_hand = GuardChange.objects.filter(changed_by__startswith="user:").order_by("-pk").first()
    base = _strictest(_base(by_hand), Level.OBSERVE)
    wanted = _wanted(by_hand)
    level, now_at = _strictest(base, wanted.level), guard_level()
    newest = GuardChange.objects.order_by("-pk").first()
    is_ours = newest is not None and newest.changed_by == BY
    if level == now_at or (LEVELS.index(level) < LEVELS.index(now_at) and not is_ours):
        return 0
    if LEVELS.index(level) > LEVELS.index(now_at):
        refs = ", ".join(incident.ref for incident in wanted.by)
        told, reason = list(wanted.by), f"Open and not contained: {refs}"
    elif wanted.by:
        told, reason = _told(), "What asked for more is contained"
    else:
        told, reason = _told(), "The last incident about choices is contained"
    set_guard(level, reason=reason[:200], by=BY)
    for incident in told:
        text = f"The guard went from {now_at} to {level}. {reason}. Opt-outs are accepted at every level."
        timeline.append(incident, Kind.GUARD, text, source=Source.GUARD, actor=BY, old=now_at, new=level)
    return 1


def _base(by_hand: GuardChange | None) -> str:
    """What holds without us: the newest level that somebody else set."""
    others = GuardChange.objects.exclude(changed_by=BY).order_by("-pk").values_list("level", flat=True)
    return others.first() or (by_hand.level if by_hand else Level.OBSERVE)


def _wanted(by_hand: GuardChange | None) -> Wanted:
    """The level that the burning incidents ask for, and those that ask for it."""
    about = Q(type__in=[*FREEZING, *PROTECTING]) | Q(dedup_key__startswith=FREEZING_KEY)
    reversing = {repair.incident.survivor.pk for repair in standing.drift() if repair.reversed_count}
    burning = Incident.objects.filter(
        about | Q(pk__in=reversing), mode=Incident.Mode.REAL, status__in=standing.BURNING
    ).order_by("pk")
    if by_hand:
        began = Q(timeline__kind__in=[Kind.DECLARED, Kind.STATUS], timeline__new__in=standing.BURNING)
        burning = burning.annotate(burns_since=Max("timeline__recorded_at", filter=began)).filter(
            burns_since__gt=by_hand.changed_at
        )
    found = list(burning[:50])
    freezing = [i for i in found if i.type in FREEZING or i.dedup_key.startswith(FREEZING_KEY) or i.pk in reversing]
    if freezing:
        return Wanted(Level.FREEZE, freezing)
    return Wanted(Level.PROTECT, found) if found else Wanted(Level.OBSERVE, [])


def _told() -> list[Incident]:
    """The incidents whose story says that they raised it, since somebody else last set it."""
    others = GuardChange.objects.exclude(changed_by=BY).order_by("-pk").first()
    lines = TimelineEntry.objects.filter(kind=Kind.GUARD, actor=BY)
    if others:
        lines = lines.filter(recorded_at__gt=others.changed_at)
    return list(Incident.objects.filter(pk__in=lines.values("incident")).order_by("pk")[:50])


def _strictest(*levels: str) -> str:
    return max((str(level) for level in levels), key=LEVELS.index)
