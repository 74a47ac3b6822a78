"""The actions that come with the product: the guard, sending, notices, updates, tasks, clocks and calls to services."""

import json
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.models import GuardChange
from consent.services import guard_level, set_guard
from incidents import affected, clocks, follow_ups, validation
from incidents.models import FollowUp, IncidentClockRule, ValidationRun
from incidents.playbooks.actions import ACTOR, Action, Context, Done, Later, Unknown, register
from incidents.playbooks.relying import LEVELS, guard_before, one_at_a_time, who_guards, who_holds
from incidents.playbooks.wording import moment
from incidents.timeline import Source
from messaging import notices
from messaging.holding import hold_sending, let_go
from messaging.models import Endpoint, Notice, SendHold
from messaging.propagation import endpoints
from messaging.propagation.calling import post
from messaging.signing import ID, SIGNATURE, TIMESTAMP, sign

SHORT = 200  # characters of a reason that others keep
LONGER = "Held for longer: "


def guard(context: Context, level: str, may_lower: bool = False) -> Done:
    """Set the guard. A stricter one stays, unless `may_lower` is said and no other open playbook needs it."""
    one_at_a_time()
    before, (floor, other) = guard_level(), who_guards(context)
    undo = {"before": guard_before(context, before), "after": before}
    if not _stricter(level, before):
        wanted = max(level, floor, key=LEVELS.index) if may_lower else before
        if not _stricter(before, wanted):
            needed = f": {other} needs it" if may_lower and before != level and other else ""
            output = {"guard": before, "needs": level}
            return Done(f"The guard stays at {before}{needed}.", output, undo if undo["before"] != before else None)
        level, undo = wanted, {"before": before}
    set_guard(level, reason=context.reason[:SHORT], by=ACTOR)
    words = f"The guard went from {before} to {level}."
    return Done(words, {"guard": level, "needs": level}, undo | {"after": level})


def guard_back(context: Context, undo: Mapping[str, Any]) -> str:
    """As it was, or as another open playbook needs it. What a person set meanwhile stays."""
    one_at_a_time()
    level, (floor, other) = guard_level(), who_guards(context)
    if _stricter(level, undo["after"]) or (level != undo["after"] and not _is_ours()):
        return f"The guard is {level} meanwhile, and stays so."
    wanted = max(undo["before"], floor, key=LEVELS.index)
    if wanted == level or (_stricter(undo["after"], undo["before"]) and _stricter(wanted, level)):
        return f"The guard stays at {level}{f': {other} needs it' if other and wanted == floor else ''}."
    set_guard(wanted, reason=f"Taken back: {context.reason}"[:SHORT], by=ACTOR)
    return f"The guard is {wanted} again."


def _is_ours() -> bool:
    """The guard is as a playbook set it."""
    return GuardChange.objects.order_by("-pk").values_list("changed_by", flat=True).first() == ACTOR


def _stricter(one: str, other: str) -> bool:
    return LEVELS.index(one) > LEVELS.index(other)


def hold(context: Context, scope: str, value: str, minutes: int | None = None) -> Done:
    """Hold back a lane, a class of messages, a text or a transport; `minutes` ends it by itself. A hold that ends
    before is taken over by one that lasts."""
    one_at_a_time()
    until = timezone.now() + timedelta(minutes=minutes) if minutes else None
    output, undo = {"holds": f"{scope}:{value}"}, {"scope": scope, "value": value}
    standing = _standing(scope, value)
    if standing and (standing.until is None or (until and until <= standing.until)):
        words = f"{standing} is held already, by {standing.held_by}."
        if standing.held_by != ACTOR:  # theirs to let go
            return Done(words, {"hold": standing.pk})
        return Done(words, output | {"hold": standing.pk}, undo)
    if standing:
        let_go(standing, reason=f"{LONGER}{context.reason}"[:SHORT], by=ACTOR)
    made = hold_sending(scope, value, reason=context.reason[:SHORT], by=ACTOR, until=until)
    return Done(f"Held back: {made}.", output | {"hold": made.pk}, undo)


