"""News about a privacy request, or a second step to be asked for, is a message like any other: owed in the transaction
that made the news.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from consent.models import PrivacyRequest, Purpose, Reversal
from consent.replies import email_of
from consent.second_steps import OPEN_FOR
from messaging import suppressing
from messaging.gate import is_stopped_by
from messaging.gates import problems_of_facts
from messaging.models import MessageClass, TemplateVersion
from messaging.services import NewMessage, enqueue


def owe_receipt(sender: object, *, request: PrivacyRequest, by: str, **_: Any) -> None:
    """Receiver of consent.signals.request_logged: that it came, and by when it is answered (11 CCR 7021(a))."""
    context = {
        "ref": request.ref,
        "kind": request.kind,
        "received_on": request.received_on.isoformat(),
        "due_on": request.due_on.isoformat(),
    }
    _owe(request, "request_received", "received", context)


def owe_extension(sender: object, *, request: PrivacyRequest, by: str, **_: Any) -> None:
    """Receiver of consent.signals.request_extended: until when, and why (GDPR 12(3)).

    Raises ValidationError for a reason that no notice may give, see `gates`.
    """
    context = {
        "ref": request.ref,
        "kind": request.kind,
        "received_on": request.received_on.isoformat(),
        "due_on": request.due_on.isoformat(),
        "reason": request.extended_reason,
    }
    _let_through("request_extended", context)
    _owe(request, "request_extended", "extended", context)


def owe_answer(sender: object, *, request: PrivacyRequest, written: str, text: str, by: str, **_: Any) -> None:
    """Receiver of consent.signals.request_answered. The same answer twice is one message; another one is another.

    Raises ValidationError for what no notice may say, see `gates`: what is stored about the person is theirs to see,
    whatever it holds. And where mail to this person would not be sent: the request must not look answered.
    """
    _let_through("request_answered", {"ref": request.ref, "answer": written})
    address = email_of(request.subject_id)
    suppression = suppressing.reason_of(bytes(address.digest)) if address else ""
    if suppression and is_stopped_by(suppression, MessageClass.PRIVACY_NOTICE):
        raise ValidationError(
            f"The address of this person is suppressed: {suppression}. Lift that if it is wrong. Else answer by letter "
            "or telephone, write a note about what you said, and close the request."
        )
    digest = hashlib.sha256(text.encode()).hexdigest()
    _owe(request, "request_answered", f"answered:{digest}", {"ref": request.ref, "answer": text})


def owe_second_step(sender: object, *, reversal: Reversal, **_: Any) -> None:
    """Receiver of consent.signals.reversal_to_ask: the way to the second step, which is open for seven days."""
    purpose = Purpose.objects.get(code=reversal.purpose)
    owed = NewMessage(
        template_key="opt_in_second_step",
        subject_id=reversal.subject_id,
        cause=f"reversal:{reversal.pk}",
        context={"purpose": purpose.name, "channel": reversal.channel, "reversal": str(reversal.pk)},
        locale=reversal.subject.locale or "en",
        purpose=reversal.purpose,
        expires_at=reversal.requested_at + OPEN_FOR,
    )
    enqueue([owed])


def _let_through(template: str, facts: Mapping[str, Any]) -> None:
    """By the gates that the text itself passed. Without a text the message waits for one, and says so."""
    version = TemplateVersion.objects.published(template).first()
    if version and (problems := problems_of_facts(version, facts)):
        raise ValidationError(problems)


def _owe(request: PrivacyRequest, template: str, cause: str, context: Mapping[str, Any]) -> None:
    enqueue(
        [
            NewMessage(
                template_key=template,
                subject_id=request.subject_id,
                cause=f"request:{request.pk}:{cause}",
                context=context,
                locale=request.locale,
                request_id=request.pk,
            )
        ]
    )
