"""What comes back: bounces, complaints, automatic answers, unsubscribes and replies, by mail, webhook and text message."""
