"""What was posted: as it came, with what became of it."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin import RecordAdmin, action, ask, badge, display, moment, person, theme_forms
from config.deeds import carry_out
from incidents import alerts
from incidents.models import AlertDelivery

OUTCOMES = {
    "accepted": "success", "rejected": "danger", "refused": "danger", "stored": "warning", "silenced": "info",
    "monitored": "info",
}  # fmt: skip
HIDDEN = "It is about a restricted incident: it is shown to those who have a part in it, and to officers."
SIGNATURES = {"valid": "success", "invalid": "danger"}


@display(description="Incident")
def incident(delivery: AlertDelivery) -> SafeString | str:
    if delivery.group is None or delivery.group.incident is None:
        return ""
    url = reverse("admin:incidents_incident_change", args=[delivery.group.incident_id])
    return format_html('<a href="{}">{}</a>', url, delivery.group.incident.public_name)


@display(description="As it came")
def body(delivery: AlertDelivery) -> SafeString | str:
    """The bytes as text. JSON is set out to be read; nothing in it is markup."""
    if delivery.is_hidden:
        return HIDDEN
    raw = bytes(delivery.raw_body)
    if not raw:
        return "Wiped. Its digest is kept." if delivery.wiped_at else "Only its digest and size were kept."
    try:
        text = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = raw.decode("utf-8", "replace")
    return format_html('<pre class="hf-raw">{}</pre>', text.encode("utf-8", "replace").decode())


@display(description="Headers")
def headers(delivery: AlertDelivery) -> SafeString | str:
    if delivery.is_hidden:
        return HIDDEN
    lines = format_html_join("\n", "{}: {}", sorted(delivery.headers.items()))
    return format_html('<pre class="hf-raw">{}</pre>', lines) if lines else ""


@display(description="SHA-256 of the body")
def digest(delivery: AlertDelivery) -> str:
    return bytes(delivery.body_digest).hex()


@display(description="Came")
def way(delivery: AlertDelivery) -> str:
    if delivery.is_test:
        return "as a test, from here"
    return "by disk: the database was away" if delivery.was_spooled else "by its address"


@display(description="Wiped")
def wiped(delivery: AlertDelivery) -> str:
    return f"{delivery.wiped_at:%Y-%m-%d %H:%M} UTC by {delivery.wiped_by}" if delivery.wiped_at else "no"


class WipeDialog(theme_forms.BaseDialogForm):
    """Nothing is asked beyond the press: who and when are kept beside the delivery."""


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(RecordAdmin):
    list_display = (
        "number",
        moment("received_at", "Received"),
        "sender",
        badge("outcome", OUTCOMES),
        "reason",
        incident,
    )
    list_filter = ("outcome", "signature", "source")
    list_select_related = ("source", "group__incident")
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        "sender", badge("outcome", OUTCOMES), "reason", incident, badge("signature", SIGNATURES),
        moment("received_at", "Received"), "occurrence", moment("parsed_at", "Read"), "sender_event_id",
        way, "content_type", "size", digest, headers, wiped, body,
    )  # fmt: skip
    actions_detail = ("wipe",)

    def has_wipe_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.wipe_alertdelivery")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertDelivery]:
        """A list does not load the bodies."""
        found = super().get_queryset(request)
        return (
            found
            if "object_id" in (request.resolver_match.kwargs if request.resolver_match else {})
            else (found.defer("raw_body", "headers"))
        )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> AlertDelivery | None:
        """With a mark where what was posted tells of an incident that the viewer may not see."""
        delivery: AlertDelivery | None = super().get_object(request, object_id, from_field)
        if delivery is not None:
            hidden = AlertDelivery.objects.filter(pk=delivery.pk).hidden_from(request.user)
            if hidden.exists():
                delivery.is_hidden, delivery.sender_event_id = True, ""
        return delivery

    @display(description="Delivery")
    def number(self, delivery: AlertDelivery) -> str:
        return f"#{delivery.pk}"

    @display(description="Source")
    def sender(self, delivery: AlertDelivery) -> str:
        return str(delivery.source) if delivery.source else "unknown: nobody has its token"

    @action(
        description="Wipe the payload",
        permissions=["wipe"],
        icon="ink_eraser",
        dialog=ask(
            "Wipe its payload",
            "Body and headers are emptied for good. That it came, its digest and what became of it stay.",
            submit="Wipe",
            form=WipeDialog,
        ),
    )
    def wipe(self, request: HttpRequest, form: WipeDialog, object_id: str) -> HttpResponse:
        delivery = AlertDelivery.objects.filter(pk=object_id).first()
        if delivery is None:
            raise Http404("No such delivery.")

        def deed() -> str:
            alerts.wipe(delivery, by=person(request))
            return "The payload is gone. The record stays."

        return carry_out(self, request, deed, _page(object_id))


def _page(object_id: Any) -> str:
    return reverse("admin:incidents_alertdelivery_change", args=[object_id])
