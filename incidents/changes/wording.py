"""A change set in sentences: what it does and to whom, for those who decide about it and do not read JSON."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from consent.models import ANY, Cause, Channel, Choice
from incidents.changes.operations import REGISTRY, Args
from incidents.changes.policy import policy_of
from incidents.changes.selecting import OF_PEOPLE
from incidents.models import ChangeSet

INTO = {Choice.OPT_IN: "opted in", Choice.OPT_OUT: "opted out"}
DO = {Choice.OPT_IN: "Opt in", Choice.OPT_OUT: "Opt out"}
REGIMES = {
    "opt_in": "contact only those who opted in",
    "opt_out": "contact all but those who opted out",
    "mandatory": "contact everybody: it is owed",
}
FIELDS = {
    "is_covered_by_gpc": "covered by browser signals",
    "is_public": "shown to people",
    "is_active": "in use",
    "url": "address",
    "regime": "rule",
}


def told_operations(change: ChangeSet) -> list[str]:
    """A sentence for each operation, in their order."""
    return [told_operation(one["operation"], one.get("args", {})) for one in change.operations]


def told_operation(name: str, args: Args) -> str:
    if name in SENTENCES:
        return SENTENCES[name](args)
    return REGISTRY[name].title + "." if name in REGISTRY else f"{name}: nobody knows this operation any more."


def told_selector(selector: Mapping[str, Any]) -> str:
    """To whom, in one sentence; empty where the operations say that themselves."""
    if not selector:
        return ""
    return f"{_who(selector)}{''.join(_limits(selector))}."


def told_predicate(predicate: Mapping[str, Any]) -> str:
    """What a rollback is about, in words."""
    if "change_set" in predicate:
        return f"what {predicate['change_set']} wrote"
    if "batch" in predicate:
        return f"what was written with the batch {predicate['batch']}"
    if "import" in predicate:
        return f"what the import {predicate['import']} wrote"
    if "tx" in predicate:
        return f"what was written in the transaction {predicate['tx']}"
    since, until = _moment(predicate["since"]), _moment(predicate["until"])
    return f"what the login {predicate['db_user']} wrote from {since} until {until}"


def told_policy(change: ChangeSet) -> str:
    """How what was written is looked at, and what follows."""
    policy = policy_of(change)
    waits = f", {policy.interval_s} seconds apart" if policy.interval_s else ""
    borne = f"breach number {policy.failure_limit + 1}, or the first of I2,"
    breach = borne if policy.failure_limit else "the first breach"
    doubt = "waits for a person" if policy.inconclusive == "pause" else "is taken back"
    return (
        f"{change.batch_size:,} rows at a time{waits}, each judged before the next, and {policy.count} "
        f"look{'' if policy.count == 1 else 's'} at the whole afterwards; {breach} takes all of it back. "
        f"What cannot be judged {doubt}."
    )


def told_key(args: Args) -> str:
    """For what and by which way, as far as it is said: " for marketing by e-mail"."""
    words = ""
    if "purpose" in args:
        words += " for all purposes" if args["purpose"] == ANY else f" for {args['purpose']}"
    if "channel" in args:
        words += " by every channel" if args["channel"] == ANY else f" by {Channel(args['channel']).label}"
    return words


def _who(selector: Mapping[str, Any]) -> str:
    if selector.get("never_asked"):
        return f"Everybody who was never asked{told_key(selector)}"
    if set(selector) <= OF_PEOPLE:
        return "Everybody"
    state = f"is {INTO[Choice(selector['state'])]}" if "state" in selector else "has a choice"
    whose = {True: " by their own act", False: ", but not by their own act", None: ""}[selector.get("explicit")]
    return f"Everybody who {state}{told_key(selector)}{whose}"


def _limits(selector: Mapping[str, Any]) -> list[str]:
    """The rest of a selector, each with its comma."""
    told = []
    if "decided_after" in selector:
        told.append(f"decided {_moment(selector['decided_after'])} or later")
    if "decided_before" in selector:
        told.append(f"decided before {_moment(selector['decided_before'])}")
    if "cause" in selector:
        told.append(f"because of: {Cause(selector['cause']).label}")
    if "actor" in selector:
        told.append(f"recorded by {selector['actor']}")
    if "batch" in selector:
        told.append(f"in the batch {selector['batch']}")
    if "regions" in selector:
        told.append(f"in the region{'' if len(selector['regions']) == 1 else 's'} {_listed(selector['regions'])}")
    if "subjects" in selector:
        told.append(f"among {len(selector['subjects']):,} named people")
    return [f", {words}" for words in told]


def _set_choice(args: Args) -> str:
    return f"{DO[Choice(args['choice'])]} whoever is selected{told_key(args) or ', for what they were selected by'}."


def _backfill(args: Args) -> str:
    return (
        f"Whoever never decided counts as {INTO[Choice(args['choice'])]}{told_key(args)}, until they decide themselves."
    )


def _restore(args: Args) -> str:
    return f"Give the selected choices back the state that they had at {_moment(args['moment'])}."


def _sync_segment(args: Args) -> str:
    here = Choice(args["choice"])
    there = Choice.OPT_IN if here == Choice.OPT_OUT else Choice.OPT_OUT
    return (
        f"{DO[here]} the people of a list{told_key(args)}; whoever else is {INTO[here]} there by nobody's own act "
        f"becomes {INTO[there]}."
    )


def _set_fields(what: str) -> Callable[[Args], str]:
    def told(args: Args) -> str:
        return (
            f"{what} {args['code']}: {'; '.join(f'{_field(n)} becomes {_value(n, v)}' for n, v in args['to'].items())}."
        )

    return told


def _declared(args: Args) -> str:
    words = f"{args['name']} is changed outside of this product, from {args['before']!r} to {args['after']!r}."
    return f"{words} Bulk mail is held if that must be taken back." if "hold_lane" in args else words


SENTENCES: Mapping[str, Callable[[Args], str]] = {
    "set_choice": _set_choice,
    "backfill": _backfill,
    "restore": _restore,
    "sync_segment": _sync_segment,
    "import": lambda args: f"Write the rows of {args.get('file', 'an import')}.",
    "rows": lambda args: "Write the rows that a script brought.",
    "set_purpose": _set_fields("Purpose"),
    "set_exit_path": _set_fields("Way out"),
    "publish_template": lambda args: f"Publish version {args['version']} of the text {args['template']}.",
    "hold_transport": lambda args: f"Pass the transport {args['transport']} by: nothing is sent with it.",
    "release_transport": lambda args: f"Send with the transport {args['transport']} again.",
    "declare_setting": _declared,
}


def _field(name: str) -> str:
    return FIELDS.get(name, name.replace("_", " "))


def _value(name: str, value: Any) -> str:
    if name == "regime":
        return f"“{REGIMES.get(value, value)}”"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _listed(value) if isinstance(value, list) else f"“{value}”"


def _listed(values: list[Any]) -> str:
    *first, last = [str(value) for value in values] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def _moment(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}".removesuffix(":00") + " UTC"
    except (ValueError, OverflowError):  # no such day: planning says so
        return text
