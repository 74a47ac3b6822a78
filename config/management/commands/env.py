"""`manage.py env`: the addresses of the running stack, as exports for a shell."""

import shlex
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.database import APP, AUDITOR, ONCALL
from config.roles import owner_url
from config.stack.environment import DATABASE
from config.stack.folder import Folder
from config.stack.servers import login_url

LOGINS = {"app": APP, "oncall": ONCALL, "auditor": AUDITOR}


class Command(BaseCommand):
    help = 'Print how to reach the running stack: eval "$(manage.py env --role auditor)"; psql "$DATABASE_URL"'
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--role", choices=[*LOGINS, "owner"], default="app", help="Whose DATABASE_URL.")

    def handle(self, *args: Any, role: str, **options: Any) -> None:
        folder = Folder(settings.BASE_DIR)
        running = folder.read("running")
        if not running:
            raise CommandError("Nothing is running here. Start it with 'make run'.")
        environment: dict[str, str] = running["environment"]
        admin = environment.pop("DATABASE_ADMIN_URL", "")
        if role != "app":
            environment["DATABASE_URL"] = self.url(role, admin, folder)
        environment["SERVICE_KEY"] = folder.secrets().get("service_key", "")
        for name, value in environment.items():
            self.stdout.write(f"export {name}={shlex.quote(value)}")

    def url(self, role: str, admin: str, folder: Folder) -> str:
        if not folder.postgres.exists() or not admin:
            raise CommandError("This stack runs on a database of yours: log in there with that role's own password.")
        if role == "owner":
            return owner_url(admin, DATABASE)
        return login_url(admin, LOGINS[role], folder.secrets()["logins"][LOGINS[role]], DATABASE)
