"""The desk's view of messages and webhooks: what is owed, what became of it, and the texts they are made from."""

from messaging.admin import endpoints, outbox, sending, templates, webhooks

__all__ = ["endpoints", "outbox", "sending", "templates", "webhooks"]
