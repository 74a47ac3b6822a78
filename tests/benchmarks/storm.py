"""A storm of alerts beside opt-outs: both come at their own pace, whether or not the last one was answered.

wrk waits for an answer before it asks again, and would hide the wait that a storm makes; so the pace is kept here.
"""

import http.client
import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.db import connection

from incidents import alerts
from incidents.models import AlertDelivery, Incident

DELIVERIES, MINUTE = 5000, 60.0
KEYS = 40
OPT_OUTS = 20  # a second
SENDERS, PEOPLE = 24, 8  # threads
numbers = itertools.count()


class Line(threading.local):
    """One connection a thread, kept open as a sender keeps it."""

    connection: http.client.HTTPConnection | None = None


class Post:
    def __init__(self, port: int) -> None:
        self.port, self.line = port, Line()

    def __call__(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        if self.line.connection is None:
            self.line.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self.line.connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        response = self.line.connection.getresponse()
        response.read()
        return response.status


def paced(send: Callable[[int], None], count: int, seconds: float, threads: int) -> list[float]:
    """Milliseconds from the moment when each was due to its answer."""
    began = time.perf_counter() + 0.1

    def one(number: int) -> float:
        due = began + number * seconds / count
        time.sleep(max(0.0, due - time.perf_counter()))
        send(number)
        return (time.perf_counter() - due) * 1000

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(count)))


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


@contextmanager
def a_reader() -> Iterator[None]:
    """What the worker does meanwhile, in a thread of this process: it shares no interpreter with the web."""
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            alerts.read_stored()
            ended.wait(0.2)
        connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Storm:
    def __init__(self, port: int, key: str) -> None:
        self.post, self.key = Post(port), key
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
        """The same while deliveries come at 5,000 a minute. Raises where one is lost or a cause has two incidents."""
        before = AlertDelivery.objects.filter(source=self.source).count()
        count = int(DELIVERIES * seconds / MINUTE)

        def send(number: int) -> None:
            if (status := self.post(f"/hooks/alerts/{self.token}/", _body(number), {})) != 202:
                raise RuntimeError(f"A delivery was answered {status}.")

        with a_reader(), ThreadPoolExecutor(1) as storm:
            delivered = storm.submit(paced, send, count, seconds, SENDERS)
            found = self.opt_outs(seconds)
            delivered.result()
        alerts.read_stored()
        self._check(before + count)
        return found

    def _check(self, sent: int) -> None:
        deliveries = AlertDelivery.objects.filter(source=self.source)
        left = deliveries.filter(outcome=AlertDelivery.Outcome.STORED).count()
        incidents = Incident.objects.filter(alert_groups__source=self.source).distinct().count()
        if (deliveries.count(), left, incidents) != (sent, 0, min(KEYS, sent)):
            raise RuntimeError(f"{deliveries.count()} of {sent} are there, {left} unread, {incidents} incidents.")


def _body(number: int) -> bytes:
    """Every cause twice in a row, as a pair of Alertmanagers sends it; one in five says that it is over."""
    cause, state = f"cause-{number // 2 % KEYS}", "resolved" if number % 5 == 4 else "firing"
    labels = {"alertname": cause, "severity": "warning"}
    alert = {"status": state, "labels": labels, "fingerprint": f"{number // 2 % KEYS:016x}", "annotations": {}}
    facts = {"groupLabels": labels, "commonLabels": labels, "commonAnnotations": {}, "alerts": [alert]}
    return json.dumps({"version": "4", "groupKey": cause, "status": state, "receiver": "holdfast", **facts}).encode()
