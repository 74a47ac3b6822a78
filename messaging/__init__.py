"""Messages that are owed: rendered from published templates, sent through claims, told truly."""
