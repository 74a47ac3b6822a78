"""How messages leave: each transport with its health, and what is held back, by whom and why."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from config.admin import ReasonDialog, RecordAdmin, action, ask, display, moment, person, theme_forms, widgets
from config.deeds import carry_out
from consent.models import Channel
from messaging import health
from messaging.holding import held_besides, hold_sending, known_values, let_go
from messaging.models import Message, SendHold, TransportHealth
from messaging.transports import configured

Scope = SendHold.Scope
MOST = 10_000  # what is counted stops here


def holdable() -> list[tuple[str, list[tuple[str, str]]]]:
    return [(label, [(f"{scope}:{value}", value) for value in known_values(scope)]) for scope, label in Scope.choices]


class HoldDialog(ReasonDialog):
    what = forms.ChoiceField(choices=holdable, widget=widgets.UnfoldAdminSelectWidget)
    until = forms.SplitDateTimeField(
        required=False,
        widget=widgets.UnfoldAdminSplitDateTimeWidget,
        help_text="Empty: until somebody lets go. In your own time zone.",
    )
    field_order = ("what", "until", "reason")


@admin.register(SendHold)
class SendHoldAdmin(RecordAdmin):
    list_display = (
        "what",
        "standing",
        "reason",
        "held_by",
        moment("held_at", "Since"),
        moment("until", "Until"),
    )
    list_filter = ("scope",)
    ordering = ("-held_at", "-pk")
    sortable_by = ()
    readonly_fields = fields = (
        "what",
        "standing",
        "kept_back",
        "reason",
        "held_by",
        moment("held_at", "Since"),
        moment("until", "Until"),
        "released_by",
        moment("released_at", "Let go"),
        "released_reason",
    )
    actions_list = ("hold",)
    actions_detail = ("let_it_go",)

    @display(description="What is held")
    def what(self, hold: SendHold) -> str:
        return f"{hold.get_scope_display().removeprefix('a ')} {hold.value}"

    @display(description="State", label={"holds": "warning", "over": ""})
    def standing(self, hold: SendHold) -> tuple[str, str]:
        return ("holds", "holds") if is_standing(hold) else ("over", "over")

    @display(description="Messages kept back")
    def kept_back(self, hold: SendHold) -> str:
        if not is_standing(hold) or hold.scope == Scope.TRANSPORT:
            return "-"
        waiting = Message.objects.kept_back([hold]).filter(state__in=Message.WAITING).order_by()
        count = len(waiting.values_list("pk")[:MOST])
        return f"{count:,}{'+' if count == MOST else ''}"

    def has_hold_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("messaging.hold_sending"):
            return False
        return object_id is None or SendHold.objects.filter(pk=object_id, released_at=None).exists()

    @action(
        description="Hold sending",
        permissions=["hold"],
        icon="pause",
        dialog=ask(
            "Hold sending",
            "Nothing of it is sent from now on, also what is owed later. What is on its way arrives. Opt-outs are "
            "recorded all the same; their confirmations wait.",
            submit="Hold",
            form=HoldDialog,
        ),
    )
    def hold(self, request: HttpRequest, form: HoldDialog) -> HttpResponse:
        def deed() -> str:
            scope, _, value = form.cleaned_data["what"].partition(":")
            facts = {"until": form.cleaned_data["until"], "reason": form.cleaned_data["reason"], "by": person(request)}
            return f"{hold_sending(scope, value, **facts)}: held."

        return carry_out(self, request, deed, reverse("admin:messaging_sendhold_changelist"))

    @action(
        description="Let it go",
        permissions=["hold"],
        icon="play_arrow",
        dialog=ask(
            "Let it go",
            "What was kept back is sent within seconds, unless somebody else holds it too.",
            submit="Let it go",
        ),
    )
    def let_it_go(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        hold = SendHold.objects.filter(pk=object_id).first()
        if hold is None:
            raise Http404("No such hold.")

        def deed() -> str:
            let_go(hold, reason=form.cleaned_data["reason"], by=person(request))
            others = held_besides(hold)
            return f"It stays held back by {', '.join(others)}." if others else "It is sent within seconds."

        return carry_out(self, request, deed, reverse("admin:messaging_sendhold_change", args=[object_id]))


@admin.register(TransportHealth)
class TransportAdmin(RecordAdmin):
    """Transports are named in the settings; here is how they do."""

    list_display = (
        "transport",
        "place",
        "condition",
        moment("last_success_at", "Worked last"),
        moment("last_failure_at", "Failed last"),
        "last_error",
    )
    ordering = ("transport",)
    sortable_by = ()
    readonly_fields = fields = (
        "transport",
        "place",
        "condition",
        "failures_in_a_row",
        "refusals_in_a_row",
        moment("open_until", "Left alone until"),
        moment("last_success_at", "Worked last"),
        moment("last_failure_at", "Failed last"),
        "last_error",
        moment("swept_at", "Last sweep"),
    )
    actions_list = ()
    actions_detail = ("try_now",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TransportHealth]:
        self.held = set(
            SendHold.objects.active(timezone.now()).filter(scope=Scope.TRANSPORT).values_list("value", flat=True)
        )
        return super().get_queryset(request)

    @display(description="Tried")
    def place(self, health_of: TransportHealth) -> str:
        for channel in configured.channels():
            for number, transport in enumerate(configured.transports(channel), 1):
                if transport.name == health_of.pk:
                    return (
                        f"{Channel(channel).label}, {'as the last resort' if transport.after else f'number {number}'}"
                    )
        return "no longer in the settings"

    @display(description="State", label={"works": "success", "fails": "danger", "held": "warning", "unknown": ""})
    def condition(self, health_of: TransportHealth) -> tuple[str, str]:
        if health_of.pk in self.held:
            return ("held", "held")
        if health_of.failures_in_a_row >= health.OPENS_AFTER:
            return ("fails", f"failed {health_of.failures_in_a_row} times in a row")
        return ("works", "works") if health_of.last_success_at else ("unknown", "not tried yet")

    def has_try_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("messaging.hold_sending"):
            return False
        return object_id is None or TransportHealth.objects.filter(pk=object_id, open_until__gt=timezone.now()).exists()

    @action(
        description="Try it now",
        permissions=["try"],
        icon="bolt",
        dialog=ask(
            "Try it now",
            "The next message tries this transport without waiting for the end of its pause.",
            submit="Try it now",
            form=theme_forms.BaseDialogForm,
        ),
    )
    def try_now(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        def deed() -> str:
            health.try_now(object_id)
            return "The next message tries it."

        return carry_out(self, request, deed, reverse("admin:messaging_transporthealth_change", args=[object_id]))


def is_standing(hold: SendHold) -> bool:
    return hold.released_at is None and (hold.until is None or hold.until > timezone.now())
