"""What comes back: bounces, complaints, unsubscribes and replies, by mail, webhook and text message."""
