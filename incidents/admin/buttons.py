"""A button for each verb of an incident: what it asks, what it does, and when it is there at all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin import ReasonDialog, action, ask, person, theme_forms
from config.deeds import carry_out
from config.models import User
from incidents import affected, clocks, facts, follow_ups, lifecycle, relations, review, roles, services
from incidents.admin import dialogs, playbook_buttons
from incidents.admin.forms import CommanderDialog, CorrectDialog, ScopeDialog, WindowDialog
from incidents.lifecycle import may_become
from incidents.models import Incident

Status = Incident.Status
Deed = Callable[[Incident, dict[str, Any], User], str]


@dataclass(frozen=True, slots=True)
class Button:
    """`needs` names a permission of IncidentAdmin, `tab` the page that it stands on (empty: all of them)."""

    words: str
    icon: str
    needs: str
    title: str
    submit: str
    deed: Deed
    form: type[theme_forms.BaseDialogForm] = ReasonDialog
    explained: str = ""
    tab: str = ""
    leads_to: str = "timeline"
    shown: Callable[[Incident, User], bool] = lambda incident, by: True


def to(status: str, *, frm: tuple[str, ...] | None = None) -> Callable[[Incident, User], bool]:
    return lambda incident, by: may_become(incident, status) and (frm is None or incident.status in frm)


def is_open(incident: Incident, by: User) -> bool:
    return incident.is_open


def _closed(incident: Incident, given: dict[str, Any], by: User) -> str:
    wanted = {"yes": True, "no": False}.get(given["review"])
    return f"{lifecycle.close(incident, reason=given['reason'], needs_review=wanted, by=by).ref} is closed."


def _reopened(incident: Incident, given: dict[str, Any], by: User) -> str:
    return f"{lifecycle.reopen(incident, **given, by=by).ref} is open again."


def _merged(incident: Incident, given: dict[str, Any], by: User) -> str:
    done = lifecycle.merge_into(incident, given["other"], reason=given["reason"], by=by)
    return f"{done.ref} was merged into {given['other'].ref}; its ties are being taken over."


def _described(incident: Incident, given: dict[str, Any], by: User) -> str:
    if not given["dpv_types"]:
        del given["dpv_types"]
    facts.describe(incident, **given, by=by)
    return "Kept."


def _led(incident: Incident, given: dict[str, Any], by: User) -> str:
    done = services.assign_commander(incident, given["commander"], by=by)
    return f"{done.commander or 'Nobody'} leads {done.ref}."


def _moved(incident: Incident, given: dict[str, Any], by: User) -> str:
    done = services.set_window(incident, given["occurred_from"], given["occurred_to"], reason=given["reason"], by=by)
    return f"{done.ref}: decisions are being looked at again."


def _rescoped(incident: Incident, given: dict[str, Any], by: User) -> str:
    done = services.change_scope(
        incident, purposes=given["purposes"], exit_paths=given["exit_paths"], reason=given["reason"], by=by
    )
    return f"{done.ref}: decisions are being looked at again."


def _sealed(incident: Incident, given: dict[str, Any], by: User) -> str:
    sealed = affected.seal_and_tell(incident, **given, by=by)
    return f"Sealed: {sealed}, SHA-256 {sealed.decisions_hex}."


def _started(incident: Incident, given: dict[str, Any], by: User) -> str:
    clock = clocks.start_clock(incident, given.pop("rule"), **given, by=by)
    return f"{clock.rule_id} is running."


def _of_row(verb: Callable[..., Any], row: str, done: str) -> Deed:
    """A verb about one row that the dialog let choose. Which incident it belongs to the dialog has seen to."""

    def deed(incident: Incident, given: dict[str, Any], by: User) -> str:
        verb(given.pop(row), **given, by=by)
        return done

    return deed


def _of_incident(verb: Callable[..., Any], done: str) -> Deed:
    def deed(incident: Incident, given: dict[str, Any], by: User) -> str:
        verb(incident, **given, by=by)
        return done.format(ref=incident.ref)

    return deed


BUTTONS: dict[str, Button] = {
    "accept": Button(
        "Accept", "check", "work", "Accept it", "Accept", _of_incident(lifecycle.accept, "{ref} is declared."),
        explained="It is an incident: people wait for news about it from now on.",
        shown=to(Status.DECLARED, frm=(Status.TRIAGE,)),
    ),
    "acknowledge": Button(
        "Acknowledge", "visibility", "work", "Acknowledge it", "Acknowledge",
        _of_incident(lifecycle.acknowledge, "{ref} is acknowledged."), dialogs.AcknowledgeDialog,
        explained="Somebody has seen it.", shown=lambda i, by: i.is_open and not i.acknowledged_at,
    ),
    "contain": Button(
        "Contain", "shield", "work", "Contain it", "Contain",
        _of_incident(lifecycle.contain, "{ref} is contained."), dialogs.WhenDialog,
        explained="It does no more harm.", shown=to(Status.CONTAINED),
    ),
    "begin_recovery": Button(
        "Begin recovery", "healing", "work", "Begin recovery", "Begin",
        _of_incident(lifecycle.begin_recovery, "{ref} is recovering."),
        explained="What it broke is being mended.", shown=to(Status.RECOVERING),
    ),
    "begin_monitoring": Button(
        "Begin monitoring", "monitor_heart", "work", "Begin monitoring", "Begin",
        _of_incident(lifecycle.begin_monitoring, "{ref} is being monitored."), dialogs.WhenDialog,
        explained="All is mended, and somebody watches that it stays so.", shown=to(Status.MONITORING),
    ),
    "close": Button(
        "Close incident", "task_alt", "close", "Close it", "Close", _closed, dialogs.CloseDialog,
        explained="It is over, and its time ends now. Alerts that go on firing open a new one. Legal clocks must be "
        "answered first.",
        shown=to(Status.CLOSED),
    ),
    "post_update": Button(
        "Post an update", "campaign", "note", "Post an update", "Post",
        _of_incident(clocks.post_update, "Posted. The clock of the next one starts again."), dialogs.UpdateDialog,
        explained="What those who wait hear about it.", shown=is_open,
    ),
    "describe": Button(
        "Describe", "edit", "work", "Describe it", "Keep", _described, dialogs.DescribeDialog,
        leads_to="facts",
    ),
    "assign_commander": Button(
        "Commander", "assignment_ind", "work", "Who leads", "Assign", _led, CommanderDialog,
        leads_to="people", shown=is_open,
    ),
    "decline": Button(
        "Decline", "block", "work", "It is no incident", "Decline",
        _of_incident(lifecycle.decline, "{ref} is declined."),
        explained="What was tied stays tied as a record; nothing new is.", shown=to(Status.DECLINED),
    ),
    "reopen": Button(
        "Open it again", "replay", "work", "Open it again", "Open", _reopened,
        explained="It burns again, or was one after all. Its time goes on, and the later times are taken back.",
        shown=to(Status.DECLARED, frm=tuple(s for s in Status if s != Status.TRIAGE)),
    ),
    "merge": Button(
        "Merge into another", "merge", "work", "It is the same as another", "Merge", _merged, dialogs.MergeDialog,
        explained="The other one takes over its alerts, its time and scope, and its ties. This cannot be undone.",
        shown=to(Status.MERGED),
    ),
    "set_window": Button(
        "Change when it was", "schedule", "work", "Change when it was", "Change", _moved, WindowDialog,
        explained="Decisions that come to lie inside are tied; those that were tied stay tied.",
    ),
    "change_scope": Button(
        "Change what it is about", "tune", "work", "Change what it is about", "Change", _rescoped, ScopeDialog,
        explained="Decisions that come to belong to it are tied; those that were tied stay tied.",
    ),
    "set_moment": Button(
        "Put a time right", "more_time", "work", "Put a time right", "Keep",
        _of_incident(facts.set_moment, "Kept."), dialogs.MomentDialog, leads_to="facts",
        explained="The order of times is kept. A running legal clock is moved on its own tab.",
    ),
    "restrict": Button(
        "Restrict", "lock", "restrict", "Show it to fewer", "Restrict",
        _of_incident(lambda i, **given: facts.restrict(i, is_restricted=True, **given), "{ref} is restricted."),
        explained="Only those who have a part in it, and officers, see it from now on.",
        shown=lambda i, by: not i.is_restricted,
    ),
    "unrestrict": Button(
        "Show to all", "lock_open", "restrict", "Show it to all", "Show",
        _of_incident(lambda i, **given: facts.restrict(i, is_restricted=False, **given), "{ref} is open."),
        explained="All who may see incidents see it.", shown=lambda i, by: i.is_restricted,
    ),
    "hold_for_law": Button(
        "Legal hold", "gavel", "restrict", "Legal hold and counsel's review", "Keep",
        _of_incident(facts.hold_for_law, "Kept."), dialogs.HoldDialog, leads_to="facts",
    ),
    "correct_note": Button(
        "Correct a note", "edit_note", "note", "Correct a note", "Correct",
        _of_row(services.correct_note, "entry", "Corrected."), CorrectDialog,
        explained="The note stays in the timeline, struck out.", tab="timeline",
    ),
    "pin_line": Button(
        "Pin or unpin a line", "keep", "note", "Keep a line in sight", "Keep",
        _of_row(services.pin_line, "entry", "Done."), dialogs.PinDialog,
        explained="A line that is pinned already is let go.", tab="timeline",
    ),
    "seal": Button(
        "Seal the ties", "fingerprint", "seal", "Seal the ties", "Seal", _sealed,
        explained="Counts them and keeps a digest of their ids, so that it can be proved later whom it touched.",
        tab="decisions", leads_to="decisions",
    ),
    "assume_role": Button(
        "Give a part", "person_add", "role", "Give somebody a part", "Give",
        _of_incident(roles.assume, "Given."), dialogs.RoleDialog, tab="people", leads_to="people",
    ),
    "renounce_role": Button(
        "Lay a part down", "person_remove", "role", "Lay a part down", "Lay down",
        _of_row(roles.renounce, "held", "Laid down."), dialogs.RenounceDialog, tab="people", leads_to="people",
    ),
    "start_clock": Button(
        "Start a legal clock", "timer", "clock", "A rule applies", "Start", _started, dialogs.StartClockDialog,
        explained="You decide that it applies; this only counts down.", tab="clocks", leads_to="clocks",
    ),
    "meet_clock": Button(
        "It was done", "check_circle", "clock", "A clock is met", "Keep",
        _of_row(clocks.meet_clock, "clock", "Kept."), dialogs.MeetClockDialog, tab="clocks", leads_to="clocks",
    ),
    "waive_clock": Button(
        "It does not apply", "timer_off", "clock", "A clock does not apply", "Keep",
        _of_row(clocks.waive_clock, "clock", "Kept."), dialogs.WaiveClockDialog, tab="clocks", leads_to="clocks",
    ),
    "move_clock": Button(
        "Counts from another time", "update", "clock", "It counts from another time", "Move",
        _of_row(clocks.move_clock, "clock", "Moved."), dialogs.MoveClockDialog, tab="clocks", leads_to="clocks",
    ),
    "add_follow_up": Button(
        "Add a follow-up", "add_task", "follow_up", "What must still be done", "Add",
        _of_incident(follow_ups.add_follow_up, "Added."), dialogs.FollowUpDialog, tab="followups", leads_to="followups",
    ),
    "finish_follow_up": Button(
        "Done", "check_circle", "follow_up", "A follow-up is done", "Keep",
        _of_row(follow_ups.finish, "work", "Kept."), dialogs.FinishDialog, tab="followups", leads_to="followups",
    ),
    "reassign_follow_up": Button(
        "Give to another", "swap_horiz", "follow_up", "Another owner or day", "Keep",
        _of_row(follow_ups.reassign, "work", "Kept."), dialogs.ReassignDialog, tab="followups", leads_to="followups",
    ),
    "drop_follow_up": Button(
        "Drop", "delete_sweep", "follow_up", "It will not be done", "Drop",
        _of_row(follow_ups.drop, "work", "Dropped."), dialogs.DropDialog, tab="followups", leads_to="followups",
    ),
    "submit_review": Button(
        "Submit the review", "send", "review", "Submit the review", "Submit",
        _of_incident(lambda i, **given: review.submit(i, **given), "Submitted: a second person approves it."),
        theme_forms.BaseDialogForm, explained="A second person approves it.", tab="review", leads_to="review",
    ),
    "approve_review": Button(
        "Approve the review", "verified", "close", "Approve the review", "Approve",
        _of_incident(lambda i, **given: review.approve(i, **given), "Approved."),
        theme_forms.BaseDialogForm, explained="What it says stays from then on.", tab="review", leads_to="review",
    ),
    "relate": Button(
        "Relate to another", "link", "relation", "Relate it to another", "Relate",
        _of_incident(relations.relate, "Related."), dialogs.OtherIncidentDialog, tab="related", leads_to="related",
    ),
    "name_cause": Button(
        "Caused by a change", "commit", "work", "Which change caused it", "Keep",
        _of_incident(relations.name_cause, "Kept."), dialogs.ChangeSetDialog, tab="related", leads_to="related",
    ),
    **{name: Button(**facts) for name, facts in playbook_buttons.ALL.items()},
}  # fmt: skip

STEPS = ("accept", "contain", "begin_recovery", "begin_monitoring", "close", "post_update")
HERE = (*(name for name, button in BUTTONS.items() if button.tab), "write_review")
# The bar has room for a few: the next steps, then what belongs to the tab, then everything else.
ACTIONS: tuple[Any, ...] = (
    *STEPS,
    {"title": "On this tab", "items": HERE},
    {"title": "More", "items": tuple(name for name in BUTTONS if name not in (*STEPS, *HERE))},
    {"title": "Export", "items": ("export_json", "export_csv", "export_pdf")},
)


class Buttons:
    """The methods that the admin looks for, one for each button."""


def press(name: str, button: Button) -> Any:
    def pressed(page: Any, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        incident = the(request, object_id)
        given = {key: value for key, value in form.cleaned_data.items() if not key.startswith("_")}  # the dialog's own
        return carry_out(
            page, request, lambda: button.deed(incident, given, person(request)), page_of(object_id, button.leads_to)
        )

    pressed.__name__ = name
    dialog = ask(button.title, button.explained, submit=button.submit, form=button.form)
    return action(description=button.words, permissions=[button.needs], icon=button.icon, dialog=dialog)(pressed)


for _name, _button in BUTTONS.items():
    setattr(Buttons, _name, press(_name, _button))


def the(request: HttpRequest, object_id: Any) -> Incident:
    """The incident, where the viewer may see it. Asked for once a request."""
    known: dict[str, Incident | None] = request.__dict__.setdefault("incidents_seen", {})
    key = str(object_id)
    if key not in known:
        found = Incident.objects.visible_to(person(request)).filter(pk=object_id) if key.isdecimal() else None
        known[key] = found.first() if found is not None else None
    incident = known[key]
    if incident is None:
        raise Http404("No such incident.")
    return incident


def page_of(object_id: Any, tab: str) -> str:
    return f"{reverse('admin:incidents_incident_change', args=[object_id])}?tab={tab}"


def back_to(object_id: Any, tab: str) -> HttpResponse:
    return HttpResponseRedirect(page_of(object_id, tab))
