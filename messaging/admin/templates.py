"""Texts: a template with its versions, a version with its languages, each shown as a person would get it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

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
from messaging.models import Template, TemplateBody, TemplateVersion
from messaging.publishing import draft_from, problems_of, publish, render_sample, retire
from messaging.rendering import RenderError

State = TemplateVersion.State
COLOURS: dict[str, str] = {State.PUBLISHED: "success", State.DRAFT: "info", State.RETIRED: ""}
OPEN = (State.DRAFT, State.CHECKED, State.APPROVED)


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
    fields = ("key", "title", "message_class")
    inlines = (VersionInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("key", "message_class") if obj else ()


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
    """Languages can be added and changed while the version is a draft; the database refuses it later."""

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
        "published_by",
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
        "created_by",
        moment("published_at", "Published"),
        "published_by",
        "published_reason",
        "faults_shown",
        "context_schema",
        "samples",
    )
    inlines = (BodyInline,)
    shows_history = False
    change_form_outer_after_template = "admin/messaging/version.html"
    actions_detail = ("publish_it", "draft_it", "retire_it")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TemplateVersion]:
        return super().get_queryset(request).select_related("template").prefetch_related("faults")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [field for field in self.fields if field not in ("context_schema", "samples")]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A new version is made from an old one, by its button."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.state in OPEN)

    @display(description="Faults", label={"faulty": "danger"})
    def faulty(self, version: TemplateVersion) -> tuple[str, str] | str:
        count = sum(fault.count for fault in version.faults.all())
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
            context = {
                "previews": previews(version),
                "problems": problems_of(version) if version.state in OPEN else [],
                "is_open": version.state in OPEN,
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def save_model(self, request: HttpRequest, obj: TemplateVersion, form: forms.ModelForm, change: bool) -> None:
        """Whoever wrote on it last is its author: somebody else publishes it."""
        obj.created_by = person(request).actor
        super().save_model(request, obj, form, change)

    def _may_work(self, request: HttpRequest, object_id: str | None, *states: str) -> bool:
        if not request.user.has_perm("messaging.change_templateversion"):
            return False
        return object_id is None or TemplateVersion.objects.filter(pk=object_id, state__in=states).exists()

    def has_publish_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may_work(request, object_id, *OPEN)

    def has_draft_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may_work(request, object_id, State.PUBLISHED, State.RETIRED)

    def has_retire_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may_work(request, object_id, State.PUBLISHED)

    @action(
        description="Publish",
        permissions=["publish"],
        icon="publish",
        dialog=ask(
            "Publish this version",
            "Messages are written from it from now on, and it never changes again. Its author cannot publish it.",
            submit="Publish",
        ),
    )
    def publish_it(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            version = publish(_version(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"{version} is published."

        return carry_out(self, request, deed, _page(object_id))

    @action(
        description="Retire",
        permissions=["retire"],
        icon="undo",
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
        self.message_user(request, f"{draft} is yours to change. A colleague publishes it.", messages.SUCCESS)
        return go_to(_page(draft.pk))


def previews(version: TemplateVersion) -> list[dict[str, Any]]:
    """Every language with every sample, as a person would get it, or the refusal in words."""
    shown = []
    for body in version.bodies.order_by("locale"):
        for number, sample in enumerate(version.samples, 1):
            try:
                shown.append(
                    {"title": f"{body.locale}, sample {number}", "body": render_sample(version, sample, body.locale)}
                )
            except RenderError as error:
                shown.append({"title": f"{body.locale}, sample {number}", "problem": str(error)})
    return shown


def _version(object_id: str) -> TemplateVersion:
    version = TemplateVersion.objects.filter(pk=object_id).first()
    if version is None:
        raise Http404("No such version.")
    return version


def _page(object_id: str | int) -> str:
    return reverse("admin:messaging_templateversion_change", args=[object_id])
