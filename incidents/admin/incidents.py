"""Incidents: a list, a page with tabs, and a button for each verb."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.utils.formats import date_format
from django.views.decorators.http import require_POST

from config.admin import HistoryAdmin, RecordAdmin, action, badge, display, moment, person
from config.deeds import add_errors, form_page, words
from incidents import exports, review, services
from incidents.admin import tabs
from incidents.admin.buttons import ACTIONS, BUTTONS, Buttons, back_to, the
from incidents.admin.filters import NearMissFilter, Overdue
from incidents.admin.forms import DeclareForm, NoteForm, ReviewForm
from incidents.models import Incident
from incidents.scope import told_scope
from incidents.vocabulary import dpv_status

STATUSES = {
    "triage": "warning", "declared": "danger", "contained": "info", "recovering": "info", "monitoring": "info",
    "closed": "success",
}  # fmt: skip
status = badge("status", STATUSES)
severity = badge("severity", {"sev1": "danger", "sev2": "warning"})


@display(description="Severity", ordering="severity", label={"sev1": "danger", "sev2": "warning"})
def short_severity(incident: Incident) -> tuple[str, str]:
    return incident.severity, incident.severity.upper()


@display(description="Mode", ordering="mode", label={"drill": "info", "retrospective": "info"})
def mode(incident: Incident) -> tuple[str, str] | str:
    """Only what is not real is marked."""
    return "" if incident.mode == Incident.Mode.REAL else (incident.mode, incident.get_mode_display())


@display(description="About")
def about(incident: Incident) -> str:
    return told_scope(incident)


@display(description="Tied decisions", ordering="linked_count")
def tied(incident: Incident) -> str:
    return f"{incident.linked_count:,}"


@display(description="Next due", label={"overdue": "danger", "due": "info"})
def next_due(incident: Incident) -> tuple[str, str] | str:
    """Whichever comes first: a running legal clock, or the next word to those who wait."""
    terms = [(incident.clock_due, "law"), (incident.next_update_due, "update")]  # type: ignore[attr-defined]
    known = sorted((due, what) for due, what in terms if due)
    if not known:
        return ""
    due, what = known[0]
    text = f"{what} {date_format(timezone.localtime(due), 'j M, H:i')}"
    return ("overdue", f"{text}, overdue") if due < timezone.now() else ("due", text)


@display(description="In DPV words")
def dpv(incident: Incident) -> str:
    status_word = dpv_status(incident.status, is_near_miss=incident.is_near_miss)
    return ", ".join([*incident.dpv_types, status_word])


@display(description="Seen by", label={"restricted": "warning"})
def visibility(incident: Incident) -> tuple[str, str] | str:
    return ("restricted", "restricted") if incident.is_restricted else "all who may see incidents"


@admin.register(Incident)
class IncidentAdmin(Buttons, HistoryAdmin, RecordAdmin):
    shows_history = True
    list_display = (
        "ref", "title", short_severity, status, mode, moment("occurred_from", "Opened"), tied, next_due, "commander",
    )  # fmt: skip
    list_filter = ("status", "severity", "mode", "type", NearMissFilter, Overdue)
    list_select_related = ("commander",)
    search_fields = ("ref", "title")
    ordering = ("-pk",)
    readonly_fields = fields = (
        "title", "summary", "impact", "resolution", severity, "priority", status, "mode", "type", dpv, "is_near_miss",
        "near_miss_prevented_by", about, visibility, "legal_hold", "attorney_review", "caused_by_change_set",
        moment("occurred_from", "Began"), moment("occurred_to", "Ended"), moment("detected_at", "Noticed"),
        moment("declared_at", "Declared"), "declared_by", moment("acknowledged_at", "Acknowledged"), "acknowledged_by",
        moment("contained_at", "Contained"), "contained_by", moment("recovered_at", "Recovered"), "recovered_by",
        moment("closed_at", "Closed"), "closed_by", moment("next_update_due", "Next update due"), "commander", tied,
    )  # fmt: skip
    change_form_template = "admin/incidents/change_form.html"
    change_form_outer_before_template = "admin/incidents/tabs.html"
    change_form_outer_after_template = "admin/incidents/incident.html"
    actions_detail = ACTIONS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        return super().get_queryset(request).visible_to(person(request)).with_next_clock()

    def has_view_history_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        seen = obj is None or Incident.objects.visible_to(person(request)).filter(pk=obj.pk).exists()
        return seen and super().has_view_history_permission(request, obj)

    # Declaring

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("incidents.add_incident")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = DeclareForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                incident = services.declare(**form.facts(), by=person(request))
            except ValidationError as error:
                add_errors(form, error)
            else:
                self.message_user(request, f"{incident.ref} is declared.", messages.SUCCESS)
                return back_to(incident.pk, "timeline")
        return form_page(self, request, form, form.fieldsets(), title="Declare an incident", submit="Declare")

    # The page

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fieldsets(request, obj) if obj is None or tabs.current(request) == "facts" else []

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what may be done now, and on the tab that it belongs to."""
        incident, tab = the(request, object_id), tabs.current(request)
        hidden = {
            f"incidents_incident_{name}"
            for name, button in BUTTONS.items()
            if button.tab not in ("", tab) or not button.shown(incident, person(request))
        }
        if tab != "review":
            hidden.add("incidents_incident_write_review")
        return [each for each in super().get_actions_detail(request, object_id) if each.action_name not in hidden]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        incident = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if incident is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if self.has_view_permission(request, incident):
            context = {"title": str(incident), "subtitle": None, **tabs.context(incident, request)}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def get_urls(self) -> list[Any]:
        note = self.admin_site.admin_view(require_POST(self.add_note))
        return [path("<int:object_id>/note/", note, name="incidents_incident_note"), *super().get_urls()]

    def add_note(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The box on top of the timeline."""
        if not request.user.has_perm("incidents.add_timelineentry"):
            raise PermissionDenied
        form = NoteForm(request.POST)
        try:
            if not form.is_valid():
                raise ValidationError([text for texts in form.errors.values() for text in texts])
            facts = form.cleaned_data
            incident = the(request, object_id)
            services.add_note(incident, facts["text"], by=person(request), occurred_at=facts["occurred_at"])
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
        return back_to(object_id, "timeline")

    # What the buttons need. An incident that somebody may not see has none for them.

    def _may(self, request: HttpRequest, object_id: Any, permission: str) -> bool:
        return request.user.has_perm(f"incidents.{permission}") and (object_id is None or bool(the(request, object_id)))

    def has_work_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "change_incident")

    def has_close_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "close_incident")

    def has_restrict_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "restrict_incident")

    def has_note_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "add_timelineentry")

    def has_export_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "view_timelineentry")

    def has_seal_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "add_affectedset")

    def has_role_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "change_incidentrole")

    def has_clock_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "change_incidentclock")

    def has_follow_up_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "change_followup")

    def has_review_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "change_postincidentreview")

    def has_relation_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "add_incidentrelation")

    def has_playbook_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "change_playbookrun")

    def has_start_playbook_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "add_playbookrun")

    def has_approve_step_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, "approve_playbookrun")

    # Pages of their own

    @action(description="Write the review", permissions=["review"], icon="edit_document")
    def write_review(self, request: HttpRequest, object_id: str) -> HttpResponse:
        incident = the(request, object_id)
        form = ReviewForm(incident, request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                review.write(incident, **form.cleaned_data, by=person(request))
            except ValidationError as error:
                add_errors(form, error)
            else:
                self.message_user(request, "Kept. The numbers were counted anew.", messages.SUCCESS)
                return back_to(object_id, "review")
        title = f"Review of {incident.ref}"
        return form_page(self, request, form, [(None, {"fields": list(form.fields)})], title=title, submit="Keep")

    @action(description="as JSON", permissions=["export"], icon="data_object")
    def export_json(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._export(request, object_id, "json")

    @action(description="as CSV", permissions=["export"], icon="table_view")
    def export_csv(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._export(request, object_id, "csv")

    @action(description="as PDF", permissions=["export"], icon="picture_as_pdf")
    def export_pdf(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._export(request, object_id, "pdf")

    def _export(self, request: HttpRequest, object_id: str, format: str) -> HttpResponse:
        """A page that says what the file is, and the file when its button is pressed: a line is written for it."""
        incident = the(request, object_id)
        if request.method != "POST":
            title, submit = f"Export the timeline of {incident.ref}", f"Download as {format.upper()}"
            form, template = Form(), "admin/incidents/export.html"
            return form_page(self, request, form, [], title=title, submit=submit, template=template, incident=incident)
        try:
            made = exports.export(incident, format, by=person(request))
        except ValidationError as error:
            self.message_user(request, words(error), messages.ERROR)
            return back_to(object_id, "timeline")
        headers = {"Content-Disposition": f'attachment; filename="{made.name}"', "Cache-Control": "no-store"}
        return HttpResponse(made.body, content_type=made.content_type, headers=headers)
