"""Change sets at the desk: a list, a form, a page with tabs, and a button for each verb that may be pressed now."""

import re
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.views.decorators.http import require_safe
from simple_history.template_utils import HistoricalRecordContextHelper

from config.admin import HistoryAdmin, RecordAdmin, action, badge, display, moment, person
from config.deeds import add_errors, form_page
from incidents.admin import change_tabs as tabs
from incidents.admin.change_buttons import ACTIONS, BUTTONS, Buttons, page_of_set, the
from incidents.admin.change_forms import ChooseForm, form_for, operation_of, operations
from incidents.admin.change_marks import BADGES
from incidents.admin.filters import Author, OfIncident, Passed
from incidents.changes.allowing import refusal
from incidents.changes.judging import total_of
from incidents.models import ChangeBatch, ChangeSet, Incident

REF = re.compile(r"\s*cs-([0-9]{1,9})\s*", re.IGNORECASE)
WIDE = ("sample", "matrix", "forecast", "configuration", "base_revision", "plan_digest", "validation_policy", "reason")
HAPPENS = (
    "planned", "submitted", "bypassed", "seconded", "reviewed", "started", "paused", "rolled_back", "ended",
)  # fmt: skip
state = badge("state", BADGES)


@display(description="Let through", label={"overdue": "danger", "due": "danger", "done": "warning"})
def let_through(change: ChangeSet) -> tuple[str, str] | str:
    """Loud: nobody approved it."""
    review = tabs.review_of(change, timezone.now())
    words = {
        "overdue": "BYPASSED, review overdue", "done": "bypassed, reviewed",
        "due": "BYPASSED, review due" if change.seconded_at else "BYPASS asked for",
    }  # fmt: skip
    return (review, words[review]) if review else ""


@display(description="Protected touched", ordering="protected_touched", label={"some": "danger"})
def protected(change: ChangeSet) -> tuple[str, str]:
    if change.planned_at is None:
        return ("", "not planned")
    return ("some" if change.protected_touched else "", f"{change.protected_touched:,}")


