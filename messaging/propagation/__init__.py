"""Outgoing webhooks: each service is told of every change of state, signed, until it says that it took it."""
