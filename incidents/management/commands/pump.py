"""All the work of workers and beat, without Celery and Redis: the rows are the work, so whoever looks can do it."""

import signal
from threading import Event
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandParser
from django.db import InterfaceError, OperationalError, close_old_connections

from config.steps import Step, each
from consent import upkeep
from incidents import alerts, announcing, attention, linking, probes, silence, trouble, validation
from incidents.changes import running as changes
from incidents.detection.alarms import detect
from incidents.playbooks import attaching, auditing, running
from incidents.restores import watching
from messaging import batches, confirmations, delivery, sweeping
from messaging.inbound import inbox
from messaging.models import Message
from messaging.propagation import fanout, sending

log = structlog.get_logger(__name__)
Lane = Message.Lane

# In the order of the line: what a choice leads to, then what is found out about it. Each says how much it did.
STEPS: dict[str, Step] = {
    "database looked at": watching.look,  # first: what follows must not be sent from an older copy
    "choices kept up with": upkeep.keep_up,
    "confirmations owed": confirmations.owe,
    "messages swept": sweeping.sweep,
    "notices stopped": batches.tend,
    "notices owed": batches.send_due,
    "messages sent": lambda: delivery.deliver_due(100, lane=Lane.CRITICAL),
    "messages of bulks sent": lambda: delivery.deliver_due(25, lane=Lane.BULK),  # then those that people wait for again
    "changes owed to services": fanout.owe,
    "incidents owed to services": announcing.announce,
    "services told": lambda: sending.recover() + sending.tell_all(),
    "what came back read": inbox.read_all,
    "alerts taken from disk": alerts.replay,
    "alerts read": alerts.read_stored,
    "alert sources watched": alerts.watch,
    "alert payloads forgotten": alerts.forget,
    "change sets carried on": changes.run_due,
    "decisions tied": linking.read_log,
    "decisions looked at again": linking.backfill,
    "breaches found": validation.look,
    "states put right": validation.keep_states,
    "buckets judged": detect,
    "ways out tried": probes.run_due,
    "ways out that fell silent": silence.watch,
    "causes looked at again": linking.look_again,
    "legal clocks that ran out": attention.watch,
    "trouble with messages": trouble.watch,
    "playbooks begun by signals": attaching.start_by_signals,
    "playbooks gone on with": running.run_due,
    "playbooks audited": auditing.audit,
    "invariants validated": validation.keep,
}


class Command(BaseCommand):
    help = "Do what workers and beat do, without Celery and Redis. Runs beside them too: claims keep them apart."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Stop when nothing is left to do now.")
        parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="How long to rest in between.")

    def handle(self, *args: Any, once: bool, every: float, **options: Any) -> None:
        if once:
            for what, count in self.pump().items():
                self.stdout.write(f"{count:>8}  {what}")
            return
        ended = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        while not ended.is_set():
            try:
                self.pump()
            except (OperationalError, InterfaceError) as error:
                log.error("pump_without_database", error=str(error))
            close_old_connections()
            ended.wait(every)

    def pump(self) -> dict[str, int]:
        """Round after round, until a round finds nothing."""
        done = dict.fromkeys(STEPS, 0)
        while any((round_ := each(STEPS)[0]).values()):
            for what, count in round_.items():
                done[what] += count
        return done
