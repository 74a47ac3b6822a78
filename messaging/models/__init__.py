"""Templates and the messages made from them: one row per recipient, with every attempt and everything heard since."""

from messaging.models.message import DeliveryAttempt, DeliveryEvent, Message, Suppression, TransportHealth
from messaging.models.notice import Notice, NoticeEvent, NoticeRecipient, Outcome
from messaging.models.template import MessageClass, Template, TemplateBody, TemplateFault, TemplateVersion

__all__ = [
    "DeliveryAttempt",
    "DeliveryEvent",
    "Message",
    "MessageClass",
    "Notice",
    "NoticeEvent",
    "NoticeRecipient",
    "Outcome",
    "Suppression",
    "Template",
    "TemplateBody",
    "TemplateFault",
    "TemplateVersion",
    "TransportHealth",
]
