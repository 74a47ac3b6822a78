"""Texts: a template with its versions, a version with its languages, each shown as a person would get it."""

from typing import Any

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp_replace
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.clickjacking import xframe_options_sameorigin

from config.admin import (
    KeptAdmin,
    ReasonDialog,
    RecordInline,
    StackedInline,
    TrackedAdmin,
    action,
    ask,
    badge,
    display,
    go_to,
    moment,
    person,
    widgets,
)
from config.deeds import carry_out
from messaging.gates import problems_of, render_sample
from messaging.models import Template, TemplateBody, TemplateVersion
from messaging.publishing import approve, back_to_draft, changes_of, check, draft_from, publish, retire
from messaging.rendering import Rendered, RenderError

State = TemplateVersion.State
COLOURS: dict[str, str] = {
    State.DRAFT: "info",
    State.CHECKED: "warning",
    State.APPROVED: "warning",
    State.PUBLISHED: "success",
    State.RETIRED: "",
}
OPEN = (State.DRAFT, State.CHECKED, State.APPROVED)
# For the HTML of a message, looked at: its own styles and nothing else, also where somebody opens it outside its frame.
PREVIEW_POLICY = {
    "default-src": [NONE],
    "style-src": [UNSAFE_INLINE],
    "script-src": [NONE],
    "img-src": [NONE],
    "font-src": [NONE],
    "connect-src": [NONE],
    "form-action": [NONE],
    "frame-src": [NONE],
    "base-uri": [NONE],
    "frame-ancestors": [SELF],
    "sandbox": True,
}
STEPS = (
    ("checked", "Checked"),
    ("approved", "Approved"),
    ("returned", "Back to draft"),
    ("published", "Published"),
    ("retired", "Retired"),
)


class VersionInline(RecordInline):
    model = TemplateVersion
    verbose_name_plural = "versions"
    fields = readonly_fields = (
        "number",
        badge("state", COLOURS),
        "created_by",
        moment("published_at", "Published"),
        "published_by",
        "published_reason",
    )
    ordering = ("-number",)
    show_change_link = True
    tab = False


@admin.register(Template)
class TemplateAdmin(TrackedAdmin):
    """What the product knows how to write. Its texts are its versions."""

    list_display = ("title", "key", "message_class")
    ordering = ("key",)
    fields = ("key", "title", "message_class", "channel")
    inlines = (VersionInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("key", "message_class", "channel") if obj else ()


class BodyForm(forms.ModelForm):
    """One language of a draft."""

    class Meta:
        model = TemplateBody
        fields = ("locale", "subject", "text", "html")
        widgets = {
            "subject": widgets.UnfoldAdminTextInputWidget,
            "text": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 14, "spellcheck": "true"}),
            "html": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 14, "spellcheck": "false"}),
        }


class BodyInline(StackedInline):
    """Languages can be added and changed until the version is published; a change takes check and approval away."""

    model = TemplateBody
    form = BodyForm
    extra = 0
    can_delete = False
    verbose_name = "language"
    verbose_name_plural = "languages"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.state in OPEN)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and (obj is None or obj.state in OPEN)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(TemplateVersion)
