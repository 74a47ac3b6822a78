"""Asked again at the moment of sending, not only when the message was owed: may this one go to this person?"""

from django.db import connection

from consent.identifiers import Identity
from consent.services import Query, check
from messaging.models import Message, MessageClass

FACTS = """
    SELECT EXISTS (SELECT FROM consent_subject WHERE id = %(subject)s AND erased_at IS NOT NULL),
           (SELECT reason FROM messaging_suppression
             WHERE digest = %(digest)s AND (expires_at IS NULL OR expires_at > clock_timestamp()))
"""
# What a person's opt-out does not stop: the confirmation of it, and what the law or their own request asks for. None of
# these may carry marketing, which publishing their texts sees to.
ALLOWED_ANYWAY = frozenset({MessageClass.CONFIRMATION, MessageClass.PRIVACY_NOTICE, MessageClass.INCIDENT_NOTICE})


def is_about_their_choice(message: Message) -> bool:
    """Somebody else's hand changed what a person chose, and they are told, opted out or not."""
    return message.message_class == MessageClass.CONSENT_UPDATE and message.decision_id is not None


def refusal_of(message: Message) -> str:
    """Why it must not be sent, in words for staff; empty where it may."""
    if not message.sealed_recipient:
        return "No address is known."
    with connection.cursor() as cursor:
        digest = Identity(message.recipient_kind, message.recipient).digest
        cursor.execute(FACTS, {"subject": message.subject_id, "digest": digest})
        is_erased, suppressed = cursor.fetchone()
    if is_erased and message.message_class != MessageClass.PRIVACY_NOTICE:  # a deletion is answered after it was done
        return "This person was erased: nobody is written to."
    if suppressed:
        return f"The address is suppressed: {suppressed}."
    if message.message_class in ALLOWED_ANYWAY or is_about_their_choice(message):
        return ""
    answer = check([Query(message.subject_id, message.purpose, message.channel)])[0]
    return "" if answer.allowed else f"The person may not be contacted: {answer.reason.replace('_', ' ')}."
