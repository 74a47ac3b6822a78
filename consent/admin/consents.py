"""Consents: the state of each key. Nothing is edited here; an opt-out is recorded, and history is read."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from config.admin import RecordAdmin, action, ask, moment, person
from config.deeds import carry_out
from consent.admin import columns
from consent.admin.filters import CauseFilter, ChannelFilter, ExplicitFilter, PurposeFilter, StateFilter
from consent.admin.forms import OptOutDialog, OptOutOfSomebodyDialog, scopes_of
from consent.admin.people import ExactSearch, PersonColumn, link, name
from consent.facts import scope_in_words
from consent.models import Cause, Consent, Decision
from consent.requests import Person, Scope, opt_out_at_once
from consent.story import tell

CHANGES_A_PAGE = 25


def opt_out_by_support(subject: Person, scopes: list[Scope], cleaned: dict[str, Any], request: HttpRequest) -> str:
    """What the person told the desk, in effect at once; the sentence for the page."""
    recorded = opt_out_at_once(
        subject,
        by=person(request),
        received_via=cleaned["via"],
        details=cleaned["reason"],
        reference=cleaned["evidence"],
        scopes=scopes,
        cause=Cause.SUPPORT,
    )
    scope = ", ".join(scope_in_words(row.purpose, row.channel) for row in recorded)
    return f"Opted out of {scope}. It is in effect now (decision {', '.join(f'#{row.id}' for row in recorded)})."


@admin.register(Consent)
class ConsentAdmin(ExactSearch, PersonColumn, RecordAdmin):
    shows_history = True
    list_display = (
        "person",
        columns.purpose,
        columns.channel,
        columns.state,
        columns.explicit,
        columns.cause,
        moment("changed_at", "Changed"),
    )
    list_filter = (StateFilter, PurposeFilter, ChannelFilter, ExplicitFilter, CauseFilter)
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        "person",
        columns.purpose,
        columns.channel,
        columns.state,
        columns.explicit,
        columns.cause,
        "actor",
        moment("decided_at", "Decided"),
        moment("changed_at", "Changed"),
        "decision",
        "version",
    )
    actions_list = ("opt_somebody_out",)
    actions_detail = ("opt_out",)

    def has_opt_out_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("consent.record_opt_out")

    @action(
        description="Record an opt-out",
        permissions=["opt_out"],
        icon="block",
        dialog=ask(
            "Record an opt-out",
            "The person told you so. It takes effect at once, and only they can take it back.",
            submit="Record the opt-out",
            form=OptOutOfSomebodyDialog,
        ),
    )
    def opt_somebody_out(self, request: HttpRequest, form: OptOutOfSomebodyDialog) -> HttpResponse:
        def deed() -> str:
            return opt_out_by_support(form.identities, list(scopes_of(form.cleaned_data)), form.cleaned_data, request)

        return carry_out(self, request, deed, reverse("admin:consent_consent_changelist"))

    @action(
        description="Record an opt-out",
        permissions=["opt_out"],
        icon="block",
        dialog=ask(
            "Record an opt-out",
            "The person told you so. It takes effect at once, and only they can take it back.",
            submit="Record the opt-out",
            form=OptOutDialog,
        ),
    )
    def opt_out(self, request: HttpRequest, form: OptOutDialog, object_id: str) -> HttpResponse:
        consent = Consent.objects.get(pk=object_id)

        def deed() -> str:
            scope = [(consent.purpose, consent.channel)]
            return opt_out_by_support(consent.subject_id, scope, form.cleaned_data, request)

        return carry_out(self, request, deed, reverse("admin:consent_consent_change", args=[object_id]))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Each version that the database wrote: who, when, why, from → to, and the incidents it is tied to."""
        if not request.user.has_perm("consent.view_historicalconsent"):
            raise PermissionDenied
        consent = self.get_object(request, object_id)
        if consent is None:
            raise Http404("No such consent.")
        page = Paginator(Consent.history.filter(id=consent.pk).order_by("-version"), CHANGES_A_PAGE).get_page(
            request.GET.get("p")
        )
        numbers = [version.decision_id for version in page]
        ties = _ties([consent.subject_id], numbers)
        decisions = Decision.objects.in_bulk([number for number in numbers if number])
        rows = [
            {
                "version": version,
                "scope": scope_in_words(version.purpose, version.channel),
                "decision": decisions.get(version.decision_id),
                "ties": ties.get(version.decision_id, []),
            }
            for version in page
        ]
        return TemplateResponse(
            request,
            "admin/consent/consent_history.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": f"History of {scope_in_words(consent.purpose, consent.channel)}",
                "object": consent,
                "who": link(consent.subject, name(consent.subject, request)),
                "rows": rows,
                "page": page,
                **(extra_context or {}),
            },
        )


def _ties(subject_ids: list[UUID], numbers: list[int | None]) -> dict[int | None, list[Any]]:
    """What other apps tell about these decisions: incidents they belong to, messages that confirmed them."""
    ties: dict[int | None, list[Any]] = {}
    for entry in tell(subject_ids):
        if entry.decision in numbers and entry.kind not in ("choice", "void"):
            ties.setdefault(entry.decision, []).append(entry)
    return ties
