"""The desk of privacy requests: queues by who has it and when it is due, and a page with what to do next."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Case, Count, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from config.admin import HistoryAdmin, badge, display, moment, named, person
from config.deeds import add_errors, form_page
from consent import requests
from consent.access import people
from consent.admin.forms import scopes_of
from consent.admin.matrix import matrix
from consent.admin.people import SEARCH_HELP, ExactSearch, PersonColumn, masked, short
from consent.admin.request_forms import LogRequestForm
from consent.admin.request_work import Work, page_of
from consent.deadlines import days_left
from consent.models import PrivacyRequest, Subject
from consent.services import DecisionsRefused

Kind, State = PrivacyRequest.Kind, PrivacyRequest.State
SOON = 7  # days
QUEUES = (("mine", "Mine"), ("unassigned", "Unassigned"), ("soon", f"Due in {SOON} days"), ("overdue", "Overdue"))
BY_KIND = {"hand_out_data": Kind.ACCESS, "erase_person": Kind.DELETION, "correct_identifier": Kind.CORRECTION}


def queue(name: str, user: Any) -> Q:
    now = timezone.now()
    waiting = Q(state__in=[State.OPEN, State.IN_PROGRESS])
    soon = Q(due_at__gte=now, due_at__lt=now + timedelta(days=SOON))
    return {
        "mine": ~Q(state=State.CLOSED) & Q(assignee=user),
        "unassigned": waiting & Q(assignee=None),
        "soon": waiting & soon,
        "overdue": waiting & Q(due_at__lt=now),
    }[name]


class QueueFilter(admin.SimpleListFilter):
    """The tabs above the list."""

    title, parameter_name = "queue", "queue"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return list(QUEUES)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(queue(self.value() or "", request.user)) if self.value() in dict(QUEUES) else queryset


def time_left(request: PrivacyRequest) -> tuple[str, str]:
    """Colour and words: `3 days left`, `2 days overdue`, or that it was answered."""
    if request.state in (State.ANSWERED, State.CLOSED):
        return "", request.get_state_display()
    left = days_left(timezone.now(), request.due_at, request.rule.time_zone)
    if request.is_overdue(timezone.now()):
        return "overdue", f"{-left} {'day' if left == -1 else 'days'} overdue" if left else "overdue today"
    if left == 0:
        return "soon", "due today"
    return ("soon" if left <= SOON else "later"), f"{left} {'day' if left == 1 else 'days'} left"


@admin.register(PrivacyRequest)
class PrivacyRequestAdmin(ExactSearch, PersonColumn, HistoryAdmin, Work):
    shows_history = True
    search_help_text = f"{SEARCH_HELP} Or a reference, like PR-12."
    list_before_template = "admin/consent/queues.html"
    change_form_outer_after_template = "admin/consent/request.html"
    list_display = (
        "ref",
        "kind",
        "person",
        badge("state", {"open": "warning", "in_progress": "info", "answered": "success"}),
        moment("received_at", "Received"),
        "due",
        "assignee",
    )
    list_filter = (QueueFilter, "kind", "state", "received_via")
    list_select_related = ("rule", "assignee")
    sortable_by = ()
    readonly_fields = fields = (
        "ref",
        "kind",
        "person",
        badge("state", {"open": "warning", "in_progress": "info", "answered": "success"}),
        "details",
        "received_via",
        moment("received_at", "Received"),
        moment("due_at", "Due"),
        "due",
        named("rule"),
        "locale",
        named("assignee"),
        "logged_by",
        "ended",
    )
    actions_detail = (
        "answer",
        "take",
        *BY_KIND,
        "close",
        {"title": "More", "items": ("assign", "extend", "note")},
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[PrivacyRequest]:
        return super().get_queryset(request).select_related("rule", "assignee")

    def get_ordering(self, request: HttpRequest) -> Any:
        """What waits first, and of that what is due first."""
        waits = Case(When(state__in=[State.OPEN, State.IN_PROGRESS], then=Value(0)), default=Value(1))
        return (waits.asc(), "due_at", "pk")

    def search_for(self, term: str) -> Q | None:
        return Q(ref=term.upper()) if term.upper().startswith("PR-") else None

    @display(description="Time left", label={"overdue": "danger", "soon": "warning", "later": "info"})
    def due(self, obj: PrivacyRequest) -> tuple[str, str]:
        return time_left(obj)

    @display(description="End")
    def ended(self, obj: PrivacyRequest) -> str:
        if not obj.is_closed or obj.closed_at is None:
            return "-"
        when = f"{obj.closed_at:%Y-%m-%d %H:%M} UTC"
        return f"{obj.get_outcome_display()}: {obj.close_reason} ({obj.closed_by}, {when})"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        counts = PrivacyRequest.objects.aggregate(
            **{name: Count("pk", filter=queue(name, request.user)) for name, _ in QUEUES}
        )
        chosen = request.GET.get("queue", "")
        tabs = [
            {"title": title, "query": f"?queue={name}", "count": counts[name], "active": chosen == name, "name": name}
            for name, title in QUEUES
        ]
        tabs.append({"title": "All", "query": "?", "count": None, "active": chosen not in dict(QUEUES), "name": "all"})
        return super().changelist_view(request, {"queues": tabs} | (extra_context or {}))

    # Logging

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("consent.add_privacyrequest")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Outside Django's own transaction: the opt-out is committed before anything else can fail."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        subject = self._subject_of(request)
        form = LogRequestForm(request.POST or None, subject=subject, initial={"locale": subject and subject.locale})
        if request.method == "POST" and (logged := self._log(request, form)):
            self.message_user(request, f"{logged.ref} is logged. It is due on {logged.due_on}.")
            return HttpResponseRedirect(page_of(logged.pk))
        who = None if subject is None else self._name(request, subject)
        return form_page(
            self,
            request,
            form,
            form.fieldsets(),
            template="admin/consent/log_request.html",
            title="Log a privacy request",
            submit="Log the request",
            who=who,
        )

    def _log(self, request: HttpRequest, form: LogRequestForm) -> PrivacyRequest | None:
        is_valid = form.is_valid()
        asked, whom = form.cleaned_data, form.person
        is_opt_out = asked.get("kind") == Kind.OPT_OUT and bool(whom)
        try:
            if is_valid:
                return requests.log_request(
                    whom,
                    asked["kind"],
                    by=person(request),
                    received_via=asked["received_via"],
                    received_at=asked["received_at"],
                    details=asked["details"],
                    rule=asked["rule"],
                    locale=asked["locale"],
                    scopes=scopes_of(asked),
                    key=asked["key"],
                )
            if is_opt_out:
                self._opt_out_anyway(request, form)
        except ValidationError as error:
            add_errors(form, error)
            if is_opt_out and not isinstance(error, DecisionsRefused):
                self._say_that_it_stands(request)
        return None

    def _opt_out_anyway(self, request: HttpRequest, form: LogRequestForm) -> None:
        """A mistake elsewhere in the form must not cost anybody their opt-out."""
        asked = form.cleaned_data
        requests.opt_out_at_once(
            form.person,
            by=person(request),
            received_via=asked.get("received_via", ""),
            received_at=asked.get("received_at"),
            details=asked.get("details", ""),
            scopes=scopes_of(asked),
            key=asked.get("key", ""),
        )
        self._say_that_it_stands(request)

    def _say_that_it_stands(self, request: HttpRequest) -> None:
        text = "The opt-out is recorded and in effect. The request is not logged yet: correct what is marked below."
        self.message_user(request, text, messages.WARNING)

    def _subject_of(self, request: HttpRequest) -> Subject | None:
        """The person whose page the desk came from."""
        try:
            return Subject.objects.filter(pk=request.GET["subject"]).first() if "subject" in request.GET else None
        except ValidationError:
            return None

    def _name(self, request: HttpRequest, subject: Subject) -> str:
        may_see = request.user.has_perm("consent.view_identifier")
        return masked(subject) if may_see else f"person {short(subject.pk)}"

    # Working

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        asked = self.get_object(request, object_id)
        context = {} if asked is None else {"matrix": matrix(people(asked.subject_id)), "events": asked.events.all()}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> Any:
        """Only what this request can still come to."""
        offered = super().get_actions_detail(request, object_id)
        asked = PrivacyRequest.objects.select_related("rule").filter(pk=object_id).first()
        if asked is None or asked.is_closed:
            return []
        kept = {name for name, kind in BY_KIND.items() if kind == asked.kind}
        left_out = {f"consent_privacyrequest_{name}" for name in BY_KIND if name not in kept}
        if asked.extended_at or not asked.rule.extension:
            left_out.add("consent_privacyrequest_extend")
        if asked.assignee == request.user:
            left_out.add("consent_privacyrequest_take")
        return [each for each in offered if each.action_name not in left_out]
