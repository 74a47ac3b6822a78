"""The tab “Playbook” of an incident: what is being done, who did what when, and what its signals call for."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from incidents.models import Incident, PlaybookRun
from incidents.playbooks.actions import REGISTRY
from incidents.playbooks.attaching import suggested
from incidents.playbooks.auditing import GRACE
from incidents.playbooks.signals import in_words

MOST = 10  # runs that the tab shows
SPEAKING = ("text", "title", "value", "scope", "level", "rule", "endpoint")  # arguments that say what they are
COLOURS = {
    "succeeded": "good", "failed": "danger", "unknown": "danger", "waiting": "warning", "waiting_approval": "warning",
    "running": "warning", "stopped": "danger", "undoing": "warning",
}  # fmt: skip


def playbook(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    found = PlaybookRun.objects.filter(incident=incident).select_related("playbook", "version").order_by("-pk")[:MOST]
    runs = list(found.prefetch_related("step_runs"))
    return {"runs": [shown(run) for run in runs], "suggested": suggested(incident)}


def shown(run: PlaybookRun) -> dict[str, Any]:
    now = timezone.now()
    is_late = bool(run.is_open and run.next_at and run.next_at < now - GRACE)
    steps = sorted(run.step_runs.all(), key=lambda step: step.position)
    return {
        "run": run,
        "colour": COLOURS.get(run.state, ""),
        "is_late": is_late,
        "steps": [
            {
                "step": step,
                "is_here": run.is_open and step.position == run.position,
                "colour": COLOURS.get(step.state, ""),
                **told(run.steps[step.position], run.steps),
            }
            for step in steps
        ],
    }


def told(step: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A step's definition in words; `steps` are all of them, since conditions name what was decided before."""
    by = [step["role"].removeprefix("incidents.").replace("_", " ")] if step.get("role") else []
    by += ["needs approval"] if step.get("approval") or step["kind"] == "approval" else []
    by += ["on somebody's word"] if step.get("automatic") is False else []
    return {
        "text": step.get("text", ""),
        "does": _does(step)[:300],
        "when": " and ".join(_condition(condition, steps) for condition in step.get("when", ())),
        "by": ", ".join(by),
        "csf_id": step.get("csf_id", ""),
        "title": step["title"],
        "kind": step["kind"],
    }


def _does(step: Mapping[str, Any]) -> str:
    if "action" in step:
        action = REGISTRY.get(step["action"])
        given = [(name, value) for name, value in step.get("args", {}).items() if isinstance(value, str | int)]
        words = ", ".join(str(value) if name in SPEAKING else f"{name} {value}" for name, value in given)
        return f"{action.title if action else step['action']}{f': {words}' if words else ''}"
    if "seconds" in step:
        return f"{step['seconds'] / 60:g} min"
    if "choices" in step:
        return " / ".join(choice["title"] for choice in step["choices"])
    return "Until " + " and ".join(in_words(condition) for condition in step["expect"]) if "expect" in step else ""


def _condition(condition: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> str:
    """A decision by the words that people chose, anything else as it is."""
    asked = next((step for step in steps if step["key"] == condition.get("step")), None)
    if asked is None:
        return in_words(condition)
    titles = {choice["value"]: choice["title"].partition(",")[0].partition(":")[0] for choice in asked["choices"]}
    wanted = condition["value"] if isinstance(condition["value"], list) else [condition["value"]]
    said = " or ".join(f"“{titles.get(value, value)}”" for value in wanted)
    return f"“{asked['title']}” {'was not' if condition['op'] == 'ne' else 'was'} {said}"
