"""Published texts that fail when messages are written from them: seen, taken care of, mended."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from config.admin import ReasonDialog, RecordAdmin, action, ask, display, moment, person
from config.deeds import carry_out
from messaging.faults import acknowledge, mend
from messaging.models import TemplateFault


class StateFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("open", "Open"), ("unseen", "Open, and nobody is at it"), ("mended", "Mended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[TemplateFault]) -> QuerySet[TemplateFault]:
        faults = TemplateFault.objects
        chosen = {"open": faults.open(), "unseen": faults.unseen(), "mended": faults.exclude(mended_at=None)}
        wanted = chosen.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(pk__in=wanted.values("pk"))


@admin.register(TemplateFault)
class TemplateFaultAdmin(RecordAdmin):
    list_display = ("version", "locale", "standing", "error", "count", moment("last_at", "Last"))
    list_filter = (StateFilter,)
    list_select_related = ("version",)
    ordering = ("-last_at", "-pk")
    sortable_by = ()
    readonly_fields = fields = (
        "version",
        "locale",
        "standing",
        "error",
        "count",
        moment("first_at", "First"),
        moment("last_at", "Last"),
        "acknowledged_by",
        "acknowledged_reason",
        "mended_by",
        "mended_reason",
    )
    actions_detail = ("acknowledge_it", "mend_it")

    def has_work_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("messaging.change_templatefault"):
            return False
        return object_id is None or TemplateFault.objects.open().filter(pk=object_id).exists()

    @display(description="State", label={"open": "danger", "seen": "warning", "mended": "success"})
    def standing(self, fault: TemplateFault) -> tuple[str, str]:
        if fault.mended_at:
            return "mended", "mended"
        return ("seen", "somebody is at it") if fault.acknowledged_at else ("open", "open")

    @action(
        description="I am at it",
        permissions=["work"],
        icon="pan_tool",
        dialog=ask("Take care of this fault", "It stays open until it is mended.", submit="I am at it"),
    )
    def acknowledge_it(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            acknowledge(_fault(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return "Colleagues see that you are at it."

        return carry_out(self, request, deed, _page(object_id))

    @action(
        description="It is mended",
        permissions=["work"],
        icon="build",
        dialog=ask(
            "Say that it is mended",
            "Publishing a newer version or retiring this one says so by itself. Use this where the data were wrong and "
            "not the text. If it happens again, it is open again.",
            submit="It is mended",
        ),
    )
    def mend_it(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            mend(_fault(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return "It counts as mended."

        return carry_out(self, request, deed, _page(object_id))


def _fault(object_id: str) -> TemplateFault:
    fault = TemplateFault.objects.filter(pk=object_id).first()
    if fault is None:
        raise Http404("No such fault.")
    return fault


def _page(object_id: str) -> str:
    return reverse("admin:messaging_templatefault_change", args=[object_id])
