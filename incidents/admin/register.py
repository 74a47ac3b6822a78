"""What officers keep around incidents: rules of legal clocks, what a severity asks for, all follow-ups and clocks."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import HistoryAdmin, RecordAdmin, TrackedAdmin, badge, display, moment, named, person
from incidents.admin.filters import WhoseWork
from incidents.models import FollowUp, Incident, IncidentClock, IncidentClockRule, SeverityPolicy


class KeyedAdmin(TrackedAdmin):
    """A row whose key is its name: it is given once."""

    key = "code"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (self.key,) if obj else ()


@admin.register(IncidentClockRule)
class IncidentClockRuleAdmin(KeyedAdmin):
    list_display = ("code", "title", "jurisdiction", "citation", "starts_at", "term", "notify", "is_active")
    list_filter = ("jurisdiction", "is_active")
    search_fields = ("code", "title", "citation")
    ordering = ("code",)

    @display(description="Term")
    def term(self, rule: IncidentClockRule) -> str:
        return rule.term


@admin.register(SeverityPolicy)
class SeverityPolicyAdmin(KeyedAdmin):
    key = "severity"
    list_display = ("severity", "update_minutes", "needs_review", "review_days", "holidays_of")
    ordering = ("severity",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@display(description="Incident")
def incident(row: Any) -> SafeString:
    url = reverse("admin:incidents_incident_change", args=[row.incident_id])
    return format_html('<a href="{}">{}</a>', url, row.incident)


class OfSeenIncidents(HistoryAdmin, RecordAdmin):
    """Rows of incidents that the viewer may see."""

    shows_history = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = super().get_queryset(request)
        if request.user.has_perm("incidents.view_restricted"):
            return found
        seen = Incident.objects.visible_to(person(request)).values("pk")
        return found.filter(Q(incident__in=seen))

    def has_view_history_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        seen = obj is None or self.get_queryset(request).filter(pk=obj.pk).exists()
        return seen and super().has_view_history_permission(request, obj)


@admin.register(FollowUp)
class FollowUpAdmin(OfSeenIncidents):
    list_display = ("title", incident, "kind", "owner", "due", badge("state", {"done": "success", "open": "info"}))
    list_filter = (WhoseWork, "state", "kind")
    list_select_related = ("incident", "owner")
    search_fields = ("title",)
    ordering = ("due_on", "pk")
    sortable_by = ()
    readonly_fields = fields = (
        "title", incident, "kind", named("owner"), "due_on", "state", "outcome", moment("created_at"),
        moment("settled_at", "Settled"), "settled_by",
    )  # fmt: skip

    @display(description="Due", label={"overdue": "danger"})
    def due(self, work: FollowUp) -> tuple[str, str]:
        is_late = work.is_overdue(timezone.now().date())
        return ("overdue" if is_late else "", f"{work.due_on:%Y-%m-%d}{', overdue' if is_late else ''}")


@admin.register(IncidentClock)
class IncidentClockAdmin(OfSeenIncidents):
    list_display = (
        "citation", incident, "term", moment("due_at", "Due"),
        badge("state", {"running": "warning", "met": "success"}),
    )  # fmt: skip
    list_filter = ("state", "rule")
    list_select_related = ("incident",)
    ordering = ("due_at", "pk")
    sortable_by = ()
    readonly_fields = fields = (
        "rule", incident, "citation", "term", "why", moment("started_at", "Counts from"), moment("due_at", "Due"),
        moment("decided_at", "Decided"), "decided_by", "state", "answer", moment("answered_at", "Answered"),
        "answered_by",
    )  # fmt: skip
