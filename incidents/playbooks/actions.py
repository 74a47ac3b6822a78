"""What a playbook may do: a registry that apps add to. An action that is not registered cannot be published.

A local action writes some rows, at once, and they are committed together with its outcome: a worker that dies in it has
done nothing. Any other takes its time, or calls somebody, with no transaction of ours open; where nobody knows how that
ended it says Unknown, and it is repeated by itself only where it or its step says that this is safe, always under the
same key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from incidents.models import Incident, PlaybookRun, StepRun

ACTOR = "system:playbook"


@dataclass(frozen=True, slots=True)
class Context:
    """What an action is told. `key` is the same at every attempt of a step; `output` is what it said before."""

    run_id: int
    incident: Incident
    key: str
    reason: str
    started_by: str
    output: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """`words` for the timeline; `undo`, JSON that the action's own undo is given, where there is something to undo."""

    words: str
    output: Mapping[str, Any] = field(default_factory=dict)
    undo: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """Begun, and not over: asked again after so many seconds, with this output."""

    words: str
    output: Mapping[str, Any]
    seconds: int = 30


@dataclass(frozen=True, slots=True)
class Unknown:
    """Called, and nobody knows if it was done. Only of an action that is not local."""

    words: str


@dataclass(frozen=True, slots=True)
class Action:
    """`run(context, **arguments)` raises ValidationError, in words, where it cannot. `args` are JSON Schema properties;
    `withdraw` ends what it began and was Later, where nobody waits for it any more; `is_safe_to_repeat`: done twice it
    does no harm, which only what is not local needs to say; `reaches` says that people or sending outside of a drill
    would feel it: in a drill it is told and not done."""

    title: str
    run: Callable[..., Done | Later | Unknown]
    args: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    undo: Callable[[Context, Mapping[str, Any]], str] | None = None
    withdraw: Callable[[Context], str] | None = None
    is_local: bool = True
    is_safe_to_repeat: bool = False
    reaches: bool = True
    tells: bool = False

    @property
    def words(self) -> str:
        """For whoever writes a playbook."""
        return " ".join((self.run.__doc__ or "").split())

    def problems_of(self, args: Mapping[str, Any]) -> list[str]:
        schema = {
            "type": "object", "properties": dict(self.args), "required": list(self.required),
            "additionalProperties": False,
        }  # fmt: skip
        return [error.message for error in Draft202012Validator(schema).iter_errors(args)]


REGISTRY: dict[str, Action] = {}


def register(name: str, action: Action) -> None:
    """Called in an app's ready(). Raises ValueError for a name that is taken."""
    if REGISTRY.get(name, action) != action:
        raise ValueError(f"Another action is called {name}.")
    REGISTRY[name] = action


def of(run: PlaybookRun, step: StepRun) -> Action | None:
    """The action of a step; None for a step that does nothing by itself, and where its app is gone."""
    return REGISTRY.get(run.steps[step.position].get("action", ""))


def context_of(run: PlaybookRun, step: StepRun) -> Context:
    output = {name: value for name, value in step.output.items() if name != "later"}
    reason = f"{run.incident.ref}, {run.playbook}: {step.title}"
    return Context(run.pk, run.incident, step.idempotency_key, reason, run.started_by, output)


def withdraw(run: PlaybookRun, step: StepRun) -> str:
    """End what an unfinished step began; returns what that was, in words. A later attempt begins anew."""
    action = of(run, step)
    if action is None or action.withdraw is None:
        return ""
    words = action.withdraw(context_of(run, step))
    step.output = {}
    return words
