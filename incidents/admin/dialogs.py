"""What the buttons of an incident ask before they act: which row, what, when, why."""

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from config.admin import ReasonDialog, theme_forms, widgets
from config.models import User
from incidents import facts
from incidents.admin.forms import Moment, Select, Several, Text
from incidents.models import (
    FollowUp,
    Incident,
    IncidentClock,
    IncidentClockRule,
    IncidentMoment,
    IncidentRole,
    TimelineEntry,
)
from incidents.vocabulary import DpvType, IncidentType


def colleagues() -> Any:
    return User.objects.filter(is_active=True, is_staff=True, is_service=False).order_by("username")


class Lines(forms.CharField):
    def __init__(self, rows: int = 4, **kwargs: Any) -> None:
        super().__init__(
            **{"max_length": 20_000, **kwargs}, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": rows})
        )


class One(forms.ModelChoiceField):
    """One row of a list that the dialog fills in."""

    def __init__(self, queryset: Any, **kwargs: Any) -> None:
        super().__init__(queryset, **{"empty_label": None, **kwargs}, widget=Select)


class Tick(forms.BooleanField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, widget=widgets.UnfoldBooleanSwitchWidget, **kwargs)


class WhenDialog(ReasonDialog):
    at = Moment(label="Since when", required=False, help_text="Empty: now.")
    is_estimate = Tick(label="This time is an estimate")
    field_order = ("at", "is_estimate", "reason")


class AcknowledgeDialog(theme_forms.BaseDialogForm):
    at = Moment(label="Seen at", required=False, help_text="Empty: now.")


class CloseDialog(ReasonDialog):
    review = forms.ChoiceField(
        label="Review",
        choices=[("", "as the severity's policy says"), ("yes", "needed"), ("no", "not needed, for this reason")],
        required=False,
        widget=Select,
    )
    field_order = ("review", "reason")


