"""A storm of alerts beside opt-outs: what their slowest hundredth waits, with it and without."""

import itertools
import json
import subprocess
import sys

from incidents import alerts
from incidents.models import AlertDelivery, Incident
from tests.benchmarks.pace import KEYS, Post, p99, paced
from tests.benchmarks.stand import ROOT, Stand

DELIVERIES, MINUTE = 5000, 60.0
OPT_OUTS, PEOPLE = 20, 8  # a second, by so many threads
# What a worker does about a storm, and nothing else: mails that opt-outs lead to would be sent in a quiet hour as well.
READER = """
import time
import django
django.setup()
from config.celery import give_way
from incidents import alerts
give_way()
while True:
    alerts.read_stored()
    time.sleep(0.2)
"""
numbers = itertools.count()


class Storm:
    def __init__(self, stand: Stand, port: int, key: str) -> None:
        self.stand, self.port, self.post, self.key = stand, port, Post(port), key
        self.source, self.token = alerts.issue_source("Storm", by="user:bench")

    def opt_outs(self, seconds: float) -> float:
        """The 99th percentile, in milliseconds, of opt-outs of people who were never seen before."""
        fixed = {"purpose": "marketing", "channel": "email", "choice": "opt_out", "cause": "subject_choice"}
        headers = {"Authorization": f"Bearer {self.key}"}

        def send(_: int) -> None:
            body = json.dumps({"subject": {"email": f"storm{next(numbers)}@bench.example"}, **fixed}).encode()
            if (status := self.post("/api/v1/decisions/", body, headers)) != 201:
                raise RuntimeError(f"An opt-out was answered {status}.")

        return p99(paced(send, int(OPT_OUTS * seconds), seconds, PEOPLE))

    def in_the_storm(self, seconds: float) -> float:
        """The same while deliveries come at 5,000 a minute and a worker reads them.

        Raises where one is lost or a cause has two incidents.
        """
        before = AlertDelivery.objects.filter(source=self.source).count()
        count = int(DELIVERIES * seconds / MINUTE)
        worker = self._start("-c", READER)
        sender = self._start("-m", "tests.benchmarks.pace", str(self.port), self.token, str(count), str(seconds))
        found = self.opt_outs(seconds)
        if sender.wait(timeout=seconds + 60):
            raise RuntimeError("A delivery was not taken.")
        worker.terminate()
        worker.wait(timeout=60)
        alerts.read_stored()
        self._check(before + count)
        return found

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, *arguments], env=self.stand.environment, cwd=ROOT)

    def _check(self, sent: int) -> None:
        deliveries = AlertDelivery.objects.filter(source=self.source)
        left = deliveries.filter(outcome=AlertDelivery.Outcome.STORED).count()
        incidents = Incident.objects.filter(alert_groups__source=self.source).distinct().count()
        if (deliveries.count(), left, incidents) != (sent, 0, min(KEYS, sent)):
            raise RuntimeError(f"{deliveries.count()} of {sent} are there, {left} unread, {incidents} incidents.")
