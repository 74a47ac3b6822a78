"""Notices: a list, a page with tabs, and a button for each verb, shown where it leads somewhere."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST

from config.admin import ReasonDialog, RecordAdmin, action, ask, badge, display, moment, person
from config.deeds import add_errors, carry_out, form_page
from messaging import notices
from messaging.admin import notice_tabs as tabs
from messaging.admin.notice_forms import ApproveDialog, ChooseForm, NoticeForm, RateDialog, initial_of, kinds, texts
from messaging.models import Notice, TemplateVersion
from messaging.report import exclusions_of

State = Notice.State
COLOURS: dict[str, str] = {
    State.COUNTED: "info",
    State.APPROVED: "info",
    State.SENDING: "warning",
    State.PAUSED: "danger",
    State.DONE: "success",
}
HAPPENS = ("edited", "counted", "approved", "started", "cancelled", "done")


@admin.register(Notice)
class NoticeAdmin(RecordAdmin):
    list_display = (
        "ref", "title", badge("state", COLOURS), "template", "whom", "to_write", "created_by",
        moment("created_at", "Written"), "approved_by",
    )  # fmt: skip
    list_filter = ("state", "cohort_kind")
    list_select_related = ("template",)
    search_fields = ("ref", "title")
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        badge("state", COLOURS), "reason", "template", "text", "purpose", "about", "whom", "left_out_why", "rate",
        "code", "cohort_sha256", "created_by", moment("created_at", "Written"), "edited_by",
        moment("edited_at", "Changed"), "counted_by", moment("counted_at", "Counted"), "approved_by",
        moment("approved_at", "Approved"), "started_by", moment("started_at", "Sending begun"), "cancelled_by",
        moment("cancelled_at", "Cancelled"), moment("done_at", "Done"),
    )  # fmt: skip
    change_form_template = "admin/incidents/change_form.html"
    change_form_outer_before_template = "admin/messaging/notice_tabs.html"
    change_form_outer_after_template = "admin/messaging/notice.html"
    actions_detail = (
        "count", "approve", "start", "pause", "resume", {"title": "More", "items": ("edit", "set_rate", "cancel")},
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        notices_seen: Any = super().get_queryset(request)
        return notices_seen.lean().visible_to(person(request)).select_related("template", "version")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What did not happen yet has no line."""
        pairs = {f"{what}_{part}": what for what in HAPPENS for part in ("at", "by")}
        names = [(field, field if isinstance(field, str) else field.__name__) for field in self.fields]
        return [field for field, name in names if name not in pairs or getattr(obj, f"{pairs[name]}_at", None)]

    # Columns

    @display(description="To whom")
    def whom(self, notice: Notice) -> str:
        return tabs.whom(notice)

    @display(description="Version of the text")
    def text(self, notice: Notice) -> str:
        return str(notice.version or "fixed at counting")

    @display(description="About")
    def about(self, notice: Notice) -> str:
        return tabs.incident(notice) or "-"

    @display(description="Left out")
    def left_out_why(self, notice: Notice) -> str:
        return "; ".join(f"{count:,} {words}" for words, count in exclusions_of(notice)) or "nobody"

    @display(description="Fingerprint of people, text and facts")
    def code(self, notice: Notice) -> str:
        return bytes(notice.fingerprint).hex() if notice.fingerprint else "none before it is counted"

    @display(description="SHA-256 of the sorted ids")
    def cohort_sha256(self, notice: Notice) -> str:
        return bytes(notice.cohort_digest).hex() if notice.cohort_digest else "-"

    # Writing

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("messaging.add_notice")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        template, kind = request.GET.get("template", ""), request.GET.get("kind", "")
        if template not in dict(texts()) or kind not in dict(kinds()):
            return self._choose(request)
        form = NoticeForm(request.POST or None, request.FILES or None, version=published(template), kind=kind)
        if request.method == "POST" and form.is_valid():
            try:
                facts = form.facts()
                notice = notices.write(**facts, template=template, cohort_kind=kind, by=person(request))
            except ValidationError as error:
                add_in_words(form, error)
            else:
                self.message_user(request, f"{notice.ref} is written. Count it to see whom it reaches.")
                return HttpResponseRedirect(tabs.page(notice.pk, "preview"))
        return self._form(request, form, "Write a notice", "Save as draft")

    def _choose(self, request: HttpRequest) -> HttpResponse:
        form = ChooseForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            return HttpResponseRedirect("?" + urlencode(form.cleaned_data))
        fields = [(None, {"fields": ["template", "kind"]})]
        return form_page(self, request, form, fields, title="Which notice, to whom", submit="Go on")

    def _form(self, request: HttpRequest, form: NoticeForm, title: str, submit: str) -> HttpResponse:
        return form_page(
            self, request, form, form.fieldsets(), title=title, submit=submit, has_file_field=form.is_multipart()
        )

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<int:object_id>/change-it/", view(self.edit_view), name="messaging_notice_edit_it"),
            path("<int:object_id>/report/", view(require_POST(self.download)), name="messaging_notice_report"),
            *super().get_urls(),
        ]

    def edit_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        if not self.has_edit_permission(request, str(object_id)):
            raise PermissionDenied
        notice = the(request, object_id)
        facts: dict[str, Any] = {
            "version": published(notice.template_id),
            "kind": notice.cohort_kind,
            "notice": notice,
            "initial": initial_of(notice),
        }
        form = NoticeForm(request.POST or None, request.FILES or None, **facts)
        if request.method == "POST" and form.is_valid():
            try:
                notices.edit(notice, **form.facts(), why=form.cleaned_data["why"], by=person(request))
            except ValidationError as error:
                add_in_words(form, error)
            else:
                self.message_user(request, f"{notice.ref} is changed, and a draft again. Count it anew.")
                return HttpResponseRedirect(tabs.page(notice.pk, "preview"))
        return self._form(request, form, f"Change {notice}", "Save as draft")

    # The page

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fieldsets(request, obj) if obj is None or tabs.current(request) == "facts" else []

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        notice = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if isinstance(notice, Notice) and self.has_view_permission(request, notice):
            context = {"title": str(notice), "subtitle": None, **tabs.context(notice, request)}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def download(self, request: HttpRequest, object_id: int) -> HttpResponseBase:
        """The proof report as a file; who took it, and why, stands in the events."""
        if not request.user.has_perm("messaging.view_noticerecipient"):
            raise PermissionDenied
        try:
            return tabs.report(the(request, object_id), reason=request.POST.get("reason", ""), by=person(request))
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
            return HttpResponseRedirect(tabs.page(object_id, "recipients"))

    # What may be done

    def _in(self, request: HttpRequest, object_id: str | None, permission: str, *states: str) -> bool:
        """A button is there where it leads somewhere; the service asks again."""
        if not request.user.has_perm(f"messaging.{permission}_notice"):
            return False
        seen = Notice.objects.visible_to(person(request))
        return object_id is None or seen.filter(pk=object_id, state__in=states).exists()

    def has_count_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, "change", State.DRAFT, State.COUNTED)

    def has_edit_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, "change", *Notice.OPEN)

    def has_approve_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not self._in(request, object_id, "approve", State.COUNTED):
            return False
        if object_id is None:
            return True
        return person(request).actor not in notices.hands_in(the(request, object_id))

    def has_start_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, "send", State.APPROVED)

    def has_pause_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, "pause", State.SENDING)

    def has_resume_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, "send", State.PAUSED)

    def has_cancel_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, "send", *Notice.OPEN, State.SENDING, State.PAUSED)

    def _do(
        self, request: HttpRequest, form: ReasonDialog, object_id: str, verb: Callable[..., Notice], said: str, tab: str
    ) -> HttpResponse:
        """`said` is filled in from the notice as it is afterwards."""

        def deed() -> str:
            given = {name: form.cleaned_data[name] for name in ("reason", "code", "rate") if name in form.cleaned_data}
            done = verb(the(request, object_id), **given, by=person(request))
            return said.format(ref=done.ref, to_write=f"{done.to_write:,}", left_out=f"{done.left_out:,}")

        return carry_out(self, request, deed, tabs.page(object_id, tab))

    @action(
        description="Count",
        permissions=["count"],
        icon="calculate",
        dialog=ask("Count whom it reaches", "Nobody is written to. The text is fixed as it is now.", submit="Count"),
    )
    def count(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        said = "{ref} goes to {to_write} people; {left_out} are left out. A colleague approves it."
        return self._do(request, form, object_id, notices.count, said, "facts")

    @action(
        description="Approve",
        permissions=["approve"],
        icon="verified",
        dialog=ask(
            "Approve this notice",
            "Exactly these people, this text and these facts. Nothing is sent yet.",
            submit="Approve",
            form=ApproveDialog,
        ),
    )
    def approve(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(
            request, form, object_id, notices.approve, "{ref} is approved. Send it when it is time.", "facts"
        )

    @action(
        description="Send",
        permissions=["start"],
        icon="send",
        dialog=ask("Send this notice", "It goes out in batches from now on. You can pause it.", submit="Send"),
    )
    def start(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, notices.start, "{ref} is being sent.", "recipients")

    @action(
        description="Pause",
        permissions=["pause"],
        icon="pause",
        dialog=ask("Pause this notice", "Nobody else gets it, and what is not on its way is held.", submit="Pause"),
    )
    def pause(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, notices.pause, "{ref} is paused.", "recipients")

    @action(
        description="Resume",
        permissions=["resume"],
        icon="play_arrow",
        dialog=ask("Resume this notice", "It goes on where it stopped; nobody gets it twice.", submit="Resume"),
    )
    def resume(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, notices.resume, "{ref} goes on.", "recipients")

    @action(description="Change what it says", permissions=["edit"], icon="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:messaging_notice_edit_it", args=[object_id]))

    @action(
        description="Change the rate",
        permissions=["cancel"],
        icon="speed",
        dialog=ask("Change the rate", "Also while it is being sent.", submit="Change", form=RateDialog),
    )
    def set_rate(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, notices.set_rate, "{ref} goes at its new rate.", "recipients")

    @action(
        description="Cancel",
        permissions=["cancel"],
        icon="cancel",
        dialog=ask(
            "Cancel this notice", "Whoever did not get it yet never gets it. This cannot be undone.", submit="Cancel it"
        ),
    )
    def cancel(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, notices.cancel, "{ref} is cancelled.", "recipients")


def the(request: HttpRequest, object_id: Any) -> Notice:
    """Raises Http404 for one that is not there for this person."""
    seen = Notice.objects.lean().visible_to(person(request))
    notice = seen.filter(pk=object_id).select_related("template").first()
    if notice is None:
        raise Http404("No such notice.")
    return notice


def published(template: str) -> TemplateVersion:
    version = TemplateVersion.objects.published(template).select_related("template").first()
    if version is None:
        raise Http404("No version of this text is published.")
    return version


def add_in_words(form: NoticeForm, error: ValidationError) -> None:
    """A refusal names the notice's fields; the form has some of them under other names."""
    if hasattr(error, "error_dict") and "incident_id" in error.error_dict:
        error.error_dict["about"] = error.error_dict.pop("incident_id")
    add_errors(form, error)
