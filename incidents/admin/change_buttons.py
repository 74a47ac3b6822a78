"""A button for each verb of a change set: what it asks, and says. When it is there, `refusal` knows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from config.admin import ReasonDialog, action, ask, person, theme_forms
from config.deeds import carry_out
from config.models import User
from incidents.admin.dialogs import Lines, One, colleagues
from incidents.admin.forms import Moment
from incidents.changes import applying, deciding, planning, rolling_back
from incidents.changes.planning import told
from incidents.changes.staleness import stale_because
from incidents.models import ChangeSet, Rollback

Deed = Callable[[ChangeSet, dict[str, Any], User], str]
BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True, slots=True)
class Button:
    """`needs` names a permission of ChangeSetAdmin; its own name is the verb that `refusal` is asked about."""

    words: str
    icon: str
    needs: str
    title: str
    deed: Deed
    form: type[theme_forms.BaseDialogForm] = theme_forms.BaseDialogForm
    explained: str = ""
    leads_to: str = "what"
    submit: str = ""


class OfPlan(theme_forms.BaseDialogForm):
    """An answer to the plan that the dialog tells in one sentence, and to no other."""

    plan = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        change = the(kwargs["object_id"])
        self.initial["plan"] = bytes(change.plan_digest or b"").hex()
        first = next(field for field in self.fields.values() if not field.widget.is_hidden)
        first.help_text = f"The plan: {told(change)}"

    def clean_plan(self) -> bytes:
        try:
            return bytes.fromhex(self.cleaned_data["plan"])
        except ValueError as error:
            raise ValidationError("Close this and read the page again.") from error


class ApproveDialog(OfPlan):
    comment = Lines(rows=2, required=False, max_length=500)


class DeclineDialog(OfPlan):
    comment = Lines(rows=3, max_length=500, label="Why not")


class SecondDialog(OfPlan):
    comment = Lines(rows=2, required=False, max_length=500)


class ScheduleDialog(theme_forms.BaseDialogForm):
    at = Moment(label="When", help_text="In your time zone. Its plan must still hold then.")


class BypassDialog(ReasonDialog):
    second = One(User.objects.none(), label="Who confirms it", help_text="Somebody who may approve change sets.")
    field_order = ("reason", "second")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        change = the(kwargs["object_id"])
        able = User.objects.with_perm("incidents.approve_changeset", backend=BACKEND)
        others = colleagues().filter(pk__in=able.values("pk")).exclude(pk=kwargs["request"].user.pk)
        wrote = [actor.removeprefix("user:") for actor in change.authors if actor.startswith("user:")]
        self.fields["second"].queryset = others.exclude(username__in=wrote)


class ReviewDialog(theme_forms.BaseDialogForm):
    result = Lines(rows=4, label="What you found", max_length=500, help_text="Was it right, and was the haste needed?")


def _of(verb: Callable[..., ChangeSet], done: str) -> Deed:
    """A verb that takes what the dialog asked. Where the plan turned out not to hold, that is what is said."""

    def deed(change: ChangeSet, given: dict[str, Any], by: User) -> str:
        after = verb(change, **given, by=by)
        if after.state == ChangeSet.State.STALE:
            raise ValidationError(
                f"{after.ref} is stale: {stale_because(after) or 'its plan holds no more.'} Plan it again."
            )
        return done.format(ref=after.ref, state=after.get_state_display(), plan=told(after) if after.planned_at else "")

    return deed


def _answer(verb: Callable[..., ChangeSet], done: str) -> Deed:
    def deed(change: ChangeSet, given: dict[str, Any], by: User) -> str:
        return _of(verb, done)(change, {"comment": given["comment"], "plan_digest": given["plan"]}, by)

    return deed


def _taken_back(change: ChangeSet, given: dict[str, Any], by: User) -> str:
    made = rolling_back.roll_back(change, reason=given["reason"], by=by)
    if made.state == Rollback.State.WAITING:
        return "It would make people contactable: a second person confirms it under Taken back."
    return f"{change.ref} is being taken back. What people chose meanwhile stays."


BUTTONS: Mapping[str, Button] = {
    "plan": Button(
        "Plan", "calculate", "author", "Count what it would do", _of(planning.plan, "Planned. {plan}"),
        explained="Nothing is written. The plan holds for a day, on the state of now.", leads_to="plan",
    ),
    "submit": Button(
        "Submit", "send", "author", "Ask others to approve it", _of(deciding.submit, "{ref} is in review."),
        explained="From now on it is fixed; an edit makes a new revision.", leads_to="approvals",
    ),
    "approve": Button(
        "Approve", "verified", "approve", "Approve this plan", _answer(deciding.approve, "Kept. {ref} is {state}."),
        ApproveDialog, explained="This plan and no other. Nothing is written yet.", leads_to="approvals",
    ),
    "decline": Button(
        "Decline", "block", "approve", "Decline this plan", _answer(deciding.decline, "{ref} is {state}."),
        DeclineDialog, explained="It is not applied, whoever approved it, until it is edited.", leads_to="approvals",
    ),
    "second": Button(
        "Confirm the bypass", "group", "approve", "Let it through without approvals",
        _answer(deciding.second, "Confirmed. {ref} is {state}."), SecondDialog, leads_to="approvals", submit="Confirm",
        explained="You answer for it beside whoever asked. The plan and the guard of the database stand.",
    ),
    "apply": Button(
        "Apply", "play_circle", "apply", "Apply it now", _of(applying.apply, "{ref} is {state}."),
        explained="In batches, each judged before the next. You can pause it, and take it back.", leads_to="batches",
    ),
    "pause": Button(
        "Pause", "pause", "apply", "Pause it", _of(applying.pause, "{ref} is {state}."), ReasonDialog,
        explained="No further batch is written. What was written stays.", leads_to="batches",
    ),
    "resume": Button(
        "Resume", "play_arrow", "apply", "Let it go on", _of(applying.resume, "{ref} is {state}."), ReasonDialog,
        explained="Where it stopped: nothing is written twice.", leads_to="batches",
    ),
    "review": Button(
        "Review the bypass", "policy", "approve", "What you found about the bypass", _of(deciding.review, "Kept."),
        ReviewDialog, leads_to="approvals", submit="Keep",
    ),
    "roll_back": Button(
        "Take it back", "undo", "take_back", "Take back all that it wrote", _taken_back, ReasonDialog,
        explained="If it is being applied, it is stopped first. Everybody gets back their own last choice; what people "
        "chose meanwhile stays. Nothing is deleted.", leads_to="rollback", submit="Take it back",
    ),
    "schedule": Button(
        "Schedule", "schedule", "apply", "Apply it at a time", _of(deciding.schedule, "{ref} is {state}."),
        ScheduleDialog,
    ),
    "unschedule": Button(
        "Do not apply it by itself", "event_busy", "apply", "Take its time away",
        _of(deciding.unschedule, "{ref} is {state}."), explained="It stays approved.", submit="Take away",
    ),
    "bypass": Button(
        "Bypass approvals", "emergency", "bypass", "Let it through without approvals",
        _of(deciding.bypass, "A second person must confirm it now."), BypassDialog, leads_to="approvals",
        submit="Ask for it", explained="Only while an incident is open. It is shown everywhere, and somebody else "
        "looks at it within three working days. Neither the plan nor the guard of the database is bypassed.",
    ),
    "cancel": Button(
        "Give it up", "cancel", "author", "Give it up", _of(deciding.cancel, "{ref} is {state}."), ReasonDialog,
        explained="Nothing of it was written, and nothing will be.", submit="Give it up",
    ),
}  # fmt: skip
MORE = ("schedule", "unschedule", "bypass", "cancel")
ACTIONS: tuple[Any, ...] = (
    *(name for name in BUTTONS if name not in MORE),
    {"title": "More", "items": ("edit", *MORE)},
)


class Buttons:
    """The methods that the admin looks for, one for each button."""


def press(name: str, button: Button) -> Any:
    def pressed(page: Any, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        given = {key: value for key, value in form.cleaned_data.items() if not key.startswith("_")}  # the dialog's own
        return carry_out(
            page, request, lambda: button.deed(the(object_id), given, person(request)),
            page_of_set(object_id, button.leads_to),
        )  # fmt: skip

    pressed.__name__ = name
    dialog = ask(button.title, button.explained, submit=button.submit or button.words, form=button.form)
    return action(description=button.words, permissions=[button.needs], icon=button.icon, dialog=dialog)(pressed)


for _name, _button in BUTTONS.items():
    setattr(Buttons, _name, press(_name, _button))


def the(object_id: Any) -> ChangeSet:
    found = ChangeSet.objects.select_related("incident").filter(pk=object_id).first()
    if found is None:
        raise Http404("No such change set.")
    return found


def page_of_set(object_id: Any, tab: str) -> str:
    return f"{reverse('admin:incidents_changeset_change', args=[object_id])}?tab={tab}"
