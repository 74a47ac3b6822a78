"""What playbooks say about themselves in words that an officer reads: times, spans, parts, conditions and answers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.apps import apps

from incidents.models import IncidentRole

SIGNS = {"eq": "is", "ne": "is not", "in": "is one of", "gte": "≥", "gt": ">", "lte": "≤", "lt": "<",
         "has": "includes", "begins": "begins with", "none_begin": "has none that begins with"}  # fmt: skip
Step = Mapping[str, Any]


def moment(at: datetime) -> str:
    """With its date, since the line is read later; in UTC, since everybody reads the same line."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    for unit, size, most in (("min", 60, 120), ("h", 3600, 48)):
        if seconds <= most * size:
            return f"{round(seconds / size, 1):g} {unit}"
    return f"{round(seconds / 86_400, 1):g} days"


def whom(role: str) -> str:
    """A part in the incident, or those whom a permission lets do it."""
    if role in IncidentRole.Role.values:
        return IncidentRole.Role(role).label.partition(":")[0]
    name = permissions().get(role, f"can {role.partition('.')[2].replace('_', ' ')}")
    return f"those who {name[:1].lower()}{name[1:]}"


def permissions() -> dict[str, str]:
    """Those of incidents, by their codename with the app's."""
    found: dict[str, str] = {}
    for model in apps.get_app_config("incidents").get_models():
        meta = model._meta
        named = [(f"{verb}_{meta.model_name}", f"Can {verb} {meta.verbose_name}") for verb in meta.default_permissions]
        found |= {f"incidents.{codename}": str(name) for codename, name in [*named, *meta.permissions]}
    return found


def condition(wanted: Mapping[str, Any], steps: Sequence[Step] = ()) -> str:
    """opt outs per minute ≥ 50; of a decision, by the words that people choose: “Why?” was “We did it”."""
    values = wanted["value"] if isinstance(wanted["value"], list) else [wanted["value"]]
    if asked := _asked(wanted, steps):
        said = " or ".join(f"“{_choice(asked, value)}”" for value in values)
        return f"“{asked['title']}” {'was not' if wanted['op'] == 'ne' else 'was'} {said}"
    return f"{_name(wanted)} {SIGNS[wanted['op']]} {', '.join(map(str, values))}"


def answer(wanted: Mapping[str, Any], said: Any, steps: Sequence[Step] = ()) -> str:
    """What was found instead of what was wanted: opt outs per minute 0.0; “Why?” was “Others did”."""
    if asked := _asked(wanted, steps):
        return f"“{asked['title']}” was {f'“{_choice(asked, said)}”' if said else 'not answered'}"
    return f"{_name(wanted)} {told(said)}"


def told(said: Any) -> str:
    return ", ".join(map(str, said)) or "none" if isinstance(said, list) else str(said)


def _name(wanted: Mapping[str, Any]) -> str:
    return str(wanted.get("step", wanted["signal"])).replace("_", " ").replace("-", " ")


def _asked(wanted: Mapping[str, Any], steps: Sequence[Step]) -> Step | None:
    return next((step for step in steps if "step" in wanted and step["key"] == wanted["step"]), None)


def _choice(step: Step, value: Any) -> str:
    titles = {choice["value"]: choice["title"] for choice in step["choices"]}
    return str(titles.get(value, value)).partition(",")[0].partition(":")[0]
