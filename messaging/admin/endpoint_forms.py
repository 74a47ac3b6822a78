"""What the buttons of an endpoint ask."""

from typing import Any

from django import forms

from config.admin import ReasonDialog, widgets
from consent.models import Channel, Purpose
from messaging.models import Endpoint

Text = widgets.UnfoldAdminTextInputWidget


class Told(forms.Form):
    """Where it is, whom to call, and what it is told."""

    url = forms.CharField(label="Address", max_length=500, widget=Text, help_text="https, on the public internet.")
    owner = forms.CharField(max_length=100, widget=Text, help_text="Whom to call when it fails.")
    purposes = forms.MultipleChoiceField(
        required=False, widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget, help_text="None: all of them."
    )
    channels = forms.MultipleChoiceField(
        required=False,
        choices=Channel.choices,
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None: all of them.",
    )
    with_user_ids = forms.BooleanField(
        required=False,
        label="Send user ids too",
        widget=widgets.UnfoldBooleanSwitchWidget,
        help_text="E-mail addresses and telephone numbers never leave.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["purposes"].choices = Purpose.objects.values_list("code", "name")  # type: ignore[attr-defined]


class NewEndpointForm(Told):
    name = forms.CharField(
        max_length=50, widget=Text, help_text="Small letters, digits and hyphens. It stands in addresses for good."
    )
    about = forms.ChoiceField(
        label="Told of",
        choices=Endpoint.About.choices,
        widget=widgets.UnfoldAdminSelectWidget,
        required=False,
        help_text="For good. What is chosen below is for those that are told of choices.",
    )

    def clean_about(self) -> str:
        return self.cleaned_data["about"] or Endpoint.About.CHOICES


class ChangeDialog(Told, ReasonDialog):
    field_order = ("url", "owner", "purposes", "channels", "with_user_ids", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        endpoint = Endpoint.objects.get(pk=str(self.object_id))
        for name in ("url", "owner", "purposes", "channels", "with_user_ids"):
            self.fields[name].initial = getattr(endpoint, name)


class RotateDialog(ReasonDialog):
    overlap_hours = forms.IntegerField(
        label="Hours that both secrets are good for",
        min_value=0,
        max_value=720,
        initial=24,
        widget=widgets.UnfoldAdminIntegerFieldWidget,
        help_text="0 where the old one is known to others: it stops signing at once.",
    )
    field_order = ("overlap_hours", "reason")


class ReplayDialog(ReasonDialog):
    since = forms.DateTimeField(
        required=False,
        label="Everything that changed since",
        widget=Text(attrs={"placeholder": "2026-03-01 12:00"}),
        help_text="Your time zone. Empty: only what was given up.",
    )
    field_order = ("since", "reason")
