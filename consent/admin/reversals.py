"""Lifting an explicit opt-out: the first steps that were taken, and those that wait for a second person."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from config.admin import RecordAdmin, action, ask, display, moment, person
from config.deeds import carry_out
from consent.admin import columns
from consent.admin.forms import PlainDialog
from consent.admin.people import ExactSearch, PersonColumn
from consent.facts import scope_in_words
from consent.models import Reversal
from consent.second_steps import OPEN_FOR
from consent.services import confirm_reversal


class StepFilter(admin.SimpleListFilter):
    title, parameter_name = "step", "step"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("waiting", "Awaiting the second person"), ("done", "Agreed"), ("lapsed", "Lapsed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since = timezone.now() - OPEN_FOR
        if self.value() == "waiting":
            return queryset.filter(confirmation=None, kind="staff", requested_at__gte=since)
        if self.value() == "done":
            return queryset.filter(confirmation__isnull=False)
        if self.value() == "lapsed":
            return queryset.filter(confirmation=None, requested_at__lt=since)
        return queryset


@admin.register(Reversal)
class ReversalAdmin(ExactSearch, PersonColumn, RecordAdmin):
    list_display = (
        "person",
        columns.purpose,
        columns.channel,
        "step",
        "kind",
        "reason",
        "requested_by",
        moment("requested_at", "Asked"),
    )
    list_filter = (StepFilter, "kind")
    list_select_related = ("confirmation",)
    ordering = ("-requested_at",)
    sortable_by = ()
    readonly_fields = fields = (
        "person",
        columns.purpose,
        columns.channel,
        "step",
        "kind",
        "reason",
        "evidence",
        "requested_by",
        moment("requested_at", "Asked"),
        "agreed",
    )
    actions_detail = ("agree",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reversal]:
        return super().get_queryset(request).select_related("confirmation")

    @display(description="Step", label={"waiting": "warning", "done": "success", "lapsed": "", "person": "info"})
    def step(self, obj: Reversal) -> tuple[str, str]:
        if getattr(obj, "confirmation", None):
            return "done", "agreed"
        if obj.requested_at < timezone.now() - OPEN_FOR:
            return "lapsed", "lapsed"
        if obj.kind == Reversal.Kind.STAFF:
            return "waiting", "awaits a second person"
        return "person", "awaits the person"

    @display(description="Agreed by")
    def agreed(self, obj: Reversal) -> str:
        confirmation = getattr(obj, "confirmation", None)
        return f"{confirmation.confirmed_by}, {confirmation.confirmed_at:%Y-%m-%d %H:%M} UTC" if confirmation else "-"

    def has_agree_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Only a step of staff is for staff to agree to; the person's own is the person's."""
        if not request.user.has_perm("consent.add_reversalconfirmation"):
            return False
        return object_id is None or Reversal.objects.filter(pk=object_id, kind="staff", confirmation=None).exists()

    @action(
        description="Agree as the second person",
        permissions=["agree"],
        icon="how_to_reg",
        dialog=ask(
            "Agree as the second person",
            "You have seen the proof that this person wants to be contacted again. The opt-out is lifted at once.",
            submit="Agree and lift the opt-out",
            form=PlainDialog,
        ),
    )
    def agree(self, request: HttpRequest, form: PlainDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            recorded = confirm_reversal(Reversal.objects.get(pk=object_id).pk, by=person(request))
            return f"Opted in to {scope_in_words(recorded.purpose, recorded.channel)} (decision #{recorded.id})."

        return carry_out(self, request, deed, reverse("admin:consent_reversal_change", args=[object_id]))
