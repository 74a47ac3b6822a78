"""The forms of a notice: which text to whom, and the facts that the text names, asked for as its schema says."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_date, parse_datetime

from config.admin import ReasonDialog, widgets
from consent.models import Cause, Channel, Choice, ExitPath, Purpose
from messaging import notices
from messaging.cohorts import COHORTS, Listed, read_list
from messaging.models import Notice, Template, TemplateVersion
from messaging.models.notice import FASTEST

Text, Area, Select = (
    widgets.UnfoldAdminTextInputWidget, widgets.UnfoldAdminTextareaWidget, widgets.UnfoldAdminSelectWidget
)  # fmt: skip
FACT = "fact_"
LARGEST_LIST = 10 * 1024 * 1024  # bytes
FILTERS = ("of", "purpose", "channel", "choice", "cause", "exit_path", "decided_from", "decided_to")


class Moment(forms.SplitDateTimeField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=widgets.UnfoldAdminSplitDateTimeWidget, **kwargs)


def any_of(choices: Any) -> list[tuple[str, str]]:
    return [("", "any"), *choices]


def texts() -> list[tuple[str, str]]:
    """Those that are notices and have a published version."""
    usable = Template.objects.filter(message_class__in=notices.CLASSES, versions__state="published").distinct()
    return [(template.key, f"{template.title} ({template.get_message_class_display()})") for template in usable]


def incidents() -> list[tuple[int, str]]:
    return COHORTS["incident"].choices() if "incident" in COHORTS else []


def kinds() -> list[tuple[str, str]]:
    return [(kind.value, kind.label) for kind in Notice.Kind if kind in COHORTS]


class ChooseForm(forms.Form):
    """The first step: what the second one asks depends on both."""

    template = forms.ChoiceField(label="Text", choices=texts, widget=Select)
    kind = forms.ChoiceField(label="To whom", choices=kinds, widget=Select)


class NoticeForm(forms.Form):
    """What a notice says and to whom. `version` is the text that is published now."""

    title = forms.CharField(max_length=200, widget=Text, help_text="For your colleagues; people do not see it.")
    reason = forms.CharField(
        max_length=500, label="Why these people must be told", widget=Area(attrs={"rows": 3}),
        help_text="The law or promise that asks for it, like Art. 34 GDPR. Kept with the notice.",
    )  # fmt: skip
    rate = forms.IntegerField(
        label="A minute at most", min_value=1, max_value=FASTEST, initial=600,
        widget=widgets.UnfoldAdminIntegerFieldWidget,
    )  # fmt: skip
    about = forms.TypedChoiceField(
        label="About incident", coerce=int, empty_value=None, required=False, widget=Select,
        choices=lambda: [("", "none"), *incidents()],
    )  # fmt: skip
    notice_purpose = forms.ChoiceField(
        label="Purpose", required=False, widget=Select,
        choices=lambda: [("", "none"), *Purpose.objects.values_list("code", "name")],
        help_text="People who opted out of it do not get the notice; unless the text is a privacy or incident notice.",
    )  # fmt: skip

    def __init__(self, *args: Any, version: TemplateVersion, kind: str, notice: Notice | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.version, self.kind, self.notice = version, kind, notice
        self.fields |= {f"{FACT}{name}": field for name, field in fact_fields(version.context_schema).items()}
        self.fields |= query_fields() if kind == Notice.Kind.QUERY else {}
        if kind == Notice.Kind.LIST:
            self.fields |= list_fields(may_stay=notice is not None)
        self.fields["about"].required = kind == Notice.Kind.INCIDENT
        if notice is not None:
            self.fields["why"] = forms.CharField(label="Why it is changed", max_length=200, widget=Text)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.kind == Notice.Kind.LIST and not self.errors:
            try:
                cleaned["found"] = read_upload(cleaned, may_stay=self.notice is not None)
            except ValidationError as error:
                self.add_error("pasted", error)
        return cleaned

    def facts(self) -> dict[str, Any]:
        """What `notices.write` takes, but for who and, on a change, why."""
        cleaned = self.cleaned_data
        facts = {
            "title": cleaned["title"],
            "reason": cleaned["reason"],
            "rate": cleaned["rate"],
            "incident_id": cleaned["about"],
            "purpose": cleaned["notice_purpose"],
            "context": context_of(self.version.context_schema, cleaned),
        }
        if self.kind == Notice.Kind.QUERY:
            facts["cohort"] = {
                name: value.astimezone(UTC).isoformat() if name.startswith("decided_") else value
                for name in FILTERS
                if (value := cleaned[name])
            }
        found: Listed | None = cleaned.get("found")
        if found is not None:
            facts |= {"cohort": found.as_cohort(), "listed": found.subject_ids}
        return facts

    def fieldsets(self) -> list[tuple[str | None, dict[str, Any]]]:
        facts = [name for name in self.fields if name.startswith(FACT)]
        whom = [name for name in self.fields if name in (*FILTERS, "pasted", "file")]
        parts: list[tuple[str | None, dict[str, Any]]] = [
            (None, {"fields": ["title", "reason", ("about", "notice_purpose"), "rate"]}),
            (f"What “{self.version.template.title}” names", {"fields": facts}),
            (f"To whom: {Notice.Kind(self.kind).label}", {"fields": whom}),
            (None, {"fields": ["why"] if "why" in self.fields else []}),
        ]
        return [part for part in parts if part[1]["fields"]]


class ApproveDialog(ReasonDialog):
    code = forms.CharField(
        label="Fingerprint", max_length=64, widget=Text,
        help_text="The first eight characters, as the page shows them: they stand for these people, text and facts.",
    )  # fmt: skip
    field_order = ("code", "reason")

    def clean_code(self) -> str:
        return str(self.cleaned_data["code"]).strip()[: notices.CODE]


class RateDialog(ReasonDialog):
    rate = forms.IntegerField(
        label="A minute at most", min_value=1, max_value=FASTEST, widget=widgets.UnfoldAdminIntegerFieldWidget
    )
    field_order = ("rate", "reason")


def fact_fields(schema: Mapping[str, Any]) -> dict[str, forms.Field]:
    """A field for each property of a version's context_schema, whatever the text."""
    required = set(schema.get("required", ()))
    return {
        name: fact_field(name, rule, is_required=name in required)
        for name, rule in schema.get("properties", {}).items()
    }


