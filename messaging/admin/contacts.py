"""Contacts that services made themselves and reported."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import RecordAdmin, display, moment
from messaging.admin.finding import named
from messaging.models import Contact


@admin.register(Contact)
class ContactAdmin(RecordAdmin):
    list_display = (moment("contacted_at", "Contacted"), "who", "purpose", "channel", "service", "reference")
    list_filter = ("channel",)
    ordering = ("-pk",)
    sortable_by = ()
    search_fields = ("pk",)
    search_help_text = "A subject id, or an exact e-mail address or telephone number."
    readonly_fields = fields = (
        moment("contacted_at", "Contacted"), "who", "purpose", "channel", "service", "reference",
        moment("received_at", "Reported"),
    )  # fmt: skip

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Contact], search_term: str
    ) -> tuple[QuerySet[Contact], bool]:
        return queryset.filter(named(request, search_term, "subject_id")), False

    @display(description="Person")
    def who(self, contact: Any) -> SafeString | str:
        if contact.subject_id is None:
            return "nobody known"
        url = reverse("admin:consent_subject_change", args=[contact.subject_id])
        return format_html('<a href="{}">{}…</a>', url, str(contact.subject_id)[:8])
