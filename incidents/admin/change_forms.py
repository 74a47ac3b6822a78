"""The form of a change set: what is asked depends on what it is to do. JSON is the way of those who need several."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction

from config.admin import widgets
from config.models import User
from config.text import holds_control
from consent.bulk import Instruction
from incidents.admin import change_fields as fields
from incidents.admin.dialogs import Lines, Tick
from incidents.admin.forms import Select, Text
from incidents.changes import deciding, staging
from incidents.changes.operations import REGISTRY, OnChoices
from incidents.changes.policy import Policy
from incidents.models import ChangeRow, ChangeSet, Incident
from messaging.cohorts import read_list

ADVANCED = "advanced"
NEWEST = 50  # incidents that a form offers
# What each operation asks, and how it asks to whom.
FORMS: Mapping[str, tuple[type[fields.Fields], type[forms.Form] | None]] = {
    "set_choice": (fields.SetChoice, fields.WhomFields),
    "restore": (fields.Restore, fields.WhomFields),
    "backfill": (fields.Backfill, fields.PeopleFields),
    "sync_segment": (fields.SyncSegment, None),
    "import": (fields.Imported, None),
    "set_purpose": (fields.SetPurpose, None),
    "set_exit_path": (fields.SetExitPath, None),
    "publish_template": (fields.PublishTemplate, None),
    "hold_transport": (fields.Transport, None),
    "release_transport": (fields.Transport, None),
    "declare_setting": (fields.DeclareSetting, None),
}
POLICY = {"looks": "count"}  # what a field is called in the policy, where that differs
CAREFUL = ("batch_size", "interval_s", "looks", "failure_limit", "inconclusive")


def operations() -> list[tuple[str, str]]:
    return [(name, REGISTRY[name].title) for name in FORMS] + [(ADVANCED, "Several of these at once, as JSON")]


class ChooseForm(forms.Form):
    """The first step: what the second one asks depends on it."""

    operation = forms.ChoiceField(label="What is to be done", choices=operations, widget=Select)


def whole(low: int, high: int, **facts: Any) -> forms.IntegerField:
    return forms.IntegerField(min_value=low, max_value=high, widget=widgets.UnfoldAdminIntegerFieldWidget, **facts)


class AuthorForm(forms.Form):
    """Title, reason and care, which every set has; `form_for` adds what its operation asks."""

    operation = ADVANCED
    title = forms.CharField(max_length=200, widget=Text, help_text="What colleagues would call it.")
    reason = Lines(rows=3, max_length=5000, help_text="Why this must be done, for whoever reads it in a year.")
    incident = forms.TypedChoiceField(
        label="Helps to end", coerce=int, empty_value=None, required=False, widget=Select,
        help_text="Its timeline tells what becomes of the set.",
    )  # fmt: skip
    leaves_protected = Tick(
        label="Go on although people who opted out themselves are among those selected",
        help_text="They stay out, whatever is ticked here. Otherwise the set is stopped when it is submitted.",
    )
    batch_size = whole(1, 20_000, label="Rows at a time", initial=1000)
    interval_s = whole(0, 3600, label="Seconds between batches", initial=0)
    looks = whole(0, 100, label="Looks at the whole afterwards", initial=1)
    failure_limit = whole(
        0, 10, label="Breaches that are borne", initial=0,
        help_text="Never one of I2: an opt-out that was reversed without the person takes all of it back.",
    )  # fmt: skip
    inconclusive = forms.ChoiceField(
        label="What cannot be judged", widget=Select,
        choices=[("pause", "waits for a person"), ("roll_back", "is taken back")],
    )  # fmt: skip

    def __init__(self, *args: Any, user: User, change: ChangeSet | None = None, **kwargs: Any) -> None:
        if change is not None:
            kwargs["initial"] = asked(change)
        super().__init__(*args, **kwargs)
        self.change = change
        offered: Any = self.fields["incident"]
        offered.choices = [("", "none"), *incidents_for(user, change)]
        if not self.writes_choices:
            del self.fields["leaves_protected"], self.fields["batch_size"]
        if "people" in self.fields and change is not None:
            self.fields["people"].required = False
            self.fields["people"].help_text = "Empty: the list as it is. Otherwise it is replaced."

    @property
    def writes_choices(self) -> bool:
        return self.operation == ADVANCED or isinstance(REGISTRY[self.operation], OnChoices)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("people") and not self.errors:
            listed = read_list(given["people"])
            if listed.refused:
                told = "; ".join(f"line {number}: {why}" for number, why in listed.refused[:5])
                self.add_error("people", f"{len(listed.refused):,} of {listed.lines:,} lines name nobody: {told}")
            given["listed"] = listed.subject_ids
        return given

    def told(self) -> dict[str, Any]:
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What `deciding.write` and `deciding.edit` take."""
        given = self.cleaned_data
        policy = {POLICY.get(name, name): given[name] for name in CAREFUL if name != "batch_size"}
        written: dict[str, Any] = {
            name: given[name] for name in ("title", "reason", "leaves_protected", "batch_size") if name in given
        }
        incident = Incident.objects.filter(pk=given["incident"]).first() if given["incident"] else None
        return {**written, "incident": incident, "validation_policy": policy, **self.json()}

    def json(self) -> dict[str, Any]:
        whom = FORMS[self.operation][1]
        return {
            "operations": [{"operation": self.operation, "args": self.told()}],
            "selector": fields.told_whom(self.cleaned_data) if whom else {},
        }

    def save(self, by: User) -> ChangeSet:
        """Written or edited, with the list that it brings. Raises ValidationError."""
        with transaction.atomic():
            if self.change is None:
                change = deciding.write(**self.facts(), by=by)
            else:
                change = deciding.edit(self.change, **self.facts(), by=by)
            if "people" in self.fields:
                bring(change, self.cleaned_data.get("listed"), **self.told())
        return change

    def fieldsets(self) -> list[tuple[str | None, dict[str, Any]]]:
        own, whom = FORMS.get(self.operation, (AdvancedFields, None))
        careful = [name for name in CAREFUL if name in self.fields]
        parts: list[tuple[str | None, dict[str, Any]]] = [
            (None, {"fields": ["title", "reason", "incident"]}),
            (title_of(self.operation), {"fields": list(own.base_fields)}),
            ("To whom", {"fields": list(whom().fields) if whom else []}),
            (None, {"fields": ["leaves_protected"] if "leaves_protected" in self.fields else []}),
            ("How careful", {"fields": [tuple(careful[:3]), tuple(careful[3:])]}),
        ]
        return [part for part in parts if part[1]["fields"]]


