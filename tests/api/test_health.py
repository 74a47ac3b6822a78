"""Probes and numbers: what an orchestrator and Prometheus are told, with and without the database."""

import pytest
from django.db import connection

from config import health
from consent.exit_paths import fold
from consent.services import record, set_guard
from tests.factories import PurposeFactory, opt_out


@pytest.fixture(autouse=True)
def nothing_is_known_yet(monkeypatch):
    monkeypatch.setattr(health, "_migrated", False)


def test_alive_is_answered_without_a_look_at_anything(client):
    response = client.get("/livez")

    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_ready_tells_operators_the_details(client):
    set_guard("protect", reason="incident", by="user:anna")

    response = client.get("/readyz")

    assert response.status_code == 200
    body = response.json()
    assert (body["ready"], body["database"], body["migrations"]) == (True, "there", "applied")
    assert (body["guard"], body["broker"], body["spooled"]) == ("protect", "away", 0)


def test_without_the_database_it_is_alive_not_ready_and_still_measured(client, committed):
    client.get("/readyz")
    with committed.away():
        ready, alive, metrics = client.get("/readyz"), client.get("/livez"), client.get("/metrics")
        connection.close()

    assert (ready.status_code, ready.json()["database"]) == (503, "away")
    assert alive.status_code == 200
    assert metrics.status_code == 200
    assert "holdfast_database_up 0.0" in metrics.content.decode()


def test_missing_migrations_are_not_ready(client, committed):
    with committed.connect("superuser") as admin:
        admin.execute("DELETE FROM django_migrations WHERE app = 'incidents'")

    response = client.get("/readyz")

    assert (response.status_code, response.json()["migrations"]) == (503, "missing")


def test_metrics_are_read_from_the_database(client, committed):
    PurposeFactory(code="marketing")
    record([opt_out("anna@example.org", exit_path="api"), opt_out("bert@example.org", exit_path="api")])
    fold()
    set_guard("freeze", reason="incident", by="user:anna")

    lines = client.get("/metrics").content.decode().splitlines()

    assert "holdfast_database_up 1.0" in lines
    assert "holdfast_decisions_total 2.0" in lines
    assert 'holdfast_feed_lag{reader="exit-paths"} 0.0' in lines
    assert 'holdfast_exit_path_uses_last_hour{exit_path="api",outcome="completed"} 2.0' in lines
    assert 'holdfast_guard_level{level="freeze"} 1.0' in lines
    assert not [line for line in lines if "example.org" in line]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_only_read(client, path):
    assert client.post(path).status_code == 405
