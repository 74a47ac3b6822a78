"""Endpoints: which services are told of changes, how far behind each is, and what may be done about it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import (
    HistoryAdmin,
    ReasonDialog,
    RecordAdmin,
    RecordInline,
    action,
    ask,
    badge,
    display,
    moment,
    person,
)
from config.deeds import add_errors, carry_out, form_page
from messaging.admin.endpoint_forms import ChangeDialog, NewEndpointForm, ReplayDialog, RotateDialog
from messaging.models import Difference, Endpoint, Reconciliation, WebhookDelivery, WebhookReplay
from messaging.propagation import endpoints, reconciliation, replaying

State = Endpoint.State
COLOURS: dict[str, str] = {State.ACTIVE: "success", State.PAUSED: "warning", State.DISABLED: "danger"}
FIELDS = ("name", "about", "url", "owner", "purposes", "channels", "with_user_ids")


class DeliveriesOfEndpoint(RecordInline):
    model = WebhookDelivery
    verbose_name_plural = "deliveries"
    fields = readonly_fields = (
        moment("created_at", "Owed since"), "kind", "purpose", "channel", "before", "after", "state", "attempts_made",
        "last_error",
    )  # fmt: skip
    ordering = ("-created_at", "-pk")
    show_change_link = True


class ReplaysOfEndpoint(RecordInline):
    model = WebhookReplay
    verbose_name_plural = "sent again"
    fields = readonly_fields = (
        moment("requested_at", "When"), "what", moment("since", "Since"), "count", "reason", "requested_by",
    )  # fmt: skip
    ordering = ("-pk",)


class ComparisonsOfEndpoint(RecordInline):
    model = Reconciliation
    verbose_name_plural = "comparisons"
    fields = readonly_fields = (
        moment("compared_at", "When"),
        badge("outcome", {"in_step": "success", "differs": "danger", "unmeasured": "warning"}),
        "behind",
        "differences",
        "compared_by",
    )
    ordering = ("-pk",)

    @display(description="Where they differ")
    def differences(self, result: Reconciliation) -> str:
        return ", ".join(f"{found['purpose']} by {found['channel']}" for found in result.findings) or "-"


@admin.register(Endpoint)
class EndpointAdmin(HistoryAdmin, RecordAdmin):
    """Changed by buttons that ask why. Secrets are shown once, when they are made."""

    shows_history = True
    list_display = (
        "name",
        badge("state", COLOURS),
        "standing",
        "differing",
        "last_success",
        "failing",
        "owner",
        "address",
    )
    list_filter = ("state",)
    list_select_related = ("health",)
    ordering = ("name",)
    sortable_by = ()
    readonly_fields = fields = (
        "name", badge("state", COLOURS), "state_reason", "standing", "differing", "oldest", "last_success", "failing",
        "address", "owner", "about", "told_purposes", "told_channels", "with_user_ids", "secrets_good",
        moment("created_at"), "created_by",
    )  # fmt: skip
    inlines = (DeliveriesOfEndpoint, ReplaysOfEndpoint, ComparisonsOfEndpoint)
    actions_detail = ("pause", "resume", "test", "replay", {"title": "More", "items": ("edit", "rotate", "retire")})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        """With how many keys of each differ now."""
        open_ = Difference.objects.open().filter(endpoint=OuterRef("pk")).order_by().values("endpoint")
        counted = Coalesce(Subquery(open_.annotate(count=Count("pk")).values("count")), 0)
        return super().get_queryset(request).select_related("health").annotate(differences_open=counted)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """How far behind all of the page's endpoints are, asked once."""
        changelist = super().get_changelist_instance(request)
        found = reconciliation.standings([endpoint.pk for endpoint in changelist.result_list])
        for endpoint in changelist.result_list:
            endpoint.standing = found[endpoint.pk]
        return changelist

    # Columns

    @display(description="In step", label={"ok": "success", "behind": "warning", "given up": "danger"})
    def standing(self, endpoint: Any) -> tuple[str, str]:
        standing = _standing(endpoint)
        kind = "given up" if standing.failed or standing.differs else "behind" if standing.behind else "ok"
        return kind, standing.in_words()

    @display(description="Differs in")
    def differing(self, endpoint: Any) -> SafeString | str:
        if not endpoint.differences_open:
            return "-"
        words = f"{endpoint.differences_open:,} key{'' if endpoint.differences_open == 1 else 's'}"
        url = f"{reverse('admin:messaging_difference_changelist')}?standing=open&endpoint__id__exact={endpoint.pk}"
        return format_html('<a href="{}">{}</a>', url, words)

    @display(description="Oldest change that it does not know")
    def oldest(self, endpoint: Any) -> Any:
        oldest = _standing(endpoint).oldest
        return moment("oldest")(_standing(endpoint)) if oldest else "-"

    @display(description="Last success")
    def last_success(self, endpoint: Endpoint) -> Any:
        return moment("last_success_at")(endpoint.health) or "never"

    @display(description="Failing", label={"failing": "danger"})
    def failing(self, endpoint: Endpoint) -> tuple[str, str]:
        count = endpoint.health.failures_in_a_row
        return ("failing", f"{count} in a row: {endpoint.health.last_error[:80]}") if count else ("", "")

    @display(description="Address")
    def address(self, endpoint: Endpoint) -> str:
        return endpoint.url

    @display(description="Told about purposes")
    def told_purposes(self, endpoint: Endpoint) -> str:
        return ", ".join(endpoint.purposes) or ("all" if endpoint.about == Endpoint.About.CHOICES else "-")

    @display(description="Told about channels")
    def told_channels(self, endpoint: Endpoint) -> str:
        return ", ".join(endpoint.channels) or ("all" if endpoint.about == Endpoint.About.CHOICES else "-")

    @display(description="Secrets that sign now")
    def secrets_good(self, endpoint: Endpoint) -> int:
        return len(endpoints.secrets_of(endpoint))

    # Adding

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("messaging.add_endpoint")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewEndpointForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                endpoint, secret = endpoints.create(**form.cleaned_data, by=person(request))
            except ValidationError as error:
                add_errors(form, error)
            else:
                self._show(request, secret)
                return HttpResponseRedirect(_page(endpoint.pk))
        fieldsets: list[Any] = [(None, {"fields": list(FIELDS)})]
        return form_page(self, request, form, fieldsets, title="Tell a service of changes", submit="Add")

    def _show(self, request: HttpRequest, secret: str) -> None:
        self.message_user(request, f"Copy this secret now, it is not shown again: {secret}", messages.WARNING)

    # What may be done

    def _in(self, request: HttpRequest, object_id: str | None, *states: str) -> bool:
        """A button is there where it leads somewhere; the service asks again."""
        if not request.user.has_perm("messaging.change_endpoint"):
            return False
        return object_id is None or Endpoint.objects.filter(pk=object_id, state__in=states).exists()

    def has_pause_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, State.ACTIVE)

    def has_resume_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, State.PAUSED, State.DISABLED)

    def has_work_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._in(request, object_id, State.ACTIVE, State.PAUSED, State.DISABLED)

    def _do(self, request: HttpRequest, object_id: str, deed: Callable[[Endpoint], str]) -> HttpResponse:
        endpoint = Endpoint.objects.filter(pk=object_id).first()
        if endpoint is None:
            raise Http404("No such endpoint.")
        return carry_out(self, request, lambda: deed(endpoint), _page(object_id))

    def _move(
        self, request: HttpRequest, form: ReasonDialog, object_id: str, verb: Callable[..., Endpoint], done: str
    ) -> HttpResponse:
        def deed(endpoint: Endpoint) -> str:
            verb(endpoint, reason=form.cleaned_data["reason"], by=person(request))
            return done

        return self._do(request, object_id, deed)

    @action(
        description="Pause",
        permissions=["pause"],
        icon="pause",
        dialog=ask("Pause this endpoint", "It is not called. What it is owed meanwhile is kept.", submit="Pause"),
    )
    def pause(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._move(request, form, object_id, endpoints.pause, "Paused. What it is owed is kept.")

    @action(
        description="Resume",
        permissions=["resume"],
        icon="play_arrow",
        dialog=ask("Resume this endpoint", "It is sent what it is owed, the oldest first.", submit="Resume"),
    )
    def resume(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._move(request, form, object_id, endpoints.resume, "It is called again.")

    @action(
        description="Retire",
        permissions=["work"],
        icon="block",
        dialog=ask("Retire this endpoint", "It is never told anything again. This cannot be undone.", submit="Retire"),
    )
    def retire(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._move(request, form, object_id, endpoints.retire, "Retired.")

    @action(
        description="Send test event",
        permissions=["pause"],
        icon="network_ping",
        dialog=ask("Send a test event", "It says nothing about anybody. Its delivery shows the answer.", submit="Send"),
    )
    def test(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed(endpoint: Endpoint) -> str:
            replaying.test(endpoint, reason=form.cleaned_data["reason"], by=person(request))
            return "A test event goes out within seconds; its answer stands among the deliveries."

        return self._do(request, object_id, deed)

    @action(
        description="Send again",
        permissions=["work"],
        icon="replay",
        dialog=ask("Send again", "Under the same ids, so that it knows them.", submit="Send again", form=ReplayDialog),
    )
    def replay(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed(endpoint: Endpoint) -> str:
            reason, by = form.cleaned_data["reason"], person(request)
            if since := form.cleaned_data["since"]:
                done = replaying.replay_since(endpoint, since, reason=reason, by=by)
            else:
                done = replaying.replay_failed(endpoint, reason=reason, by=by)
            return f"Due again: {done.count}."

        return self._do(request, object_id, deed)

    @action(
        description="Change",
        permissions=["work"],
        icon="edit",
        dialog=ask("Change this endpoint", submit="Save", form=ChangeDialog),
    )
    def edit(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed(endpoint: Endpoint) -> str:
            facts = {name: form.cleaned_data[name] for name in endpoints.MAY_CHANGE}
            endpoints.change(endpoint, facts, reason=form.cleaned_data["reason"], by=person(request))
            return "Changed."

        return self._do(request, object_id, deed)

    @action(
        description="New secret",
        permissions=["work"],
        icon="key",
        dialog=ask(
            "Give it a new secret", "Calls bear both signatures until then.", submit="Rotate", form=RotateDialog
        ),
    )
    def rotate(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed(endpoint: Endpoint) -> str:
            overlap = timedelta(hours=form.cleaned_data["overlap_hours"])
            reason, by = form.cleaned_data["reason"], person(request)
            self._show(request, endpoints.rotate(endpoint, reason=reason, overlap=overlap, by=by))
            return "It has a new secret."

        return self._do(request, object_id, deed)


def _standing(endpoint: Any) -> reconciliation.Standing:
    """As the list has put it there; a page asks for itself, once."""
    if not hasattr(endpoint, "standing"):
        endpoint.standing = reconciliation.standing_of(endpoint)
    return endpoint.standing


def _page(object_id: Any) -> str:
    return reverse("admin:messaging_endpoint_change", args=[object_id])
