"""The desk's view of messages and webhooks: what is owed, what became of it, and the texts they are made from."""

from messaging.admin import endpoints, outbox, templates, webhooks

__all__ = ["endpoints", "outbox", "templates", "webhooks"]
