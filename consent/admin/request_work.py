"""What the desk does with a privacy request: take, answer, act, note, close. Each button is a verb of the services."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin import RecordAdmin, action, ask, mask, person
from config.deeds import add_errors, carry_out, form_page, words
from consent import replies, requests
from consent.access import people
from consent.admin.forms import PlainDialog
from consent.admin.request_forms import AnswerForm, AssignDialog, CloseDialog, CorrectForm, ExtendDialog, NoteDialog
from consent.fulfilment import correct, forget, hand_out
from consent.identifiers import unseal
from consent.models import PrivacyRequest


class Work(RecordAdmin):
    """The buttons on a request's page."""

    def has_work_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("consent.change_privacyrequest")

    @action(
        description="Take",
        permissions=["work"],
        icon="pan_tool",
        dialog=ask("Take this request", "It is yours from now on.", submit="Take it", form=PlainDialog),
    )
    def take(self, request: HttpRequest, form: PlainDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            asked = requests.assign(the(object_id), person(request), by=person(request))
            return f"{asked.ref} is yours."

        return carry_out(self, request, deed, page_of(object_id))

    @action(
        description="Assign",
        permissions=["work"],
        icon="assignment_ind",
        dialog=ask("Assign this request", submit="Assign", form=AssignDialog),
    )
    def assign(self, request: HttpRequest, form: AssignDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            asked = requests.assign(the(object_id), form.cleaned_data["assignee"], by=person(request))
            return f"{asked.ref} is with {asked.assignee}." if asked.assignee else f"{asked.ref} is in the queue."

        return carry_out(self, request, deed, page_of(object_id))

    @action(
        description="Add a note",
        permissions=["work"],
        icon="note_add",
        dialog=ask("Add a note", submit="Keep the note", form=NoteDialog),
    )
    def note(self, request: HttpRequest, form: NoteDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            requests.note(the(object_id), form.cleaned_data["text"], by=person(request))
            return "The note is kept."

        return carry_out(self, request, deed, page_of(object_id))

    @action(
        description="Extend the deadline",
        permissions=["work"],
        icon="more_time",
        dialog=ask(
            "Extend the deadline",
            "Once, by what its rule allows and before the first deadline ends. The person is told, with this reason.",
            submit="Extend and tell the person",
            form=ExtendDialog,
        ),
    )
    def extend(self, request: HttpRequest, form: ExtendDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            asked = requests.extend(the(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"{asked.ref} is due on {asked.due_on} now, and the person is told."

        return carry_out(self, request, deed, page_of(object_id))

    @action(
        description="Close the request",
        permissions=["work"],
        icon="task_alt",
        dialog=ask("Close this request", "It is not opened again.", submit="Close the request", form=CloseDialog),
    )
    def close(self, request: HttpRequest, form: CloseDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            outcome, reason = form.cleaned_data["outcome"], form.cleaned_data["reason"]
            return f"{requests.close(the(object_id), outcome, reason=reason, by=person(request)).ref} is closed."

        return carry_out(self, request, deed, page_of(object_id))

    @action(description="Hand out the data", permissions=["work"], icon="download")
    def hand_out_data(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page that says what the file is, and the file when its button is pressed."""
        asked = the(object_id)
        if request.method == "POST":
            try:
                data = hand_out(asked, by=person(request))
            except ValidationError as error:
                self.message_user(request, words(error), messages.ERROR)
                return HttpResponseRedirect(page_of(object_id))
            return HttpResponse(
                data,
                content_type="application/json",
                headers={
                    "Content-Disposition": f'attachment; filename="{asked.ref}.json"',
                    "Cache-Control": "no-store",
                },
            )
        return form_page(
            self,
            request,
            PlainDialog(request),
            [],
            title=f"Hand out the data of {asked.ref}",
            submit="Download as JSON",
            template="admin/consent/hand_out.html",
            asked=asked,
        )

    @action(
        description="Erase the person",
        permissions=["work"],
        icon="delete_forever",
        dialog=ask(
            "Erase the person",
            "Addresses, numbers, user ids and evidence are erased for good. Choices stay without a name, so that an "
            "opt-out still holds when the address comes back in an import.",
            submit="Erase for good",
            form=PlainDialog,
        ),
    )
    def erase_person(self, request: HttpRequest, form: PlainDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            return f"Erased {forget(the(object_id), by=person(request))} identifiers. Close the request now."

        return carry_out(self, request, deed, page_of(object_id))

    @action(description="Correct an identifier", permissions=["work"], icon="edit")
    def correct_identifier(self, request: HttpRequest, object_id: str) -> HttpResponse:
        asked = the(object_id)
        form = CorrectForm(request.POST or None, subject_id=people(asked.subject_id)[0])
        if request.method == "POST" and form.is_valid():
            try:
                correct(asked, form.cleaned_data["old"], form.identity, by=person(request))
            except ValidationError as error:
                add_errors(form, error)
            else:
                self.message_user(request, "Corrected. The old one is retired.", messages.SUCCESS)
                return HttpResponseRedirect(page_of(object_id))
        return form_page(
            self,
            request,
            form,
            [(None, {"fields": ["old", "value"]})],
            title=f"Correct an identifier for {asked.ref}",
            submit="Correct",
        )

    @action(description="Answer", permissions=["work"], icon="reply")
    def answer(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Start from a text, change it, look at it, send it."""
        asked = the(object_id)
        form = AnswerForm(request.POST or None, asked=asked, chosen=request.GET.get("text"))
        shown = None
        if request.method == "POST" and form.is_valid():
            text, template = form.cleaned_data["text"], form.cleaned_data["template"]
            if "_preview" in request.POST:
                shown = text
            else:
                try:
                    replies.answer(asked, text, template=template, by=person(request))
                except ValidationError as error:
                    add_errors(form, error)
                else:
                    self.message_user(request, "The answer is on its way.", messages.SUCCESS)
                    return HttpResponseRedirect(page_of(object_id))
        to = replies.email_of(asked.subject_id)
        return form_page(
            self,
            request,
            form,
            [(None, {"fields": ["template", "text"]})],
            title=f"Answer {asked.ref}",
            submit="Send the answer",
            more_buttons={"_preview": "Preview"},
            template="admin/consent/answer.html",
            asked=asked,
            to=mask(unseal(to.kind, bytes(to.sealed))) if to and to.sealed else None,
            near=[text for text in form.texts if text.locale == asked.locale[:2]],
            far=[text for text in form.texts if text.locale != asked.locale[:2]],
            chosen=form.chosen,
            shown=shown,
        )


def the(object_id: str) -> PrivacyRequest:
    found = PrivacyRequest.objects.select_related("subject", "rule").filter(pk=object_id).first()
    if found is None:
        raise Http404("No such request.")
    return found


def page_of(object_id: Any) -> str:
    return reverse("admin:consent_privacyrequest_change", args=[object_id])
