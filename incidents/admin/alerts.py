"""Who may post alerts, and what they posted: as it came, with what became of it."""

import json
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import HistoryAdmin, ReasonDialog, RecordAdmin, action, ask, badge, display, moment, person, widgets
from config.deeds import add_errors, carry_out, form_page
from incidents import alerts
from incidents.models import AlertDelivery, AlertSource


class NewSourceForm(forms.Form):
    name = forms.CharField(
        max_length=100,
        widget=widgets.UnfoldAdminTextInputWidget,
        help_text="Which Alertmanager it is. The address that it posts to is shown once, on the next page.",
    )


@admin.register(AlertSource)
class AlertSourceAdmin(HistoryAdmin, RecordAdmin):
    shows_history = True
    list_display = ("name", "kind", "is_active", moment("last_seen_at", "Last heard"), moment("created_at"))
    list_filter = ("is_active",)
    ordering = ("name",)
    readonly_fields = fields = (
        "name", "kind", "is_active", moment("created_at"), moment("last_seen_at", "Last heard"),
    )  # fmt: skip
    actions_detail = ("renew_token", "switch")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("incidents.add_alertsource")

    def has_renew_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.change_alertsource")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewSourceForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                source, token = alerts.issue_source(form.cleaned_data["name"], by=person(request))
            except ValidationError as error:
                add_errors(form, error)
            else:
                self._show(request, token)
                return HttpResponseRedirect(_page(source.pk))
        return form_page(
            self, request, form, [(None, {"fields": ["name"]})], title="Let something post alerts", submit="Add"
        )

    @action(
        description="New address",
        permissions=["renew"],
        icon="key",
        dialog=ask("Give it a new address", "The old one stops working at once.", submit="Renew"),
    )
    def renew_token(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            reason = form.cleaned_data["reason"]
            self._show(request, alerts.renew_token(the(object_id), reason=reason, by=person(request)))
            return "The old address no longer works."

        return carry_out(self, request, deed, _page(object_id))

    @action(
        description="Switch on or off",
        permissions=["renew"],
        icon="power_settings_new",
        dialog=ask("Switch on or off", "While it is off, its deliveries are refused.", submit="Switch"),
    )
    def switch(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            source = alerts.switch(the(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"{source} is {'on' if source.is_active else 'off'}."

        return carry_out(self, request, deed, _page(object_id))

    def _show(self, request: HttpRequest, token: str) -> None:
        url = f"{settings.PUBLIC_URL}{reverse('alerts', args=[token])}"
        self.message_user(request, f"Copy this address now, it is not shown again: {url}", messages.WARNING)


@display(description="Incident")
def incident(delivery: AlertDelivery) -> SafeString | str:
    if delivery.group is None:
        return ""
    url = reverse("admin:incidents_incident_change", args=[delivery.group.incident_id])
    return format_html('<a href="{}">{}</a>', url, delivery.group.incident)


@display(description="As it came")
def body(delivery: AlertDelivery) -> SafeString:
    """The bytes as text. JSON is set out to be read; nothing in it is markup."""
    raw = bytes(delivery.raw_body)
    try:
        text = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = raw.decode("utf-8", "replace")
    return format_html('<pre class="hf-raw">{}</pre>', text.encode("utf-8", "replace").decode())


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(RecordAdmin):
    list_display = (
        "number",
        moment("received_at", "Received"),
        "source",
        badge("outcome", {"accepted": "success", "rejected": "danger", "stored": "warning"}),
        "reason",
        incident,
    )
    list_filter = ("outcome", "source")
    list_select_related = ("source", "group__incident")
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        "source", badge("outcome", {"accepted": "success", "rejected": "danger", "stored": "warning"}), "reason",
        incident, "content_type", moment("received_at", "Received"), moment("parsed_at", "Read"), body,
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertDelivery]:
        """A list does not load the bodies."""
        found = super().get_queryset(request)
        return (
            found
            if "object_id" in (request.resolver_match.kwargs if request.resolver_match else {})
            else (found.defer("raw_body"))
        )

    @display(description="Delivery")
    def number(self, delivery: AlertDelivery) -> str:
        return f"#{delivery.pk}"


def the(object_id: str) -> AlertSource:
    source = AlertSource.objects.filter(pk=object_id).first()
    if source is None:
        raise Http404("No such source of alerts.")
    return source


def _page(object_id: Any) -> str:
    return reverse("admin:incidents_alertsource_change", args=[object_id])
