"""Causes that were found on a second look: which decision, what was found, how sure it is, and what it rests on."""

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import RecordAdmin, display, moment
from incidents.models import CauseAssessment


@admin.register(CauseAssessment)
class CauseAssessmentAdmin(RecordAdmin):
    """The newest version of a decision counts. The decision itself keeps what was said when it was made."""

    list_display = ("number", "found", "sure", "rests_on", "version", moment("assessed_at", "Found"))
    list_filter = ("cause",)
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        "decision", "found", "sure", "rests_on", "version", "rules", moment("assessed_at", "Found"),
    )  # fmt: skip

    @display(description="Decision")
    def number(self, found: CauseAssessment) -> str:
        return f"#{found.decision_id}"

    @display(description="Decision")
    def decision(self, found: CauseAssessment) -> SafeString:
        url = reverse("admin:consent_decision_change", args=[found.decision_id])
        return format_html('<a href="{}">#{}</a>', url, found.decision_id)

    @display(description="Cause")
    def found(self, found: CauseAssessment) -> str:
        return str(found.get_cause_display())

    @display(description="How sure")
    def sure(self, found: CauseAssessment) -> str:
        return f"{found.confidence} %"

    @display(description="Rests on")
    def rests_on(self, found: CauseAssessment) -> str:
        return ", ".join(reason.replace("_", " ") for reason in found.reasons) or "-"
