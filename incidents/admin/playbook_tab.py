"""The tab “Playbook” of an incident: what is being done, who did what when, and what its signals call for."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from incidents.models import Incident, PlaybookRun
from incidents.playbooks.actions import REGISTRY
from incidents.playbooks.attaching import suggested
from incidents.playbooks.auditing import GRACE
from incidents.playbooks.wording import condition, span, whom

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
    by = [f"for {whom(step['role'])}"] if step.get("role") else []
    by += ["needs approval"] if step.get("approval") or step["kind"] == "approval" else []
    by += ["on somebody's word"] if step.get("automatic") is False else []
    return {
        "text": step.get("text", ""),
        "does": _does(step)[:300],
        "when": " and ".join(condition(each, steps) for each in step.get("when", ())),
        "by": ", ".join(by),
        "csf_id": step.get("csf_id", ""),
        "title": step["title"],
        "kind": step["kind"],
    }


def _given(name: str, value: Any) -> str:
    title = name.replace("_", " ")
    return title if value is True else str(value) if name in SPEAKING else f"{title} {value}"


def _does(step: Mapping[str, Any]) -> str:
    if "action" in step:
        action = REGISTRY.get(step["action"])
        given = [(name, value) for name, value in step.get("args", {}).items() if isinstance(value, str | int)]
        words = ", ".join(_given(name, value) for name, value in given if value is not False)
        return f"{action.title if action else step['action']}{f': {words}' if words else ''}"
    if "seconds" in step:
        return span(step["seconds"])
    if "choices" in step:
        return " / ".join(choice["title"] for choice in step["choices"])
    return "Until " + " and ".join(condition(each) for each in step["expect"]) if "expect" in step else ""
