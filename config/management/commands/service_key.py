"""`manage.py service_key create`: a key for a program, shown once."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.models import Scope, ServiceKey
from config.service_accounts import issue


class Command(BaseCommand):
    help = "Issue a key for a service. The last line is the key: store it now, it is not shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["create"])
        parser.add_argument("--name", required=True, help="The service account; it is made if there is none.")
        parser.add_argument(
            "--scope", action="append", required=True, help=f"One of {', '.join(Scope.values)}; repeat."
        )
        parser.add_argument("--days", type=int, default=90, help="Until it expires, at most 365.")

    def handle(self, *args: Any, name: str, scope: list[str], days: int, **options: Any) -> None:
        try:
            key, text = issue(name, scope, days)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.report(key)
        self.stdout.write(text)

    def report(self, key: ServiceKey) -> None:
        scopes = ", ".join(key.scopes)
        self.stderr.write(
            f"A key for {key.account.username} ({scopes}), valid until {key.expires_at:%Y-%m-%d %H:%M} UTC."
        )
