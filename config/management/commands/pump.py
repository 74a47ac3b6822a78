"""`manage.py pump` does by itself what workers are nudged to do: for a night without Celery or Redis, and for cron."""

import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from consent.upkeep import keep_up
from incidents import alerts, linking
from messaging import confirmations, delivery, sweeping

ROUNDS = 100  # of one kind of work before the next kind has its turn
# In the order in which news goes up: what is on disk, what it owes, what is sent, what it means.
WORK: dict[str, Callable[[], int]] = {
    "choices": keep_up,
    "confirmations": confirmations.owe_all,
    "abandoned messages": sweeping.sweep,
    "messages": delivery.deliver_due,
    "ties to incidents": linking.read_log,
    "looks back": linking.backfill,
    "alerts": alerts.read_stored,
}


class Command(BaseCommand):
    help = "Do all waiting work now, without a worker or a broker: opt-outs from disk, messages, ties to incidents."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=float, metavar="SECONDS", help="Go on, with so many seconds between.")

    def handle(self, *args: Any, every: float | None = None, **options: Any) -> None:
        while True:
            for name, count in pump().items():
                self.stdout.write(f"{name}: {count}")
            if every is None:
                return
            time.sleep(every)


def pump() -> dict[str, int]:
    """How much was done of each kind; kinds with nothing to do are left out."""
    done = {name: _until_nothing_is_left(work) for name, work in WORK.items()}
    return {name: count for name, count in done.items() if count}


def _until_nothing_is_left(work: Callable[[], int]) -> int:
    total = 0
    for _ in range(ROUNDS):
        count = work()
        total += count
        if not count:
            break
    return total
