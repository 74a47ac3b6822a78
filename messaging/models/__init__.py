"""Templates and the messages made from them: one row per recipient, with every attempt and everything heard since."""

from messaging.models.endpoint import Endpoint, EndpointHealth, EndpointSecret
from messaging.models.message import DeliveryAttempt, DeliveryEvent, Message, Suppression, TransportHealth
from messaging.models.template import MessageClass, Template, TemplateBody, TemplateFault, TemplateVersion
from messaging.models.webhook import Reconciliation, WebhookAttempt, WebhookDelivery, WebhookReplay

__all__ = [
    "DeliveryAttempt",
    "DeliveryEvent",
    "Endpoint",
    "EndpointHealth",
    "EndpointSecret",
    "Message",
    "MessageClass",
    "Reconciliation",
    "Suppression",
    "Template",
    "TemplateBody",
    "TemplateFault",
    "TemplateVersion",
    "TransportHealth",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookReplay",
]
