"""Taking back at the desk: what was declared bad, how far it has come, and a door for writes that nobody declared."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from config.admin import RecordAdmin, action, ask, badge, display, moment, person, theme_forms, widgets
from config.deeds import add_errors, carry_out, form_page
from config.models import User
from incidents.admin.change_fields import as_text
from incidents.admin.change_forms import incidents_for
from incidents.admin.change_tabs import page_of, shown
from incidents.admin.dialogs import Lines
from incidents.admin.forms import Moment, Select, Text
from incidents.changes import undeclared
from incidents.changes.undeclared import confirm_refusal
from incidents.changes.wording import told_predicate
from incidents.models import Incident, Rollback

COLOURS = {"waiting": "warning", "running": "warning", "done": "success"}


class UndeclaredForm(forms.Form):
    """Which writes were bad. Only what belongs to the way of finding them is read."""

    by = forms.ChoiceField(
        label="Find them by", widget=Select,
        choices=[("session", "a login of the database, and when"), ("tx", "a transaction"), ("batch", "a batch"),
                 ("import", "an import")],
    )  # fmt: skip
    db_user = forms.CharField(
        label="Login", max_length=63, required=False, initial="holdfast_oncall", widget=Text,
        help_text="As each decision keeps it: holdfast_oncall, holdfast_app, or what the server gives its logins.",
    )  # fmt: skip
    since = Moment(label="Received from", required=False)
    until = Moment(label="Received before", required=False)
    tx = forms.IntegerField(
        label="Transaction", required=False, min_value=1, max_value=2**63 - 1,
        widget=widgets.UnfoldAdminIntegerFieldWidget, help_text="Its number, as a decision shows it.",
    )  # fmt: skip
    batch = forms.UUIDField(label="Batch", required=False, widget=Text)
    of_import = forms.CharField(label="Import", max_length=20, required=False, widget=Text, help_text="Like IM-5.")
    incident = forms.TypedChoiceField(
        coerce=int, empty_value=None, required=False, widget=Select,
        help_text="Whose timeline tells of it. None: a new one is declared.",
    )  # fmt: skip
    reason = Lines(rows=3, max_length=500, label="Why they are bad")
    counted = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered: Any = self.fields["incident"]
        offered.choices = [("", "none"), *incidents_for(user, None)]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        wanted = {
            "session": ("db_user", "since", "until"),
            "tx": ("tx",),
            "batch": ("batch",),
            "import": ("of_import",),
        }
        for name in wanted.get(given.get("by", ""), ()):
            if not given.get(name) and name not in self.errors:
                self.add_error(name, "Say this, to find them so.")
        return given

    def predicate(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given["by"] == "session":
            return {"db_user": given["db_user"], "since": as_text(given["since"]), "until": as_text(given["until"])}
        if given["by"] == "import":
            return {"import": given["of_import"].strip().upper()}
        return {"tx": given["tx"]} if given["by"] == "tx" else {"batch": str(given["batch"])}


@admin.register(Rollback)
class RollbackAdmin(RecordAdmin):
    list_display = (
        "name", "about", badge("state", COLOURS), "item_count", "voided_count", "later", "of_incident", "started_by",
        moment("started_at", "Begun"),
    )  # fmt: skip
    list_filter = ("state",)
    list_select_related = ("change_set", "incident")
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = ("about", badge("state", COLOURS), "of_incident", "reason", "started_by", "confirmed_by")
    change_form_template = "admin/incidents/change_form.html"
    change_form_outer_after_template = "admin/incidents/rollback.html"
    actions_detail = ("confirm", "cancel")

    class Media:
        js = ("incidents/refresh.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rollback]:
        user = person(request)
        sees = user.has_perm("incidents.view_incident")
        seen = Incident.objects.visible_to(user) if sees else Incident.objects.none()
        found = super().get_queryset(request).select_related("change_set", "incident")
        return found.annotate(sees_incident=Exists(seen.filter(pk=OuterRef("incident")).order_by()))

    @display(description="Rollback", ordering="pk")
    def name(self, rollback: Rollback) -> str:
        return f"#{rollback.pk}"

    @display(description="Takes back")
    def about(self, rollback: Rollback) -> SafeString | str:
        words = told_predicate(rollback.predicate)
        if rollback.change_set is None:
            return words
        url = f"{reverse('admin:incidents_changeset_change', args=[rollback.change_set_id])}?tab=rollback"
        return format_html('<a href="{}">{}</a>', url, words)

    @display(description="To look at", label={"some": "warning"})
    def later(self, rollback: Rollback) -> tuple[str, str]:
        return ("some", f"{rollback.later_count:,}") if rollback.later_count else ("", "")

    @display(description="Incident")
    def of_incident(self, rollback: Any) -> SafeString | str:
        if rollback.incident is None:
            return ""
        if not rollback.sees_incident:
            return str(rollback.incident.ref)
        return format_html(
            '<a href="{}">{}</a>', page_of("incidents_incident", rollback.incident_id), rollback.incident
        )

    # The page

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        rollback = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if isinstance(rollback, Rollback) and self.has_view_permission(request, rollback):
            context = {"title": str(rollback).capitalize(), "subtitle": None, **shown_alone(rollback)}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_safe(self.progress_view))
        return [path("<int:object_id>/progress/", view, name="incidents_rollback_progress"), *super().get_urls()]

    def progress_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The part of the page that changes while it is being done."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rollback = get_object_or_404(Rollback.objects.select_related("change_set"), pk=object_id)
        return TemplateResponse(request, "admin/incidents/rollback_facts.html", shown_alone(rollback))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        rollback, user = the(object_id), person(request)
        hidden = {"incidents_rollback_confirm"} if confirm_refusal(rollback, user) else set()
        if rollback.state != Rollback.State.WAITING:
            hidden.add("incidents_rollback_cancel")
        return [each for each in super().get_actions_detail(request, object_id) if each.action_name not in hidden]

    # Taking back what nobody declared

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("incidents.add_rollback") and self.has_take_back_permission(request)

    def has_take_back_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.roll_back_changeset")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """First it only counts; a second press, on the same numbers, does it or asks a second person."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UndeclaredForm(request.POST or None, user=person(request))
        met = None
        if request.method == "POST" and form.is_valid():
            try:
                met = undeclared.look(form.predicate())
                if "take_back" in request.POST and form.cleaned_data["counted"] == counted(met):
                    return self._taken_back(request, form)
            except ValidationError as error:
                add_errors(form, error)
        return self._counted(request, form, met)

    def _taken_back(self, request: HttpRequest, form: UndeclaredForm) -> HttpResponse:
        given = form.cleaned_data
        incident = Incident.objects.filter(pk=given["incident"]).first() if given["incident"] else None
        made = undeclared.roll_back_undeclared(
            form.predicate(), reason=given["reason"], by=person(request), incident=incident
        )
        waits = made.state == Rollback.State.WAITING
        said = "It waits for a second person." if waits else "It is being done."
        self.message_user(request, f"{made.item_count:,} decisions are declared bad. {said}", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:incidents_rollback_change", args=[made.pk]))

    def _counted(self, request: HttpRequest, form: UndeclaredForm, met: undeclared.Met | None) -> HttpResponse:
        changed = met is not None and "take_back" in request.POST and form.is_valid()
        if met is not None:
            form.data = {**form.data.dict(), "counted": counted(met)}  # type: ignore[attr-defined]
        fields: list[tuple[str | None, dict[str, Any]]] = [
            (None, {"fields": ["by"]}),
            ("A session", {"fields": ["db_user", "since", "until"]}),
            ("Or", {"fields": ["tx", "batch", "of_import"]}),
            (None, {"fields": ["incident", "reason", "counted"]}),
        ]
        submit = "Count again" if met else "Count them"
        more = {"take_back": f"Take back {met.item_count:,} decisions"} if met and met.item_count else {}
        return form_page(
            self, request, form, fields, title="Take back writes that nobody declared", submit=submit,
            template="admin/incidents/undeclared.html", met=met, has_changed=changed, more_buttons=more,
        )  # fmt: skip

    # Of those that wait

    @action(
        description="Confirm", permissions=["take_back"], icon="group",
        dialog=ask("Take these decisions back", "You answer for it beside whoever began it. People's own choices stay.",
                   submit="Take back", form=theme_forms.BaseDialogForm),
    )  # fmt: skip
    def confirm(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        def deed() -> str:
            undeclared.confirm(the(object_id), by=person(request))
            return "Confirmed: it is being done."

        return carry_out(self, request, deed, reverse("admin:incidents_rollback_change", args=[object_id]))

    @action(
        description="Give it up", permissions=["take_back"], icon="cancel",
        dialog=ask("Give it up", "Nothing of it was done, and nothing will be.", submit="Give it up"),
    )  # fmt: skip
    def cancel(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        def deed() -> str:
            undeclared.cancel(the(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return "Given up."

        return carry_out(self, request, deed, reverse("admin:incidents_rollback_change", args=[object_id]))


def shown_alone(rollback: Rollback) -> dict[str, Any]:
    refreshes = reverse("admin:incidents_rollback_progress", args=[rollback.pk])
    return {"each": shown(rollback), "alone": True, "refreshes": refreshes}


def the(object_id: Any) -> Rollback:
    return get_object_or_404(Rollback.objects.select_related("change_set", "incident"), pk=object_id)


def counted(met: undeclared.Met) -> str:
    """What was read before the second press."""
    return f"{met.item_count}/{met.opt_out_count}"