def fact_field(name: str, rule: Mapping[str, Any], *, is_required: bool) -> forms.Field:
    shared: dict[str, Any] = {
        "label": rule.get("title") or name.replace("_", " ").capitalize(),
        "help_text": rule.get("description", ""),
        "required": is_required,
    }
    if "enum" in rule:
        choices = [(value, str(value).replace("_", " ")) for value in rule["enum"]]
        return forms.ChoiceField(choices=choices if is_required else [("", "none"), *choices], widget=Select, **shared)
    match rule.get("type"), rule.get("format"):
        case "string", "date-time":
            shared["help_text"] = f"{shared['help_text']} The text tells it in UTC.".strip()
            return Moment(**shared)
        case "string", "date":
            return forms.DateField(widget=widgets.UnfoldAdminSingleDateWidget, **shared)
        case "string", _:
            longest = rule.get("maxLength")
            is_line = longest is not None and longest <= 200
            return forms.CharField(
                max_length=longest, min_length=rule.get("minLength") if is_required else None,
                widget=Text() if is_line else Area(attrs={"rows": 4}), **shared,
            )  # fmt: skip
        case "array", _:
            shared["help_text"] = f"{shared['help_text']} One a line.".strip()
            return forms.CharField(widget=Area(attrs={"rows": 4}), **shared)
        case "integer", _:
            return forms.IntegerField(widget=widgets.UnfoldAdminIntegerFieldWidget, **shared)
        case "number", _:
            return forms.FloatField(widget=widgets.UnfoldAdminDecimalFieldWidget, **shared)
        case "boolean", _:
            return forms.BooleanField(widget=widgets.UnfoldBooleanWidget, **shared | {"required": False})
    return forms.JSONField(widget=Area(attrs={"rows": 4}), **shared)


