"""What the desk asks about an incident: when, about what, how bad, why."""

from typing import Any

from django import forms
from django.utils import timezone

from config.admin import ReasonDialog, theme_forms, widgets
from config.models import User
from consent.models import ExitPath, Purpose
from incidents.models import Incident, PostIncidentReview, TimelineEntry
from incidents.vocabulary import IncidentType

Text, Select = widgets.UnfoldAdminTextInputWidget, widgets.UnfoldAdminSelectWidget


def purpose_choices() -> list[tuple[str, str]]:
    return [(purpose.code, purpose.name) for purpose in Purpose.objects.all()]


def exit_path_choices() -> list[tuple[str, str]]:
    return [(path.code, path.name) for path in ExitPath.objects.all()]


class Moment(forms.SplitDateTimeField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=widgets.UnfoldAdminSplitDateTimeWidget, **kwargs)


class Several(forms.MultipleChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget, required=False, **kwargs)


class ScopeFields(forms.Form):
    purposes = Several(choices=purpose_choices, help_text="None ticked: all purposes.")
    exit_paths = Several(label="Ways out", choices=exit_path_choices, help_text="None ticked: all ways out.")


class WindowFields(forms.Form):
    occurred_from = Moment(label="Began", help_text="In your time zone; it may lie in the past.")
    occurred_to = Moment(label="Ended", required=False, help_text="Empty while it goes on.")


class DeclareForm(ScopeFields, WindowFields):
    title = forms.CharField(max_length=200, widget=Text, help_text="What people would say: one-click answers 500.")
    summary = forms.CharField(
        required=False, max_length=20_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )
    severity = forms.ChoiceField(choices=Incident.Severity.choices, initial=Incident.Severity.SEV3, widget=Select)
    priority = forms.ChoiceField(choices=Incident.Priority.choices, initial=Incident.Priority.P3, widget=Select)
    type = forms.ChoiceField(choices=[("", "not said yet"), *IncidentType.choices], required=False, widget=Select)
    mode = forms.ChoiceField(choices=Incident.Mode.choices, initial=Incident.Mode.REAL, widget=Select)
    detected_at = Moment(
        label="Noticed", required=False, help_text="When we became aware: legal clocks count from here."
    )
    estimated = Several(
        label="Estimates",
        choices=[("occurred_from", "when it began"), ("occurred_to", "when it ended"), ("detected_at", "when noticed")],
        help_text="Which of these times are a guess.",
    )

    def facts(self) -> dict[str, Any]:
        return {**self.cleaned_data, "priority": self.cleaned_data["priority"] or Incident.Priority.P3}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["occurred_from"].initial = timezone.now
        self.fields["priority"].required = False

    def fieldsets(self) -> list[tuple[str | None, dict[str, Any]]]:
        return [
            (None, {"fields": ["title", ("severity", "priority"), ("type", "mode"), "summary"]}),
            ("When", {"fields": ["occurred_from", "occurred_to", "detected_at", "estimated"]}),
            (
                "About what",
                {
                    "fields": ["purposes", "exit_paths"],
                    "description": "Decisions received in this time and scope are tied to the incident, also those "
                    "that came before it was declared.",
                },
            ),
        ]


class WindowDialog(WindowFields, ReasonDialog):
    field_order = ("occurred_from", "occurred_to", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        incident = Incident.objects.get(pk=kwargs["object_id"])
        self.initial.update(occurred_from=incident.occurred_from, occurred_to=incident.occurred_to)


class ScopeDialog(ScopeFields, ReasonDialog):
    field_order = ("purposes", "exit_paths", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        incident = Incident.objects.get(pk=kwargs["object_id"])
        self.initial.update(purposes=incident.purposes, exit_paths=incident.exit_paths)


class CommanderDialog(theme_forms.BaseDialogForm):
    commander = forms.ModelChoiceField(
        User.objects.filter(is_active=True, is_staff=True, is_service=False).order_by("username"),
        required=False,
        empty_label="Nobody",
        widget=Select,
    )


class NoteForm(forms.Form):
    text = forms.CharField(max_length=20_000, strip=True)
    occurred_at = Moment(required=False)


class CorrectDialog(theme_forms.BaseDialogForm):
    """Which note, and what is right. The note stays in the timeline, struck out."""

    entry = forms.ModelChoiceField(TimelineEntry.objects.none(), label="Note", empty_label=None, widget=Select)
    text = forms.CharField(
        label="What is right", max_length=20_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 4})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        notes = TimelineEntry.objects.filter(incident=kwargs.get("object_id"), kind=TimelineEntry.Kind.NOTE)
        corrected = TimelineEntry.objects.filter(supersedes__isnull=False).values("supersedes")
        field = self.fields["entry"]
        field.queryset = notes.exclude(pk__in=corrected).order_by("-seq")
        field.label_from_instance = lambda entry: f"{entry.seq}: {entry.text[:80]}"


class ReviewForm(forms.Form):
    """The sections of a review, and why this version."""

    def __init__(self, incident: Incident, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        review = PostIncidentReview.objects.filter(incident=incident).first()
        for name in PostIncidentReview.SECTIONS:
            self.fields[name] = forms.CharField(
                label=PostIncidentReview.words_for(name).capitalize(),
                required=False,
                max_length=20_000,
                initial=getattr(review, name, ""),
                widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 5}),
            )
        self.fields["reason"] = forms.CharField(
            label="Reason for this version", max_length=200, widget=Text, help_text="It is kept beside your name."
        )
