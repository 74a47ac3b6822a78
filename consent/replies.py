"""Answers to privacy requests: begun from a text, finished by a person, owed as a message."""

import re
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from config.models import User
from consent import access, subjects
from consent.models import AnswerText, Identifier, PrivacyRequest, RequestEvent
from consent.requests import locked
from consent.services import actor_of
from consent.signals import request_answered

Kind, State = PrivacyRequest.Kind, PrivacyRequest.State
PLACEHOLDER = re.compile(r"\{[a-z_]+\}")
DATA = "{data}"


def fill(body: str, request: PrivacyRequest) -> str:
    """An answer text with what is known filled in. `{data}` stays: it is put in when the answer is sent."""
    values = {
        "{ref}": request.ref,
        "{received}": request.received_on.isoformat(),
        "{due}": request.due_on.isoformat(),
        "{organisation}": settings.ORGANISATION,
    }
    return PLACEHOLDER.sub(lambda found: values.get(found[0], found[0]), body)


@transaction.atomic
def answer(request: PrivacyRequest, text: str, *, by: User | str, template: AnswerText | None = None) -> PrivacyRequest:
    """Owe the person this text by e-mail: `request_answered` writes the message in the same transaction.

    The request's log, which is kept for good, holds the text with `{data}` in it and not the data themselves. Raises
    ValidationError for a text that cannot be sent as it is, and where nobody knows whereto.
    """
    request = locked(request)
    text = text.strip()
    if not text:
        raise ValidationError("Write the answer.")
    sent = with_data(text, request)
    if left := PLACEHOLDER.search(text if sent == text else text.replace(DATA, "")):
        raise ValidationError(f"The text still holds {left[0]}: write there what it stands for, or take it out.")
    if not email_of(request.subject_id):
        raise ValidationError(
            "No e-mail address of this person is known. Answer by letter or telephone, write a note about what you "
            "said, and close the request."
        )
    request.state = State.ANSWERED
    request.save_as(actor_of(by), "Answered")
    RequestEvent.objects.create(
        request=request, kind=RequestEvent.Kind.ANSWERED, text=text, answer=template, recorded_by=actor_of(by)
    )
    request_answered.send(PrivacyRequest, request=request, written=text, text=sent, by=actor_of(by))
    return request


def with_data(text: str, request: PrivacyRequest) -> str:
    """An answer to an access request with everything that is stored in the place of `{data}`."""
    if DATA not in text or request.kind != Kind.ACCESS:
        return text
    return text.replace(DATA, access.as_text(access.stored_about(request.subject_id)))


def email_of(subject_id: UUID) -> Identifier | None:
    """The address that an answer goes to: the one that was learnt last."""
    root = subjects.roots([subject_id]).get(subject_id, subject_id)
    kept = Identifier.objects.filter(subject=root, kind=Identifier.Kind.EMAIL, sealed__isnull=False)
    return kept.order_by("-pk").first()
