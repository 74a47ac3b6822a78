"""What the steps of a playbook may be, checked before a version is approved; and the digest that an approval is of.

Steps are JSON. Each has a `key`, a `title`, `text` for whoever is on call, and a `kind`:

- action: does `action` with `args`; `automatic: false` waits until somebody says so, `approval: true` until another
  person does
- notify: the same, for actions that tell somebody
- check: waits until all of `expect` hold, or, without it, until somebody says that it is so
- decision: somebody chooses one of `choices`; later steps ask for it in `when`
- wait: `seconds`; they stand in the database
- approval: somebody other than who started it agrees

`when` skips a step unless all of its conditions hold. `timeout` (seconds) ends what waits, `retries` and `retry_after`
repeat what failed, `on_error` says what then: stop, continue, or compensate (undo what was done, the last first).
`compensation` is an action that takes the place of the action's own undo. `role` names who may act: a part in the
incident, or a permission. `safe_to_repeat` is for calls that the other side takes once under one key.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from incidents.models import IncidentRole
from incidents.playbooks import signals
from incidents.playbooks.actions import REGISTRY
from incidents.playbooks.wording import permissions

KINDS = ("check", "action", "decision", "notify", "wait", "approval")
DOES = ("action", "notify")
LONGEST = 604_800  # seconds: a week
USUAL_TIMEOUT = 3600  # of what waits for a person or for something to become true
POLL = 30  # seconds between two looks of a check
MOST_STEPS = 50

SLUG = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,49}$"}
CONDITION = {
    "type": "object",
    "properties": {"signal": {"type": "string"}, "op": {"type": "string"}, "value": {}, "step": SLUG},
    "required": ["signal", "op", "value"],
    "additionalProperties": False,
}
CONDITIONS = {"type": "array", "items": CONDITION, "maxItems": 10}
DEED = {"action": {"type": "string"}, "args": {"type": "object"}}
STEP: dict[str, Any] = {
    "type": "object",
    "properties": {
        "key": SLUG,
        "title": {"type": "string", "minLength": 1, "maxLength": 200},
        "text": {"type": "string", "maxLength": 2000},
        "kind": {"enum": list(KINDS)},
        "csf_id": {"type": "string", "pattern": r"^[A-Z]{2}\.[A-Z]{2}(-[0-9]{2})?$"},
        "when": CONDITIONS,
        "timeout": {"type": "integer", "minimum": 1, "maximum": LONGEST},
        "retries": {"type": "integer", "minimum": 0, "maximum": 10},
        "retry_after": {"type": "integer", "minimum": 0, "maximum": 3600},
        "on_error": {"enum": ["stop", "continue", "compensate"]},
        "role": {"type": "string"},
        "automatic": {"type": "boolean"},
        "approval": {"type": "boolean"},
        "safe_to_repeat": {"type": "boolean"},
        "expect": CONDITIONS | {"minItems": 1},
        "seconds": {"type": "integer", "minimum": 1, "maximum": LONGEST},
        "choices": {
            "type": "array", "minItems": 2, "maxItems": 6,
            "items": {
                "type": "object",
                "properties": {"value": SLUG, "title": {"type": "string", "minLength": 1, "maxLength": 200}},
                "required": ["value", "title"],
                "additionalProperties": False,
            },
        },
        "compensation": {"type": "object", "properties": DEED, "required": ["action"], "additionalProperties": False},
        **DEED,
    },
    "required": ["key", "title", "kind"],
    "additionalProperties": False,
}  # fmt: skip
STEPS = {"type": "array", "minItems": 1, "maxItems": MOST_STEPS, "items": STEP}
ATTACHED = {
    "type": "object",
    "properties": {
        "any": {"type": "array", "items": CONDITIONS | {"minItems": 1}, "maxItems": 10},
        "starts": {"type": "boolean"},
    },
    "additionalProperties": False,
}
ONLY_OF = {"seconds": ("wait",), "choices": ("decision",), "expect": ("check",), "action": DOES, "args": DOES,
           "approval": DOES, "automatic": DOES, "safe_to_repeat": DOES, "compensation": DOES}  # fmt: skip
NEEDS = {"wait": "seconds", "decision": "choices", "action": "action", "notify": "action"}


def digest_of(steps: Sequence[Mapping[str, Any]], attached: Mapping[str, Any]) -> bytes:
    """SHA-256 of both as JSON with sorted keys and no blanks."""
    told = json.dumps({"attached": attached, "steps": steps}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(told.encode()).digest()


def timeout_of(step: Mapping[str, Any]) -> int:
    """Seconds."""
    return int(step.get("seconds") or step.get("timeout", USUAL_TIMEOUT))


def retry_after_of(step: Mapping[str, Any]) -> int:
    """Seconds between two attempts."""
    return int(step.get("retry_after", 30))


def problems_of(steps: Any, attached: Any) -> list[str]:
    """Everything that keeps a version from being approved, in words; empty when it may be."""
    found = [*_shape(STEPS, steps, "Steps"), *_shape(ATTACHED, attached, "Attachment")]
    if found:
        return found
    choices: dict[str, list[str]] = {}
    keys: set[str] = set()
    for step in steps:
        words = _of_step(step, choices)
        if step["key"] in keys:
            words.append("Another step has this key.")
        keys.add(step["key"])
        found += [f"{step['key']}: {word}" for word in words]
        if step["kind"] == "decision":
            choices[step["key"]] = [choice["value"] for choice in step.get("choices", ())]
    for conditions in attached.get("any", ()):
        found += [f"Attachment: {word}" for condition in conditions for word in signals.problems_of(condition, {})]
    if attached.get("starts") and not attached.get("any"):
        found.append("Attachment: what starts by itself says for which signals.")
    return found


def _shape(schema: Mapping[str, Any], told: Any, what: str) -> list[str]:
    errors = Draft202012Validator(schema).iter_errors(told)
    return [f"{what}{''.join(f'/{part}' for part in error.absolute_path)}: {error.message}" for error in errors]


def _of_step(step: Mapping[str, Any], choices: Mapping[str, Sequence[str]]) -> list[str]:
    kind = step["kind"]
    found = [f"{name} is not for {_a(kind)}." for name, kinds in ONLY_OF.items() if name in step and kind not in kinds]
    if kind in NEEDS and NEEDS[kind] not in step:
        found.append(f"{_a(kind).capitalize()} needs {NEEDS[kind]}.")
    for condition in (*step.get("when", ()), *step.get("expect", ())):
        found += signals.problems_of(condition, choices)
    if kind in DOES and "action" in step:
        found += _of_deed(step, kind)
    if step.get("retries") and retry_after_of(step) >= timeout_of(step):
        found.append(
            f"It would never be tried again: retry_after is {retry_after_of(step)}, timeout {timeout_of(step)}."
        )
    if "compensation" in step:
        found += _of_compensation(step["compensation"])
    role = step.get("role", "")
    if role and role not in IncidentRole.Role.values and role not in permissions():
        found.append(f"Nobody has the part {role}: name one of {', '.join(IncidentRole.Role.values)}, or a permission.")
    return found


def _a(kind: str) -> str:
    return f"{'an' if kind[0] == 'a' else 'a'} {kind}"


def _of_deed(step: Mapping[str, Any], kind: str) -> list[str]:
    action = REGISTRY.get(step["action"])
    if action is None:
        return [f"No action is registered as {step['action']}. Known: {', '.join(sorted(REGISTRY))}."]
    found = action.problems_of(step.get("args", {}))
    if kind == "notify" and not action.tells:
        found.append(f"{step['action']} tells nobody: make it an action.")
    if action.is_local and "safe_to_repeat" in step:
        found.append("safe_to_repeat is for calls: what only writes rows is never done twice.")
    if step.get("automatic") is True and step.get("approval"):
        found.append("What waits for approval is not automatic.")
    return found


def _of_compensation(deed: Mapping[str, Any]) -> list[str]:
    action = REGISTRY.get(deed["action"])
    if action is None or not action.is_local:
        return [f"A compensation only writes rows, and is registered: {deed['action']} is not."]
    return [f"compensation: {words}" for words in action.problems_of(deed.get("args", {}))]
