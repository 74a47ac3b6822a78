"""One stand a module: a Valkey to torment, a mail server, the product's own processes, and a database for each test."""

import pytest

from config.stack.valkey import Valkey
from tests.factories import PurposeFactory
from tests.faults.stand import Stand


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def stand(committed, valkey, tmp_path):
    """Nothing runs yet, and nothing is owed."""
    PurposeFactory(code="newsletter")
    running = Stand(committed, valkey, tmp_path)
    try:
        yield running
    finally:
        running.close()
