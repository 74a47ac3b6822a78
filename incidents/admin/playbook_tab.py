"""The tab “Playbook” of an incident: what is being done, who did what when, and what its signals call for."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from incidents.models import Incident, PlaybookRun, StepRun
from incidents.playbooks.actions import REGISTRY
from incidents.playbooks.attaching import suggested
from incidents.playbooks.auditing import GRACE
from incidents.playbooks.signals import in_words

MOST = 10  # runs that the tab shows
COLOURS = {
    "succeeded": "good", "failed": "danger", "unknown": "danger", "waiting": "warning", "waiting_approval": "warning",
    "running": "warning", "stopped": "danger", "undoing": "warning",
}  # fmt: skip


def playbook(incident: Incident, request: HttpRequest) -> dict[str, Any]:
    found = incident.playbook_runs.select_related("playbook", "version").order_by("-pk")[:MOST]
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
                **told(run.steps[step.position]),
            }
            for step in steps
        ],
    }


def told(step: dict[str, Any]) -> dict[str, Any]:
    """A step's definition in words."""
    does = ""
    if "action" in step:
        action = REGISTRY.get(step["action"])
        args = ", ".join(
            f"{name} {value}" for name, value in step.get("args", {}).items() if isinstance(value, str | int)
        )
        does = f"{action.title if action else step['action']}{f': {args}' if args else ''}"
    if "seconds" in step:
        does = f"{step['seconds'] / 60:g} min"
    if "choices" in step:
        does = " / ".join(choice["title"] for choice in step["choices"])
    if "expect" in step:
        does = "Until " + " and ".join(in_words(condition) for condition in step["expect"])
    by = [step["role"].removeprefix("incidents.").replace("_", " ")] if step.get("role") else []
    by += ["needs approval"] if step.get("approval") or step["kind"] == "approval" else []
    by += ["on somebody's word"] if step.get("automatic") is False else []
    return {
        "text": step.get("text", ""),
        "does": does[:300],
        "when": " and ".join(in_words(condition) for condition in step.get("when", ())),
        "by": ", ".join(by),
        "csf_id": step.get("csf_id", ""),
        "title": step["title"],
        "kind": step["kind"],
        "ends": StepRun.ENDED,
    }