def hold_back(context: Context, undo: Mapping[str, Any]) -> str:
    one_at_a_time()
    held = _standing(undo["scope"], undo["value"])
    if held is None:
        return "Somebody let go already."
    if held.held_by != ACTOR:
        return f"{held} stays held back by {held.held_by}."
    return _let_go(context, held, f"Taken back: {context.reason}")[0]


def release(context: Context, scope: str, value: str) -> Done:
    """Let go what a playbook held back; what a person held, and what another open playbook needs, stays held."""
    one_at_a_time()
    output = {"let_go": f"{scope}:{value}"}
    held = _standing(scope, value)
    if held is None:
        return Done("Nothing of this is held back.", output)
    if held.held_by != ACTOR:
        raise ValidationError(f"{held.held_by} holds {held}: {held.reason} Ask them, and let go on its page.")
    words, is_over = _let_go(context, held, context.reason)
    return Done(words, output | {"hold": held.pk}, {"scope": scope, "value": value} if is_over else None)


def release_back(context: Context, undo: Mapping[str, Any]) -> str:
    return hold(context, undo["scope"], undo["value"]).words


def _standing(scope: str, value: str) -> SendHold | None:
    found = SendHold.objects.active(timezone.now()).filter(scope=scope, value=value)
    return max(found, key=lambda hold: hold.held_by == ACTOR, default=None)  # what others hold besides is theirs


def _let_go(context: Context, held: SendHold, reason: str) -> tuple[str, bool]:
    """The last who needs it lets go. A hold that was taken over goes on until it would have ended."""
    if other := who_holds(context, f"{held.scope}:{held.value}"):
        return f"{held} stays held back: {other} needs it.", False
    let_go(held, reason=reason[:SHORT], by=ACTOR)
    before = SendHold.objects.filter(scope=held.scope, value=held.value, pk__lt=held.pk).order_by("-pk").first()
    if before and before.until and before.until > timezone.now() and before.released_reason.startswith(LONGER):
        words = f"As {before.held_by} held it: {before.reason}"
        hold_sending(held.scope, held.value, reason=words[:SHORT], by=ACTOR, until=before.until)
        return f"{held} stays held back until {moment(before.until)}, as {before.held_by} said.", True
    return f"Let go: {held}.", True


def notice(
    context: Context, template: str, title: str, purpose: str = "", facts: Mapping[str, Any] | None = None
) -> Done | Later:
    """Write a notice to everybody the incident touched, count it, and wait: people approve it on its own page. Then it
    is sent. It ends well once it is being sent. `{ref}` in a fact is the incident's number."""
    made = _written(context)
    if made is None:
        said = {name: value.replace("{ref}", context.incident.ref) for name, value in (facts or {}).items()}
        with transaction.atomic():
            made = notices.write(
                title, template=template, context=said, cohort_kind=Notice.Kind.INCIDENT, purpose=purpose,
                reason=context.reason[:500], incident_id=context.incident.pk, by=ACTOR,
            )  # fmt: skip
            made = notices.count(made, reason="Counted by its playbook", by=ACTOR)
    output = {"notice": made.pk, "ref": made.ref}
    if "notice" not in context.output:
        return Later(f"{made.ref} is written to {made.to_write} people and waits for approval on its page.", output)
    if made.state == Notice.State.CANCELLED:
        raise ValidationError(f"{made.ref} was cancelled by {made.cancelled_by}.")
    if made.state == Notice.State.APPROVED:
        made = notices.start(made, reason="Approved; sent by its playbook", by=ACTOR)
    if made.state in Notice.OPEN:
        return Later(f"{made.ref} waits for approval on its page.", output)
    return Done(f"{made.ref} is {made.get_state_display()}.", output, {"notice": made.pk})


def _written(context: Context) -> Notice | None:
    """The notice of this step, also where whoever wrote it went away before they said so."""
    if "notice" in context.output:
        return Notice.objects.get(pk=context.output["notice"])
    ours = Notice.objects.filter(incident_id=context.incident.pk, created_by=ACTOR, reason=context.reason[:500])
    return ours.filter(state__in=Notice.OPEN).order_by("-pk").first()


