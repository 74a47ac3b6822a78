"""Incidents: a list, a page with tabs, and a button for each verb."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from config.admin import HistoryAdmin, RecordAdmin, action, ask, badge, display, moment, person
from config.deeds import add_errors, carry_out, form_page
from incidents import services
from incidents.admin import tabs
from incidents.admin.forms import (
    CommanderDialog,
    ContainDialog,
    CorrectDialog,
    DeclareForm,
    NoteForm,
    ReasonDialog,
    ScopeDialog,
    WindowDialog,
)
from incidents.models import Incident
from incidents.scope import told_scope

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


@admin.register(Incident)
class IncidentAdmin(HistoryAdmin, RecordAdmin):
    shows_history = True
    list_display = (
        "ref", "title", short_severity, status, mode, moment("occurred_from", "Opened"), tied, "commander",
    )  # fmt: skip
    list_filter = ("status", "severity", "mode")
    list_select_related = ("commander",)
    search_fields = ("ref", "title")
    ordering = ("-pk",)
    readonly_fields = fields = (
        "title", "summary", severity, status, "mode", about, moment("occurred_from", "Began"),
        moment("occurred_to", "Ended"), moment("declared_at", "Declared"), "declared_by",
        moment("contained_at", "Contained"), "contained_by", moment("closed_at", "Closed"), "closed_by", "commander",
        tied,
    )  # fmt: skip
    change_form_template = "admin/incidents/change_form.html"
    change_form_outer_before_template = "admin/incidents/tabs.html"
    change_form_outer_after_template = "admin/incidents/incident.html"
    actions_detail = (
        "contain",
        "close",
        "assign_commander",
        {"title": "More", "items": ("set_window", "change_scope", "correct_note")},
    )

    # Declaring

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("incidents.add_incident")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = DeclareForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                incident = services.declare(**form.cleaned_data, by=person(request))
            except ValidationError as error:
                add_errors(form, error)
            else:
                self.message_user(request, f"{incident.ref} is declared.", messages.SUCCESS)
                return HttpResponseRedirect(_page(incident.pk, "timeline"))
        return form_page(self, request, form, form.fieldsets(), title="Declare an incident", submit="Declare")

    # The page

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fieldsets(request, obj) if obj is None or tabs.current(request) == "facts" else []

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        incident = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if incident is not None and self.has_view_permission(request, incident):
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
            services.add_note(the(object_id), facts["text"], by=person(request), occurred_at=facts["occurred_at"])
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
        return HttpResponseRedirect(_page(object_id, "timeline"))

    # The buttons

    def has_work_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.change_incident")

    def has_close_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.close_incident")

    def has_note_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.add_timelineentry")

    @action(
        description="Contain",
        permissions=["work"],
        icon="shield",
        dialog=ask("Contain it", "It does no more harm.", submit="Contain", form=ContainDialog),
    )
    def contain(self, request: HttpRequest, form: ContainDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            facts = form.cleaned_data
            done = services.contain(the(object_id), reason=facts["reason"], at=facts["at"], by=person(request))
            return f"{done.ref} is contained."

        return carry_out(self, request, deed, _page(object_id, "timeline"))

    @action(
        description="Close incident",
        permissions=["close"],
        icon="task_alt",
        dialog=ask(
            "Close it",
            "It is over, and its time ends now. Alerts that go on firing open a new one.",
            submit="Close",
        ),
    )
    def close(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            done = services.close(the(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"{done.ref} is closed."

        return carry_out(self, request, deed, _page(object_id, "timeline"))

    @action(
        description="Commander",
        permissions=["work"],
        icon="assignment_ind",
        dialog=ask("Who leads", submit="Assign", form=CommanderDialog),
    )
    def assign_commander(self, request: HttpRequest, form: CommanderDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            done = services.assign_commander(the(object_id), form.cleaned_data["commander"], by=person(request))
            return f"{done.commander or 'Nobody'} leads {done.ref}."

        return carry_out(self, request, deed, _page(object_id, "timeline"))

    @action(
        description="Change when it was",
        permissions=["work"],
        icon="schedule",
        dialog=ask(
            "Change when it was",
            "Decisions that come to lie inside are tied; those that were tied stay tied.",
            submit="Change",
            form=WindowDialog,
        ),
    )
    def set_window(self, request: HttpRequest, form: WindowDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            facts = form.cleaned_data
            begins, ends, reason = facts["occurred_from"], facts["occurred_to"], facts["reason"]
            done = services.set_window(the(object_id), begins, ends, reason=reason, by=person(request))
            return f"{done.ref}: decisions are being looked at again."

        return carry_out(self, request, deed, _page(object_id, "timeline"))

    @action(
        description="Change what it is about",
        permissions=["work"],
        icon="tune",
        dialog=ask(
            "Change what it is about",
            "Decisions that come to belong to it are tied; those that were tied stay tied.",
            submit="Change",
            form=ScopeDialog,
        ),
    )
    def change_scope(self, request: HttpRequest, form: ScopeDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            facts = {name: form.cleaned_data[name] for name in ("purposes", "exit_paths", "reason")}
            done = services.change_scope(the(object_id), **facts, by=person(request))
            return f"{done.ref}: decisions are being looked at again."

        return carry_out(self, request, deed, _page(object_id, "timeline"))

    @action(
        description="Correct a note",
        permissions=["note"],
        icon="edit_note",
        dialog=ask(
            "Correct a note", "The note stays in the timeline, struck out.", submit="Correct", form=CorrectDialog
        ),
    )
    def correct_note(self, request: HttpRequest, form: CorrectDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            services.correct_note(form.cleaned_data["entry"], form.cleaned_data["text"], by=person(request))
            return "Corrected."

        return carry_out(self, request, deed, _page(object_id, "timeline"))


def the(object_id: Any) -> Incident:
    incident = Incident.objects.filter(pk=object_id).first()
    if incident is None:
        raise Http404("No such incident.")
    return incident


def _page(object_id: Any, tab: str) -> str:
    return f"{reverse('admin:incidents_incident_change', args=[object_id])}?tab={tab}"
