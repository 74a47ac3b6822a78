"""Alarms with what explains them, what was reported that may explain them, and how the detectors are set."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import RecordAdmin, TrackedAdmin, badge, display, moment
from incidents.detection import picture
from incidents.detection.explaining import explain
from incidents.models import Alarm, DetectorSettings, Incident, Marker


@display(description="Incident")
def incident(alarm: Alarm) -> SafeString | str:
    if alarm.incident is None:
        return "none opened"
    url = reverse("admin:incidents_incident_change", args=[alarm.incident_id])
    return format_html('<a href="{}">{}</a>', url, alarm.incident.public_name)


@display(description="Counted")
def counted(alarm: Alarm) -> str:
    return f"{alarm.count}, {alarm.mu:.2f} expected" if alarm.mu is not None else f"{alarm.count}"


@admin.register(Alarm)
class AlarmAdmin(RecordAdmin):
    list_display = (
        "title", badge("detector", {"zero": "danger", "probe": "danger", "D3": "warning"}), counted,
        moment("bucket", "About"), badge("mode", {"active": "info"}), incident,
    )  # fmt: skip
    list_filter = ("detector", "mode")
    list_select_related = ("incident",)
    ordering = ("-pk",)
    sortable_by = ()
    change_form_template = "admin/incidents/change_form.html"
    change_form_outer_before_template = "admin/incidents/alarm.html"
    readonly_fields = fields = (
        "detector", "exit_path", moment("bucket", "About"), moment("raised_at", "Raised"), "mode", incident, "count",
        "mu", "phi", "s", "p", "threshold", "kappa", "baseline", "settings_version",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alarm]:
        """Title and candidates tell what an incident is about: one that the viewer may not see keeps its alarms."""
        seen = Q(incident=None) | Q(incident__in=Incident.objects.visible_to(request.user).values("pk"))
        return super().get_queryset(request).filter(seen)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        alarm = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if alarm is not None and self.has_view_permission(request, alarm):
            context = {
                "title": str(alarm),
                "subtitle": None,
                "alarm": alarm,
                "explanation": explain(alarm),
                "picture": picture.draw(alarm),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))


@admin.register(Marker)
class MarkerAdmin(RecordAdmin):
    list_display = ("title", badge("kind", {"send": "info", "deploy": "warning"}), moment("at", "When"), "people",
                    "purpose", "channel", "source")  # fmt: skip
    list_filter = ("kind",)
    search_fields = ("title", "key")
    ordering = ("-at",)
    readonly_fields = fields = (
        "title", "kind", moment("at", "When"), "size", "purpose", "channel", "family", "source", "key", "url",
        moment("recorded_at", "Reported"),
    )  # fmt: skip

    @display(description="People")
    def people(self, marker: Marker) -> str:
        return f"{marker.size:,}" if marker.size else ""


@admin.register(DetectorSettings)
class DetectorSettingsAdmin(TrackedAdmin):
    list_display = ("title", badge("mode", {"active": "success", "off": "danger"}), "h", "kappa", "slump_h")
    ordering = ("group",)
    readonly_fields = ("group", "title")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
