"""Opt-outs that were tried and failed: who, where and why, to be recorded, asked about, or closed with a reason."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import ReasonDialog, RecordAdmin, action, ask, display, moment, person
from config.deeds import carry_out
from consent import interrupted
from consent.admin import columns
from consent.admin.filters import ExitPathFilter
from consent.identifiers import Identity, masked, unseal
from consent.models import InterruptedOptOut

State = InterruptedOptOut.State
COLOURS: dict[str, str] = {
    State.WAITING.value: "warning",
    State.OPEN.value: "danger",
    State.RETRIED.value: "success",
    State.CONTACTED.value: "info",
    State.CLOSED.value: "",
}


@admin.register(InterruptedOptOut)
class InterruptedOptOutAdmin(RecordAdmin):
    list_display = (
        moment("tried_at", "Tried"),
        "who",
        "exit_path",
        "scope",
        "went_wrong",
        "attempts",
        "standing",
        moment("path_works_at", "Works again"),
    )
    list_filter = ("state", "is_certain", ExitPathFilter)
    ordering = ("-tried_at", "-pk")
    sortable_by = ()
    readonly_fields = fields = (
        "standing",
        "who",
        "exit_path",
        "scope",
        "certainty",
        moment("tried_at", "First tried"),
        moment("last_tried_at", "Last tried"),
        "attempts",
        "place",
        "went_wrong",
        moment("path_works_at", "Others came through again"),
        "recorded",
        moment("settled_at", "Settled"),
        "settled_by",
        "settled_reason",
    )
    actions_detail = ("record_now", "contacted", "close")

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return self._for(request, super().get_list_display(request))

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> list[Any]:
        return [list_display[0]]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self._for(request, super().get_fields(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self._for(request, super().get_readonly_fields(request, obj))

    def _for(self, request: HttpRequest, names: Any) -> list[Any]:
        may_see = request.user.has_perm("consent.view_identifier")
        return [name if name != "who" or may_see else "who_by_number" for name in names]

    @display(description="Person")
    def who_by_number(self, row: InterruptedOptOut) -> str:
        return f"person {str(row.subject_id)[:8]}…" if row.subject_id else "named by a service"

    @display(description="Person")
    def who(self, row: InterruptedOptOut) -> SafeString | str:
        if row.subject_id:
            url = reverse("admin:consent_subject_change", args=[row.subject_id])
            return format_html('<a href="{}">{}…</a>', url, str(row.subject_id)[:8])
        if row.sealed_identifier:
            return masked(Identity(row.identifier_kind, unseal(row.identifier_kind, bytes(row.sealed_identifier))))
        return "erased"

    @display(description="Opting out of")
    def scope(self, row: InterruptedOptOut) -> str:
        return f"{columns.purpose(row)} by {columns.channel(row)}" if row.purpose else "could not be read"

    @display(description="What went wrong")
    def went_wrong(self, row: InterruptedOptOut) -> str:
        return f"{row.error_code}: {row.error}" if row.error else row.error_code

    @display(description="State", label=COLOURS)
    def standing(self, row: InterruptedOptOut) -> tuple[str, str]:
        words = str(row.get_state_display())
        return (
            row.state,
            f"{words}: the way out works again" if row.state == State.OPEN and row.path_works_at else words,
        )

    @display(description="Who wants what is certain")
    def certainty(self, row: InterruptedOptOut) -> str:
        if row.is_certain:
            return "Yes: it is recorded by itself once the way out works again, or by a button here at once."
        return "No: ask the person, and record what they say as a privacy request."

    @display(description="Recorded as")
    def recorded(self, row: InterruptedOptOut) -> SafeString | str:
        if row.decision_id is None:
            return "-"
        url = reverse("admin:consent_decision_change", args=[row.decision_id])
        return format_html('<a href="{}">#{}</a>', url, row.decision_id)

    def has_settle_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("consent.settle_interruptedoptout"):
            return False
        return object_id is None or InterruptedOptOut.objects.unsettled().filter(pk=object_id).exists()

    def has_retry_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        certain = object_id is None or InterruptedOptOut.objects.filter(pk=object_id, is_certain=True).exists()
        return certain and self.has_settle_permission(request, object_id)

    @action(
        description="Record it now",
        permissions=["retry"],
        icon="replay",
        dialog=ask(
            "Record the opt-out now",
            "With the moment at which the person tried. A later choice of theirs stands.",
            submit="Record",
        ),
    )
    def record_now(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            number = interrupted.retry(the(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"Recorded as decision #{number}."

        return carry_out(self, request, deed, _page(object_id))

    @action(
        description="The person was asked",
        permissions=["settle"],
        icon="call",
        dialog=ask("The person was asked", "Say when, how, and what they said.", submit="Keep it"),
    )
    def contacted(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._settle(request, form, object_id, State.CONTACTED, "Kept: the person was asked.")

    @action(
        description="Close",
        permissions=["settle"],
        icon="done",
        dialog=ask("Close without the person", "It is not recorded then. Say why that is right.", submit="Close"),
    )
    def close(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._settle(request, form, object_id, State.CLOSED, "Closed.")

    def _settle(self, request: HttpRequest, form: ReasonDialog, object_id: str, state: str, said: str) -> HttpResponse:
        def deed() -> str:
            interrupted.settle(the(object_id), state, reason=form.cleaned_data["reason"], by=person(request))
            return said

        return carry_out(self, request, deed, _page(object_id))


def the(object_id: str) -> InterruptedOptOut:
    row: Any = InterruptedOptOut.objects.filter(pk=object_id).first()
    if row is None:
        raise Http404("No such attempt.")
    return row


def _page(object_id: str) -> str:
    return reverse("admin:consent_interruptedoptout_change", args=[object_id])
