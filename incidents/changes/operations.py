"""What a change set may do: a registry, like that of playbooks' actions. What is not registered cannot be planned.

An operation on choices says which keys it wants how, as a SELECT; planning finds out what that would change. One on
configuration says what stands now and what would stand, does it, and takes it back. A set holds one sort only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from config.models import User
from consent.bulk import Selected
from consent.models import Cause, Choice
from incidents.changes import selecting
from incidents.models import ChangeSet

Args = Mapping[str, Any]
KEY = {"purpose": selecting.CODE, "channel": selecting.CHANNEL}
MOST = 20  # operations of one set
ROWS = "rows"  # of a script, which nobody approves
LISTED = ("import", "sync_segment")  # read rows that come beside them


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`args` are JSON Schema properties."""

    title: str
    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def problems_of(self, args: Args) -> list[str]:
        schema = {
            "type": "object", "properties": dict(self.args), "required": list(self.required),
            "additionalProperties": False,
        }  # fmt: skip
        return [error.message for error in Draft202012Validator(schema).iter_errors(args)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnChoices(Operation):
    """`wanted(change, args)`: a SELECT of subject_id, purpose, channel, choice, decided_at. `cause`: of decisions."""

    wanted: Callable[[ChangeSet, Args], Selected]
    cause: str
    selector: str = "must"  # be given; or "may", for people only; or "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnConfiguration(Operation):
    """`now(args)` is what stands, JSON; `wanted(args)` what would, and it raises ValidationError where that cannot be;
    `apply(args, reason, by)` does it and returns what `undo(args, told, reason, by)` needs, which answers in words.
    `touches(args)`: what of it is changed, in words; two operations of a set change different things."""

    now: Callable[[Args], Any]
    wanted: Callable[[Args], Any]
    apply: Callable[[Args, str, User | str], Any]
    undo: Callable[[Args, Any, str, User | str], str]
    touches: Callable[[Args], set[str]]
    impact: Callable[[Args], list[dict[str, Any]]] = lambda args: []
    changes_regime: Callable[[Args], bool] = lambda args: False

    def before(self, args: Args) -> Any:
        return args["before"] if "before" in self.args else self.now(args)


REGISTRY: dict[str, OnChoices | OnConfiguration] = {}


def register(name: str, operation: OnChoices | OnConfiguration) -> None:
    """Called in an app's ready(). Raises ValueError for a name that is taken."""
    if REGISTRY.get(name, operation) != operation:
        raise ValueError(f"Another operation is called {name}.")
    REGISTRY[name] = operation


def problems_of(operations: Sequence[Args], selector: Args) -> list[str]:
    """Everything that is wrong with what an author wrote, in words, so that it can be mended in one go."""
    if not isinstance(operations, list) or not 1 <= len(operations) <= MOST:
        return [f"operations: a list of 1 to {MOST} of them."]
    found: list[str] = []
    for number, told in enumerate(operations, 1):
        if not isinstance(told, dict) or set(told) - {"operation", "args"} or "operation" not in told:
            found.append(f'operation {number}: {{"operation": name, "args": {{…}}}}.')
        elif told["operation"] not in REGISTRY:
            known = ", ".join(sorted(REGISTRY))
            found.append(f"operation {number}: there is no {told['operation']}. Known: {known}.")
        else:
            wrong = REGISTRY[told["operation"]].problems_of(told.get("args", {}))
            found += [f"operation {number}, {told['operation']}: {problem}" for problem in wrong]
    if found:
        return found
    named = [told["operation"] for told in operations]
    if len(named) > 1 and ROWS in named:
        return ["operations: the rows of a script stand alone. Make two sets of it."]
    if sum(name in LISTED for name in named) > 1:
        return ["operations: a set has one list of rows. Make one for each import or segment."]
    chosen = [REGISTRY[told["operation"]] for told in operations]
    if len({isinstance(one, OnChoices) for one in chosen}) > 1:
        return ["operations: a set writes choices or changes configuration. Make two of it."]
    told_to = [(one, told.get("args", {})) for one, told in zip(chosen, operations, strict=True)]
    return _met_twice(told_to) or _mixed_causes(chosen) or _selector_problems(told_to, selector)


def _met_twice(chosen: Sequence[tuple[Operation, Args]]) -> list[str]:
    """The second one would be planned on what stands before the first, and the first found changed afterwards."""
    first: dict[str, int] = {}
    found: list[str] = []
    for number, (one, args) in enumerate(chosen, 1):
        for thing in sorted(one.touches(args)) if isinstance(one, OnConfiguration) else ():
            if first.setdefault(thing, number) != number:
                found.append(f"operations {first[thing]} and {number} both change {thing}. Make two sets of it.")
    return found


def _mixed_causes(chosen: Sequence[Operation]) -> list[str]:
    """A batch is written under one cause: the log would say of some of its rows what led to others."""
    if len({one.cause for one in chosen if isinstance(one, OnChoices)}) > 1:
        titles = " and ".join(dict.fromkeys(f"“{one.title}”" for one in chosen))
        return [f"operations: {titles} are logged under different causes. Make two sets of it."]
    return []


def _selector_problems(chosen: Sequence[tuple[Operation, Args]], selector: Args) -> list[str]:
    wants = {one.selector if isinstance(one, OnChoices) else "no" for one, _ in chosen}
    if "must" not in wants and not selector:
        return []
    if wants == {"no"}:
        return ["selector: these operations say themselves what they are about; leave it out."]
    found = selecting.problems_of(selector)
    if "must" not in wants and set(selector) - selecting.OF_PEOPLE:
        found.append("selector: this operation is for people who never decided: ask for subjects or regions only.")
    if selector.get("never_asked") and not all({"purpose", "channel"} <= {*args, *selector} for _, args in chosen):
        found.append("selector: whoever was never asked has no key yet: name purpose and channel.")
    return found


def kind_of(operations: Sequence[Args]) -> str:
    """By its first operation."""
    return REGISTRY[operations[0]["operation"]].kind


def of(change: ChangeSet) -> list[tuple[OnChoices | OnConfiguration, Args]]:
    return [(REGISTRY[told["operation"]], told.get("args", {})) for told in change.operations]


def on_choices(change: ChangeSet) -> list[tuple[OnChoices, Args]]:
    return [(one, args) for one, args in of(change) if isinstance(one, OnChoices)]


def on_configuration(change: ChangeSet) -> list[tuple[OnConfiguration, Args]]:
    return [(one, args) for one, args in of(change) if isinstance(one, OnConfiguration)]


def _set_choice(change: ChangeSet, args: Args) -> Selected:
    """The selected consents get another choice; with purpose and channel, people's key of that name does."""
    purpose, channel = (args.get(name, "") for name in KEY)
    if change.selector.get("never_asked"):
        purpose, channel = (args.get(name) or change.selector[name] for name in KEY)
    if purpose and channel and selecting.asks_people_only(change.selector):
        picked = selecting.people(change.selector, purpose, channel)
    else:
        picked = selecting.keys(change.selector, purpose, channel)
    return Selected(
        f"SELECT k.a, k.b, k.c, %s::text, NULL::timestamptz FROM ({picked.sql}) AS k(a, b, c)",
        [args["choice"], *picked.parameters],
    )


def _backfill(change: ChangeSet, args: Args) -> Selected:
    """Who never decided gets a default, which any choice of theirs outweighs."""
    picked = selecting.people({**change.selector, "never_asked": True}, args["purpose"], args["channel"])
    return Selected(
        f"SELECT k.a, k.b, k.c, %s::text, NULL::timestamptz FROM ({picked.sql}) AS k(a, b, c)",
        [args["choice"], *picked.parameters],
    )


def _restore(change: ChangeSet, args: Args) -> Selected:
    """The selected keys get the state back that they had at a moment; who had none then is left alone."""
    picked = selecting.keys(change.selector)
    return Selected(
        f"""SELECT k.a, k.b, k.c, h.state, NULL::timestamptz FROM ({picked.sql}) AS k(a, b, c, consent)
              JOIN LATERAL (SELECT state FROM consent_historicalconsent h
                             WHERE h.id = k.consent AND h.changed_at <= %s ORDER BY h.version DESC LIMIT 1) h
                ON h.state IS NOT NULL""",
        [*picked.parameters, args["moment"]],
    )


def _sync_segment(change: ChangeSet, args: Args) -> Selected:
    """The people of a list get the choice, and whoever else has it by nobody's own act gets the other one."""
    key, choice = [args["purpose"], args["channel"]], args["choice"]
    other = Choice.OPT_IN if choice == Choice.OPT_OUT else Choice.OPT_OUT
    listed = (
        "SELECT coalesce(s.merged_into_id, s.id) AS id FROM incidents_changerow r "
        "JOIN consent_subject s ON s.id = r.subject_id WHERE r.change_set_id = %s"
    )
    return Selected(
        f"""WITH listed AS MATERIALIZED ({listed})
            SELECT id, %s::text, %s::text, %s::text, NULL::timestamptz FROM listed
             UNION ALL
            SELECT c.subject_id, c.purpose, c.channel, %s::text, NULL::timestamptz
              FROM consent_consent c JOIN consent_subject s ON s.id = c.subject_id
             WHERE {selecting.LIVING} AND c.purpose = %s AND c.channel = %s AND c.state = %s
               AND NOT EXISTS (SELECT FROM listed l WHERE l.id = c.subject_id)""",
        [change.pk, *key, choice, str(other), *key, choice],
    )


def _rows(change: ChangeSet, args: Args) -> Selected:
    """What a script or an import brought: `incidents.changes.staging`."""
    return Selected(
        "SELECT subject_id, purpose, channel, choice, decided_at FROM incidents_changerow WHERE change_set_id = %s",
        [change.pk],
    )


Kind = ChangeSet.Kind
CHOOSE = {"choice": selecting.CHOICE, **KEY}

CHOICES = {
    "set_choice": OnChoices(
        title="Set choices", kind=Kind.BULK_EDIT, wanted=_set_choice, cause=Cause.DEFAULT, args=CHOOSE,
        required=("choice",),
    ),
    "backfill": OnChoices(
        title="Give a default to whoever never decided", kind=Kind.BACKFILL, wanted=_backfill, cause=Cause.DEFAULT,
        args=CHOOSE, required=("choice", "purpose", "channel"), selector="may",
    ),
    "restore": OnChoices(
        title="Give back the state of a moment", kind=Kind.RESTORE, wanted=_restore, cause=Cause.REPAIR,
        args={"moment": selecting.MOMENT}, required=("moment",),
    ),
    "sync_segment": OnChoices(
        title="Make a list exactly opted in or out", kind=Kind.SEGMENT, wanted=_sync_segment,
        cause=Cause.AUTOMATED_SCRIPT, args=CHOOSE, required=("choice", "purpose", "channel"), selector="no",
    ),
    "import": OnChoices(
        title="Write imported rows", kind=Kind.IMPORT, wanted=_rows, cause=Cause.IMPORT, selector="no",
        args={"file": {"type": "string", "pattern": "^IM-[0-9]{1,9}$"}},
    ),
    ROWS: OnChoices(
        title="Write the rows of a script", kind=Kind.MIGRATION, wanted=_rows, cause=Cause.AUTOMATED_SCRIPT,
        selector="no",
    ),
}  # fmt: skip


def ready() -> None:
    """Which of them there are: called when the app is ready."""
    for name, operation in CHOICES.items():
        register(name, operation)
