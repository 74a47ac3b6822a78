"""Templates and the messages made from them, notices to many, what came back, and whom else we tell."""

from messaging.models.contact import Contact
from messaging.models.doubt import DoubtRuling
from messaging.models.endpoint import Endpoint, EndpointHealth, EndpointSecret
from messaging.models.hold import SendHold
from messaging.models.inbound import HookDelivery, InboundMessage
from messaging.models.message import FOUR_EYES, RECIPIENTS, DeliveryAttempt, DeliveryEvent, Message
from messaging.models.notice import Notice, NoticeEvent, NoticeRecipient, Outcome
from messaging.models.reconciling import Difference, StateReport
from messaging.models.suppression import Suppression
from messaging.models.template import MessageClass, Template, TemplateBody, TemplateFault, TemplateVersion
from messaging.models.transport import TransportHealth
from messaging.models.webhook import Reconciliation, WebhookAttempt, WebhookDelivery, WebhookReplay

__all__ = [
    "FOUR_EYES",
    "RECIPIENTS",
    "Contact",
    "DeliveryAttempt",
    "DeliveryEvent",
    "Difference",
    "DoubtRuling",
    "Endpoint",
    "EndpointHealth",
    "EndpointSecret",
    "HookDelivery",
    "InboundMessage",
    "Message",
    "MessageClass",
    "Notice",
    "NoticeEvent",
    "NoticeRecipient",
    "Outcome",
    "Reconciliation",
    "SendHold",
    "StateReport",
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
