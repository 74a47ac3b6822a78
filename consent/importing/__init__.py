"""Suppression lists and preference exports of other senders: read, planned, applied in portions, undone as one."""
