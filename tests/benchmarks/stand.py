"""The stand that figures are taken on: a fresh cluster with fsync on, a broker, and web processes as they run."""

import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from config.roles import LOGINS, provision
from config.stack.environment import free_port
from config.stack.servers import login_url, start_postgres
from config.stack.valkey import Valkey

ROOT = Path(__file__).resolve().parent.parent.parent
DATABASE = "holdfast"
PROCESSES = 2
THREADS = int(os.environ.get("BENCH_THREADS", "32"))


class Stand:
    """`admin` and `app` are addresses of the database; `environment` is what the product's processes find."""

    def __init__(self, folder: Path) -> None:
        # As a server for a busy day is set: none of it trades durability for speed.
        self.postgres = start_postgres(
            folder / "postgres", autovacuum="off", max_wal_size="4GB", checkpoint_timeout="30min"
        )
        admin = self.postgres.get_uri()
        passwords = {login: secrets.token_hex(8) for login in LOGINS}
        provision(admin, DATABASE, passwords)
        self.admin = psycopg.conninfo.make_conninfo(admin, dbname=DATABASE)
        self.app = login_url(admin, "holdfast_app", passwords["holdfast_app"], DATABASE)
        self.valkey = Valkey(folder / "valkey")
        self.valkey.start()
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.benchmarks.settings",
            "DEBUG": "0",
            "SECURE": "0",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "PRIVACY_KEY": secrets.token_urlsafe(48),
            "DATABASE_URL": self.app,
            "DATABASE_ADMIN_URL": admin,
            "REDIS_URL": f"unix://{self.valkey.socket}?db=0",
            "SPOOL_DIR": str(folder / "spool"),
            "LOG_LEVEL": "WARNING",
        }
        subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "migrate", "-v0"], env=self.environment, check=True, cwd=ROOT
        )

    @contextmanager
    def web(self, settings: str) -> Iterator[int]:
        """Two granian processes with threads, as the product runs; gives the port."""
        port = free_port(18800, set())
        options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--http", "1", "--no-ws"]
        size = ["--workers", str(PROCESSES), "--blocking-threads", str(THREADS), "--log-level", "warning"]
        environment = {**self.environment, "DJANGO_SETTINGS_MODULE": settings, "DATABASE_POOL": "16"}
        command = [sys.executable, "-m", "granian", *options, *size, "config.wsgi:application"]
        with subprocess.Popen(command, env=environment, cwd=ROOT) as process:
            try:
                _until_it_answers(f"http://127.0.0.1:{port}/livez")
                yield port
            finally:
                process.terminate()
                process.wait(timeout=30)

    def close(self) -> None:
        self.valkey.stop()
        self.postgres.stop()


def _until_it_answers(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
