"""Confirmations: our workers, every state written down, beside bare smtplib, django-post_office and plain Celery.

Who keeps a queue is timed from the word to go until its last mail is accepted and its queue says so: reading the queue
and writing down what became of it are as much of the work as the mails are. Everybody's texts are ready before.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path

import psycopg
from kombu import Connection

from config.celery import app, broker_url
from config.stack.processes import end_group
from config.stack.programs import WORKER, worker
from consent import feed
from consent.identifiers import Identity
from consent.services import NewDecision, record
from messaging import confirmations
from messaging.models import Message
from tests.benchmarks.counting import SPAWN, CountingServer, keep_sending
from tests.benchmarks.figures import Figure, figure
from tests.benchmarks.stand import ROOT, Stand

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "1000"))
SENDERS = int(os.environ.get("BENCH_SENDERS", "4"))  # connections at once, for everybody
PEER_DATABASE = "peer"
PEER = [sys.executable, "-m"]


def figures(stand: Stand, rounds: int) -> Iterator[Figure]:
    _owe_the_seeded_nothing()
    server = CountingServer()
    try:
        with _workers(stand, server.port):
            taken = list(_rounds(stand, server, rounds))
    finally:
        server.close()
    ours = [one["ours"] for one in taken]
    note = f"{SENDERS} connections kept open, the same bytes, aiosmtpd"
    for name, base, goal, why in (
        ("smtplib", "ceiling", 0.35, note),
        ("django-post_office", "post_office", 1.0, f"{SENDERS} processes"),
        ("Celery task with send_mail", "celery", 1.0, f"{SENDERS} processes"),
    ):
        pairs = list(zip(ours, (one[base] for one in taken), strict=True))
        yield figure(f"confirmations accepted by a mail server ÷ {name}", pairs, goal, why)


def _rounds(stand: Stand, server: CountingServer, rounds: int) -> Iterator[dict[str, float]]:
    """All four in each round; who begins changes, since what disturbs one should disturb the others."""
    _ours(stand, server)  # a first round, in which everybody's caches fill
    mail = Message.objects.filter(state=Message.State.ACCEPTED)[0].raw
    peers = Peers(stand, server, mail)
    measures = {
        "ours": lambda: _ours(stand, server),
        "ceiling": lambda: server.rate(MESSAGES, lambda: _send_bare(server.port, mail)),
        "post_office": peers.post_office,
        "celery": peers.celery,
    }
    names = list(measures)
    for number in range(rounds):
        start = number % len(names)
        order = names[start:] + names[:start]
        yield {name: measures[name]() for name in order}
    _everything_is_accepted(stand)


people = itertools.count()


def _ours(stand: Stand, server: CountingServer) -> float:
    _owe()
    with app.connection_for_write(broker_url(stand.environment["REDIS_URL"])) as broker:
        return _drained(server, lambda: _sweep(broker), lambda: _wait_until_settled(stand))


def _drained(server: CountingServer, go: Callable[[], object], written_down: Callable[[], object]) -> float:
    """Mails per second, from the word to go until all have arrived and `written_down` returns."""
    server.expect_nothing()
    began = time.monotonic()
    go()
    server.wait_for(MESSAGES)
    written_down()
    return MESSAGES / (time.monotonic() - began)


def _owe() -> None:
    record(
        [
            NewDecision(
                subject=[Identity.of("email", f"mailed{next(people)}@bench.example")],
                purpose="marketing",
                channel="email",
                choice="opt_out",
                cause="subject_choice",
            )
            for _ in range(MESSAGES)
        ]
    )
    confirmations.owe_all()


def _sweep(broker: Connection) -> None:
    app.send_task("messaging.tasks.sweep", connection=broker, ignore_result=True)


def _wait_until_settled(stand: Stand) -> None:
    query = "SELECT EXISTS (SELECT FROM messaging_message WHERE settled_at IS NULL)"
    with psycopg.connect(stand.admin, autocommit=True) as admin:
        while (row := admin.execute(query).fetchone()) and row[0]:
            time.sleep(0.01)


def _owe_the_seeded_nothing() -> None:
    """The stand's own people: twenty thousand confirmations under way would lie beside every measure."""
    seen = True
    while seen:
        with feed.reading(confirmations.READER, 5000) as decisions:
            seen = bool(decisions)


