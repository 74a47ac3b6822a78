"""Sending again what is ticked in the outbox: a page says first how many go, and which do not and why."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from config.admin import RecordAdmin, action, person, widgets
from config.deeds import form_page
from messaging import resending
from messaging.models import Message

SHOWN = 5  # messages that are named with each reason


class WhyAgain(forms.Form):
    reason = forms.CharField(
        max_length=200,
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="What has been mended? It is kept beside your name in the story of each message.",
    )


class SentAgain(RecordAdmin):
    """What MessageAdmin offers for many at a time."""

    actions = ("send_again",)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        words = {"selection_note_all": "All that match are selected"}  # nobody counts them: see RecordAdmin
        return super().changelist_view(request, words | (extra_context or {}))

    @action(description="Send again", permissions=["resend"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        """The second press carries the messages that the first one found, so that no more go than were read of."""
        is_confirmed = "confirmed" in request.POST
        form = WhyAgain(request.POST if is_confirmed else None)
        if is_confirmed and form.is_valid():
            self._tell(request, resending.send_again(queryset, reason=form.cleaned_data["reason"], by=person(request)))
            return None
        return self._asked(request, form, resending.look(queryset))

    def _asked(self, request: HttpRequest, form: forms.Form, chosen: resending.Chosen) -> HttpResponse:
        refused = [
            (why, len(them), [(one, reverse("admin:messaging_message_change", args=[one.pk])) for one in them[:SHOWN]])
            for why, them in chosen.refused.items()
        ]
        number = len(chosen.goes)
        fieldsets: Any = [(None, {"fields": ["reason"] if number else []})]
        return form_page(
            self, request, form, fieldsets, title="Send messages again",
            submit="Send 1 message again" if number == 1 else f"Send {number} messages again",
            template="admin/messaging/send_again.html", submit_name="send", chosen=chosen, refused=refused, shown=SHOWN,
            at_once=resending.AT_ONCE, checkbox=ACTION_CHECKBOX_NAME, back=request.get_full_path(),
        )  # fmt: skip

    def _tell(self, request: HttpRequest, done: resending.Chosen) -> None:
        number = len(done.goes)
        if number:
            said = "1 message is" if number == 1 else f"{number} messages are"
            self.message_user(request, f"{said} sent again within seconds.", messages.SUCCESS)
        for why, them in done.refused.items():
            self.message_user(request, f"{len(them)} not sent again: {why}", messages.WARNING)
