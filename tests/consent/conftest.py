"""What tests of consent share."""

from contextlib import contextmanager

import pytest
from django.db import connection, connections

from consent import exit_paths, spool


@pytest.fixture
def journal(settings, tmp_path, monkeypatch):
    """Where opt-outs wait on disk; no thread empties it before the test has looked."""
    settings.SPOOL_DIR = str(tmp_path / "spool")
    monkeypatch.setattr(spool._watch, "start", lambda: None)
    monkeypatch.setattr(spool._watch, "away_until", 0.0)
    return tmp_path / "spool"


@pytest.fixture
def without_database(journal):
    """`with without_database():` every new connection fails, as it does when the server is gone."""

    @contextmanager
    def gone():
        name, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], "gone"
        connections.close_all()
        try:
            yield
        finally:
            connections.close_all()
            connection.settings_dict["NAME"] = name

    yield gone
    exit_paths._pending.take()  # counted in this process, for a database that the next test does not have
