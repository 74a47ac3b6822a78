"""What came in: letters for a person, addresses that are not written to, and providers' posts as they came."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import HistoryAdmin, ReasonDialog, RecordAdmin, action, ask, badge, display, mask, moment, person
from config.deeds import carry_out
from messaging import suppressing
from messaging.admin.finding import may_see_people, named
from messaging.inbound import desk, parsing, text_messages
from messaging.inbound.mail import KEPT
from messaging.models import HookDelivery, InboundMessage, Suppression

STATES = {"open": "warning", "answered": "success", "stored": "info"}
OUTCOMES = {"read": "success", "rejected": "danger", "refused": "danger", "stored": "warning"}


def on_page(request: HttpRequest) -> bool:
    """A list does not load the bytes."""
    return bool(request.resolver_match and "object_id" in request.resolver_match.kwargs)


@admin.register(InboundMessage)
class InboundMessageAdmin(RecordAdmin):
    list_display = (
        moment("received_at", "Received"), "sender_shown", "kind", badge("state", STATES), "outcome", "assigned_to",
    )  # fmt: skip
    list_filter = ("state", "kind", "channel")
    ordering = ("-received_at", "-pk")
    sortable_by = ()
    search_fields = ("pk",)
    search_help_text = "A subject id or a message id."
    readonly_fields = fields = (
        badge("state", STATES), "kind", "outcome", "sender_shown", "subject_shown", "text_shown", "who", "about",
        "decision", "assigned_to", moment("handled_at", "Dealt with"), "handled_by", "handled_reason", "channel",
        "source",
        moment("received_at", "Received"),
    )  # fmt: skip
    actions_detail = ("take", "answered", "was_a_no", "close")

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboundMessage]:
        found = super().get_queryset(request)
        return found if on_page(request) else found.defer("raw")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[InboundMessage], search_term: str
    ) -> tuple[QuerySet[InboundMessage], bool]:
        try:
            number = UUID(search_term.strip().strip("<>").partition("@")[0])
        except ValueError:
            return (queryset.none() if search_term.strip() else queryset), False
        return queryset.filter(Q(subject_id=number) | Q(message_id=number)), False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What somebody wrote is for those who may see people."""
        hidden = set() if may_see_people(request) else {"sender_shown", "subject_shown", "text_shown"}
        return [field for field in self.fields if field not in hidden]

    def get_list_display(self, request: HttpRequest) -> Any:
        return [column for column in self.list_display if column != "sender_shown" or may_see_people(request)]

    @display(description="From")
    def sender_shown(self, row: InboundMessage) -> str:
        return mask(row.sender) if row.sender else "-"

    @display(description="Subject")
    def subject_shown(self, row: InboundMessage) -> str:
        return row.subject or "-"

    @display(description="Text")
    def text_shown(self, row: InboundMessage) -> SafeString | str:
        """As plain text: nothing in it is markup, and nothing is loaded."""
        if row.hook_id:
            url = reverse("admin:messaging_hookdelivery_change", args=[row.hook_id])
            return format_html('No letter: <a href="{}">a post of the provider</a> holds what was said.', url)
        if not row.raw:
            return f"It was emptied: letters are kept for {KEPT.days} days, and none of a person who was erased."
        if row.channel == "sms":
            try:
                text = text_messages.parse(bytes(row.raw)).text
            except text_messages.Unreadable:
                text = bytes(row.raw).decode("utf-8", "replace")
        else:
            text = parsing.read(bytes(row.raw)).text
        return format_html('<pre class="hf-raw">{}</pre>', text[:20_000].replace("\0", "").strip() or "(no text)")

    @display(description="Person")
    def who(self, row: InboundMessage) -> SafeString | str:
        if row.subject_id is None:
            return "not known"
        url = reverse("admin:consent_subject_change", args=[row.subject_id])
        return format_html('<a href="{}">{}</a>', url, row.subject_id)

    @display(description="Answers")
    def about(self, row: InboundMessage) -> SafeString | str:
        if row.message_id is None:
            return "no message of ours that it names"
        url = reverse("admin:messaging_message_change", args=[row.message_id])
        return format_html('<a href="{}">{}</a>', url, row.message_id)

    @display(description="Decision")
    def decision(self, row: InboundMessage) -> SafeString | str:
        if row.decision_id is None:
            return "-"
        url = reverse("admin:consent_decision_change", args=[row.decision_id])
        return format_html('<a href="{}">#{}</a>', url, row.decision_id)

    def has_desk_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("messaging.change_inboundmessage"):
            return False
        return object_id is None or InboundMessage.objects.for_a_person().filter(pk=object_id).exists()

    def _do(
        self, request: HttpRequest, object_id: str, verb: Callable[..., Any], done: str, **said: str
    ) -> HttpResponse:
        row = InboundMessage.objects.filter(pk=object_id).first()
        if row is None:
            raise Http404("No such reply.")

        def deed() -> str:
            verb(row, by=person(request), **said)
            return done

        return carry_out(self, request, deed, reverse("admin:messaging_inboundmessage_change", args=[object_id]))

    @action(
        description="Take it",
        permissions=["desk"],
        icon="pan_tool",
        dialog=ask("Take this letter", "Others see that it is yours.", submit="Take it"),
    )
    def take(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, object_id, desk.take, "It is yours.")

    @action(
        description="It was answered",
        permissions=["desk"],
        icon="reply",
        dialog=ask("It was answered", "Say what was answered, and how.", submit="Answered"),
    )
    def answered(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, object_id, desk.answered, "Marked as answered.", reason=form.cleaned_data["reason"])

    @action(
        description="It is an opt-out",
        permissions=["desk"],
        icon="block",
        dialog=ask(
            "This letter is an opt-out",
            "The person is opted out of everything on this channel, as of when the letter came.",
            submit="Opt them out",
        ),
    )
    def was_a_no(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, object_id, desk.was_a_no, "Opted out.", reason=form.cleaned_data["reason"])

    @action(
        description="Close",
        permissions=["desk"],
        icon="done",
        dialog=ask("Close this letter", "Nothing has to be done about it. Say why.", submit="Close"),
    )
    def close(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, object_id, desk.close, "Closed.", reason=form.cleaned_data["reason"])


