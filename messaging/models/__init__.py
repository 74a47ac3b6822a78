"""Templates and the messages made from them: one row per recipient, with every attempt and everything heard since."""

from messaging.models.hold import SendHold
from messaging.models.message import (
    FOUR_EYES,
    RECIPIENTS,
    DeliveryAttempt,
    DeliveryEvent,
    DoubtRuling,
    Message,
    Suppression,
    TransportHealth,
)
from messaging.models.template import MessageClass, Template, TemplateBody, TemplateFault, TemplateVersion

__all__ = [
    "FOUR_EYES",
    "RECIPIENTS",
    "DeliveryAttempt",
    "DeliveryEvent",
    "DoubtRuling",
    "Message",
    "MessageClass",
    "SendHold",
    "Suppression",
    "Template",
    "TemplateBody",
    "TemplateFault",
    "TemplateVersion",
    "TransportHealth",
]
