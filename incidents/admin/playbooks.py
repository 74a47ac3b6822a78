"""Playbooks at the desk: what there is, its versions in words, and the way of a version from draft to use."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin import RecordAdmin, TrackedAdmin, action, ask, badge, display, moment, person, theme_forms, widgets
from config.deeds import add_errors, carry_out, form_page
from incidents.admin.playbook_tab import COLOURS, told
from incidents.admin.register import incident
from incidents.models import Incident, Playbook, PlaybookRun, PlaybookVersion
from incidents.playbooks import publishing
from incidents.playbooks.actions import REGISTRY
from incidents.playbooks.definition import problems_of, timeout_of
from incidents.playbooks.signals import SIGNALS
from incidents.playbooks.wording import condition, span

BADGES = {"good": "success", "danger": "danger", "warning": "warning"}


@admin.register(Playbook)
class PlaybookAdmin(TrackedAdmin):
    list_display = ("title", "owner", "published", "review_due", "is_active")
    list_filter = ("is_active",)
    search_fields = ("title", "slug", "owner")
    ordering = ("title",)
    fields = ("slug", "title", "owner", "review_every_days", "is_active")
    actions_detail = ("review",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Playbook]:
        return super().get_queryset(request).prefetch_related("versions")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("slug", "published", "review_due", "last_reviewed_at", "last_reviewed_by") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.fields, *self.get_readonly_fields(request, obj)[1:])

    @display(description="In use")
    def published(self, playbook: Playbook) -> SafeString | str:
        found = [version for version in playbook.versions.all() if version.state == PlaybookVersion.State.PUBLISHED]
        if not found:
            return "none: it cannot be started"
        url = reverse("admin:incidents_playbookversion_change", args=[found[0].pk])
        return format_html('<a href="{}">version {}</a>', url, found[0].number)

    @display(description="Review due", label={"overdue": "danger"})
    def review_due(self, playbook: Playbook) -> tuple[str, str]:
        is_late = playbook.is_active and playbook.review_due_on < timezone.now().date()
        return ("overdue" if is_late else "", f"{playbook.review_due_on:%Y-%m-%d}{', overdue' if is_late else ''}")

    @action(
        description="It is still right", permissions=["review"], icon="fact_check",
        dialog=ask("You have read it, and it is right", "The time until the next review starts again.", submit="Keep"),
    )  # fmt: skip
    def review(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        def deed() -> str:
            publishing.review(
                Playbook.objects.get(pk=object_id), reason=form.cleaned_data["reason"], by=person(request)
            )
            return "Reviewed."

        return carry_out(self, request, deed, reverse("admin:incidents_playbook_change", args=[object_id]))

    def has_review_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.review_playbook")


class VersionForm(forms.Form):
    playbook = forms.ModelChoiceField(Playbook.objects.all(), widget=widgets.UnfoldAdminSelectWidget)
    steps = forms.JSONField(
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 25}),
        help_text="A list of steps, as JSON. A draft that could not be approved is not kept: what is wrong is said.",
    )
    attached = forms.JSONField(
        required=False,
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 6}),
        help_text='Which incidents it is for: {"any": [[{"signal": "incident_type", "op": "eq", "value": "surge"}]]}.',
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if "steps" in given and "attached" in given:
            given["attached"] = given["attached"] or {}
            if problems := problems_of(given["steps"], given["attached"]):
                raise ValidationError(problems)
        return given


def _press(words: str, verb: Callable[..., Any], done: str, *, icon: str, explained: str = "") -> Any:
    def pressed(page: Any, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        def deed() -> str:
            verb(PlaybookVersion.objects.get(pk=object_id), by=person(request))
            return done

        return carry_out(page, request, deed, reverse("admin:incidents_playbookversion_change", args=[object_id]))

    pressed.__name__ = words.lower()
    dialog = ask(f"{words} this version", explained, submit=words, form=theme_forms.BaseDialogForm)
    return action(description=words, permissions=["approve"], icon=icon, dialog=dialog)(pressed)


@admin.register(PlaybookVersion)
class PlaybookVersionAdmin(RecordAdmin):
    list_display = (
        "name", badge("state", {"published": "success", "approved": "info", "draft": "warning"}), "created_by",
        "approved_by", moment("published_at"),
    )  # fmt: skip
    list_filter = ("state", "playbook")
    list_select_related = ("playbook",)
    ordering = ("playbook__title", "-number")
    sortable_by = ()
    readonly_fields = fields = (
        "name", badge("state", {"published": "success"}), "steps_in_words", "attached_to", "sha256",
        moment("created_at", "Written"), "created_by", moment("approved_at", "Approved"), "approved_by",
        moment("published_at", "Published"), "published_by", moment("retired_at", "Retired"), "retired_by",
    )  # fmt: skip
    actions_detail = ("approve", "publish", "retire", "copy_it")

    approve = _press("Approve", publishing.approve, "Approved.", icon="verified",
                     explained="Somebody other than who wrote it. From then on its steps are fixed.")  # fmt: skip
    publish = _press("Publish", publishing.publish, "Published.", icon="publish",
                     explained="New runs follow it; the one before is retired, open runs keep their copy.")  # fmt: skip
    retire = _press("Retire", publishing.retire, "Retired.", icon="inventory_2", explained="It is started no more.")
    SHOWN = {"approve": ("draft",), "publish": ("approved",), "retire": ("draft", "approved", "published")}

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        state = PlaybookVersion.objects.filter(pk=object_id).values_list("state", flat=True).first()
        hidden = {f"incidents_playbookversion_{name}" for name, states in self.SHOWN.items() if state not in states}
        return [each for each in super().get_actions_detail(request, object_id) if each.action_name not in hidden]

    @action(description="Begin a new version", permissions=["add"], icon="content_copy")
    def copy_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(f"{reverse('admin:incidents_playbookversion_add')}?from={object_id}")

    @display(description="Version", ordering="number")
    def name(self, version: PlaybookVersion) -> str:
        return str(version)

    @display(description="Steps")
    def steps_in_words(self, version: PlaybookVersion) -> str:
        if problems := problems_of(version.steps, version.attached):
            return format_html(
                "<p>It cannot be approved:</p><ul>{}</ul>",
                format_html_join("", "<li>{}</li>", ((p,) for p in problems)),
            )
        steps = [told(step, version.steps) | {"limits": limits(step)} for step in version.steps]
        return render_to_string("admin/incidents/playbook_steps.html", {"steps": steps})

    @display(description="For incidents where")
    def attached_to(self, version: PlaybookVersion) -> SafeString | str:
        sets = version.attached.get("any", [])
        if not sets:
            return "nothing: people start it"
        words = [(" and ".join(condition(each) for each in conditions),) for conditions in sets]
        ending = "It starts by itself." if version.attached.get("starts") else "It is suggested on their page."
        return format_html("<ul>{}</ul>{}", format_html_join("", "<li>{}</li>", words), ending)

    @display(description="SHA-256")
    def sha256(self, version: PlaybookVersion) -> str:
        return bytes(version.digest).hex()

    # Writing

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("incidents.add_playbookversion")

    def has_approve_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.approve_playbookversion")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """A new version begins as a copy of the one named in `from`, or of nothing."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        before = request.GET.get("from", "")
        copied = PlaybookVersion.objects.filter(pk=before).first() if before.isdecimal() else None
        initial: dict[str, Any] = {"steps": [], "attached": {}}
        if copied:
            initial = {"playbook": copied.playbook_id, "steps": copied.steps, "attached": copied.attached}
        form = VersionForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            try:
                made = publishing.write(given["playbook"], given["steps"], given["attached"], by=person(request))
            except ValidationError as error:
                add_errors(form, error)
            else:
                self.message_user(request, f"{made} is a draft: a second person approves it.", messages.SUCCESS)
                return HttpResponseRedirect(reverse("admin:incidents_playbookversion_change", args=[made.pk]))
        fields = [(None, {"fields": list(form.fields)})]
        return form_page(
            self, request, form, fields, title="Write a new version", submit="Keep as a draft",
            template="admin/incidents/playbook_version.html",
            actions=sorted(REGISTRY.items()), signals=sorted(SIGNALS.items()),
        )  # fmt: skip


