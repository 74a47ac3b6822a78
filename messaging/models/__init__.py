"""Templates and the messages made from them: one row per recipient, with every attempt and everything heard since."""

from messaging.models.inbound import HookDelivery, InboundMessage
from messaging.models.message import DeliveryAttempt, DeliveryEvent, Message, Suppression, TransportHealth
from messaging.models.template import MessageClass, Template, TemplateBody, TemplateFault, TemplateVersion

__all__ = [
    "DeliveryAttempt",
    "DeliveryEvent",
    "HookDelivery",
    "InboundMessage",
    "Message",
    "MessageClass",
    "Suppression",
    "Template",
    "TemplateBody",
    "TemplateFault",
    "TemplateVersion",
    "TransportHealth",
]