class OtherIncidentDialog(ReasonDialog):
    other = One(Incident.objects.none(), label="Which")
    field_order = ("other", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        seen = Incident.objects.visible_to(kwargs["request"].user).exclude(pk=kwargs["object_id"])
        self.fields["other"].queryset = self.offered(seen).order_by("-pk")

    def offered(self, seen: Any) -> Any:
        return seen


class MergeDialog(OtherIncidentDialog):
    def offered(self, seen: Any) -> Any:
        return seen.exclude(status__in=Incident.DISOWNED)


class UpdateDialog(theme_forms.BaseDialogForm):
    text = Lines(label="Where it stands")


class DescribeDialog(ReasonDialog):
    title = forms.CharField(max_length=200, widget=Text)
    severity = forms.ChoiceField(choices=Incident.Severity.choices, widget=Select)
    priority = forms.ChoiceField(choices=Incident.Priority.choices, widget=Select)
    type = forms.ChoiceField(choices=[("", "not said"), *IncidentType.choices], required=False, widget=Select)
    dpv_types = Several(label="DPV types", choices=DpvType.choices, help_text="None ticked: those of the type.")
    summary = Lines(rows=3, required=False)
    impact = Lines(rows=2, required=False, help_text="What it did to people.")
    resolution = Lines(rows=2, required=False, help_text="What ended it.")
    is_near_miss = Tick(label="Near miss: it was stopped before it reached anybody")
    near_miss_prevented_by = forms.CharField(label="What stopped it", max_length=300, required=False, widget=Text)
    field_order = (*facts.DESCRIBED, "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        incident = Incident.objects.get(pk=kwargs["object_id"])
        self.initial.update({name: getattr(incident, name) for name in facts.DESCRIBED})


class MomentDialog(ReasonDialog):
    kind = forms.ChoiceField(
        label="What",
        choices=[(kind, IncidentMoment.Kind(kind).label) for kind in facts.CORRECTABLE],
        widget=Select,
    )
    moment = Moment(label="When")
    is_estimate = Tick(label="This time is an estimate")
    field_order = ("kind", "moment", "is_estimate", "reason")


class HoldDialog(ReasonDialog):
    is_held = Tick(label="Under legal hold")
    attorney_review = forms.ChoiceField(
        label="Counsel's review", choices=Incident.AttorneyReview.choices, required=False, widget=Select
    )
    field_order = ("is_held", "attorney_review", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        incident = Incident.objects.get(pk=kwargs["object_id"])
        self.initial.update(is_held=incident.legal_hold, attorney_review=incident.attorney_review)


class ChangeSetDialog(ReasonDialog):
    change_set = forms.CharField(max_length=100, required=False, widget=Text, help_text="Like CS-12; empty: none.")
    field_order = ("change_set", "reason")


class RoleDialog(theme_forms.BaseDialogForm):
    person = One(User.objects.none(), label="Who")
    role = forms.ChoiceField(label="Part", choices=IncidentRole.Role.choices, widget=Select)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["person"].queryset = colleagues()


class RenounceDialog(theme_forms.BaseDialogForm):
    held = One(IncidentRole.objects.none(), label="Who, and which part")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = IncidentRole.objects.filter(incident=kwargs["object_id"], renounced_at=None)
        self.fields["held"].queryset = held.select_related("person")


class StartClockDialog(ReasonDialog):
    rule = One(IncidentClockRule.objects.none(), label="Rule")
    started_at = Moment(label="Counts from", required=False, help_text="Empty: the moment that the rule names.")
    amount = forms.IntegerField(
        min_value=1,
        max_value=1000,
        required=False,
        widget=widgets.UnfoldAdminIntegerFieldWidget,
        help_text="Only for a rule without a number: how many of its unit.",
    )
    field_order = ("rule", "started_at", "amount", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["rule"].queryset = IncidentClockRule.objects.filter(is_active=True)
        self.fields["rule"].label_from_instance = lambda rule: f"{rule.citation}: {rule.title}, {rule.term}"
        self.fields["reason"].label = "Why it applies"


class ClockFields(theme_forms.BaseDialogForm):
    clock = One(IncidentClock.objects.none(), label="Clock")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        running = IncidentClock.objects.running().filter(incident=kwargs["object_id"]).select_related("rule")
        self.fields["clock"].queryset = running
        self.fields["clock"].label_from_instance = lambda clock: f"{clock.citation}: {clock.rule.title}"


class MeetClockDialog(ClockFields):
    answer = Lines(rows=3, label="What was done, and where it is kept", max_length=500)
    at = Moment(label="When", required=False, help_text="Empty: now.")


class WaiveClockDialog(ClockFields, ReasonDialog):
    field_order = ("clock", "reason")


class MoveClockDialog(ClockFields, ReasonDialog):
    started_at = Moment(label="Counts from")
    field_order = ("clock", "started_at", "reason")


class FollowUpDialog(theme_forms.BaseDialogForm):
    title = forms.CharField(label="What", max_length=200, widget=Text)
    kind = forms.ChoiceField(choices=FollowUp.Kind.choices, widget=Select)
    owner = One(User.objects.none())
    due_on = forms.DateField(label="Due", widget=widgets.UnfoldAdminSingleDateWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = colleagues()
        self.fields["due_on"].initial = timezone.localdate() + timedelta(days=14)


class WorkFields(theme_forms.BaseDialogForm):
    work = One(FollowUp.objects.none(), label="Follow-up")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["work"].queryset = FollowUp.objects.open().filter(incident=kwargs["object_id"])


class FinishDialog(WorkFields):
    outcome = Lines(rows=3, label="What was done", max_length=500)


class DropDialog(WorkFields, ReasonDialog):
    field_order = ("work", "reason")


class ReassignDialog(WorkFields, ReasonDialog):
    owner = One(User.objects.none())
    due_on = forms.DateField(label="Due", widget=widgets.UnfoldAdminSingleDateWidget)
    field_order = ("work", "owner", "due_on", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = colleagues()


class PinDialog(theme_forms.BaseDialogForm):
    entry = One(TimelineEntry.objects.none(), label="Line")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        lines = TimelineEntry.objects.filter(incident=kwargs["object_id"]).exclude(kind=TimelineEntry.Kind.PIN)
        newest = lines.order_by("-seq").values("pk")[:200]
        self.fields["entry"].queryset = TimelineEntry.objects.filter(pk__in=newest).order_by("-seq")
        self.fields["entry"].label_from_instance = lambda entry: f"{entry.seq}: {entry.text[:80]}"
