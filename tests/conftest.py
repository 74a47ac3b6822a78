"""A cluster of its own: tables owned by holdfast_owner, tests run as holdfast_app, committed tests on a copy each."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from config.roles import LOGINS, close, provision
from config.stack.servers import start_postgres
from consent import flow
from messaging import delivery
from messaging.transports import configured
from tests.stack.launcher import Stack

TEMPLATE, DATABASE = "holdfast_template", "holdfast_test"
QUICK = {
    "autovacuum": "off",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
}


class Cluster:
    """The test run's PostgreSQL: an administrator's URL, and one for each login."""

    def __init__(self, data: Path) -> None:
        self.server = start_postgres(data, **QUICK)
        self.admin_url: str = self.server.get_uri()
        self.passwords = {login: secrets.token_hex(8) for login in LOGINS}
        provision(self.admin_url, TEMPLATE, self.passwords)

    def connect(self, login: str, *, autocommit: bool = True) -> psycopg.Connection:
        """Log in as a role; 'owner' is the superuser acting as holdfast_owner, 'superuser' is what it says."""
        if login in self.passwords:
            return psycopg.connect(
                self.admin_url, dbname=DATABASE, user=login, password=self.passwords[login], autocommit=autocommit
            )
        connection = psycopg.connect(self.admin_url, dbname=DATABASE, autocommit=autocommit)
        if login == "owner":
            connection.execute("SET SESSION AUTHORIZATION holdfast_owner")
            connection.commit()
        return connection

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody gets in, and whoever is in is thrown out."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false".encode())
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [DATABASE])
            try:
                yield
            finally:
                admin.execute(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS true".encode())

    def close_and_renew(self) -> None:
        connections.close_all()
        self.fresh_copy()

    def fresh_copy(self) -> None:
        """Committed rows of append-only tables cannot be emptied: throw the whole database away."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)".encode())
            admin.execute(
                f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE} OWNER holdfast_owner STRATEGY FILE_COPY".encode()
            )
            close(admin, DATABASE)


@pytest.fixture(scope="session")
def cluster():
    """In memory where the machine has room: each committed test copies the database, five times faster there."""
    memory = Path("/dev/shm")
    has_room = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 1024**3
    with TemporaryDirectory(
        prefix="holdfast-tests-", dir=memory if has_room else None, ignore_cleanup_errors=True
    ) as folder:
        running = Cluster(Path(folder) / "postgres")
        yield running
        running.server.stop()


@pytest.fixture(scope="session")
def django_db_setup(cluster, django_db_blocker):
    """Migrate the template as the owner, then point Django at a copy of it as the app."""
    parts = psycopg.conninfo.conninfo_to_dict(cluster.admin_url)
    settings = connections["default"].settings_dict
    settings.update(HOST=parts["host"], PORT=str(parts.get("port", "")), CONN_MAX_AGE=0)
    with django_db_blocker.unblock():
        settings.update(NAME=TEMPLATE, USER=parts["user"], PASSWORD="")
        settings["OPTIONS"] = {"options": "-c role=holdfast_owner"}
        call_command("migrate", verbosity=0)
        connections["default"].close()
        cluster.fresh_copy()
    settings.update(NAME=DATABASE, USER="holdfast_app", PASSWORD=cluster.passwords["holdfast_app"], OPTIONS={})


@pytest.fixture(autouse=True)
def nothing_counted():
    """What a test before this one counted in this process is not written into this one's database."""
    flow._waiting.take()


@pytest.fixture
def committed(django_db_setup, django_db_blocker, cluster):
    """For what must be committed to be seen: readers of the log, several sessions, other processes."""
    with django_db_blocker.unblock():
        yield cluster
        cluster.close_and_renew()


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """The whole product, running once for all tests that ask for it: see tests/stack/launcher.py."""
    running = Stack(tmp_path_factory.mktemp("product") / "var").start()
    yield running
    assert running.terminate() == 0, running.said()
    assert running.processes() == [], "SIGTERM to the launcher left processes behind"


@pytest.fixture
def sending_by(settings):
    """Name the transports of this test, as the environment would."""

    def name(*mail, texts=()):
        settings.MAIL_TRANSPORTS, settings.TEXT_TRANSPORTS = list(mail), list(texts)
        forget()

    def forget():
        delivery.routes_of_settings.cache_clear()
        configured.transports.cache_clear()

    yield name
    for transports in delivery.routes_of_settings().by_channel.values():
        for transport in transports:
            getattr(transport, "close", lambda: None)()
    forget()