@admin.register(ChangeSet)
class ChangeSetAdmin(Buttons, HistoryAdmin, RecordAdmin):
    shows_history = True
    list_display = (
        "ref", "title", "kind", state, let_through, protected, "progress", "of_incident", "created_by", "age",
    )  # fmt: skip
    list_filter = ("state", "kind", Passed, OfIncident, Author)
    list_select_related = ("incident",)
    search_fields = ("title",)
    search_help_text = "A title, or a number like CS-12"
    ordering = ("-pk",)
    sortable_by = ("state",)
    readonly_fields = fields = (
        state, "kind", "revision", "created_by", moment("created_at", "Written"), "edited_by",
        *(field for what in HAPPENS for field in (moment(f"{what}_at"), f"{what}_by")),
        moment("scheduled_for", "Applied at"), "scheduled_by", "bypass_reason", "second_person",
        moment("review_due_at", "Review due"), "review_result", "paused_reason",
        moment("applied_at", "Applied"), "rollback_reason", "ended_reason",
    )  # fmt: skip
    change_form_template = "admin/incidents/change_form.html"
    change_form_outer_before_template = "admin/incidents/change_set_tabs.html"
    change_form_outer_after_template = "admin/incidents/change_set.html"
    actions_detail = ACTIONS

    class Media:
        js = ("incidents/refresh.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChangeSet]:
        user = person(request)
        seen = (
            Incident.objects.visible_to(user) if user.has_perm("incidents.view_incident") else Incident.objects.none()
        )
        last = ChangeBatch.objects.filter(change_set=OuterRef("pk")).order_by("-number").values("last_position")[:1]
        found = super().get_queryset(request).select_related("incident")
        return found.annotate(
            reached=Subquery(last), sees_incident=Exists(seen.filter(pk=OuterRef("incident")).order_by())
        )

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        found.queryset = found.queryset.defer(*WIDE)
        return found

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        if number := REF.fullmatch(search_term):
            return queryset.filter(pk=int(number[1])), False
        return super().get_search_results(request, queryset, search_term)

    # Columns

    @display(description="Ref", ordering="pk")
    def ref(self, change: ChangeSet) -> str:
        return change.ref

    @display(description="Progress")
    def progress(self, change: Any) -> str | None:
        if change.started_at is None:
            return None
        return f"{tabs.percent(min(change.reached or 0, total_of(change)), total_of(change))} %"

    @display(description="Incident")
    def of_incident(self, change: Any) -> SafeString | str | None:
        if change.incident is None:
            return None
        if not change.sees_incident:
            return str(change.incident.ref)
        url = reverse("admin:incidents_incident_change", args=[change.incident_id])
        return format_html('<a href="{}?tab=changes">{}</a>', url, change.incident)

    @display(description="Edited by")
    def edited_by(self, change: ChangeSet) -> str:
        return ", ".join(change.editors) or "nobody else"

    @display(description="Age", ordering="created_at")
    def age(self, change: ChangeSet) -> str:
        return timesince(change.created_at, depth=1)

    # Writing

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("incidents.add_changeset")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        operation = request.GET.get("operation", "")
        if operation not in dict(operations()):
            return self._choose(request)
        initial = {"incident": request.GET.get("incident", "")}
        form = form_for(operation)(request.POST or None, user=person(request), initial=initial)
        return self._written(request, form, "Write a change set", "It is a draft. Plan it to see what it would do.")

    def edit_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """A new revision: what was planned and approved before counts no more."""
        if not self.has_author_permission(request):
            raise PermissionDenied
        change = the(object_id)
        if refused := refusal("edit", change, person(request)):
            self.message_user(request, refused, messages.ERROR)
            return HttpResponseRedirect(page_of_set(object_id, "what"))
        form = form_for(operation_of(change))(request.POST or None, user=person(request), change=change)
        return self._written(request, form, f"Edit {change.ref}", "It is a draft again. Plan it anew.")

    def _choose(self, request: HttpRequest) -> HttpResponse:
        form = ChooseForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            query = request.GET.copy()
            query["operation"] = form.cleaned_data["operation"]
            return HttpResponseRedirect(f"?{query.urlencode()}")
        fields = [(None, {"fields": ["operation"]})]
        return form_page(self, request, form, fields, title="What is to be done", submit="Go on")

    def _written(self, request: HttpRequest, form: Any, title: str, said: str) -> HttpResponse:
        if request.method == "POST" and form.is_valid():
            try:
                change = form.save(person(request))
            except ValidationError as error:
                add_errors(form, error)
            else:
                self.message_user(request, f"{change.ref} is kept. {said}", messages.SUCCESS)
                return HttpResponseRedirect(page_of_set(change.pk, "what"))
        return form_page(self, request, form, form.fieldsets(), title=title, submit="Keep as a draft")

    # The page

    def get_urls(self) -> list[Any]:
        view, name = self.admin_site.admin_view, "incidents_changeset"
        return [
            path("<int:object_id>/edit-it/", view(self.edit_view), name=f"{name}_edit_it"),
            path("<int:object_id>/progress/", view(require_safe(self.progress_view)), name=f"{name}_progress"),
            *super().get_urls(),
        ]  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What did not happen has no line."""
        named = [(field, field if isinstance(field, str) else field.__name__) for field in self.fields]
        alone = {"bypass_reason", "second_person", "review_due_at", "review_result", "paused_reason", "applied_at",
                 "rollback_reason", "ended_reason", "scheduled_for", "scheduled_by"}  # fmt: skip
        pairs = {f"{what}_{part}" for what in HAPPENS for part in ("at", "by")}
        hidden = {name for _, name in named if name in alone | pairs and not getattr(obj, name, None)}
        return [field for field, name in named if name not in hidden]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fieldsets(request, obj) if obj is None or tabs.current(request) == "what" else []

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what this person may do with it now."""
        change, user = the(object_id), person(request)
        hidden = {f"incidents_changeset_{verb}" for verb in (*BUTTONS, "edit") if refusal(verb, change, user)}
        return [each for each in super().get_actions_detail(request, object_id) if each.action_name not in hidden]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        change = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if isinstance(change, ChangeSet) and self.has_view_permission(request, change):
            context = {"title": str(change), "subtitle": None, **tabs.context(change, request)}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def progress_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The part of the page that changes while it is at work."""
        change = self.get_object(request, str(object_id))
        if not isinstance(change, ChangeSet):
            raise Http404("No such change set.")
        if not self.has_view_permission(request, change):
            raise PermissionDenied
        return TemplateResponse(
            request, "admin/incidents/change_set_progress.html", tabs.context(change, request) | {"asked": True}
        )

    def get_historical_record_context_helper(self, request: HttpRequest, historical_record: Any) -> Any:
        return WithoutTitles(self.model, historical_record)

    # What the buttons need. Who may what when, `refusal` says; here it is only whether they may at all.

    def has_author_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.add_changeset")

    def has_approve_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.approve_changeset")

    def has_apply_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.apply_changeset")

    def has_bypass_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.bypass_changeset")

    def has_take_back_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.roll_back_changeset")

    @action(description="Edit", permissions=["author"], icon="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:incidents_changeset_edit_it", args=[object_id]))


class WithoutTitles(HistoricalRecordContextHelper):
    """The title of a restricted incident stays with who may see it, in the history too."""

    def prepare_delta_change_value(self, change: Any, value: Any) -> Any:
        return value.public_name if isinstance(value, Incident) else super().prepare_delta_change_value(change, value)
