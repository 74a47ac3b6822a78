"""Ways for a message to leave: an SMTP relay, a provider by HTTP, a text-message gateway, a folder on disk."""
