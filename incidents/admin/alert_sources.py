"""Who may post alerts: connected, changed, silenced and tried out here."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, OuterRef, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from config.admin import ReasonDialog, TrackedAdmin, action, ask, badge, display, moment, person, theme_forms
from config.deeds import add_errors, carry_out, form_page
from incidents import alerts
from incidents.admin.connecting import steps
from incidents.admin.forms import Moment, Select, Text
from incidents.models import AlertSecret, AlertSource

Kind, Signature = AlertSource.Kind, AlertSource.Signature
MOST = 20  # causes without an incident that its page lists
MODES = {"active": "success", "monitor": "info", "off": "warning"}
KEY_HELP = (
    "For other JSON: where it stands what belongs together, as a JSON pointer like /service. Else leave it empty."
)


class NewSourceForm(forms.Form):
    name = forms.CharField(max_length=100, widget=Text, help_text="Which one it is: Alertmanager of the platform team.")
    kind = forms.ChoiceField(choices=Kind.choices, initial=Kind.ALERTMANAGER, widget=Select)
    key = forms.CharField(
        label="What belongs together", required=False, max_length=200, widget=Text, help_text=KEY_HELP
    )


class SecretDialog(theme_forms.BaseDialogForm):
    secret = forms.CharField(
        required=False,
        max_length=500,
        widget=Text(attrs={"autocomplete": "off"}),
        help_text="As the sender shows it. Empty: one is made here and shown once. Older ones hold until retired.",
    )


class RetireDialog(theme_forms.BaseDialogForm):
    which = forms.ModelChoiceField(AlertSecret.objects.none(), label="Secret", empty_label=None, widget=Select)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        active = AlertSecret.objects.filter(source=kwargs.get("object_id"), retired_at=None)
        self.fields["which"].queryset = active.order_by("-pk")


class SilenceDialog(ReasonDialog):
    until = Moment(
        help_text="Its alerts are kept and open nothing until then; what still fires then opens an incident."
    )
    field_order = ("until", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["until"].initial = timezone.now() + timedelta(hours=1)


class TestDialog(theme_forms.BaseDialogForm):
    """Nothing is asked."""


@admin.register(AlertSource)
class AlertSourceAdmin(TrackedAdmin):
    list_display = (
        "name",
        badge("kind", {}),
        badge("mode", MODES),
        "strength",
        "silence_told",
        moment("last_seen_at", "Last heard"),
    )
    list_filter = ("mode", "kind", "is_drill")
    ordering = ("name",)
    readonly_fields = (
        "kind", "how_to_connect", "strength", "secrets_told", "silence_told", "unopened", "turned_away",
        moment("last_seen_at", "Last heard"), moment("created_at"),
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ["name", "kind", "mode", "is_drill", "silence_told", "unopened"]}),
        ("How to connect it", {"fields": ["how_to_connect"]}),
        (
            "Who is let in",
            {"fields": ["strength", "secrets_told", "signature", "signature_header", "timestamp_header", "tolerance"]},
        ),
        ("How it is read", {"fields": ["mapping", "severity_map", "type"]}),
        (
            "How it is watched",
            {"fields": ["rate_limit", "turned_away", "heartbeat_timeout", readonly_fields[-2], readonly_fields[-1]]},
        ),
    )
    actions_detail = ("renew_token", "new_secret", "retire_secret", "silence", "end_silence", "test")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("incidents.add_alertsource")

    def has_configure_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.change_alertsource")

    def has_silence_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("incidents.silence_alertsource")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewSourceForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            facts = form.cleaned_data
            mapping = {"mapping": {"key": facts["key"]}} if facts["key"] else {}
            try:
                source, token = alerts.issue_source(facts["name"], kind=facts["kind"], by=person(request), **mapping)
            except ValidationError as error:
                add_errors(form, error)
            else:
                self._show(request, token)
                return HttpResponseRedirect(_page(source.pk))
        fields = [(None, {"fields": ["name", "kind", "key"]})]
        return form_page(self, request, form, fields, title="Let something post alerts", submit="Add")

    def save_model(self, request: HttpRequest, obj: AlertSource, form: forms.ModelForm, change: bool) -> None:
        alerts.change(obj, reason=form.cleaned_data["reason"], by=person(request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertSource]:
        active = AlertSecret.objects.filter(source=OuterRef("pk"), retired_at=None)
        return super().get_queryset(request).annotate(has_secret=Exists(active))

    @display(description="Who is let in", label={"signed": "success", "token": "warning", "nobody": "danger"})
    def strength(self, source: AlertSource) -> tuple[str, str]:
        if source.signature == Signature.NONE:
            return "token", "address only: whoever knows it can post"
        if not getattr(source, "has_secret", False):
            return "nobody", "nobody: it has no secret yet"
        return "signed", f"signed: {source.get_signature_display()}"

    @display(description="Secrets")
    def secrets_told(self, source: AlertSource) -> str:
        """Their ages, never their texts."""
        if source.signature == Signature.NONE:
            return "None is used."
        active = source.secrets.filter(retired_at=None).order_by("-pk")
        told = [f"{secret} by {secret.created_by}" for secret in active]
        return ", ".join(told) or "None yet: every delivery is refused until there is one. Press New secret."

    @display(description="Silence")
    def silence_told(self, source: AlertSource) -> str:
        if source.silenced_until is None or not source.is_silenced(timezone.now()):
            return "not silenced"
        until = timezone.localtime(source.silenced_until)
        return f"until {until:%Y-%m-%d %H:%M %Z} by {source.silenced_by}: {source.silence_reason}"

    @display(description="Fires without an incident")
    def unopened(self, source: AlertSource) -> str:
        """What was heard while it was silenced or only watched, the newest first."""
        groups = source.groups.unopened().order_by("-last_at")
        told = [
            f"{title} (last {last_at:%d %b %H:%M} UTC)"
            for title, last_at in groups.values_list("title", "last_at")[:MOST]
        ]
        return "; ".join(told) or "nothing"

    @display(description="Turned away")
    def turned_away(self, source: AlertSource) -> str:
        recent = source.overflows.filter(began_at__gte=timezone.now() - timedelta(hours=24))
        return f"{recent.aggregate(Sum('count'))['count__sum'] or 0:,} deliveries in the last 24 hours"

    @display(description="Steps")
    def how_to_connect(self, source: AlertSource) -> SafeString:
        return steps(source, f"{settings.PUBLIC_URL}{reverse('alerts', args=['…'])}".replace("%E2%80%A6", "…"))

    @action(
        description="New address",
        permissions=["configure"],
        icon="key",
        dialog=ask("Give it a new address", "The old one stops working at once.", submit="Renew"),
    )
    def renew_token(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            reason = form.cleaned_data["reason"]
            self._show(request, alerts.renew_token(the(object_id), reason=reason, by=person(request)))
            return "The old address no longer works."

        return self._done(request, object_id, deed)

    @action(
        description="New secret",
        permissions=["configure"],
        icon="encrypted_add",
        dialog=ask("Give it a new secret", "Deliveries may be signed with any that is not retired.", submit="Add",
                   form=SecretDialog),
    )  # fmt: skip
    def new_secret(self, request: HttpRequest, form: SecretDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            given = form.cleaned_data["secret"]
            _, text = alerts.add_secret(the(object_id), given, by=person(request))
            if not given:
                self.message_user(request, f"Copy this secret now, it is not shown again: {text}", messages.WARNING)
            return "The secret holds from now on. Retire the older one once the sender uses this."

        return self._done(request, object_id, deed)

    @action(
        description="Retire a secret",
        permissions=["configure"],
        icon="encrypted_off",
        dialog=ask("Retire a secret", "What is signed with it is refused at once.", submit="Retire", form=RetireDialog),
    )
    def retire_secret(self, request: HttpRequest, form: RetireDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            alerts.retire_secret(form.cleaned_data["which"], by=person(request))
            return "The secret is gone."

        return self._done(request, object_id, deed)

    @action(
        description="Silence",
        permissions=["silence"],
        icon="notifications_paused",
        dialog=ask("Silence it until", submit="Silence", form=SilenceDialog),
    )
    def silence(self, request: HttpRequest, form: SilenceDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            facts = form.cleaned_data
            alerts.silence(the(object_id), until=facts["until"], reason=facts["reason"], by=person(request))
            return "It is silenced. Its deliveries are kept."

        return self._done(request, object_id, deed)

    @action(
        description="End the silence",
        permissions=["silence"],
        icon="notifications_active",
        dialog=ask("End the silence", submit="End it"),
    )
    def end_silence(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            alerts.end_silence(the(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return "Its alerts open incidents again."

        return self._done(request, object_id, deed)

    @action(
        description="Send a test",
        permissions=["configure"],
        icon="labs",
        dialog=ask("Send a test", "A sample of its kind, signed as it would be. It opens nothing.", submit="Send",
                   form=TestDialog),
    )  # fmt: skip
    def test(self, request: HttpRequest, form: TestDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            delivery = alerts.send_test(the(object_id))
            alerts.read_stored()
            delivery.refresh_from_db()
            return f"Delivery #{delivery.pk}, {delivery.get_outcome_display()}. {delivery.reason}"

        return self._done(request, object_id, deed)

    def _done(self, request: HttpRequest, object_id: str, deed: Callable[[], str]) -> HttpResponse:
        return carry_out(self, request, deed, _page(object_id))

    def _show(self, request: HttpRequest, token: str) -> None:
        url = f"{settings.PUBLIC_URL}{reverse('alerts', args=[token])}"
        self.message_user(request, f"Copy this address now, it is not shown again: {url}", messages.WARNING)


def the(object_id: str) -> AlertSource:
    source = AlertSource.objects.filter(pk=object_id).first()
    if source is None:
        raise Http404("No such source of alerts.")
    return source


def _page(object_id: Any) -> str:
    return reverse("admin:incidents_alertsource_change", args=[object_id])
