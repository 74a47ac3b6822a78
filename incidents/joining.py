"""What is heard again of an open incident, when it is worse, began earlier or is about more than was known.

While it is in triage it becomes so. Afterwards people have judged it: they are told, and their word stands.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from config.models import User
from consent.services import actor_of
from incidents.changing import look_back, note_moments
from incidents.models import Incident


def take_in(
    incident: Incident,
    *,
    by: User | str,
    severity: str,
    occurred_from: datetime,
    purposes: Sequence[str] = (),
    exit_paths: Sequence[str] = (),
) -> str:
    """Into an incident in triage, which the caller has locked; what changed in words, empty where nothing did.

    No purpose, or no way out, means here that none was named.
    """
    if incident.status != Incident.Status.TRIAGE:
        return ""
    changed = []
    if severity < incident.severity:
        incident.severity = severity
        changed.append(f"now {incident.get_severity_display()}")
    is_earlier = occurred_from < incident.occurred_from
    if is_earlier:
        incident.occurred_from = occurred_from
        changed.append(f"it began earlier, {occurred_from.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    if further := _further(incident, purposes, exit_paths):
        incident.purposes = sorted({*incident.purposes, *(purposes if incident.purposes else ())})
        incident.exit_paths = sorted({*incident.exit_paths, *(exit_paths if incident.exit_paths else ())})
        changed.append(f"it is also about {', '.join(further)}")
    if not changed:
        return ""
    incident.full_clean()
    incident.save_as(actor_of(by), "Heard again")
    if is_earlier:
        note_moments(incident, ["occurred_from"], by=by)
    if is_earlier or further:
        look_back(incident, "widened")
    return "; ".join(changed)


def reported(incident: Incident, severity: str, purposes: Sequence[str] = (), exit_paths: Sequence[str] = ()) -> str:
    """In words what is worse or more than people have judged it to be; empty while it is in triage."""
    if incident.status == Incident.Status.TRIAGE:
        return ""
    worse = [f"reported as {Incident.Severity(severity).label}"] if severity < incident.severity else []
    further = _further(incident, purposes, exit_paths)
    return "; ".join([*worse, *([f"reported for {', '.join(further)}"] if further else [])])


def with_news(text: str, news: str) -> str:
    """A line, and in a sentence after it what `take_in` or `reported` said."""
    return f"{text.rstrip('.')}. {news[0].upper()}{news[1:]}." if news else text


def _further(incident: Incident, purposes: Sequence[str], exit_paths: Sequence[str]) -> list[str]:
    """Codes that it is not about; an incident that names none is about all."""
    pairs = ((incident.purposes, purposes), (incident.exit_paths, exit_paths))
    return [code for known, named in pairs if known for code in sorted(set(named) - set(known))]
