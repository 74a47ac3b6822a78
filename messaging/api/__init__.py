"""What services are told over HTTP: what became of messages, and where changes are sent."""