def notice_withdrawn(context: Context) -> str:
    """What nobody waits for any more is not approved later by mistake."""
    ours = _written(context)
    waiting = Notice.objects.lean().filter(state__in=Notice.OPEN).select_for_update(of=("self",))
    written = waiting.filter(pk=ours.pk).first() if ours else None
    if written is None:
        return ""
    notices.cancel(written, reason=f"Nobody waits for it: {context.reason}"[:SHORT], by=ACTOR)
    return f"{written.ref} is cancelled."


def notice_back(context: Context, undo: Mapping[str, Any]) -> str:
    sent = Notice.objects.get(pk=undo["notice"])
    if sent.state in (Notice.State.DONE, Notice.State.CANCELLED):
        return f"{sent.ref} is {sent.get_state_display()}: what was sent stays sent."
    notices.cancel(sent, reason=f"Taken back: {context.reason}"[:SHORT], by=ACTOR)
    return f"{sent.ref} is cancelled; what was sent stays sent."


def update(context: Context, text: str) -> Done:
    """Tell those who wait for word about the incident, on its timeline."""
    clocks.post_update(context.incident, text, by=ACTOR, source=Source.PLAYBOOK)
    return Done("An update was posted.")


def task(context: Context, title: str, kind: str = "corrective", days: int = 7) -> Done:
    """A follow-up for whoever leads the incident; where nobody leads, for whoever started the playbook."""
    owner = context.incident.commander or _person(context.started_by)
    if owner is None:
        raise ValidationError("Nobody leads this incident: name a commander, then try again.")
    due_on = timezone.now().date() + timedelta(days=days)
    work = follow_ups.add_follow_up(
        context.incident, title, kind=kind, owner=owner, due_on=due_on, by=ACTOR, source=Source.PLAYBOOK
    )
    return Done(f"To do by {due_on:%Y-%m-%d}, {owner}: {title}", {"follow_up": work.pk}, {"follow_up": work.pk})


def task_back(context: Context, undo: Mapping[str, Any]) -> str:
    work = FollowUp.objects.select_related("incident").get(pk=undo["follow_up"])
    if work.state != FollowUp.State.OPEN:
        return f"{work} is {work.get_state_display()} already."
    follow_ups.drop(work, reason="The playbook was taken back", by=ACTOR, source=Source.PLAYBOOK)
    return f"Dropped: {work}"


def clock(context: Context, rule: str) -> Done:
    """Start a legal clock. Which law applies is a person's decision: put one before it."""
    found = IncidentClockRule.objects.filter(pk=rule, is_active=True).first()
    if found is None:
        raise ValidationError(f"There is no rule {rule} in use.")
    if context.incident.clocks.filter(rule=found, state="running").exists():
        return Done(f"{rule} is running already.")
    clocks.start_clock(context.incident, found, reason=context.reason[:SHORT], by=ACTOR)
    return Done(f"{rule} is running.")


def seal(context: Context) -> Done:
    """Count the decisions tied so far and keep a digest of their ids, so that it can be proved whom it touched."""
    sealed = affected.seal_and_tell(context.incident, reason=context.reason[:SHORT], by=ACTOR)
    return Done(f"Sealed: {sealed}.", {"seal": sealed.pk})


def validate(context: Context) -> Done | Later:
    """Have all invariants asked at once, by whoever asks them all the time, and wait for what they answer. What is
    broken and must never be has an incident of its own."""
    if "since" not in context.output:
        validation.soon()
        return Later("All invariants are being asked.", {"since": timezone.now().isoformat()}, 5)
    since = datetime.fromisoformat(context.output["since"])
    made = ValidationRun.objects.of_everything().filter(started_at__gte=since).order_by("started_at").first()
    if made is None:
        return Later("All invariants are being asked.", context.output, 5)
    broken = f": {', '.join(made.broken)}" if made.broken else ""
    return Done(f"Validated: {made.get_verdict_display()}{broken}.", {"validation": str(made.pk)})


