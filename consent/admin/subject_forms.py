"""What a person's page asks before it acts."""

from typing import Any
from uuid import UUID

from django import forms

from config.admin import ReasonDialog, widgets
from consent.access import people
from consent.admin.forms import Text
from consent.admin.people import SEARCH_HELP, hidden
from consent.facts import scope_in_words
from consent.models import Consent, Identifier, Subject


class ReversalDialog(ReasonDialog):
    """Which opt-out, why, and where the proof of the person's wish is."""

    scope = forms.ChoiceField(label="Which opt-out", widget=widgets.UnfoldAdminSelectWidget)
    evidence = forms.CharField(
        label="Where the proof is", max_length=500, widget=Text, help_text="A ticket number, the name of a recording."
    )
    field_order = ("scope", "reason", "evidence")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        standing = Consent.objects.explicitly_opted_out().filter(subject__in=people(UUID(str(self.object_id))))
        self.fields["scope"].choices = [
            (f"{consent.purpose}/{consent.channel}", scope_in_words(consent.purpose, consent.channel))
            for consent in standing.order_by("purpose", "channel")
        ]


class MergeDialog(ReasonDialog):
    other = forms.CharField(label="The other", max_length=254, widget=Text, help_text=SEARCH_HELP)
    field_order = ("other", "reason")


class RevealForm(forms.Form):
    identifier = forms.ModelChoiceField(Identifier.objects.none(), widget=widgets.UnfoldAdminSelectWidget)
    reason = forms.CharField(
        max_length=200, widget=Text, help_text="What you need it for. It is kept beside your name, in the story."
    )

    def __init__(self, subject: Subject, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["identifier"]
        field.queryset = Identifier.objects.filter(subject=subject, sealed__isnull=False)
        field.label_from_instance = hidden
