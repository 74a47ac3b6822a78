"""What a playbook may do: a registry that apps add to. An action that is not registered cannot be published.

A local action writes rows only, and they are committed together with its outcome: a worker that dies in it has done
nothing. Any other calls somebody, with no transaction open; it is repeated by itself only where its step says that
this is safe, always under the same key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from incidents.models import Incident

ACTOR = "system:playbook"


@dataclass(frozen=True, slots=True)
class Context:
    """What an action is told. `key` is the same at every attempt of a step; `output` is what it said before."""

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
class Action:
    """`run(context, **arguments)` raises ValidationError, in words, where it cannot. `args` are JSON Schema properties;
    `reaches` says that people or sending outside of a drill would feel it: in a drill it is told and not done."""

    title: str
    run: Callable[..., Done | Later]
    args: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    undo: Callable[[Context, Mapping[str, Any]], str] | None = None
    is_local: bool = True
    reaches: bool = True
    tells: bool = False

    @property
    def words(self) -> str:
        return (self.run.__doc__ or "").strip()

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
