"""Which playbooks an incident calls for: suggested on its page, and started by themselves where they say so."""

from functools import reduce
from operator import or_
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef

from incidents.models import Incident, PlaybookRun, PlaybookVersion
from incidents.playbooks.actions import ACTOR
from incidents.playbooks.hands import start
from incidents.playbooks.signals import Asked, narrowed
from incidents.playbooks.wording import condition

AT_ONCE = 100  # incidents that a version is started for in one round; those that follow have the next one


def in_use() -> list[PlaybookVersion]:
    found = PlaybookVersion.objects.filter(state=PlaybookVersion.State.PUBLISHED, playbook__is_active=True)
    return list(found.select_related("playbook").order_by("playbook__title"))


def suggested(incident: Incident) -> list[tuple[PlaybookVersion, str]]:
    """Those whose signals hold now and that were not started for it, each with what it was found by."""
    if not incident.is_open:
        return []
    done = set(PlaybookRun.objects.filter(incident=incident).values_list("playbook_id", flat=True))
    asked = Asked(incident)
    return [
        (version, found)
        for version in in_use()
        if version.playbook_id not in done and (found := matched(version, asked))
    ]


def matched(version: PlaybookVersion, asked: Asked) -> str:
    """The first of its sets of conditions that all hold, in words; empty: none does."""
    for conditions in version.attached.get("any", ()):
        if asked.all_hold(conditions):
            return " and ".join(condition(each) for each in conditions)
    return ""


def start_by_signals() -> int:
    """Real incidents, declared since a version is in use, that it was never started for; returns how many it began.

    All of them are looked at, however many are open: a storm of others hides none.
    """
    same: dict[str, Any] = {}
    return sum(_start_where_called_for(version, same) for version in in_use() if version.attached.get("starts"))


def _start_where_called_for(version: PlaybookVersion, same: dict[str, Any]) -> int:
    runs = PlaybookRun.objects.filter(incident=OuterRef("pk"), playbook=version.playbook)
    waiting = Incident.objects.open().filter(
        reduce(or_, map(narrowed, version.attached["any"])),
        ~Exists(runs),
        mode=Incident.Mode.REAL,
        declared_at__gte=version.published_at,
    )
    count = 0
    for incident in waiting.order_by("pk").iterator(chunk_size=500):
        if found := matched(version, Asked(incident, same=same)):
            count += _start(version, incident, found)
            if count == AT_ONCE:
                break
    return count


def _start(version: PlaybookVersion, incident: Incident, found: str) -> int:
    try:
        trigger = PlaybookRun.Trigger.SIGNAL
        return start(incident, version.playbook, reason=f"Its signals: {found}.", by=ACTOR, trigger=trigger)[1]
    except ValidationError:  # closed, or switched off, since we looked
        return 0
