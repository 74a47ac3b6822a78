"""What an author says about a change set in fields: to whom, and what each operation needs. They become its JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from config.admin import widgets
from consent.models import ANY, Cause, Channel, Choice, Import, Purpose
from incidents.admin.dialogs import Lines, Tick
from incidents.admin.forms import Moment, Select, Text, exit_path_choices, purpose_choices
from messaging.models import TemplateVersion, TransportHealth

CHOICES = [(Choice.OPT_OUT, "opted out"), (Choice.OPT_IN, "opted in")]
LEAVE = ("", "stays as it is")
YES_NO = [LEAVE, ("yes", "yes"), ("no", "no")]
TRUTH = {"yes": True, "no": False}
WHOSE = {"nobody": False, "own": True}
EMPTY: tuple[Any, ...] = (None, "", [])


def purposes() -> list[tuple[str, str]]:
    return [*purpose_choices(), (ANY, "all purposes, also those to come")]


CHANNELS = [*Channel.choices, (ANY, "every channel, also those to come")]


def one_of(choices: Any, empty: str = "", **facts: Any) -> forms.ChoiceField:
    """A choice; with `empty` it may be left open, and that says what it means then."""

    def offered() -> list[tuple[str, str]]:
        found = choices() if callable(choices) else list(choices)
        return [("", empty), *found] if empty else found

    return forms.ChoiceField(choices=offered, required=not empty, widget=Select, **facts)


class Fields(forms.Form):
    """A part of the form: `told()` gives what it adds to the JSON, `asked(told)` its fields from that."""

    def told(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def asked(cls, told: Mapping[str, Any]) -> dict[str, Any]:
        return dict(told)


# To whom


class PeopleFields(forms.Form):
    regions = forms.CharField(
        label="Only in the regions", required=False, max_length=500, widget=Text,
        help_text="Codes of countries with commas between them, like DE, FR; unknown: whose language names none.",
    )  # fmt: skip
    subjects = Lines(rows=3, label="Only these people", required=False, max_length=500_000,
                     help_text="Ids of people, one a line.")  # fmt: skip


class WhomFields(PeopleFields):
    field_order = ("of_purpose", "of_channel", "of_state", "whose", "decided_after", "decided_before", "of_cause")
    of_purpose = one_of(purposes, "any", label="Who chose for")
    of_channel = one_of(CHANNELS, "any", label="By the way of")
    of_state = one_of(CHOICES, "either", label="And are now")
    whose = one_of(
        [("nobody", "nobody's own: defaults, imports, scripts"), ("own", "people's own"), ("either", "either")],
        label="Whose choice that is", initial="nobody",
        help_text="What people chose themselves is never overwritten; it would only be counted as protected.",
    )  # fmt: skip
    decided_after = Moment(label="Decided from", required=False)
    decided_before = Moment(label="Decided before", required=False)
    of_cause = one_of(Cause.choices, "any", label="Because of")
    of_actor = forms.CharField(label="Recorded by", required=False, max_length=200, widget=Text,
                               help_text="Like service:crm or user:anna.")  # fmt: skip
    of_batch = forms.UUIDField(label="In the batch", required=False, widget=Text)
    never_asked = Tick(label="Instead: whoever was never asked for that purpose and channel")


NAMES = {
    "of_purpose": "purpose", "of_channel": "channel", "of_state": "state", "of_cause": "cause", "of_actor": "actor",
}  # fmt: skip


def told_whom(given: Mapping[str, Any]) -> dict[str, Any]:
    """The selector that these fields stand for."""
    told: dict[str, Any] = {name: given[field] for field, name in NAMES.items() if given.get(field)}
    if given.get("never_asked"):
        told = {name: value for name, value in told.items() if name in ("purpose", "channel")} | {"never_asked": True}
    else:
        if given.get("whose") in WHOSE:
            told["explicit"] = WHOSE[given["whose"]]
        for name in ("decided_after", "decided_before"):
            if given.get(name):
                told[name] = as_text(given[name])
        if given.get("of_batch"):
            told["batch"] = str(given["of_batch"])
    if regions := [code.strip() for code in given.get("regions", "").split(",") if code.strip()]:
        told["regions"] = [code if code == "unknown" else code.upper() for code in regions]
    if subjects := given.get("subjects", "").split():
        told["subjects"] = subjects
    return told


def asked_whom(selector: Mapping[str, Any]) -> dict[str, Any]:
    """The fields from a selector, for who edits it."""
    asked: dict[str, Any] = {field: selector[name] for field, name in NAMES.items() if name in selector}
    asked["whose"] = {False: "nobody", True: "own", None: "either"}[selector.get("explicit")]
    asked |= {name: as_moment(selector[name]) for name in ("decided_after", "decided_before") if name in selector}
    asked |= {"of_batch": selector.get("batch"), "never_asked": selector.get("never_asked", False)}
    asked["regions"] = ", ".join(selector.get("regions", ()))
    asked["subjects"] = "\n".join(selector.get("subjects", ()))
    return asked


# What is done


class SetChoice(Fields):
    choice = one_of(CHOICES, label="They become")
    purpose = one_of(purposes, "what they were selected by", label="For")
    channel = one_of(CHANNELS, "what they were selected by", label="By")

    def told(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("choice", "purpose", "channel") if self.cleaned_data[name]}


class Backfill(Fields):
    choice = one_of(CHOICES, label="They count as")
    purpose = one_of(purposes, label="For")
    channel = one_of(CHANNELS, label="By")

    def told(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("choice", "purpose", "channel")}


class SyncSegment(Backfill):
    people = Lines(
        rows=8, label="The list", max_length=2_000_000,
        help_text="An e-mail address, user id or id of a person a line. Whoever has this choice by nobody's own act "
        "and is not on the list gets the other one.",
    )  # fmt: skip


def files() -> list[tuple[str, str]]:
    """Imports that were planned and not written yet, the newest first; a set that was given up leaves its file free."""
    found = Import.objects.filter(undone_at=None, emptied_at=None, portions=None).order_by("-pk")
    return [(i.ref, f"{i} (in {i.taken_by})" if i.taken_by else str(i)) for i in found[:200]]


class Imported(Fields):
    file = one_of(files, label="File", help_text="Those that were brought under Imports and not written yet.")

    def told(self) -> dict[str, Any]:
        return {"file": self.cleaned_data["file"]}


class Restore(Fields):
    moment = Moment(label="The state that they had at")

    def told(self) -> dict[str, Any]:
        return {"moment": as_text(self.cleaned_data["moment"])}

    @classmethod
    def asked(cls, told: Mapping[str, Any]) -> dict[str, Any]:
        return {"moment": as_moment(told["moment"])}


class Facts(Fields):
    """Fields of a row; what is left empty stays as it is."""

    words: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        given = self.cleaned_data
        to = {name: given[name] for name in self.words if given.get(name) not in EMPTY}
        to |= {name: TRUTH[given[name]] for name in self.flags if given[name]}
        return {"code": given["code"], "to": to}

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors and all(given.get(name) in EMPTY for name in (*self.words, *self.flags)):
            raise ValidationError("Say what it becomes: all of it is left as it is.")
        return given

    @classmethod
    def asked(cls, told: Mapping[str, Any]) -> dict[str, Any]:
        flags = {name: "yes" if told["to"][name] else "no" for name in cls.flags if name in told["to"]}
        return {"code": told["code"], **told["to"], **flags}


class SetPurpose(Facts):
    words = ("name", "description", "regime", "channels", "position")
    flags = ("is_covered_by_gpc", "is_public")
    code = one_of(purpose_choices, label="Purpose")
    regime = one_of(Purpose.Regime.choices, LEAVE[1], label="By which rule people are contacted")
    name = forms.CharField(label="Name", required=False, max_length=100, widget=Text, help_text="Empty: as it is.")
    description = Lines(rows=2, required=False, max_length=2000, help_text="Empty: as it is.")
    channels = forms.MultipleChoiceField(
        choices=Channel.choices, required=False, widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None ticked: as they are.",
    )  # fmt: skip
    is_covered_by_gpc = one_of(YES_NO[1:], LEAVE[1], label="Covered by browser signals")
    is_public = one_of(YES_NO[1:], LEAVE[1], label="Shown to people")
    position = forms.IntegerField(
        required=False, min_value=0, max_value=30_000, widget=widgets.UnfoldAdminIntegerFieldWidget,
        help_text="Empty: as it is.",
    )  # fmt: skip


class SetExitPath(Facts):
    words = ("name", "owner", "url")
    flags = ("is_active",)
    code = one_of(exit_path_choices, label="Way out")
    name = forms.CharField(label="Name", required=False, max_length=100, widget=Text, help_text="Empty: as it is.")
    owner = forms.CharField(required=False, max_length=100, widget=Text, help_text="Empty: as it is.")
    url = forms.CharField(label="Address", required=False, max_length=500, widget=Text, help_text="Empty: as it is.")
    is_active = one_of(YES_NO[1:], LEAVE[1], label="In use")


def approved_texts() -> list[tuple[str, str]]:
    found = TemplateVersion.objects.filter(state=TemplateVersion.State.APPROVED).select_related("template")
    return [(f"{version.template_id}/{version.number}", str(version)) for version in found.order_by("template")[:200]]


class PublishTemplate(Fields):
    text = one_of(approved_texts, label="Version", help_text="Those that passed their checks and were approved.")

    def told(self) -> dict[str, Any]:
        template, _, version = self.cleaned_data["text"].rpartition("/")
        return {"template": template, "version": int(version)}

    @classmethod
    def asked(cls, told: Mapping[str, Any]) -> dict[str, Any]:
        return {"text": f"{told['template']}/{told['version']}"}


class Transport(Fields):
    transport = one_of(
        lambda: [(name, name) for name in TransportHealth.objects.order_by("pk").values_list("pk", flat=True)]
    )

    def told(self) -> dict[str, Any]:
        return {"transport": self.cleaned_data["transport"]}


class DeclareSetting(Fields):
    name = forms.CharField(max_length=100, widget=Text, help_text="What it is called where it is changed.")
    before = forms.CharField(label="It is now", max_length=500, widget=Text)
    after = forms.CharField(label="It becomes", max_length=500, widget=Text)
    holds_bulk = Tick(label="Hold bulk mail if it must be taken back, until somebody has set it back by hand")

    def told(self) -> dict[str, Any]:
        told = {name: self.cleaned_data[name] for name in ("name", "before", "after")}
        return told | ({"hold_lane": "bulk"} if self.cleaned_data["holds_bulk"] else {})

    @classmethod
    def asked(cls, told: Mapping[str, Any]) -> dict[str, Any]:
        return {**told, "holds_bulk": "hold_lane" in told}


def as_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def as_moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
