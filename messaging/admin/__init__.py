"""The desk's view of messages: what is owed, what became of it, what came back, whom we tell, and the texts."""

from messaging.admin import endpoints, inbound, outbox, sending, templates, webhooks

__all__ = ["endpoints", "inbound", "outbox", "sending", "templates", "webhooks"]
