"""The desk's view of messages: what is owed, what became of it, and the texts they are made from."""

from messaging.admin import outbox, sending, templates

__all__ = ["outbox", "sending", "templates"]
