"""`manage.py up`: everything that `make run` promises, in one process that ends what it started."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from config.roles import owner_url, provision
from config.stack import demo, remains, welcome
from config.stack.environment import DATABASE, EMBEDDED, prepare
from config.stack.folder import Folder
from config.stack.processes import Supervisor
from config.stack.programs import programs
from config.stack.servers import CannotStart, Postgres
from config.stack.valkey import Valkey


class Command(BaseCommand):
    help = "Start PostgreSQL and Valkey (unless DATABASE_URL, REDIS_URL name others), the web, workers and an inbox."
    requires_system_checks = ()
    supervisor: Supervisor | None = None

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Folder(settings.BASE_DIR)
        folder.make()
        if not folder.lock():
            url = folder.read("running").get("environment", {}).get("PUBLIC_URL", "")
            raise CommandError(f"It runs already{' at ' + url if url else ''}. 'make stop' ends it.")
        if os.environ.get(remains.MARK) != str(folder.path):
            self.begin_again(prepare(folder))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.end)
        started = time.monotonic()
        try:
            code = self.run(folder, started)
        except CannotStart as error:
            raise CommandError(str(error)) from error
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # the end has begun, and is short
            if self.supervisor:
                self.supervisor.end_all()
            remains.end(folder, launcher_too=False)
            (folder.path / "running.json").unlink(missing_ok=True)
        if code:
            raise CommandError("A process would not stay up; its last lines above say why.")

    def begin_again(self, environment: dict[str, str]) -> NoReturn:
        """The same process, with settings that know the stack's addresses and secrets, and marked as its launcher."""
        manage = str(Path(settings.BASE_DIR) / "manage.py")
        os.execve(sys.executable, [sys.executable, manage, "up"], environment)  # noqa: S606

    def end(self, number: int, frame: FrameType | None) -> None:
        if self.supervisor is None:
            sys.exit(128 + number)
        self.supervisor.asked_to_end.set()

    def run(self, folder: Folder, started: float) -> int:
        remains.end(folder, launcher_too=False)
        folder.write("running", {"launcher": os.getpid(), "environment": environment_of_the_stack()})
        self.start_servers(folder)
        self.migrate()
        self.check(databases=["default"])  # a login that could break the promises ends the start here
        if settings.DEBUG:
            demo.accounts(folder)
            demo.story()
        connection.close()
        self.supervisor = Supervisor(programs(folder), dict(os.environ) | {"DEBUG": "0", "STATIC_FROM_SOURCE": "1"})
        self.supervisor.start_all()
        threading.Thread(target=self.greet, args=(folder, started), daemon=True).start()
        return self.supervisor.watch()

    def start_servers(self, folder: Folder) -> None:
        ours = os.environ[EMBEDDED].split()
        if "valkey" in ours:
            Valkey(folder.valkey).start()
        if "postgres" in ours:
            Postgres(folder.postgres).start({})
            provision(os.environ["DATABASE_ADMIN_URL"], DATABASE, folder.secrets()["logins"])

    def migrate(self) -> None:
        """In a process of its own, which logs in as the administrator and acts as the owner."""
        try:
            executor = MigrationExecutor(connection)
        except OperationalError as error:
            raise CommandError(
                f"The database in DATABASE_URL does not let us in: {error}"
                "Check the address; 'manage.py provision' creates the roles and the database."
            ) from error
        if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return
        if not (admin := os.environ.get("DATABASE_ADMIN_URL")):
            raise CommandError(
                "Migrations are pending, and the site's own login may not change tables. "
                "Set DATABASE_ADMIN_URL to a login that may act as holdfast_owner, and start again."
            )
        database = connection.settings_dict["NAME"]
        environment = dict(os.environ) | {"DATABASE_URL": owner_url(admin, database)}
        manage = str(Path(settings.BASE_DIR) / "manage.py")
        if subprocess.run([sys.executable, manage, "migrate", "-v", "0"], env=environment, check=False).returncode:
            raise CommandError("The migrations did not pass; the lines above say why. Nothing was started.")

    def greet(self, folder: Folder, started: float) -> None:
        if welcome.first_page(os.environ["PUBLIC_URL"], 90):
            self.stdout.write(welcome.words(folder, time.monotonic() - started))
        else:
            self.stdout.write("The login page did not answer within 90 s; the lines above say why.")
        self.stdout.flush()


def environment_of_the_stack() -> dict[str, str]:
    names = (
        "DATABASE_URL DATABASE_ADMIN_URL REDIS_URL SECRET_KEY PRIVACY_KEY PUBLIC_URL EMAIL_URL INBOX_URL HOLDFAST_VAR "
        "TEXT_TRANSPORTS TEXT_GATEWAYS SECURE STATIC_ROOT PORT SMTP_PORT INBOX_PORT RECEIVE_PORT RECEIVE_MAIL "
        "MAIL_BOUNCES MAIL_UNSUBSCRIBE MAIL_REPLIES STREAM_PORT STREAM_URL"
    )
    return {name: os.environ[name] for name in names.split() if os.environ.get(name)}
