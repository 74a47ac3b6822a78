"""A company's inbox, and people who opt out."""

import pytest

from consent.models import Decision
from consent.services import record
from messaging import health
from messaging.confirmations import confirmations_of
from messaging.models import Message
from messaging.services import enqueue
from tests.factories import PurposeFactory, opt_out
from tests.messaging.smtp import inbox


@pytest.fixture(autouse=True)
def fresh_process():
    """What a process remembers of the relay belongs to one test's database."""
    health._noted.clear()


@pytest.fixture
def relay_inbox():
    with inbox() as box:
        yield box


@pytest.fixture
def newsletter(request):
    """In a transaction of its own, or committed where the test asks for that."""
    request.getfixturevalue("committed" if "committed" in request.fixturenames else "db")
    return PurposeFactory(code="newsletter", name="O'Brien & Söhne")


@pytest.fixture
def owed():
    """Owe some confirmations."""

    def owe(*addresses):
        made = record([opt_out(address, "newsletter") for address in addresses or ["anna@example.org"]])
        enqueue(confirmations_of(Decision.objects.filter(pk__in=[decision.id for decision in made])))
        return Message.objects.order_by("created_at").first()

    return owe
