"""What the request desk asks: a new request, an answer, a correction, an end."""

import uuid
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from config.admin import ReasonDialog, theme_forms, widgets
from config.models import User
from consent.admin.forms import PersonFields, ScopeFields, Text
from consent.admin.people import hidden
from consent.identifiers import Identity
from consent.models import AnswerText, DeadlineRule, Identifier, PrivacyRequest, Subject
from consent.replies import fill
from consent.requests import Person

WHO = ["email", "phone", "user_id"]
VIA = [("email", "E-mail"), ("phone", "Telephone"), ("post", "Letter"), ("web", "Web form")]


class LogRequestForm(ScopeFields, PersonFields):
    kind = forms.ChoiceField(
        label="What they ask for",
        choices=[("", "Select value"), *PrivacyRequest.Kind.choices],
        widget=widgets.UnfoldAdminSelectWidget,
    )
    received_via = forms.ChoiceField(label="Received by", choices=VIA, widget=widgets.UnfoldAdminSelectWidget)
    received_at = forms.SplitDateTimeField(
        label="Received",
        required=False,
        widget=widgets.UnfoldAdminSplitDateTimeWidget,
        help_text="In your time zone. Empty: now. The legal clock starts here.",
    )
    rule = forms.ModelChoiceField(
        DeadlineRule.objects.filter(request_kind__in=PrivacyRequest.Kind.values).order_by("request_kind", "code"),
        label="Deadline",
        required=False,
        empty_label="The default of the kind",
        widget=widgets.UnfoldAdminSelectWidget,
    )
    locale = forms.ChoiceField(label="Language", choices=settings.LANGUAGES, widget=widgets.UnfoldAdminSelectWidget)
    details = forms.CharField(
        label="What they wrote or said",
        required=False,
        max_length=20_000,
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 5}),
    )
    key = forms.CharField(required=False, max_length=64, initial=uuid.uuid4, widget=forms.HiddenInput)

    def __init__(self, *args: Any, subject: Subject | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.subject = subject
        if subject is not None:
            for name in WHO:
                del self.fields[name]
        self.fields["purposes"].required = self.fields["channels"].required = False

    @property
    def person(self) -> Person:
        return self.subject.pk if self.subject else self.identities

    def fieldsets(self) -> list[tuple[str | None, dict[str, Any]]]:
        who = [] if self.subject else [("Who", {"fields": WHO})]
        return [
            *who,
            ("What", {"fields": ["kind", "received_via", "received_at", "details"]}),
            (
                "Opt-out of",
                {
                    "fields": ["purposes", "channels"],
                    "description": "For an opt-out only. It takes effect the moment this form is sent.",
                },
            ),
            ("Answer", {"fields": ["locale", "rule", "key"]}),
        ]

    def clean(self) -> dict[str, Any]:
        if self.subject is not None:
            self.identities = []
            cleaned = forms.Form.clean(self) or {}
        else:
            cleaned = super().clean()
        rule, kind = cleaned.get("rule"), cleaned.get("kind")
        if rule and kind and rule.request_kind != kind:
            self.add_error("rule", "This rule is for another kind of request. Choose one of this kind, or the default.")
        return cleaned


class AssignDialog(theme_forms.BaseDialogForm):
    assignee = forms.ModelChoiceField(
        User.objects.none(),
        required=False,
        empty_label="Nobody: back to the queue",
        widget=widgets.UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        able = User.objects.with_perm(
            "consent.change_privacyrequest", backend="django.contrib.auth.backends.ModelBackend"
        )
        self.fields["assignee"].queryset = able.filter(is_service=False).order_by("username")


class NoteDialog(theme_forms.BaseDialogForm):
    text = forms.CharField(
        label="What happened", max_length=5000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 5})
    )


class ExtendDialog(ReasonDialog):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = "The person reads this: write it in their language."


class CloseDialog(ReasonDialog):
    outcome = forms.ChoiceField(choices=PrivacyRequest.Outcome.choices, widget=widgets.UnfoldAdminSelectWidget)
    field_order = ("outcome", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].max_length = 500
        self.fields["reason"].help_text = "For a denial: on what basis."


class CorrectForm(forms.Form):
    old = forms.ModelChoiceField(
        Identifier.objects.none(), label="What is wrong", widget=widgets.UnfoldAdminSelectWidget
    )
    value = forms.CharField(label="What is right", max_length=254, widget=Text)

    identity: Identity

    def __init__(self, *args: Any, subject_id: UUID, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["old"]
        field.queryset = Identifier.objects.filter(subject=subject_id, sealed__isnull=False)
        field.label_from_instance = hidden

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("old") and cleaned.get("value"):
            try:
                self.identity = Identity.of(cleaned["old"].kind, cleaned["value"])
            except ValidationError as error:
                self.add_error("value", error)
        return cleaned


class AnswerForm(forms.Form):
    template = forms.ModelChoiceField(AnswerText.objects.none(), required=False, widget=forms.HiddenInput)
    text = forms.CharField(
        label="The answer",
        max_length=50_000,
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 16}),
        help_text="{data} becomes what is stored about the person when it is sent. Write out anything else in braces.",
    )

    def __init__(self, *args: Any, asked: PrivacyRequest, chosen: str | None, **kwargs: Any) -> None:
        """The text that was chosen, else the first in the person's language."""
        texts = AnswerText.objects.filter(request_kind=asked.kind)
        self.texts = sorted(texts, key=lambda text: (text.locale != asked.locale[:2], text.locale, text.pk))
        self.chosen = next((text for text in self.texts if str(text.pk) == chosen), None)
        if self.chosen is None and self.texts:
            self.chosen = self.texts[0]
        super().__init__(*args, **kwargs)
        if self.chosen:
            self.initial = {"template": self.chosen, "text": fill(self.chosen.body, asked)}
        template: Any = self.fields["template"]
        template.queryset = texts
