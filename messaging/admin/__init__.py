"""The desk's view of messages: what is owed, what became of it, what came back, whom we tell, and the texts."""

from messaging.admin import (
    contacts,
    differences,
    endpoints,
    faults,
    inbound,
    notices,
    outbox,
    sending,
    templates,
    webhooks,
)

__all__ = [
    "contacts",
    "differences",
    "endpoints",
    "faults",
    "inbound",
    "notices",
    "outbox",
    "sending",
    "templates",
    "webhooks",
]