def context_of(schema: Mapping[str, Any], cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """The form's answers as JSON: moments in UTC, days as they are, lists by line, what was left empty not at all."""
    context = {}
    for name, rule in schema.get("properties", {}).items():
        value = cleaned.get(f"{FACT}{name}")
        if rule.get("type") == "array" and isinstance(value, str):
            value = [line.strip() for line in value.splitlines() if line.strip()]
        elif rule.get("format") == "date-time" and value:
            value = value.astimezone(UTC).isoformat()
        elif rule.get("format") == "date" and value:
            value = value.isoformat()
        elif isinstance(value, str):
            value = value.replace("\r\n", "\n")
        if value not in (None, "", []):
            context[name] = value
    return context


def initial_of(notice: Notice) -> dict[str, Any]:
    """What a notice's form begins with when it is changed."""
    schema = notice.template.versions.filter(state="published").order_by("-number").first()
    rules = schema.context_schema.get("properties", {}) if schema else {}
    initial: dict[str, Any] = {
        "title": notice.title, "reason": notice.reason, "rate": notice.rate, "about": notice.incident_id,
        "notice_purpose": notice.purpose,
    }  # fmt: skip
    for name, value in notice.context.items():
        rule = rules.get(name, {})
        if rule.get("format") == "date-time":
            value = parse_datetime(value)
        elif rule.get("format") == "date":
            value = parse_date(value)
        initial[f"{FACT}{name}"] = "\n".join(value) if isinstance(value, list) else value
    for name in FILTERS if notice.cohort_kind == Notice.Kind.QUERY else ():
        value = notice.cohort.get(name)
        initial[name] = parse_datetime(value) if value and name.startswith("decided_") else value
    return initial


def query_fields() -> dict[str, forms.Field]:
    def choice(label: str, choices: Any, **more: Any) -> forms.ChoiceField:
        return forms.ChoiceField(label=label, choices=choices, widget=Select, **{"required": False} | more)

    return {
        "of": choice(
            "Whose", [("standing", "choice stands so now"), ("ever", "decisions were ever so")], required=True
        ),
        "purpose": choice("Purpose decided about", any_of(Purpose.objects.values_list("code", "name"))),
        "channel": choice("Channel", any_of(Channel.choices)),
        "choice": choice("Choice", any_of(Choice.choices)),
        "cause": choice("Cause", any_of(Cause.choices)),
        "exit_path": choice("Way out", any_of(ExitPath.objects.values_list("code", "name"))),
        "decided_from": Moment(label="Decided from", required=False),
        "decided_to": Moment(label="Decided before", required=False),
    }


def list_fields(*, may_stay: bool) -> dict[str, forms.Field]:
    stays = " Leave both empty to keep the people of the list as it is." if may_stay else ""
    return {
        "pasted": forms.CharField(
            label="Addresses, user ids or subject ids", required=False, widget=Area(attrs={"rows": 8}),
            help_text=f"One a line. Nobody is made: lines that name nobody are told to you.{stays}",
        ),
        "file": forms.FileField(
            label="Or a file", required=False, widget=widgets.UnfoldAdminFileFieldWidget,
            help_text="CSV in UTF-8; the first column counts, 100,000 lines at most.",
        ),
    }  # fmt: skip


def read_upload(cleaned: Mapping[str, Any], *, may_stay: bool) -> Listed | None:
    """The people of the file or of what was pasted. Raises ValidationError."""
    if upload := cleaned.get("file"):
        if upload.size > LARGEST_LIST:
            raise ValidationError("The file is larger than 10 MB. Split it into several notices.")
        try:
            text = upload.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValidationError("The file is not UTF-8. Save it as CSV in UTF-8.") from error
    else:
        text = cleaned.get("pasted", "")
    if not text.strip():
        if may_stay:
            return None
        raise ValidationError("Paste a list, or choose a file.")
    return read_list(text)
