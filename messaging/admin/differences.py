"""What services hold, against what holds here: reports, and each difference until it is right."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import ReasonDialog, RecordAdmin, action, ask, display, moment, person
from config.deeds import carry_out
from consent.facts import scope_in_words
from messaging.models import Difference, StateReport
from messaging.propagation.reports import settle

Kind = Difference.Kind
COLOURS: dict[str, str] = {
    Kind.CONTACTABLE.value: "danger",
    Kind.UNKNOWN.value: "warning",
    Kind.NO_YES.value: "warning",
    Kind.NEWER.value: "warning",
    Kind.OLDER.value: "info",
    Kind.UNHEARD.value: "success",
}


class StandingFilter(admin.SimpleListFilter):
    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "open"), ("settled", "settled")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Difference]) -> QuerySet[Difference]:
        match self.value():
            case "open":
                return queryset.filter(settled_at=None)
            case "settled":
                return queryset.filter(settled_at__isnull=False)
        return queryset


@admin.register(Difference)
class DifferenceAdmin(RecordAdmin):
    list_display = (moment("found_at", "Found"), "endpoint", "differs", "about", "who", "standing", "times_seen")
    list_filter = (StandingFilter, "kind", "endpoint")
    list_select_related = ("endpoint",)
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        "endpoint", "differs", "who", "about", "theirs", moment("theirs_at", "Theirs since"), "ours",
        moment("ours_at", "Ours since"), "decision", moment("found_at", "Found"), "times_seen", "first_report",
        "last_report", moment("told_again_at", "Told again"), "standing", moment("settled_at", "Settled"),
        "settled_by", "settled_reason",
    )  # fmt: skip
    actions_detail = ("settle",)

    @display(description="What differs", label=COLOURS)
    def differs(self, difference: Difference) -> tuple[str, str]:
        return difference.kind, difference.get_kind_display()

    @display(description="About")
    def about(self, difference: Difference) -> str:
        return scope_in_words(difference.purpose, difference.channel)

    @display(description="Person")
    def who(self, difference: Difference) -> SafeString | str:
        if difference.subject_id is None:
            return "nobody known"
        url = reverse("admin:consent_subject_change", args=[difference.subject_id])
        return format_html('<a href="{}">{}…</a>', url, str(difference.subject_id)[:8])

    @display(description="Decision")
    def decision(self, difference: Difference) -> SafeString | str:
        if difference.decision_id is None:
            return "-"
        url = reverse("admin:consent_decision_change", args=[difference.decision_id])
        return format_html('<a href="{}">#{}</a>', url, difference.decision_id)

    @display(description="Standing")
    def standing(self, difference: Difference) -> str:
        if difference.settled_at:
            return f"settled: {difference.settled_reason}"
        if difference.lasts_since:
            return "still there after they were told again"
        if difference.told_again_at:
            return "told again; their next report will show"
        return "waits for a person"

    def has_settle_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("messaging.change_difference"):
            return False
        return object_id is None or Difference.objects.open().filter(pk=object_id).exists()

    @action(
        description="Settle",
        permissions=["settle"],
        icon="done",
        dialog=ask(
            "Settle this difference",
            "Say what was done about it. Should their next report still show it, it is found anew.",
            submit="Settle",
        ),
    )
    def settle(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        difference: Any = Difference.objects.filter(pk=object_id).first()
        if difference is None:
            raise Http404("No such difference.")

        def deed() -> str:
            settle(difference, reason=form.cleaned_data["reason"], by=person(request))
            return "Settled."

        return carry_out(self, request, deed, reverse("admin:messaging_difference_change", args=[object_id]))


@admin.register(StateReport)
class StateReportAdmin(RecordAdmin):
    list_display = (
        moment("started_at", "Begun"), "endpoint", "name", moment("held_at", "They looked"), "rows", "same",
        "differing", "recorded", "unmeasured", moment("finished_at", "Finished"),
    )  # fmt: skip
    list_filter = ("endpoint",)
    list_select_related = ("endpoint",)
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        "endpoint", "name", moment("held_at", "They looked"), moment("started_at", "Begun"), "started_by", "rows",
        "same", "differing", "recorded", "unmeasured", "is_complete", moment("finished_at", "Finished"), "finished_by",
    )  # fmt: skip
