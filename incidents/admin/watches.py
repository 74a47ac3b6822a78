"""Ways out, watched: how often each is tried, and how the tries went."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from config.admin import RecordAdmin, TrackedAdmin, action, ask, badge, display, go_to, moment, person, theme_forms
from incidents import probes
from incidents.models import ExitPathProbe, ExitPathWatch

COLOURS = {"met": "success", "no_mail": "warning", "breached": "danger", "unmeasured": "warning"}


@display(description="Steps")
def steps(probe: ExitPathProbe) -> str:
    """Each with its answer; what broke says how."""
    words = {"met": "held", "breached": "broke", "unmeasured": "unmeasured"}
    return " · ".join(
        f"{step['name']}: {words[step['verdict']]} ({step['words']}, {step['seconds']:.2f} s)" for step in probe.steps
    )


@display(description="Last try", label=COLOURS)
def last_try(watch: Any) -> tuple[str, str]:
    verdict = watch.last_verdict or ""
    return verdict, ExitPathProbe.Verdict(verdict).label if verdict else "never tried"


@display(description="Tried every")
def pace(watch: ExitPathWatch) -> str:
    return f"{watch.probe_every_minutes} minutes" if watch.probe_every_minutes else "not tried"


@admin.register(ExitPathWatch)
class ExitPathWatchAdmin(TrackedAdmin):
    list_display = ("exit_path", pace, "used_within_hours", "is_active", last_try, moment("last_tried", "Tried"))
    list_select_related = ("exit_path",)
    list_filter = ("is_active",)
    ordering = ("exit_path",)
    actions_detail = ("try_now",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExitPathWatch]:
        last = ExitPathProbe.objects.filter(exit_path=OuterRef("pk"), ended_at__isnull=False).order_by("-started_at")
        return (
            super()
            .get_queryset(request)
            .annotate(
                last_verdict=Subquery(last.values("verdict")[:1]), last_tried=Subquery(last.values("started_at")[:1])
            )
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else ("exit_path",)

    def has_try_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.add_exitpathprobe")

    @action(
        description="Try it now",
        permissions=["try"],
        icon="network_check",
        dialog=ask(
            "Try it now",
            "A canary opts out by it, end to end. Nobody real is touched.",
            submit="Try",
            form=theme_forms.BaseDialogForm,
        ),
    )
    def try_now(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        row = probes.probe(object_id, by=person(request).actor)
        if row is None:
            text = "It is being tried already, or the product has no door of its own to try there."
            self.message_user(request, text, messages.WARNING)
            return go_to(reverse("admin:incidents_exitpathwatch_change", args=[object_id]))
        text = f"{row.exit_path}: {row.get_verdict_display()}. {steps(row)}"
        is_broken = row.verdict == ExitPathProbe.Verdict.BREACHED
        self.message_user(request, text, messages.ERROR if is_broken else messages.SUCCESS)
        return go_to(reverse("admin:incidents_exitpathprobe_change", args=[row.pk]))


@admin.register(ExitPathProbe)
class ExitPathProbeAdmin(RecordAdmin):
    list_display = ("exit_path", badge("verdict", COLOURS), moment("started_at", "Tried"), "took", "broke")
    list_filter = ("verdict", "exit_path")
    list_select_related = ("exit_path",)
    ordering = ("-started_at",)
    sortable_by = ()
    readonly_fields = fields = (
        "exit_path", badge("verdict", COLOURS), steps, moment("started_at", "Tried"), "started_by",
        moment("ended_at", "Ended"), "canary", "decision_id",
    )  # fmt: skip

    @display(description="Answered after")
    def took(self, probe: ExitPathProbe) -> str:
        return next((f"{s['seconds']:.2f} s" for s in probe.steps if s["name"] == "answered"), "")

    @display(description="What broke")
    def broke(self, probe: ExitPathProbe) -> str:
        return "; ".join(f"{s['name']}: {s['words']}" for s in probe.steps if s["verdict"] == "breached")
