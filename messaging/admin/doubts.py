"""A message in doubt that the law asks for, on its page: one of the staff proposes, another agrees."""

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from config.admin import ReasonDialog, RecordAdmin, action, ask, person
from config.deeds import carry_out
from messaging import doubts
from messaging.models import DoubtRuling, Message

Verdict = DoubtRuling.Verdict


class Doubts(RecordAdmin):
    """What MessageAdmin offers for them."""

    def has_propose_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("messaging.add_doubtruling"):
            return False
        return object_id is None or (self._is_for_two(object_id) and not _standing(object_id))

    def has_close_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """What is closed already is only sent again."""
        if not self.has_propose_permission(request, object_id):
            return False
        return not object_id or Message.objects.filter(pk=object_id, state=Message.State.IN_DOUBT).exists()

    def _is_for_two(self, object_id: str | None) -> bool:
        message = Message.objects.filter(pk=object_id, state__in=Message.DOUBTFUL).first() if object_id else None
        return message is not None and message.needs_two

    def has_agree_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Also for whoever proposed it: the refusal then says why another is needed."""
        may = request.user.has_perm("messaging.change_doubtruling")
        return may and (object_id is None or _standing(object_id) is not None)

    def _propose(self, request: HttpRequest, form: ReasonDialog, object_id: str, verdict: str) -> HttpResponse:
        message = Message.objects.filter(pk=object_id).first()
        if message is None:
            raise Http404("No such message.")

        def deed() -> str:
            doubts.propose(message, verdict, reason=form.cleaned_data["reason"], by=person(request))
            return "Proposed. It is done as soon as a colleague agrees."

        return carry_out(self, request, deed, _page(object_id))

    def _answer(
        self, request: HttpRequest, form: ReasonDialog, object_id: str, verb: Callable[..., Any], said: str
    ) -> HttpResponse:
        ruling = _standing(object_id)
        if ruling is None:
            raise Http404("Nothing is proposed for this message.")

        def deed() -> str:
            verb(ruling, reason=form.cleaned_data["reason"], by=person(request))
            return said

        return carry_out(self, request, deed, _page(object_id))

    @action(
        description="Propose to send again",
        permissions=["propose"],
        icon="replay",
        dialog=ask(
            "Propose to send it again",
            "It may have arrived: the person may get it twice. A colleague has to agree. Say what you looked at.",
            submit="Propose",
        ),
    )
    def propose_resend(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._propose(request, form, object_id, Verdict.RESEND)

    @action(
        description="Propose to close as unknown",
        permissions=["close"],
        icon="help",
        dialog=ask(
            "Propose to close it as unknown",
            "It is then reported as unknown for good. A colleague has to agree. Say what you looked at.",
            submit="Propose",
        ),
    )
    def propose_close(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._propose(request, form, object_id, Verdict.CLOSE)

    @action(
        description="Agree",
        permissions=["agree"],
        icon="done_all",
        dialog=ask("Agree with your colleague", "It is done at once. Say what you looked at.", submit="Agree"),
    )
    def agree(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._answer(request, form, object_id, doubts.agree, "Agreed, and done.")

    @action(
        description="Withdraw the proposal",
        permissions=["agree"],
        icon="undo",
        dialog=ask("Withdraw the proposal", "The message stays in doubt.", submit="Withdraw the proposal"),
    )
    def withdraw(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return self._answer(request, form, object_id, doubts.withdraw, "Withdrawn. It is still in doubt.")


def _standing(object_id: str) -> DoubtRuling | None:
    return DoubtRuling.objects.filter(message__pk=object_id, is_open=True).first()


def _page(object_id: str) -> str:
    return reverse("admin:messaging_message_change", args=[object_id])
