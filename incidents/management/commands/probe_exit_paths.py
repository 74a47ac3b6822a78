"""Try the ways out now, and wait for what must follow."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from incidents import probes
from incidents.doors import DOORS, at_hand
from incidents.models import ExitPathProbe


class Command(BaseCommand):
    help = "A canary opts out by each way out of the product, end to end. Ends with 1 where one is broken."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "paths", nargs="*", help=f"Some of: {', '.join(DOORS)}. None named: all that are set up here."
        )
        parser.add_argument(
            "--wait", type=float, default=0.0, metavar="SECONDS", help="For confirmations and webhooks. 0: not at all."
        )

    def handle(self, *args: Any, paths: list[str], wait: float, **options: Any) -> None:
        if unknown := sorted(set(paths) - set(DOORS)):
            raise CommandError(f"Not to be tried: {', '.join(unknown)}. Known: {', '.join(DOORS)}.")
        tried = []
        for path in paths or at_hand():
            row = probes.probe(path, by="system:command")
            if row is None:
                self.stdout.write(f"{path}: somebody is trying it already.")
            else:
                tried.append(row.pk)
        self._wait(tried, wait)
        rows = list(ExitPathProbe.objects.filter(pk__in=tried).order_by("started_at"))
        for row in rows:
            self.stdout.write(f"{row.exit_path_id}: {row.get_verdict_display()}")
            for step in row.steps:
                self.stdout.write(
                    f"    {step['verdict']:<10} {step['seconds']:>8.3f} s  {step['name']}: {step['words']}"
                )
        if any(row.verdict == ExitPathProbe.Verdict.BREACHED for row in rows):
            raise CommandError("A way out is broken.")

    def _wait(self, tried: list[Any], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        probes.settle(timezone.now())
        while time.monotonic() < deadline and ExitPathProbe.objects.filter(pk__in=tried, ended_at=None).exists():
            time.sleep(0.5)
            probes.settle(timezone.now())
