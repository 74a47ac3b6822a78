"""When change sets acted: for charts and alarms, in words that everybody may read who reads those.

A set's title and reason are for those who may open the set.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from incidents.models import ChangeSet
from incidents.models.incident import IncidentQuerySet

MOMENTS = {"started_at": "begun", "applied_at": "applied", "rolled_back_at": "taken back"}


@dataclass(frozen=True, slots=True)
class Act:
    change: ChangeSet
    done: str
    at: datetime

    def __str__(self) -> str:
        return f"{self.change.ref} {self.done} ({self.change.get_kind_display()})"


def acts(since: datetime, until: datetime, seen: IncidentQuerySet, most: int) -> list[Act]:
    """Of the newest sets that acted in between, the last first. `seen`: the incidents that the reader may see."""
    of_seen = Q(incident=None) | Q(incident__in=seen)
    acted = Q(*[(f"{field}__range", (since, until)) for field in MOMENTS], _connector=Q.OR)
    sets = ChangeSet.objects.filter(of_seen, acted).select_related("incident").order_by("-pk")[:most]
    found = [act for change in sets for act in _acts_of(change) if since <= act.at < until]
    return sorted(found, key=lambda act: (act.at, act.change.pk), reverse=True)[:most]


def _acts_of(change: ChangeSet) -> Iterable[Act]:
    for field, done in MOMENTS.items():
        if at := getattr(change, field):
            yield Act(change, done, at)
