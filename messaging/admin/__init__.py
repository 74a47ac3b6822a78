"""The desk's view of messages: what is owed, what became of it, and the texts they are made from."""

from messaging.admin import faults, outbox, templates

__all__ = ["faults", "outbox", "templates"]
