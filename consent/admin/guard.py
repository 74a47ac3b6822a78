"""The guard: how strict the database is with opt-ins that no person made, and who set it when."""

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from config.admin import ReasonDialog, RecordAdmin, action, ask, badge, moment, person, widgets
from config.deeds import carry_out
from consent.models import GuardChange
from consent.services import guard_level, set_guard


class GuardDialog(ReasonDialog):
    level = forms.ChoiceField(
        choices=GuardChange.Level.choices, widget=widgets.UnfoldAdminSelectWidget, initial=guard_level
    )
    field_order = ("level", "reason")


@admin.register(GuardChange)
class GuardAdmin(RecordAdmin):
    list_display = (
        badge("level", {"freeze": "danger", "protect": "warning", "observe": "success"}, "Level"),
        "reason",
        "changed_by",
        moment("changed_at", "Since"),
    )
    list_filter = ("level",)
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = ("level", "reason", "changed_by", moment("changed_at", "Since"))
    actions_list = ("set_level",)

    def has_set_guard_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("consent.set_guard")

    @action(
        description="Set the guard",
        permissions=["set_guard"],
        icon="shield",
        dialog=ask(
            "Set the guard",
            "Opt-outs are accepted at every level.",
            submit="Set the guard",
            form=GuardDialog,
        ),
    )
    def set_level(self, request: HttpRequest, form: GuardDialog) -> HttpResponse:
        def deed() -> str:
            change = set_guard(form.cleaned_data["level"], reason=form.cleaned_data["reason"], by=person(request))
            return f"The guard is at {change.level} from now on."

        return carry_out(self, request, deed, reverse("admin:consent_guardchange_changelist"))