class TemplateVersionAdmin(KeptAdmin):
    list_display = (
        "__str__",
        badge("state", COLOURS),
        "created_by",
        moment("created_at", "Written"),
        "approved_by",
        moment("published_at", "Published"),
        "faulty",
    )
    list_filter = ("state", "template")
    ordering = ("template", "-number")
    sortable_by = ()
    fields = (
        "template",
        "number",
        badge("state", COLOURS),
        "written_by",
        "faults_shown",
        "context_schema",
        "samples",
    )
    inlines = (BodyInline,)
    shows_history = False
    change_form_outer_after_template = "admin/messaging/version.html"
    actions_detail = ("check_it", "approve_it", "publish_it", "return_it", "draft_it", "retire_it")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TemplateVersion]:
        versions = super().get_queryset(request).select_related("template").prefetch_related("faults")
        return versions.defer("snapshots")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [field for field in self.fields if field not in ("context_schema", "samples")]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A new version is made from an old one, by its button."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.state in OPEN)

    @display(description="Written by")
    def written_by(self, version: TemplateVersion) -> str:
        return ", ".join(version.writers or [version.created_by])

    @display(description="Faults", label={"faulty": "danger"})
    def faulty(self, version: TemplateVersion) -> tuple[str, str] | str:
        count = sum(fault.count for fault in version.faults.all() if fault.mended_at is None)
        return ("faulty", f"failed {count} times") if count else ""

    @display(description="Faults")
    def faults_shown(self, version: TemplateVersion) -> str:
        return "; ".join(f"{f.locale}: {f.error} ({f.count} times)" for f in version.faults.all()) or "None"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        version = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if isinstance(version, TemplateVersion):
            context = {"previews": previews(version), "steps": steps(version), "is_open": version.state in OPEN}
            if version.state == State.DRAFT:
                context["problems"] = problems_of(version)
            context |= compared(version)
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def save_model(self, request: HttpRequest, obj: TemplateVersion, form: forms.ModelForm, change: bool) -> None:
        """Only what the form holds: the database may have made it a draft again meanwhile."""
        if form.changed_data:
            obj.created_by = person(request).actor
            obj.save(update_fields=[*form.changed_data, "created_by"])

    def save_related(self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool) -> None:
        """Whoever wrote on it is among its writers: somebody else approves it."""
        if any(formset.has_changed() for formset in formsets):
            TemplateVersion.objects.filter(pk=form.instance.pk).update(created_by=person(request).actor)
        super().save_related(request, form, formsets, change)

    def get_urls(self) -> Any:
        shown = path(
            "<int:object_id>/preview/<str:locale>/<int:sample>/",
            self.admin_site.admin_view(self.preview),
            name="messaging_templateversion_preview",
        )
        return [shown, *super().get_urls()]

    @method_decorator(xframe_options_sameorigin)
    @method_decorator(csp_replace(PREVIEW_POLICY))
    def preview(self, request: HttpRequest, object_id: int, locale: str, sample: int) -> HttpResponse:
        """One language with one sample as HTML, for a frame that can run, load and reach nothing."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rendered = rendered_sample(_version(str(object_id)), locale, sample)
        return HttpResponse(rendered.html, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})

    def _may_work(self, request: HttpRequest, object_id: str | None, *states: str, needs: str = "change") -> bool:
        if not request.user.has_perm(f"messaging.{needs}_templateversion"):
            return False
        return object_id is None or TemplateVersion.objects.filter(pk=object_id, state__in=states).exists()

    def has_check_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may_work(request, object_id, State.DRAFT)

    def has_approve_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may_work(request, object_id, State.CHECKED, needs="approve")

    def has_publish_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may_work(request, object_id, State.APPROVED)

    def has_return_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may_work(request, object_id, State.CHECKED, State.APPROVED)

    def has_draft_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may_work(request, object_id, State.PUBLISHED, State.RETIRED)

    def has_retire_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may_work(request, object_id, State.PUBLISHED)

    @action(
        description="Check",
        permissions=["check"],
        icon="fact_check",
        dialog=ask(
            "Check this version",
            "Every gate is passed, and each sample is kept as it reads now. A colleague approves it then.",
            submit="Check",
        ),
    )
    def check_it(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            version = check(_version(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"{version} is checked. A colleague approves it."

        return carry_out(self, request, deed, _page(object_id))

    @action(
        description="Approve",
        permissions=["approve"],
        icon="verified",
        dialog=ask(
            "Approve this version",
            "You have read it, and what it changes. Whoever changes it afterwards takes your approval away. "
            "Nobody who wrote on it can approve it.",
            submit="Approve",
        ),
    )
    def approve_it(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            version = approve(_version(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"{version} is approved."

        return carry_out(self, request, deed, _page(object_id))

    @action(
        description="Publish",
        permissions=["publish"],
        icon="publish",
        dialog=ask(
            "Publish this version",
            "Messages are written from it from now on, and it never changes again.",
            submit="Publish",
        ),
    )
    def publish_it(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            version = publish(_version(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"{version} is published."

        return carry_out(self, request, deed, _page(object_id))

    @action(
        description="Back to draft",
        permissions=["return"],
        icon="undo",
        dialog=ask(
            "Back to draft",
            "Its check and its approval are taken away, so that it can be changed.",
            submit="Back to draft",
        ),
    )
    def return_it(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            version = back_to_draft(_version(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"{version} is a draft again."

        return carry_out(self, request, deed, _page(object_id))

    @action(
        description="Retire",
        permissions=["retire"],
        icon="archive",
        dialog=ask("Retire this version", "Messages are written from the version before it again.", submit="Retire"),
    )
    def retire_it(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            version = retire(_version(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"{version} is retired."

        return carry_out(self, request, deed, _page(object_id))

    @action(
        description="New draft from this",
        permissions=["draft"],
        icon="edit_document",
        dialog=ask("Make a new draft", "A copy of these texts that you can change.", submit="Make the draft"),
    )
    def draft_it(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        draft = draft_from(_version(object_id), by=person(request))
        self.message_user(request, f"{draft} is yours to change. A colleague approves it.", messages.SUCCESS)
        return go_to(_page(draft.pk))


def previews(version: TemplateVersion) -> list[dict[str, Any]]:
    """Every language with every sample, as a person would get it, or the refusal in words."""
    shown = []
    for body in version.bodies.order_by("locale"):
        for number, sample in enumerate(version.samples, 1):
            title = f"{body.locale}, sample {number}"
            url = reverse("admin:messaging_templateversion_preview", args=[version.pk, body.locale, number])
            try:
                shown.append({"title": title, "url": url, "body": render_sample(version, sample, body)})
            except RenderError as error:
                shown.append({"title": title, "problem": str(error)})
    return shown


def rendered_sample(version: TemplateVersion, locale: str, sample: int) -> Rendered:
    body = version.bodies.filter(locale=locale).first()
    if body is None or not 1 <= sample <= len(version.samples):
        raise Http404("No such language or sample.")
    try:
        return render_sample(version, version.samples[sample - 1], body)
    except RenderError as error:
        raise Http404(str(error)) from error


def steps(version: TemplateVersion) -> list[dict[str, Any]]:
    """Who took which step, when and why, in the order of time."""
    taken = [
        {
            "title": title,
            "at": getattr(version, f"{name}_at"),
            "by": getattr(version, f"{name}_by"),
            "reason": getattr(version, f"{name}_reason"),
        }
        for name, title in STEPS
        if getattr(version, f"{name}_at")
    ]
    written = {"title": "Written", "at": version.created_at, "by": version.created_by, "reason": ""}
    return [written, *sorted(taken, key=lambda step: step["at"])]


def compared(version: TemplateVersion) -> dict[str, Any]:
    """What reads differently from the version that was published before."""
    try:
        before, differences = changes_of(version)
    except RenderError:  # said among the problems
        return {}
    return {"before": before, "differences": differences}


def _version(object_id: str) -> TemplateVersion:
    version = TemplateVersion.objects.filter(pk=object_id).first()
    if version is None:
        raise Http404("No such version.")
    return version


def _page(object_id: str | int) -> str:
    return reverse("admin:messaging_templateversion_change", args=[object_id])