class AdvancedFields(forms.Form):
    operations = forms.JSONField(
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 10}),
        help_text='A list like [{"operation": "set_choice", "args": {"choice": "opt_out"}}]. They are done in this '
        "order, and either write choices or change configuration.",
    )  # fmt: skip
    selector = forms.JSONField(
        required=False, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 5}),
        help_text='To whom, like {"purpose": "marketing", "channel": "email", "state": "opt_in", "explicit": false}.',
    )  # fmt: skip


class AdvancedForm(AdvancedFields, AuthorForm):
    def clean(self) -> dict[str, Any]:
        given = super().clean()
        for name in ("operations", "selector"):
            if holds_control(given.get(name)):
                self.add_error(name, "Remove the control characters.")
        return given

    def json(self) -> dict[str, Any]:
        return {"operations": self.cleaned_data["operations"], "selector": self.cleaned_data["selector"] or {}}


def form_for(operation: str) -> type[AuthorForm]:
    """The form that asks what this operation needs."""
    if operation not in FORMS:
        return AdvancedForm
    own, whom = FORMS[operation]
    return type("OperationForm", (own, *([whom] if whom else []), AuthorForm), {"operation": operation})


def operation_of(change: ChangeSet) -> str:
    """Which form edits it: that of its one operation, or the one for JSON."""
    named = [one["operation"] for one in change.operations]
    return named[0] if len(named) == 1 and named[0] in FORMS else ADVANCED


def title_of(operation: str) -> str:
    return REGISTRY[operation].title if operation in REGISTRY else "What is to be done"


def asked(change: ChangeSet) -> dict[str, Any]:
    """A set as its form shows it."""
    policy = Policy(**change.validation_policy)
    initial: dict[str, Any] = {
        "title": change.title, "reason": change.reason, "incident": change.incident_id,
        "leaves_protected": change.leaves_protected, "batch_size": change.batch_size, "interval_s": policy.interval_s,
        "looks": policy.count, "failure_limit": policy.failure_limit, "inconclusive": policy.inconclusive,
    }  # fmt: skip
    operation = operation_of(change)
    if operation == ADVANCED:
        return initial | {"operations": change.operations, "selector": change.selector}
    own, whom = FORMS[operation]
    return {
        **initial,
        **own.asked(change.operations[0].get("args", {})),
        **(fields.asked_whom(change.selector) if whom else {}),
    }


def incidents_for(user: User, change: ChangeSet | None) -> list[tuple[int, str]]:
    """Those that the user may see; and the one that it has, by its number where they may not."""
    seen = (
        Incident.objects.visible_to(user).order_by("-pk")[:NEWEST] if user.has_perm("incidents.view_incident") else []
    )
    found = {incident.pk: str(incident) for incident in seen}
    if change is not None and change.incident is not None and change.incident_id not in found:
        found[change.incident.pk] = change.incident.ref
    return list(found.items())


def bring(change: ChangeSet, subject_ids: Any, *, purpose: str, channel: str, choice: str) -> None:
    """The list of people becomes the rows of the set, in place of one that it had."""
    if subject_ids is None:
        return
    if not subject_ids:
        raise ValidationError({"people": "The list names nobody."})
    ChangeRow.objects.filter(change_set=change).delete()
    staging.bring(change, [Instruction(pk, purpose, channel, choice) for pk in subject_ids])
