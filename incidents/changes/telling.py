"""What a change set says about itself: a line in the story of its incident, and an incident where it did harm."""

from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents import timeline
from incidents.facts import describe
from incidents.models import ChangeSet, Incident
from incidents.relations import name_cause
from incidents.services import open_or_join
from incidents.timeline import Kind, Source
from incidents.vocabulary import IncidentType

ACTOR = "system:change-sets"
LONGEST = 500  # characters of a reason that the record keeps


def save(change: ChangeSet, by: User | str, reason: str) -> None:
    """With who and why in its history. Raises ValidationError where a rule of the record is broken."""
    change.validate_constraints()
    change.save_as(actor_of(by), reason[:LONGEST])


def move(change: ChangeSet, state: str, text: str, *, by: User | str, reason: str = "") -> None:
    """Into another state, saved and told."""
    old, change.state = change.state, state
    save(change, by, reason or text)
    tell(change, text, by=by, old=old, new=state)


def tell(change: ChangeSet, text: str, *, by: User | str = ACTOR, old: str = "", new: str = "") -> None:
    if change.incident is not None:
        line(change.incident, f"{change.ref} {change.title}: {text}", by=by, old=old, new=new)


def line(incident: Incident, text: str, *, by: User | str = ACTOR, old: str = "", new: str = "") -> None:
    source = Source.UI if isinstance(by, User) else Source.SYSTEM
    timeline.append(incident, Kind.CHANGE_SET, text, source=source, actor=actor_of(by), old=old, new=new)


def raise_incident(change: ChangeSet, words: str) -> Incident:
    """What it wrote broke a promise, or nobody can tell that it did not: one incident for the set, told again."""
    now = timezone.now()
    incident, _ = open_or_join(
        f"change-set:{change.pk}", f"{change.ref} broke a promise while it was applied",
        occurred_from=change.started_at or now, detected_at=now, by=ACTOR, severity=Incident.Severity.SEV1,
        purposes=sorted({row["purpose"] for row in change.matrix} - {"*"}), source=Source.SYSTEM, text=words,
        type=IncidentType.RESUBSCRIBED if change.writes_choices else IncidentType.OTHER,
    )  # fmt: skip
    return caused(incident, change)


def raise_near_miss(change: ChangeSet, words: str, prevented_by: str) -> Incident:
    """It would have undone people's own opt-outs, and was stopped before it wrote anything."""
    now = timezone.now()
    incident, is_new = open_or_join(
        f"near-miss:change-set:{change.pk}", f"{change.ref} would have opted people back in against their own choice",
        occurred_from=now, detected_at=now, by=ACTOR, severity=Incident.Severity.SEV4, source=Source.SYSTEM, text=words,
        type=IncidentType.RESUBSCRIBED,
    )  # fmt: skip
    if is_new:
        reason = "It was stopped before it was applied."
        incident = describe(
            incident, reason=reason, by=ACTOR, source=Source.SYSTEM, is_near_miss=True,
            near_miss_prevented_by=prevented_by[:300],
        )  # fmt: skip
    return caused(incident, change)


def caused(incident: Incident, change: ChangeSet) -> Incident:
    if incident.caused_by_change_set == change.ref:
        return incident
    reason = f"It is about {change.title}."
    return name_cause(incident, change.ref, reason=reason, by=ACTOR, source=Source.SYSTEM)
