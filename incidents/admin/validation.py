"""Runs of validation with what each invariant answered, and the states that were put right."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from config.admin import RecordAdmin, badge, display, moment
from consent.drift import Kind
from incidents.invariants import INVARIANTS
from incidents.models import DriftRepair, ValidationRun
from incidents.validation import showing
from incidents.validation.running import interval

COLOURS = {"pass": "success", "fail": "danger", "inconclusive": "warning"}
MARKS = {"met": "hf-good", "breached": "hf-danger", "unmeasured": "hf-warning"}


@display(description="Incident")
def incident(row: Any) -> SafeString | str:
    if row.incident is None:
        return "none opened"
    url = reverse("admin:incidents_incident_change", args=[row.incident_id])
    return format_html('<a href="{}">{}</a>', url, row.incident.public_name)


def by_line(names: Sequence[str]) -> SafeString:
    return format_html_join(mark_safe("<br>"), "<code>{}</code>", ((name,) for name in names))


@admin.register(ValidationRun)
class ValidationRunAdmin(RecordAdmin):
    list_display = (
        badge("verdict", COLOURS), moment("started_at", "Asked"), "broken_ones", "unmeasured_ones", "trigger", "scope",
        "took", incident,
    )  # fmt: skip
    list_filter = ("verdict", "trigger")
    list_select_related = ("incident",)
    ordering = ("-started_at",)
    sortable_by = ()
    list_before_template = "admin/incidents/validation_age.html"
    change_form_template = "admin/incidents/change_form.html"
    change_form_outer_before_template = "admin/incidents/validation.html"
    readonly_fields = fields = (
        badge("verdict", COLOURS), "trigger", "scope", moment("started_at", "Asked"), moment("ended_at", "Answered"),
        "log_tx", incident,
    )  # fmt: skip

    @display(description="Broken")
    def broken_ones(self, run: ValidationRun) -> str:
        return ", ".join(run.broken)

    @display(description="Unmeasured")
    def unmeasured_ones(self, run: ValidationRun) -> str:
        return ", ".join(run.unmeasured)

    @display(description="Took")
    def took(self, run: ValidationRun) -> str:
        return f"{(run.ended_at - run.started_at).total_seconds():.1f} s"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        last, every = showing.newest(), interval()
        context = {
            "last": last,
            "every": int(every.total_seconds()),
            "is_late": last is not None and timezone.now() - last.ended_at > 3 * every,
            "compared_at": showing.compared_at(),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if run is not None and self.has_view_permission(request, run):
            checks = [(check, INVARIANTS[check.invariant].title, MARKS[check.verdict]) for check in run.checks.all()]
            context = {"title": str(run), "subtitle": None, "checks": checks}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))


@admin.register(DriftRepair)
class DriftRepairAdmin(RecordAdmin):
    list_display = (
        moment("found_at", "Found"), "what", "repaired", "people_must", "opt_outs", "found_by", incident,
    )  # fmt: skip
    list_filter = ("found_by",)
    list_select_related = ("incident",)
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        moment("found_at", "Found"), moment("repaired_at", "Put right"), "found_by", incident, "what", "opt_outs",
        "repaired", "left_to_people", "some", "digest_hex",
    )  # fmt: skip

    @display(description="What")
    def what(self, repair: DriftRepair) -> str:
        return "; ".join(f"{count:,} × {Kind(kind).label}" for kind, count in sorted(repair.kinds.items()))

    @display(description="Opt-outs that did not count")
    def opt_outs(self, repair: DriftRepair) -> int:
        return repair.reversed_count

    @display(description="Left to people", label={"some": "danger"})
    def people_must(self, repair: DriftRepair) -> tuple[str, str]:
        return ("some" if repair.left else "", str(len(repair.left)))

    @display(description="Left to people")
    def left_to_people(self, repair: DriftRepair) -> str:
        return by_line(repair.left) or "none"

    @display(description="Keys, at most twenty")
    def some(self, repair: DriftRepair) -> str:
        return by_line(repair.sample)

    @display(description="Digest of all keys (SHA-256)")
    def digest_hex(self, repair: DriftRepair) -> str:
        return bytes(repair.digest).hex()
