"""Operations on configuration: purposes, ways out, texts, transports, and settings that are changed somewhere else.

Each remembers what stood before, so that it can be taken back. A text goes through its own gates and a second pair of
eyes before; here it goes out, and back.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Model
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from config.history import TrackedModel
from config.models import User
from consent.models import Channel, ExitPath, Purpose
from consent.services import actor_of
from incidents.changes.operations import Args, OnConfiguration, register
from incidents.changes.selecting import CODE, REGION
from incidents.models import ChangeSet
from messaging import publishing
from messaging.holding import hold_sending, known_values, let_go
from messaging.models import SendHold, TemplateVersion

SHORT = 200  # characters of a reason that others keep
REGIMES = {"opt_in": "not contactable", "opt_out": "contactable", "mandatory": "contactable"}

OUT_ELSEWHERE = "opted out themselves by another way"

# People whom the purpose's rule decides about by any way, since no choice of theirs covers it (consent.answers); and
# whether they said no themselves by another.
LEFT_TO_THE_RULE = f"""
    SELECT region, said_no, count(*) FROM (
      SELECT {REGION.format("s")} AS region,
             coalesce(bool_or(c.explicit AND c.state = 'opt_out'), false) AS said_no
        FROM consent_subject s
        LEFT JOIN consent_consent c ON c.subject_id = s.id AND c.state IS NOT NULL AND c.purpose IN (%s, '*')
       WHERE s.merged_into_id IS NULL AND NOT s.is_canary AND s.erased_at IS NULL
       GROUP BY s.id
      HAVING NOT coalesce(bool_or(c.channel = '*'), false)
         AND count(DISTINCT c.channel) < %s) people
     GROUP BY 1, 2 ORDER BY 1, 2
