"""A reversed opt-out, or a message after one, closes the gate: what an opt-out would stop is held until people have
contained the incident. Confirmations and what the law asks for go on."""

from django.db import transaction
from django.db.models import QuerySet

from incidents import timeline
from incidents.invariants import standing
from incidents.models import Incident, TimelineEntry
from incidents.timeline import Kind, Source
from messaging.gate import ALLOWED_ANYWAY
from messaging.holding import held_besides, hold_sending, let_go
from messaging.models import MessageClass, SendHold

BY = "system:validation"
CLOSED_BY = ("I2", "I3")
HELD = [str(each) for each in MessageClass if each not in ALLOWED_ANYWAY]
Scope = SendHold.Scope


@transaction.atomic
def close(incident: Incident, why: str) -> int:
    """Hold those classes, also where somebody holds them already: theirs may end. Told on the timeline; returns how
    many were held."""
    held = set(_ours().values_list("value", flat=True))
    new = [value for value in HELD if value not in held]
    for value in new:
        hold_sending(Scope.MESSAGE_CLASS, value, reason=f"{incident.ref}: {why}"[:200], by=BY)
    if new:
        _tell(incident, f"The gate is closed, because {why}. Held: {_named(new)}. Confirmations and what the law asks "
                        "for are still sent.", "closed")  # fmt: skip
    return len(new)


@transaction.atomic
def open_again() -> int:
    """Let go of what was held here once no incident that closes the gate burns. What others hold stays held, and
    what a person let go is not held again until something new is found. Returns how many were let go."""
    holds = list(_ours().order_by("pk"))
    if not holds or is_to_be_closed():
        return 0
    for hold in holds:
        let_go(hold, reason="What closed the gate is contained.", by=BY)
    told = TimelineEntry.objects.filter(kind=Kind.SEND, actor=BY, recorded_at__gte=holds[0].held_at)
    text = f"The gate is open again: {_named([hold.value for hold in holds])} are sent."
    for hold in holds:
        if others := held_besides(hold):
            text += f" {MessageClass(hold.value).label} stays held back by {', '.join(others)}."
    for incident in Incident.objects.filter(pk__in=told.values("incident")).order_by("pk"):
        _tell(incident, text, "open")
    return len(holds)


def _ours() -> QuerySet[SendHold]:
    return SendHold.objects.filter(scope=Scope.MESSAGE_CLASS, held_by=BY, released_at=None)


def is_to_be_closed() -> bool:
    """Something that closes the gate was found, and its incident burns."""
    return any(standing.standing(code).count for code in CLOSED_BY) or any(
        repair.reversed_count for repair in standing.drift()
    )


def _tell(incident: Incident, text: str, new: str) -> None:
    timeline.append(incident, Kind.SEND, text, source=Source.SYSTEM, actor=BY, new=new)


def _named(classes: list[str]) -> str:
    return ", ".join(str(MessageClass(value).label) for value in classes)
