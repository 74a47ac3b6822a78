"""The log of decisions, as it grew: read, filtered, searched, never changed."""

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from config.admin import ReasonDialog, RecordAdmin, action, ask, badge, display, moment, person
from config.deeds import carry_out
from consent.admin import columns
from consent.admin.filters import (
    CauseFilter,
    ChannelFilter,
    ChoiceFilter,
    ExitPathFilter,
    ExplicitFilter,
    PurposeFilter,
)
from consent.admin.people import SEARCH_HELP, ExactSearch, PersonColumn
from consent.models import Batch, Decision
from consent.services import void_batch


@admin.register(Decision)
class DecisionAdmin(ExactSearch, PersonColumn, RecordAdmin):
    search_help_text = f"{SEARCH_HELP} Or the number of a decision, like #17."
    list_display = (
        "number",
        "person",
        badge("choice", {"opt_out": "danger", "opt_in": "success"}),
        columns.purpose,
        columns.channel,
        columns.explicit,
        columns.cause,
        "exit_path",
        "actor",
        moment("decided_at", "Decided"),
    )
    list_filter = (ChoiceFilter, PurposeFilter, ChannelFilter, ExplicitFilter, CauseFilter, ExitPathFilter)
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        "number",
        "person",
        badge("choice", {"opt_out": "danger", "opt_in": "success"}),
        columns.purpose,
        columns.channel,
        columns.explicit,
        columns.cause,
        "confidence",
        "reasons",
        "exit_path",
        "actor",
        "notice_version",
        "locale",
        moment("decided_at", "Decided"),
        moment("received_at", "Received"),
        "batch",
        "reversal",
        "restates",
        "voided",
        "shown_evidence",
        "commitment_in_hex",
        "db_user",
        "tx",
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self._without_evidence(request, super().get_fields(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self._without_evidence(request, super().get_readonly_fields(request, obj))

    def _without_evidence(self, request: HttpRequest, names: list[Any]) -> list[Any]:
        may_see = request.user.has_perm("consent.view_evidence")
        return [name for name in names if name != "shown_evidence" or may_see]

    def search_for(self, term: str) -> Q | None:
        number = term.removeprefix("#")
        return Q(pk=int(number)) if term.startswith("#") and number.isascii() and number.isdigit() else None

    @display(description="Number", ordering="pk")
    def number(self, obj: Decision) -> str:
        return f"#{obj.pk}"

    @display(description="Declared bad")
    def voided(self, obj: Decision) -> str:
        void = getattr(obj, "void", None)
        if void is None:
            return "No"
        second = f", confirmed by {void.confirmed_by}" if void.confirmed_by else ""
        return f"by {void.voided_by}{second}: {void.reason}"

    @display(description="Evidence")
    def shown_evidence(self, obj: Decision) -> str:
        evidence = getattr(obj, "evidence", None)
        if evidence is None:
            return "Erased" if obj.commitment else "None"
        return "; ".join(f"{key}: {value}" for key, value in evidence.content.items())

    @display(description="Commitment to the evidence (SHA-256)")
    def commitment_in_hex(self, obj: Decision) -> str:
        return bytes(obj.commitment).hex() if obj.commitment else "-"


@admin.register(Batch)
class BatchAdmin(RecordAdmin):
    """Writes that nobody chose, undone as one."""

    list_display = ("kind", "reason", "created_by", moment("created_at", "Opened"))
    ordering = ("-created_at",)
    readonly_fields = fields = (
        "id",
        "kind",
        "reason",
        "created_by",
        moment("created_at", "Opened"),
        "decisions_in_it",
        "declared_bad",
    )
    actions_detail = ("declare_bad",)

    @display(description="Decisions")
    def decisions_in_it(self, obj: Batch) -> int:
        return Decision.objects.filter(batch=obj).count()

    @display(description="Of these, declared bad")
    def declared_bad(self, obj: Batch) -> int:
        return Decision.objects.filter(batch=obj, void__isnull=False).count()

    def has_void_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("consent.add_decisionvoid")

    @action(
        description="Undo this batch",
        permissions=["void"],
        icon="undo",
        dialog=ask(
            "Undo this batch",
            "Its decisions stay in the log and no longer count. Everybody gets back their own last choice, and choices "
            "that people made meanwhile stay.",
            submit="Undo the batch",
        ),
    )
    def declare_bad(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            batch = Batch.objects.get(pk=object_id)
            voided = void_batch(batch, reason=form.cleaned_data["reason"], by=person(request))
            return f"{voided} decisions no longer count." if voided else "It was undone before: nothing changed."

        return carry_out(self, request, deed, reverse("admin:consent_batch_change", args=[object_id]))
