"""By when a message is owed: arithmetic on a rule, tested without a database."""

from datetime import datetime, timedelta

from consent.models import DeadlineRule
from consent.requests import due_by

TEXT_WITHIN = timedelta(minutes=5)  # a text that confirms a STOP is presumed in time, 47 CFR 64.1200(a)(12)
MAIL_WITHIN = timedelta(hours=1)  # where no rule is the default


def confirmation_due(received_at: datetime, *, by_text: bool, rule: DeadlineRule | None) -> datetime:
    """The last moment for the confirmation of an opt-out. `rule` is the default one of the kind "confirmation"."""
    if by_text:
        return received_at + TEXT_WITHIN
    if rule is None:
        return received_at + MAIL_WITHIN
    return due_by(rule, received_at)