def _everything_is_accepted(stand: Stand) -> None:
    """A figure of a product that lost something on the way would be worth nothing."""
    query = "SELECT state, count(*) FROM messaging_message WHERE state <> 'accepted' GROUP BY state"
    with psycopg.connect(stand.admin) as admin:
        if left := admin.execute(query).fetchall():
            raise RuntimeError(f"Not accepted: {left}")


@contextmanager
def _workers(stand: Stand, port: int) -> Iterator[None]:
    """As `manage.py up` starts them; without the queue of events, whose work nobody else has here."""
    environment = stand.environment | WORKER | {"EMAIL_URL": f"smtp://127.0.0.1:{port}"}
    command = worker("bench", "sweep,mail.critical,mail.bulk", SENDERS)
    with subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True) as process:
        try:
            yield
        finally:
            end_group(process.pid, signal.SIGKILL)  # a broken-off run must not wait for what it cannot finish


def _send_bare(port: int, raw: bytes) -> None:
    share, rest = divmod(MESSAGES, SENDERS)
    shares = [share + (number < rest) for number in range(SENDERS)]
    senders = [SPAWN.Process(target=keep_sending, args=(port, raw, count)) for count in shares]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
        if sender.exitcode:
            raise RuntimeError("A bare sender fell; its lines above say why.")


class Peers:
    """The same texts through the others, each started anew in each round; starting counts for nobody."""

    def __init__(self, stand: Stand, server: CountingServer, raw: bytes) -> None:
        self.server = server
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-peers-"))
        mail = message_from_bytes(raw, policy=policy.default)
        parts = {kind: mail.get_body((kind,)) for kind in ("plain", "html")}
        text, html = (part.get_content() if part else "" for part in parts.values())
        self.mail = self.folder / "mail.json"
        self.mail.write_text(json.dumps({"subject": mail["Subject"], "text": text, "html": html}), encoding="utf-8")
        admin = stand.environment["DATABASE_ADMIN_URL"]
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {PEER_DATABASE}".encode())
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.benchmarks.peers.settings",
            "PEER_DATABASE_URL": admin.replace("@/postgres", f"@/{PEER_DATABASE}"),
            "PEER_SMTP_PORT": str(server.port),
            "PEER_SENDERS": str(SENDERS),
            "PEER_BROKER": broker_url(stand.environment["REDIS_URL"]).replace("virtual_host=0", "virtual_host=1"),
        }
        self._run("django", "migrate", "-v0")

    def post_office(self) -> float:
        self._queue("post_office")
        command = [*PEER, "tests.benchmarks.peers.draining", str(SENDERS)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=self.environment, cwd=ROOT, stdin=pipe, stdout=pipe, bufsize=0) as process:
            assert process.stdin
            assert process.stdout
            go, said = process.stdin, process.stdout
            said.readline()  # it has started
            return _drained(self.server, lambda: go.write(b"go\n"), said.readline)

    def celery(self) -> float:
        self._queue("celery")
        app_of_theirs = ["celery", "--quiet", "-A", "tests.benchmarks.peers.mailing", "worker", "-c", str(SENDERS)]
        command = [*PEER, *app_of_theirs, "-n", "peer@bench", "--without-mingle", "--without-gossip"]
        workers: list[subprocess.Popen[bytes]] = []
        try:
            return self.server.rate(
                MESSAGES, lambda: workers.append(subprocess.Popen(command, env=self.environment, cwd=ROOT))
            )
        finally:
            for process in workers:
                process.terminate()
                process.wait(timeout=60)

    def _queue(self, which: str) -> None:
        self._run("tests.benchmarks.peers.mailing", which, str(MESSAGES), str(self.mail))

    def _run(self, *command: str) -> None:
        subprocess.run([*PEER, *command], env=self.environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
