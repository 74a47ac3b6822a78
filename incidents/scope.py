"""What an incident is about: its window, purposes and ways out, checked in words and told in words."""

from collections.abc import Sequence
from datetime import UTC, datetime

from django.core.exceptions import ValidationError
from django.utils import timezone

from consent.models import ExitPath, Purpose
from incidents.models import Incident
from incidents.models.incident import TEXT

# Whether a decision `d` is about what an incident `i` is about.
FITS = """(i.purposes = '{}' OR d.purpose = '*' OR d.purpose = ANY (i.purposes))
         AND (i.exit_paths = '{}' OR d.exit_path = ANY (i.exit_paths))"""


def check_scope(purposes: Sequence[str], exit_paths: Sequence[str]) -> None:
    """Raises ValidationError by field, naming the codes that nobody registered."""
    problems: dict[str, list[str]] = {}
    for field, model, codes in (("purposes", Purpose, purposes), ("exit_paths", ExitPath, exit_paths)):
        known = set(model.objects.filter(code__in=codes).values_list("code", flat=True)) if codes else set()
        if unknown := sorted(set(codes) - known):
            problems[field] = [f"Not registered: {', '.join(unknown)}."]
    if problems:
        raise ValidationError(problems)


def check_window(occurred_from: datetime, occurred_to: datetime | None) -> None:
    """Times with an offset, in the past, in order. Raises ValidationError by field."""
    past(occurred_from, "occurred_from")
    if occurred_to:
        past(occurred_to, "occurred_to")
        if occurred_to < occurred_from:
            raise ValidationError({"occurred_to": "An incident ends after it began."})


def past(moment: datetime, field: str) -> datetime:
    if moment.tzinfo is None:
        raise ValidationError({field: "Give the time with its offset, like 2026-03-01T12:00:00Z."})
    if moment > timezone.now():
        raise ValidationError({field: "This lies in the future. Give a time in the past; an open end is left empty."})
    return moment


def said(text: str, field: str, otherwise: str) -> str:
    """What somebody wrote, without blanks around it. Raises ValidationError with `otherwise` when it is nothing."""
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise ValidationError({field: otherwise})
    try:
        TEXT(text)
    except ValidationError as error:
        raise ValidationError({field: error.message}) from error
    return text


def told_window(incident: Incident) -> str:
    end = _told(incident.occurred_to) if incident.occurred_to else "open"
    return f"{_told(incident.occurred_from)} to {end} UTC"


def told_scope(incident: Incident) -> str:
    purposes = ", ".join(incident.purposes) or "all purposes"
    return f"{purposes}; {', '.join(incident.exit_paths) or 'all ways out'}"


def _told(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
