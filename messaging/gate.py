"""Asked again at the moment of sending, not only when the message was owed: may this one go to this person?"""

from django.db.models import Q
from django.db.models.functions import Now

from consent.identifiers import Identity
from consent.models import Identifier, Subject
from consent.services import Query, check
from messaging.models import Message, MessageClass, Suppression

# What a person's opt-out does not stop: the confirmation of it, and what the law or their own request asks for.
ALLOWED_ANYWAY = frozenset({MessageClass.CONFIRMATION, MessageClass.PRIVACY_NOTICE})


def refusal_of(message: Message) -> str:
    """Why it must not be sent, in words for staff; empty where it may."""
    if not message.sealed_recipient:
        return "No address is known."
    is_answer = message.message_class == MessageClass.PRIVACY_NOTICE  # a deletion is answered after it was done
    if not is_answer and Subject.objects.filter(pk=message.subject_id, erased_at__isnull=False).exists():
        return "This person was erased: nobody is written to."
    address = Identity(Identifier.Kind.EMAIL, message.recipient)
    suppressions = Suppression.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), digest=address.digest)
    if reason := suppressions.values_list("reason", flat=True).first():
        return f"The address is suppressed: {reason}."
    if message.message_class in ALLOWED_ANYWAY:
        return ""
    answer = check([Query(message.subject_id, message.purpose, message.channel)])[0]
    return "" if answer.allowed else f"The person may not be contacted: {answer.reason.replace('_', ' ')}."