"""


def _found(model: type[Model], code: str, what: str) -> Any:
    found = model._default_manager.filter(pk=code).first()
    if found is None:
        raise ValidationError(f"There is no {what} {code}.")
    return found


def _facts(row: Model, names: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _write(row: TrackedModel, facts: Mapping[str, Any], reason: str, by: User | str) -> None:
    for name, value in facts.items():
        setattr(row, name, value)
    row.full_clean()
    row.save_as(actor_of(by), reason[:SHORT])


def _now(model: type[Model], what: str) -> Any:
    def now(args: Args) -> Any:
        return _facts(_found(model, args["code"], what), args["to"])

    return now


def _wanted(model: type[Model], what: str) -> Any:
    def wanted(args: Args) -> Any:
        row = _found(model, args["code"], what)
        for name, value in args["to"].items():
            setattr(row, name, value)
        row.full_clean()
        return dict(args["to"])

    return wanted


def _set(model: type[Model], what: str) -> Any:
    def apply(args: Args, reason: str, by: User | str) -> Any:
        row = _found(model, args["code"], what)
        before = _facts(row, args["to"])
        _write(row, args["to"], reason, by)
        return {"before": before}

    return apply


def _set_back(model: type[Model], what: str) -> Any:
    def undo(args: Args, told: Any, reason: str, by: User | str) -> str:
        """What somebody changed since stays: only what this set wrote is taken back."""
        row = _found(model, args["code"], what)
        back = {name: old for name, old in told["before"].items() if getattr(row, name) == args["to"][name]}
        kept = sorted(set(told["before"]) - set(back))
        if back:
            _write(row, back, reason, by)
        words = f"{args['code']}: {', '.join(sorted(back)) or 'nothing'} as before"
        return f"{words}; {', '.join(kept)} was changed by somebody since, and stays." if kept else f"{words}."

    return undo


def _fields_of(what: str) -> Callable[[Args], set[str]]:
    return lambda args: {f"the {name} of the {what} {args['code']}" for name in args["to"]}


def _transport(args: Args) -> set[str]:
    return {f"the transport {args['transport']}"}


def _impact(args: Args) -> list[dict[str, Any]]:
    """The matrix of people for whom the rule decides: by what they would be answered before and after. Who left by
    another way stands apart: by that one they stay out."""
    purpose = Purpose.objects.get(pk=args["code"])
    before, after = REGIMES[purpose.regime], REGIMES[args["to"].get("regime", purpose.regime)]
    if before == after:
        return []
    with connection.cursor() as cursor:
        cursor.execute(LEFT_TO_THE_RULE, [purpose.code, len(Channel.values)])
        rows = cursor.fetchall()
    return [
        {
            "purpose": purpose.code,
            "region": region,
            "before": f"{before}, and {OUT_ELSEWHERE}" if said_no else before,
            "after": after,
            "count": count,
        }
        for region, said_no, count in rows
    ]


def _version(args: Args) -> TemplateVersion:
    found = TemplateVersion.objects.filter(template=args["template"], number=args["version"])
    version = found.select_related("template").first()
    if version is None:
        raise ValidationError(f"There is no version {args['version']} of {args['template']}.")
    return version


def _used_version(args: Args) -> Any:
    used = TemplateVersion.objects.published(args["template"]).first()
    return used and used.number


def _approved_version(args: Args) -> Any:
    version = _version(args)
    if version.state != TemplateVersion.State.APPROVED:
        raise ValidationError(f"{version} is {version.get_state_display()}: have it checked and approved first.")
    if (used := _used_version(args)) and used > version.number:
        raise ValidationError(f"v{used} is newer and in use, so this one would be used by nobody: make a draft of it.")
    return version.number


def _publish(args: Args, reason: str, by: User | str) -> Any:
    publishing.publish(_version(args), reason=reason[:SHORT], by=by)
    return {"version": args["version"]}


def _retire(args: Args, told: Any, reason: str, by: User | str) -> str:
    version = _version(args)
    if version.state != TemplateVersion.State.PUBLISHED:
        return f"{version} is {version.get_state_display()} already."
    publishing.retire(version, reason=reason[:SHORT], by=by)
    return f"{version} is retired; v{_used_version(args)} is used."


def _standing(args: Args) -> list[SendHold]:
    held = SendHold.objects.active(timezone.now()).filter(scope=SendHold.Scope.TRANSPORT, value=args["transport"])
    return list(held)


def _is_held(args: Args) -> bool:
    return bool(_standing(args))


def _known(wanted: bool) -> Any:
    def known(args: Args) -> Any:
        if args["transport"] not in known_values(SendHold.Scope.TRANSPORT):
            raise ValidationError(f"There is no transport {args['transport']}.")
        return wanted

    return known


def _hold(args: Args, reason: str, by: User | str) -> Any:
    if _standing(args):
        return {"hold": None}
    made = hold_sending(SendHold.Scope.TRANSPORT, args["transport"], reason=reason[:SHORT], by=by)
    return {"hold": made.pk}


def _hold_back(args: Args, told: Any, reason: str, by: User | str) -> str:
    held = SendHold.objects.filter(pk=told["hold"], released_at=None).first() if told["hold"] else None
    if held is None:
        return f"{args['transport']} is not held by this set any more."
    let_go(held, reason=reason[:SHORT], by=by)
    return f"{args['transport']} is let go."


def _release(args: Args, reason: str, by: User | str) -> Any:
    held = _standing(args)
    for hold in held:
        let_go(hold, reason=reason[:SHORT], by=by)
    ends = [hold.until for hold in held if hold.until]
    return {"was_held": bool(held), "until": max(ends).isoformat() if ends and len(ends) == len(held) else None}


def _release_back(args: Args, told: Any, reason: str, by: User | str) -> str:
    """Until when it was held before, and not for longer."""
    until = parse_datetime(told.get("until") or "")
    if not told["was_held"] or _standing(args):
        return f"{args['transport']} stands as before."
    if until and until <= timezone.now():
        return f"{args['transport']} was held until {until:%Y-%m-%d %H:%M %Z}: that is over, and it is used."
    hold_sending(SendHold.Scope.TRANSPORT, args["transport"], reason=reason[:SHORT], by=by, until=until)
    return f"{args['transport']} is held again."


def _declared(args: Args, reason: str, by: User | str) -> Any:
    return {"before": args["before"]}


def _declared_back(args: Args, told: Any, reason: str, by: User | str) -> str:
    """Nobody here can change it back: sending is held where the author said so, and people are told what to do."""
    words = f"Set {args['name']} back to {told['before']!r} by hand: it is changed outside of this product."
    if "hold_lane" not in args:
        return words
    hold_sending(SendHold.Scope.LANE, args["hold_lane"], reason=reason[:SHORT], by=by)
    return f"{words} Until then the lane {args['hold_lane']} is held: let go of it afterwards."


TEXT = {"type": "string", "maxLength": 500}
LINE = {"type": "string", "minLength": 1, "maxLength": 100}


def _to(**properties: Any) -> dict[str, Any]:
    return {
        "code": CODE,
        "to": {"type": "object", "properties": properties, "minProperties": 1, "additionalProperties": False},
    }


def ready() -> None:
    """Which of them there are: called when the app is ready."""
    kind = ChangeSet.Kind.CONFIG
    flag = {"type": "boolean"}
    purpose = _to(
        name=LINE, description={"type": "string"}, regime={"enum": list(Purpose.Regime.values)}, is_covered_by_gpc=flag,
        channels={"type": "array", "items": {"type": "string"}}, is_public=flag,
        position={"type": "integer", "minimum": 0},
    )  # fmt: skip
    register("set_purpose", OnConfiguration(
        title="Change a purpose", kind=kind, args=purpose, required=("code", "to"), now=_now(Purpose, "purpose"),
        wanted=_wanted(Purpose, "purpose"),
        apply=_set(Purpose, "purpose"), undo=_set_back(Purpose, "purpose"),
        touches=_fields_of("purpose"), impact=_impact,
        changes_regime=lambda args: "regime" in args["to"],
    ))  # fmt: skip
    path = _to(name=LINE, owner=LINE, url=TEXT, is_active=flag)
    register("set_exit_path", OnConfiguration(
        title="Change a way out", kind=kind, args=path, required=("code", "to"), now=_now(ExitPath, "way out"),
        wanted=_wanted(ExitPath, "way out"),
        apply=_set(ExitPath, "way out"), undo=_set_back(ExitPath, "way out"),
        touches=_fields_of("way out"),
    ))  # fmt: skip
    text = {"template": LINE, "version": {"type": "integer", "minimum": 1}}
    register("publish_template", OnConfiguration(
        title="Publish a text", kind=ChangeSet.Kind.TEMPLATE, args=text, required=("template", "version"),
        now=_used_version, wanted=_approved_version, apply=_publish, undo=_retire,
        touches=lambda args: {f"the text {args['template']}"},
    ))  # fmt: skip
    transport = {"transport": LINE}
    register("hold_transport", OnConfiguration(
        title="Pass a transport by", kind=kind, args=transport, required=("transport",), now=_is_held,
        wanted=_known(True), apply=_hold, undo=_hold_back, touches=_transport,
    ))  # fmt: skip
    register("release_transport", OnConfiguration(
        title="Use a transport again", kind=kind, args=transport, required=("transport",),
        now=_is_held, wanted=_known(False), apply=_release, undo=_release_back,
        touches=_transport,
    ))  # fmt: skip
    outside = {"name": LINE, "before": TEXT, "after": TEXT, "hold_lane": {"const": "bulk"}}
    register("declare_setting", OnConfiguration(
        title="Tell of a setting that is changed elsewhere", kind=kind, args=outside,
        required=("name", "before", "after"), now=lambda args: args["after"], wanted=lambda args: args["after"],
        apply=_declared, undo=_declared_back, touches=lambda args: {f"the setting {args['name']}"},
    ))  # fmt: skip
