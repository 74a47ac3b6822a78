"""The desk's view of messages: what is owed, what became of it, and the texts they are made from."""

from messaging.admin import notices, outbox, templates

__all__ = ["notices", "outbox", "templates"]