def limits(step: dict[str, Any]) -> str:
    words = [] if step["kind"] == "wait" else [f"{span(timeout_of(step))} at most"]
    words += [f"{step['retries']} more tries"] if step.get("retries") else []
    words.append(
        {"continue": "goes on if it fails", "compensate": "takes all back if it fails"}.get(
            step.get("on_error", ""), ""
        )
    )
    return ", ".join(filter(None, words))


@admin.register(PlaybookRun)
class PlaybookRunAdmin(RecordAdmin):
    """All runs; what is done with one is done on its incident's page."""

    list_display = (
        "name", incident, badge("state", {k: BADGES[v] for k, v in COLOURS.items()} | {"running": "info"}),
        moment("started_at"), "started_by", moment("next_at", "Next look"), "audit_result",
    )  # fmt: skip
    list_filter = ("state", "playbook")
    list_select_related = ("incident", "playbook", "version__playbook")
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        "name", incident, "version", "trigger", "reason", "state", moment("started_at"), "started_by",
        moment("next_at", "Next look"), moment("stopped_at"), moment("ended_at"), "ended_by",
        moment("audited_at", "Audited"), "audit_result",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlaybookRun]:
        seen = Incident.objects.visible_to(person(request)).values("pk")
        return super().get_queryset(request).filter(incident__in=seen)

    @display(description="Playbook")
    def name(self, run: PlaybookRun) -> SafeString:
        url = reverse("admin:incidents_incident_change", args=[run.incident_id])
        return format_html('<a href="{}?tab=playbook">{}</a>', url, run.playbook)
