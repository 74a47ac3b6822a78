"""What the desks ask: who, about what, by which way, why."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from config.admin import ReasonDialog, theme_forms, widgets
from consent.identifiers import Identity
from consent.models import ANY, Channel, Purpose

KINDS = {"email": "e-mail address", "phone": "telephone number", "user_id": "user id"}
VIA = [("email", "E-mail"), ("phone", "Telephone"), ("post", "Letter")]


class Text(widgets.UnfoldAdminTextInputWidget):
    pass


class PersonFields(forms.Form):
    """Who: at least one identifier, each checked for its kind and put into its canonical form."""

    email = forms.CharField(label="E-mail address", required=False, max_length=254, widget=Text)
    phone = forms.CharField(
        label="Telephone number", required=False, max_length=40, widget=Text, help_text="With its country code: +49 …"
    )
    user_id = forms.CharField(label="User id", required=False, max_length=200, widget=Text)

    identities: list[Identity]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.identities = []
        for kind in KINDS:
            if value := cleaned.get(kind):
                try:
                    self.identities.append(Identity.of(kind, value))
                except ValidationError as error:
                    self.add_error(kind, error)
        if not self.identities and not any(self.errors.get(kind) for kind in KINDS):
            self.add_error("email", "Give an e-mail address, a telephone number or a user id.")
        return cleaned


def purpose_choices() -> list[tuple[str, str]]:
    """Nobody opts out of what the law obliges us to send."""
    purposes = Purpose.objects.exclude(regime=Purpose.Regime.MANDATORY)
    return [(ANY, "Everything, also what is added later"), *((p.code, p.name) for p in purposes)]


def channel_choices() -> list[tuple[str, str]]:
    return [(ANY, "Every channel"), *((value, str(label).capitalize()) for value, label in Channel.choices)]


class ScopeFields(forms.Form):
    """About what. Everything by every channel is what most people mean."""

    purposes = forms.MultipleChoiceField(
        choices=purpose_choices,
        initial=[ANY],
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget,
    )
    channels = forms.MultipleChoiceField(
        choices=channel_choices,
        initial=[ANY],
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget,
    )


def scopes_of(cleaned: dict[str, Any]) -> Sequence[tuple[str, str]]:
    """Pairs of purpose and channel; what is covered by “everything” is not said twice."""
    purposes = [ANY] if ANY in cleaned.get("purposes", ()) else cleaned.get("purposes") or [ANY]
    channels = [ANY] if ANY in cleaned.get("channels", ()) else cleaned.get("channels") or [ANY]
    return [(purpose, channel) for purpose in purposes for channel in channels]


class HowSaid(ReasonDialog):
    """How the person said it, for whoever asks later."""

    via = forms.ChoiceField(label="They said so by", choices=VIA, widget=widgets.UnfoldAdminSelectWidget)
    evidence = forms.CharField(
        label="Where the proof is",
        required=False,
        max_length=500,
        widget=Text,
        help_text="A ticket number, the name of a recording.",
    )


class OptOutDialog(HowSaid):
    """An opt-out of the key that is on the screen."""


class OptOutOfPersonDialog(HowSaid, ScopeFields):
    field_order = ("purposes", "channels", "via", "reason", "evidence")


class OptOutOfSomebodyDialog(HowSaid, ScopeFields, PersonFields):
    field_order = ("email", "phone", "user_id", "purposes", "channels", "via", "reason", "evidence")


class PlainDialog(theme_forms.BaseDialogForm):
    """A question that is answered by pressing the button."""
