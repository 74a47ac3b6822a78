"""A person who was written to, and mailboxes that are read."""

import pytest

from consent.services import record
from messaging.models import Message
from messaging.services import addresses_of
from tests.factories import MessageFactory, PurposeFactory, opt_in


@pytest.fixture(autouse=True)
def mailboxes(settings):
    settings.MAIL_BOUNCES = "bounces.holdfast.example"
    settings.MAIL_UNSUBSCRIBE = "unsubscribe@holdfast.example"
    settings.MAIL_REPLIES = "reply@holdfast.example"


@pytest.fixture
def sent(db) -> Message:
    """A message to anna@example.org that a relay took."""
    PurposeFactory(code="marketing")
    [recorded] = record([opt_in("anna@example.org")])
    address = addresses_of([recorded.subject_id])[recorded.subject_id]
    return MessageFactory(subject_id=recorded.subject_id, sealed_recipient=address, state="accepted")
