"""A company's inbox, and people who opt out."""

import pytest

from messaging import health
from tests.factories import PurposeFactory
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
