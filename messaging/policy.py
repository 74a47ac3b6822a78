"""What is decided about a message by its class and channel: which workers send it, and what becomes of it in doubt."""

from consent.models import Channel
from messaging.models import FOUR_EYES, Message, MessageClass

OnDoubt, Lane = Message.OnDoubt, Message.Lane


def lane(channel: str) -> str:
    """Of what is not one of many."""
    return Lane.TEXT if channel == Channel.SMS else Lane.CRITICAL


def on_doubt(message_class: str, lane: str) -> str:
    """A copy of a confirmation or of an answer is harmless and a gap is not, so it is sent again, once and marked. One
    of many is never sent twice by itself; where the law asks for it, a person decides, and another agrees.
    """
    if lane == Lane.BULK:
        return OnDoubt.ASK if message_class in FOUR_EYES else OnDoubt.NEVER
    return ONE_BY_ONE[message_class]


ONE_BY_ONE: dict[str, str] = {
    MessageClass.CONFIRMATION: OnDoubt.RESEND,
    MessageClass.CONSENT_UPDATE: OnDoubt.RESEND,
    MessageClass.PRIVACY_NOTICE: OnDoubt.RESEND,
    MessageClass.INCIDENT_NOTICE: OnDoubt.ASK,
    MessageClass.OPERATIONAL: OnDoubt.NEVER,
}
