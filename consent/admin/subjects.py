"""A person's page: how they are known, what holds, the whole story, and what the desk may do for them."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode

from config.admin import RecordAdmin, action, ask, display, moment, person
from config.deeds import carry_out, form_page
from consent import subjects
from consent.access import people
from consent.admin.consents import opt_out_by_support
from consent.admin.forms import OptOutOfPersonDialog, PersonFields, scopes_of
from consent.admin.matrix import matrix
from consent.admin.people import ExactSearch, found, hidden, link, masked, short
from consent.admin.subject_forms import MergeDialog, RevealForm, ReversalDialog
from consent.identifiers import unseal
from consent.models import Reveal, Subject
from consent.services import merge, request_reversal
from consent.story import tell

LINES_A_PAGE = 50


@admin.register(Subject)
class SubjectAdmin(ExactSearch, RecordAdmin):
    search_by = "pk"
    list_display = ("who", "number", "standing", moment("created_at", "Known since"))
    ordering = ("pk",)
    sortable_by = ()
    readonly_fields = fields = (
        "number",
        "standing",
        "locale",
        moment("created_at", "Known since"),
        moment("erased_at", "Erased"),
    )
    change_form_outer_after_template = "admin/consent/subject.html"
    actions_detail = (
        "opt_out",
        "log_request",
        {"title": "More", "items": ("reveal", "ask_reversal", "merge_other")},
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subject]:
        return super().get_queryset(request).prefetch_related("identifiers")

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = super().get_list_display(request)
        return columns if self._may_see_identifiers(request) else columns[1:]

    def _may_see_identifiers(self, request: HttpRequest) -> bool:
        return request.user.has_perm("consent.view_identifier")

    @display(description="Person")
    def who(self, obj: Subject) -> str:
        return masked(obj)

    @display(description="Subject id")
    def number(self, obj: Subject) -> str:
        return str(obj.pk)

    @display(description="Standing")
    def standing(self, obj: Subject) -> str:
        if obj.merged_into_id:
            return link(obj, f"the same person as {short(obj.merged_into_id)}")
        return "erased" if obj.erased_at else "known"

    # Find or add

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("consent.add_subject")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Find the person, or add them where nobody is known by what was typed."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PersonFields(request.POST or None)
        if request.method == "POST" and form.is_valid():
            known = set(subjects.find(form.identities).values())
            if len(known) > 1:
                form.add_error(
                    None,
                    "These belong to different people here: search for one at a time. If they are the same person, "
                    "merge them on one of their pages.",
                )
            else:
                done = "Found: this person is known." if known else "Added."
                # What is new beside a known identifier is not linked: nobody has verified that it is theirs.
                subject_id = known.pop() if known else subjects.find_or_make([form.identities]).of(form.identities[0])
                self.message_user(request, done, messages.SUCCESS)
                return HttpResponseRedirect(reverse("admin:consent_subject_change", args=[subject_id]))
        return form_page(
            self,
            request,
            form,
            [(None, {"fields": ["email", "phone", "user_id"]})],
            title="Find or add a person",
            submit="Find or add",
        )

    # The page

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        subject = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if subject is not None:
            ids = people(subject.pk)
            lines = Paginator(tell(ids), LINES_A_PAGE).get_page(request.GET.get("p"))
            context = {
                "title": masked(subject) if self._may_see_identifiers(request) else f"Person {short(subject.pk)}",
                "subtitle": None,
                "identifiers": [hidden(i) for i in subject.identifiers.all()]
                if self._may_see_identifiers(request)
                else None,
                "matrix": matrix(ids),
                "page": lines,
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def has_opt_out_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("consent.record_opt_out")

    def has_log_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("consent.add_privacyrequest")

    def has_reveal_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("consent.add_reveal")

    def has_reverse_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("consent.add_reversal")

    def has_merge_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("consent.add_subjectmerge")

    @action(
        description="Record an opt-out",
        permissions=["opt_out"],
        icon="block",
        dialog=ask(
            "Record an opt-out",
            "The person told you so. It takes effect at once, and only they can take it back.",
            submit="Record the opt-out",
            form=OptOutOfPersonDialog,
        ),
    )
    def opt_out(self, request: HttpRequest, form: OptOutOfPersonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            scopes = list(scopes_of(form.cleaned_data))
            return opt_out_by_support(UUID(object_id), scopes, form.cleaned_data, request)

        return carry_out(self, request, deed, _page_of(object_id))

    @action(description="Log a request", permissions=["log"], icon="inbox")
    def log_request(self, request: HttpRequest, object_id: str) -> HttpResponse:
        form = reverse("admin:consent_privacyrequest_add")
        return HttpResponseRedirect(f"{form}?{urlencode({'subject': object_id})}")

    @action(description="Reveal an identifier", permissions=["reveal"], icon="visibility")
    def reveal(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Shown once, on the answer to this form; each look is a row with who and why."""
        subject = self.get_object(request, object_id)
        if subject is None:
            raise Http404("No such person.")
        form = RevealForm(subject, request.POST or None)
        revealed = None
        if request.method == "POST" and form.is_valid():
            identifier = form.cleaned_data["identifier"]
            Reveal.objects.create(
                identifier=identifier, reason=form.cleaned_data["reason"], revealed_by=person(request).actor
            )
            revealed = f"{identifier.get_kind_display()}: {unseal(identifier.kind, bytes(identifier.sealed))}"
        return form_page(
            self,
            request,
            form,
            [(None, {"fields": ["identifier", "reason"]})],
            title="Reveal an identifier",
            submit="Reveal",
            template="admin/consent/reveal.html",
            subject=subject,
            revealed=revealed,
        )

    @action(
        description="Ask to lift an opt-out",
        permissions=["reverse"],
        icon="how_to_reg",
        dialog=ask(
            "Ask to lift an opt-out",
            "The person told you that they want to be contacted again. Nothing changes until a second colleague has "
            "seen the proof and agreed.",
            submit="Ask a second person",
            form=ReversalDialog,
        ),
    )
    def ask_reversal(self, request: HttpRequest, form: ReversalDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            purpose, channel = form.cleaned_data["scope"].split("/")
            request_reversal(
                UUID(object_id),
                purpose,
                channel,
                by=person(request),
                reason=form.cleaned_data["reason"],
                evidence=form.cleaned_data["evidence"],
            )
            return "Asked. The opt-out stands until a second colleague agrees, within seven days."

        return carry_out(self, request, deed, _page_of(object_id))

    @action(
        description="Merge with another person",
        permissions=["merge"],
        icon="merge",
        dialog=ask(
            "Merge with another person",
            "They are one person: this page speaks for both from now on, and every opt-out of either stands. This "
            "cannot be undone.",
            submit="Merge",
            form=MergeDialog,
        ),
    )
    def merge_other(self, request: HttpRequest, form: MergeDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            others = found(form.cleaned_data["other"])
            if not others:
                raise ValidationError("Nobody is known by that. Check it for typing errors.")
            if others[0] in people(UUID(object_id)):
                raise ValidationError("That is this person already: nothing to merge.")
            merge(others[0], UUID(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return "Merged. This page tells the story of both."

        return carry_out(self, request, deed, _page_of(object_id))


def _page_of(object_id: str) -> str:
    return reverse("admin:consent_subject_change", args=[object_id])
