"""Asked again at the moment of sending, not only when the message was owed: may this one go to this person?"""

from collections.abc import Sequence
from contextlib import suppress

from cryptography.exceptions import InvalidTag

from config.statements import blobs, plain, prepared
from consent.identifiers import Identity
from consent.services import Query, check
from messaging.models import FOUR_EYES, Message, MessageClass, Suppression

FACTS = """
    SELECT EXISTS (SELECT FROM consent_subject WHERE id = asked.subject_id AND erased_at IS NOT NULL),
           (SELECT reason FROM messaging_suppression
             WHERE digest = asked.digest AND (expires_at IS NULL OR expires_at > clock_timestamp()))
      FROM unnest(%(subjects)s::uuid[], %(digests)s::bytea[]) WITH ORDINALITY AS asked (subject_id, digest, place)
     ORDER BY place
"""
# What a person's opt-out does not stop: the confirmation of it, and what the law or their own request asks for. None of
# these may carry marketing, which publishing their texts sees to.
ALLOWED_ANYWAY = frozenset({MessageClass.CONFIRMATION, MessageClass.PRIVACY_NOTICE, MessageClass.INCIDENT_NOTICE})


def is_stopped_by(suppression: str, message_class: str) -> bool:
    """Whether an address that is suppressed for this reason gets nothing of this class. Whoever called a mail of ours
    spam is told what the law asks for all the same; a mailbox that is gone takes nothing.
    """
    return suppression != Suppression.Reason.COMPLAINT or message_class not in FOUR_EYES


def is_about_their_choice(message: Message) -> bool:
    """Somebody else's hand changed what a person chose, and they are told, opted out or not."""
    return message.message_class == MessageClass.CONSENT_UPDATE and message.decision_id is not None


def refusals_of(messages: Sequence[Message]) -> list[str]:
    """Why each must not be sent, in words for staff; empty where it may. Two statements for any number."""
    if not messages:
        return []
    with prepared() as cursor:
        cursor.execute(
            FACTS,
            {
                "subjects": plain(message.subject_id for message in messages),
                "digests": blobs(_digest(message) for message in messages),
            },
        )
        facts = cursor.fetchall()
    refusals = [_refusal(message, *known) for message, known in zip(messages, facts, strict=True)]
    asked = [place for place, message in enumerate(messages) if not refusals[place] and not _goes_anyway(message)]
    questions = [Query(one.subject_id, one.purpose, one.channel) for one in (messages[place] for place in asked)]
    for place, answer in zip(asked, check(questions) if asked else [], strict=True):
        if not answer.allowed:
            refusals[place] = f"The person may not be contacted: {answer.reason.replace('_', ' ')}."
    return refusals


def _refusal(message: Message, is_erased: bool, suppressed: str | None) -> str:
    """What stands in the way whatever the person chose."""
    if not message.sealed_recipient:
        return "No address is known."
    if is_erased and message.message_class != MessageClass.PRIVACY_NOTICE:  # a deletion is answered after it was done
        return "This person was erased: nobody is written to."
    if suppressed and is_stopped_by(suppressed, message.message_class):
        return f"The address is suppressed: {suppressed}."
    return ""


def _goes_anyway(message: Message) -> bool:
    return message.message_class in ALLOWED_ANYWAY or is_about_their_choice(message)


def _digest(message: Message) -> bytes | None:
    """None where no address is known, or its seal cannot be opened: whoever writes to it will say so."""
    with suppress(InvalidTag):
        return Identity(message.recipient_kind, message.recipient).digest if message.sealed_recipient else None
    return None