@admin.register(Suppression)
class SuppressionAdmin(HistoryAdmin, RecordAdmin):
    shows_history = True
    list_display = (moment("created_at", "Since"), "reason", "detail", "holds_shown", moment("expires_at", "Until"))
    list_filter = ("reason",)
    ordering = ("-created_at", "-pk")
    sortable_by = ()
    search_fields = ("pk",)
    search_help_text = "An exact e-mail address or telephone number, or the id of the message that led to it."
    readonly_fields = fields = (
        "reason", "detail", "holds_shown", moment("created_at", "Since"), moment("expires_at", "Until"), "message",
    )  # fmt: skip
    actions_detail = ("lift",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        return queryset.filter(named(request, search_term, "message_id")), False

    @display(description="Now", label={"yes": "danger", "no": "success"})
    def holds_shown(self, row: Suppression) -> tuple[str, str]:
        return ("yes", "not written to") if row.holds() else ("no", "written to again")

    @display(description="Message")
    def message(self, row: Suppression) -> SafeString | str:
        if row.message_id is None:
            return "-"
        url = reverse("admin:messaging_message_change", args=[row.message_id])
        return format_html('<a href="{}">{}</a>', url, row.message_id)

    def has_lift_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("messaging.change_suppression"):
            return False
        rows = Suppression.objects.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        return object_id is None or rows.filter(pk=object_id).exists()

    @action(
        description="Lift it",
        permissions=["lift"],
        icon="lock_open",
        dialog=ask(
            "Write to this address again",
            "Only the suppression is lifted. What the person chose, a complaint's opt-out too, stays as it is.",
            submit="Lift it",
        ),
    )
    def lift(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        row = Suppression.objects.filter(pk=object_id).first()
        if row is None:
            raise Http404("No such suppression.")

        def deed() -> str:
            suppressing.lift(row, reason=form.cleaned_data["reason"], by=person(request))
            return "Lifted. The address is written to again."

        return carry_out(self, request, deed, reverse("admin:messaging_suppression_change", args=[object_id]))


@admin.register(HookDelivery)
class HookDeliveryAdmin(RecordAdmin):
    list_display = (
        "number",
        moment("received_at", "Received"),
        "provider",
        "kind",
        badge("outcome", OUTCOMES),
        "reason",
    )
    list_filter = ("outcome", "kind", "provider")
    ordering = ("-pk",)
    sortable_by = ()
    fields = (
        "provider", "kind", badge("outcome", OUTCOMES), "reason", moment("received_at", "Received"),
        moment("read_at", "Read"), "headers", "body_shown",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[HookDelivery]:
        found = super().get_queryset(request)
        return found if on_page(request) else found.defer("body")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [field for field in self.fields if field != "body_shown" or may_see_people(request)]

    @display(description="Delivery")
    def number(self, delivery: HookDelivery) -> str:
        return f"#{delivery.pk}"

    @display(description="As it came")
    def body_shown(self, delivery: HookDelivery) -> SafeString | str:
        if delivery.body is None:
            return "It was emptied: posts are kept for 30 days."
        raw = bytes(delivery.body)[:100_000]
        try:
            text = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            text = raw.decode("utf-8", "replace")
        return format_html('<pre class="hf-raw">{}</pre>', text.encode("utf-8", "replace").decode())
