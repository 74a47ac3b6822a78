"""The outbox: every message that is owed or was, why it is where it is, and what may be done about it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import ReasonDialog, action, ask, badge, display, mask, moment, person
from config.deeds import carry_out
from consent import subjects
from consent.access import people
from consent.models import ANY, Channel
from messaging import services
from messaging.admin.doubts import Doubts
from messaging.admin.filters import QUEUES, AgeFilter, IncidentFilter, QueueFilter, TransportFilter
from messaging.admin.finding import may_see_people, readings
from messaging.admin.resending import SentAgain
from messaging.evidence import contents_of, level_of, story_of
from messaging.models import Message

State = Message.State
COLOURS: dict[str, str] = {
    State.ACCEPTED: "success",
    State.SENDING: "info",
    State.HELD: "warning",
    State.RETRY_WAIT: "warning",
    State.IN_DOUBT: "danger",
    State.REJECTED: "danger",
    State.FAILED: "danger",
    State.RENDER_FAILED: "danger",
    State.EXPIRED: "warning",
    State.FILED: "warning",
}
DELIVERY_COLOURS: dict[str, str] = {
    Message.Delivery.DELIVERED: "success",
    Message.Delivery.DEFERRED: "warning",
    Message.Delivery.BOUNCED_SOFT: "warning",
    Message.Delivery.BOUNCED_HARD: "danger",
}


@admin.register(Message)
class MessageAdmin(SentAgain, Doubts):
    list_before_template = "admin/consent/queues.html"
    list_display = (
        moment("created_at", "Owed since"),
        "recipient_shown",
        "what",
        "about",
        badge("state", COLOURS),
        badge("delivery", DELIVERY_COLOURS),
        "decision",
        "tries",
        moment("settled_at", "Settled"),
    )
    list_filter = (
        QueueFilter,
        "state",
        "delivery",
        "message_class",
        "lane",
        TransportFilter,
        IncidentFilter,
        AgeFilter,
        "is_degraded",
        "possible_duplicate",
    )
    ordering = ("-created_at", "-pk")
    sortable_by = ()
    search_fields = ("pk",)  # shows the box; what is typed is read by get_search_results
    search_help_text = "An exact e-mail address, telephone number, message id, Message-ID or subject id."
    readonly_fields = fields = (
        badge("state", COLOURS),
        badge("delivery", DELIVERY_COLOURS),
        moment("acknowledged_at", "Acknowledged"),
        moment("complained_at", "Reported as spam"),
        "why",
        "evidence",
        "recipient_shown",
        "subject",
        "decision",
        "about",
        "message_class",
        "way",
        "lane",
        "transport",
        "template",
        "locale",
        moment("created_at", "Owed since"),
        moment("owed_by", "Owed by"),
        moment("not_before", "Not before"),
        moment("settled_at", "Settled"),
        "tries",
        "possible_duplicate",
        "proposal",
        "fingerprint",
    )
    change_form_outer_after_template = "admin/messaging/message.html"
    actions_detail = (
        "hold",
        "release",
        "resend",
        "agree",
        {"title": "More", "items": ("propose_resend", "propose_close", "withdraw", "cancel", "close_unknown")},
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        return super().get_queryset(request).defer("sealed_raw", "sealed_context").select_related("template_version")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        term = search_term.strip()
        return (queryset.filter(self._named(request, term)) if term else queryset), False

    def _named(self, request: HttpRequest, term: str) -> Q:
        try:
            number = UUID(term.strip("<>").partition("@")[0])
            return Q(pk=number) | Q(subject_id=number)
        except ValueError:
            pass
        if not may_see_people(request):
            return Q(pk=None)
        found = set(subjects.find(readings(term)).values())
        return Q(subject_id__in={one for root in found for one in people(root)})

    # Columns

    @display(description="To")
    def recipient_shown(self, message: Message) -> str:
        """Masked, and so far for whoever may open the list; the auditor's list has no such column."""
        try:
            return mask(message.recipient) if message.sealed_recipient else "nobody"
        except InvalidTag:
            return "cannot be opened"  # sealed under another PRIVACY_KEY; the message says so too

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._without_people(request, self.list_display)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self._without_people(request, self.fields)

    def _without_people(self, request: HttpRequest, columns: Any) -> list[Any]:
        return [column for column in columns if column != "recipient_shown" or may_see_people(request)]

    @display(description="Sent as")
    def way(self, message: Message) -> str:
        return Channel(message.channel).label

    @display(description="What")
    def what(self, message: Message) -> str:
        return message.what

    @display(description="About")
    def about(self, message: Message) -> str:
        """The purpose; by which way the person is contacted about it no more stands in the decision."""
        return "all purposes" if message.purpose == ANY else message.purpose or "-"

    @display(description="Tries")
    def tries(self, message: Message) -> int:
        return message.tries

    @display(description="Why")
    def why(self, message: Message) -> str:
        return message.last_error or "-"

    @display(description="Person")
    def subject(self, message: Message) -> SafeString:
        url = reverse("admin:consent_subject_change", args=[message.subject_id])
        return format_html('<a href="{}">{}</a>', url, message.subject_id)

    @display(description="Decision")
    def decision(self, message: Message) -> SafeString | str:
        if message.decision_id is None:
            return "-"
        url = reverse("admin:consent_decision_change", args=[message.decision_id])
        return format_html('<a href="{}">#{}</a>', url, message.decision_id)

    @display(description="Text")
    def template(self, message: Message) -> SafeString | str:
        if message.template_version is None:
            return f"{message.template_key}, not rendered yet"
        url = reverse("admin:messaging_templateversion_change", args=[message.template_version_id])
        older = ", an older version for want of the newest" if message.is_degraded else ""
        return format_html('<a href="{}">{}</a>{}', url, message.template_version, older)

    @display(description="What is proved")
    def evidence(self, message: Message) -> str:
        return level_of(message)

    @display(description="Proposed")
    def proposal(self, message: Message) -> str:
        """What a colleague wants to do about a doubt, and with which reason."""
        ruling = message.rulings.filter(is_open=True).first()
        return f"{ruling}: {ruling.reason}" if ruling else "-"

    @display(description="SHA-256 of the bytes")
    def fingerprint(self, message: Message) -> str:
        return bytes(message.render_hash).hex() if message.render_hash else "-"

    # The pages

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        chosen = request.GET.get("queue", "")
        tabs = [
            {"title": title, "query": f"?queue={name}", "active": name == chosen, "name": name, "count": None}
            for name, title, _ in QUEUES
        ]
        tabs.append({"title": "All", "query": "?", "active": not chosen, "name": "all", "count": None})
        return super().changelist_view(request, {"queues": tabs} | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        message = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if isinstance(message, Message):
            shows = may_see_people(request)
            context = {"lines": story_of(message), "shows_contents": shows}
            context["contents"] = contents_of(message) if shows else None
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    # What may be done

    def has_work_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("messaging.change_message")

    def _in(self, request: HttpRequest, object_id: str | None, *states: str) -> bool:
        """A button is there where it leads somewhere; the service asks again."""
        if not self.has_work_permission(request):
            return False
        return object_id is None or Message.objects.filter(pk=object_id, state__in=states).exists()

    def has_hold_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, *Message.WAITING)

    def has_release_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, State.HELD)

    def has_resend_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, *services.SENT_AGAIN) and not self._is_for_two(object_id)

    def has_cancel_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, *Message.WAITING, State.HELD)

    def has_doubt_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, State.IN_DOUBT) and not self._is_for_two(object_id)

    def _do(
        self, request: HttpRequest, form: ReasonDialog, object_id: str, verb: Callable[..., None], done: str
    ) -> HttpResponse:
        message = Message.objects.filter(pk=object_id).first()
        if message is None:
            raise Http404("No such message.")

        def deed() -> str:
            verb(message, reason=form.cleaned_data["reason"], by=person(request))
            return done

        return carry_out(self, request, deed, reverse("admin:messaging_message_change", args=[object_id]))

    @action(
        description="Hold",
        permissions=["hold"],
        icon="pause",
        dialog=ask("Hold this message", "It is kept back until somebody lets it go.", submit="Hold"),
    )
    def hold(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, services.hold, "Held back.")

    @action(
        description="Let it go",
        permissions=["release"],
        icon="play_arrow",
        dialog=ask("Let this message go", "It is sent within seconds.", submit="Let it go"),
    )
    def release(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, services.release, "It will be sent within seconds.")

    @action(
        description="Send again",
        permissions=["resend"],
        icon="replay",
        dialog=ask(
            "Send this message again",
            "The same bytes under the same Message-ID. If it is in doubt, the person may get it twice.",
            submit="Send again",
        ),
    )
    def resend(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, services.resend, "It will be sent within seconds.")

    @action(
        description="Withdraw",
        permissions=["cancel"],
        icon="cancel",
        dialog=ask("Withdraw this message", "It is never sent. This cannot be undone.", submit="Withdraw"),
    )
    def cancel(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, services.cancel, "Withdrawn. It will not be sent.")

    @action(
        description="Close as unknown",
        permissions=["doubt"],
        icon="help",
        dialog=ask(
            "Close as unknown",
            "Nobody can find out whether it was sent. It is reported as unknown for good.",
            submit="Close as unknown",
        ),
    )
    def close_unknown(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, services.close_unknown, "Closed as unknown.")
