"""The delivery log of webhooks: what each service was told, every call, and sending again."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import ReasonDialog, RecordAdmin, RecordInline, action, ask, badge, display, moment, person
from config.deeds import carry_out
from consent.facts import STATES, scope_in_words
from messaging.models import WebhookAttempt, WebhookDelivery
from messaging.propagation import replaying

State = WebhookDelivery.State
COLOURS: dict[str, str] = {
    State.DELIVERED: "success",
    State.SENDING: "info",
    State.RETRY_WAIT: "warning",
    State.FAILED: "danger",
}


class Attempts(RecordInline):
    model = WebhookAttempt
    fields = readonly_fields = (
        "number", moment("started_at", "Called"), moment("ended_at", "Ended"), "status", "error", "reply",
    )  # fmt: skip
    ordering = ("-number",)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(RecordAdmin):
    list_display = (
        moment("created_at", "Owed since"),
        "endpoint",
        "kind",
        "about",
        "change",
        badge("state", COLOURS),
        "attempts_made",
        "last_error",
        "event_id",
    )
    list_filter = ("state", "kind", "endpoint")
    list_select_related = ("endpoint",)
    ordering = ("-created_at", "-pk")
    sortable_by = ()
    readonly_fields = fields = (
        "event_id", "endpoint", badge("state", COLOURS), "last_error", "kind", "person_link", "about", "change",
        "explicit", "cause", "decision", "version", moment("occurred_at", "Changed"),
        moment("created_at", "Owed since"),
        moment("not_before", "Next try not before"), moment("settled_at", "Settled"), "attempts_made",
    )  # fmt: skip
    inlines = (Attempts,)
    actions_detail = ("replay",)

    @display(description="Event")
    def event_id(self, delivery: WebhookDelivery) -> str:
        return delivery.webhook_id

    @display(description="About")
    def about(self, delivery: WebhookDelivery) -> str:
        if delivery.facts is not None:
            return str(delivery.facts["incident"])
        return scope_in_words(delivery.purpose, delivery.channel) if delivery.purpose else "-"

    @display(description="Change")
    def change(self, delivery: WebhookDelivery) -> str:
        if delivery.kind != WebhookDelivery.Kind.CHANGED:
            return "-"
        return f"{STATES[delivery.before]} → {STATES[delivery.after]}"

    @display(description="Person")
    def person_link(self, delivery: WebhookDelivery) -> SafeString | str:
        if delivery.subject_id is None:
            return "-"
        url = reverse("admin:consent_subject_change", args=[delivery.subject_id])
        return format_html('<a href="{}">{}</a>', url, delivery.subject_id)

    @display(description="Decision")
    def decision(self, delivery: WebhookDelivery) -> SafeString | str:
        if delivery.decision_id is None:
            return "-"
        url = reverse("admin:consent_decision_change", args=[delivery.decision_id])
        return format_html('<a href="{}">#{}</a>', url, delivery.decision_id)

    def has_replay_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("messaging.change_webhookdelivery"):
            return False
        if object_id is None:
            return True
        return WebhookDelivery.objects.filter(pk=object_id, state__in=replaying.SETTLED).exists()

    @action(
        description="Send again",
        permissions=["replay"],
        icon="replay",
        dialog=ask("Send this event again", "Under the same id, so that its service knows it.", submit="Send again"),
    )
    def replay(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        delivery: Any = WebhookDelivery.objects.select_related("endpoint").filter(pk=object_id).first()
        if delivery is None:
            raise Http404("No such delivery.")

        def deed() -> str:
            replaying.replay(delivery, reason=form.cleaned_data["reason"], by=person(request))
            return "It is sent again within seconds."

        return carry_out(self, request, deed, reverse("admin:messaging_webhookdelivery_change", args=[object_id]))
