"""`manage.py load_demo`: some weeks of a made-up company's life, through the product's own doors."""

from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from consent import exit_paths, feed
from consent.models import Batch
from consent.services import open_batch, record
from incidents import linking
from incidents.demo import changes, desk, people, trouble
from incidents.models import DecisionMinute

DONE = "demo"
ALL = 100_000


class Command(BaseCommand):
    help = (
        "Load made-up people and their choices: six weeks of them, privacy requests, an incident with a surge. Runs "
        "once, and only with DEBUG=1. All choices are received now, because received_at is the database's own clock; "
        "the counters behind the charts are filled by when each choice was made, so that they show weeks."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Made-up people do not belong into a database in use: this needs DEBUG=1.")
        if Batch.objects.filter(kind=DONE).exists():
            self.stdout.write("The demo data are here already: nothing to do.")
            return
        now = timezone.now().replace(microsecond=0)
        everybody = people.everybody(now)
        officer, support = desk.colleague("officer", "Officer"), desk.colleague("support", "Support")
        recorded = sum(len(record(call)) for call in people.in_turns(everybody, now))
        count_by_decision()
        desk.guard(officer)
        desk.back_in(everybody, officer, support)
        desk.twins(everybody, support)
        desk.privacy_requests(everybody, now, support)
        trouble.failed_template(officer)
        trouble.incident(now, officer)
        changes.change_sets(everybody, now, officer, desk.colleague("responder", "Responder"))
        trouble.alert(officer)
        open_batch(DONE, reason="Made-up people and choices to look at", by="system:load_demo")
        self.stdout.write(f"Loaded {len(everybody)} people and {recorded} choices.")


def count_by_decision() -> None:
    """Take the turn of the readers that count, once, and put each choice into the minute in which it was made."""
    exit_paths.fold(ALL, lambda decision: decision.decided_at)
    with feed.reading(linking.READER, ALL) as decisions:
        counts = Counter(
            (d.decided_at.replace(second=0, microsecond=0), d.purpose, d.channel, d.exit_path, d.choice, d.cause)
            for d in decisions
        )
        columns = ("minute", "purpose", "channel", "exit_path", "choice", "cause")
        DecisionMinute.objects.bulk_create(
            DecisionMinute(**dict(zip(columns, key, strict=True)), count=count) for key, count in counts.items()
        )