def webhook(context: Context, endpoint: str, event: str = "incident.playbook", note: str = "") -> Done | Unknown:
    """Call a registered endpoint once, signed with its own secret (Standard Webhooks). The id of the call is the same
    at every attempt, so that the other side can tell a repetition. A restricted incident's title is not told."""
    to = Endpoint.objects.filter(name=endpoint, state=Endpoint.State.ACTIVE).first()
    if to is None:
        raise ValidationError(f"There is no active endpoint {endpoint}: register it, or let it be called again.")
    about = context.incident
    facts = {
        "incident": about.ref, "title": "" if about.is_restricted else about.title, "severity": about.severity,
        "status": about.status, "mode": about.mode, "note": note,
    }  # fmt: skip
    now = int(time.time())
    told = {"type": event, "timestamp": timezone.now().isoformat(), "data": facts}
    body = json.dumps(told, separators=(",", ":")).encode()
    signatures = " ".join(sign(secret, context.key, now, body) for secret in endpoints.secrets_of(to))
    headers = {
        "Content-Type": "application/json", "User-Agent": f"Holdfast/{settings.VERSION}", ID: context.key,
        TIMESTAMP: str(now), SIGNATURE: signatures,
    }  # fmt: skip
    answer = post(to.url, body, headers)
    if answer.status is None and answer.error not in NEVER_SENT:
        return Unknown(f"{endpoint} may have it: {answer}"[:500])
    if not answer.is_taken:
        raise ValidationError(f"{endpoint} did not take it: {answer}"[:500])
    return Done(f"{endpoint} took it: {answer}.", {"status": answer.status})


def _person(actor: str) -> User | None:
    name = actor.removeprefix("user:") if actor.startswith("user:") else ""
    return User.objects.filter(username=name, is_active=True, is_service=False).first() if name else None


NEVER_SENT = ("address_refused", "no_connection")  # what `post` says before anything was sent
LINE = {"type": "string", "minLength": 1, "maxLength": 200}
SCOPE = {
    "scope": {"enum": [str(scope) for scope in SendHold.Scope.values]},
    "value": {"type": "string", "minLength": 1, "maxLength": 50},
}


def ready() -> None:
    """Which of them there are: called when the app is ready."""
    level = {"level": {"enum": LEVELS}, "may_lower": {"type": "boolean"}}
    minutes = {"minutes": {"type": "integer", "minimum": 1, "maximum": 10_080}}
    register("set_guard", Action("Set the guard", guard, level, ("level",), guard_back))
    register("hold_sending", Action("Hold sending back", hold, SCOPE | minutes, ("scope", "value"), hold_back))
    register("release_sending", Action("Let sending go", release, SCOPE, ("scope", "value"), release_back))
    text = {
        "template": LINE,
        "title": LINE,
        "purpose": {"type": "string"},
        "facts": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    register(
        "send_notice",
        Action(
            "Send a notice", notice, text, ("template", "title"), notice_back, notice_withdrawn,
            is_local=False, is_safe_to_repeat=True, tells=True,
        ),
    )  # fmt: skip
    words = {"text": {"type": "string", "minLength": 1, "maxLength": 2000}}
    register("post_update", Action("Post an update", update, words, ("text",), reaches=False, tells=True))
    work = {"title": LINE, "kind": {"enum": list(FollowUp.Kind.values)}, "days": {"type": "integer", "minimum": 1}}
    register("assign_task", Action("Assign a task", task, work, ("title",), task_back, reaches=False))
    register("start_clock", Action("Start a legal clock", clock, {"rule": LINE}, ("rule",)))
    register("start_validation", Action("Look for broken promises", validate, reaches=False))
    register("seal_ties", Action("Seal the ties", seal, is_local=False, is_safe_to_repeat=True, reaches=False))
    call = {"endpoint": LINE, "event": LINE, "note": {"type": "string", "maxLength": 1000}}
    register("call_webhook", Action("Call a service", webhook, call, ("endpoint",), is_local=False, tells=True))
