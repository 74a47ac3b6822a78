"""The product's processes around a mail server, a Valkey and a database that can each be made to fail."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import redis
from django.db import connections
from kombu import Connection

from config.celery import app, broker_url
from config.stack.folder import free_port
from config.stack.programs import WORKER, worker
from config.stack.servers import gone, login_url
from config.stack.valkey import Valkey
from consent.services import record
from tests.conftest import DATABASE, QUICK, Cluster
from tests.factories import opt_out
from tests.faults.accounting import account
from tests.faults.sink import Sink
from tests.stack.launcher import BASE, until

PEOPLE = 500
ALL_QUEUES = "mail.text,mail.critical,mail.bulk,sweep,events"
NOBODY_THERE = "redis://127.0.0.1:1/0"


class Process:
    """One program of the product with whatever it starts, killed or paused as a whole."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                command, env=environment, cwd=BASE, stdout=output, stderr=output, start_new_session=True
            )

    def send(self, number: int) -> None:
        os.killpg(self.popen.pid, number)

    def kill(self) -> None:
        if self.popen.poll() is None or self.family():
            self.send(signal.SIGCONT)
            self.send(signal.SIGKILL)
        self.popen.wait(10)

    def family(self) -> list[psutil.Process]:
        try:
            top = psutil.Process(self.popen.pid)
            return [one for one in (top, *top.children(recursive=True)) if not gone(one)]
        except psutil.NoSuchProcess:
            return []

    def talking_from(self, port: int) -> psutil.Process:
        """The one of the family whose connection has this port."""
        return next(
            one for one in self.family() if any(at.laddr and at.laddr.port == port for at in one.net_connections("tcp"))
        )


class Stand:
    """`sink` takes the mail, `database` is a superuser's session, `environment` is what processes find."""

    def __init__(self, cluster: Cluster, valkey: Valkey, folder: Path) -> None:
        self.cluster, self.valkey, self.folder = cluster, valkey, folder
        self.processes: list[Process] = []
        self.sink = Sink()
        self.database = cluster.connect("superuser")
        # The suite's cluster trades durability for speed; what is tested here is that commits last.
        self.database.execute(f"ALTER DATABASE {DATABASE} SET synchronous_commit = on".encode())
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self.environment = kept | {
            "DEBUG": "1",
            "DATABASE_URL": login_url(cluster.admin_url, "holdfast_app", cluster.passwords["holdfast_app"], DATABASE),
            "REDIS_URL": valkey.get_uri(),
            "EMAIL_URL": f"smtp://127.0.0.1:{self.sink.port}",
            "HOLDFAST_VAR": str(folder),
            "SPOOL_DIR": str(folder / "spool"),
            "LOG_LEVEL": "WARNING",
        }

    def close(self) -> None:
        self.sink.close()
        for process in self.processes:
            process.kill()
        self.database.close()
        self.thaw_valkey()
        self.valkey.start()
        self.flush_valkey()

    def start(self, *command: str, **environment: str) -> Process:
        log = self.folder / "log"
        self.processes.append(Process([*command], self.environment | environment, log))
        return self.processes[-1]

    def worker(self, processes: int = 2) -> Process:
        """As `manage.py up` and compose.yaml run one, for all queues at once."""
        return self.start(*worker("fault", ALL_QUEUES, processes), **WORKER)

    def pump(self, **environment: str) -> Process:
        return self.manage("pump", "--every", "0.1", **environment)

    def manage(self, *command: str, **environment: str) -> Process:
        return self.start(sys.executable, str(BASE / "manage.py"), *command, **environment)

    def pump_alone(self) -> None:
        """Until a round finds nothing, with no broker anywhere."""
        done = self.manage("pump", "--once", REDIS_URL=NOBODY_THERE)
        assert done.popen.wait(60) == 0, self.said()

    @contextmanager
    def web(self) -> Iterator[str]:
        port = free_port(18800, set())
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
        size = ["--workers", "1", "--blocking-threads", "8", "--log-level", "error", "--no-ws"]
        process = self.start(*command, *size, "config.wsgi:application", DATABASE_POOL="4")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()

    def owe(self, people: int = PEOPLE, first: int = 0) -> None:
        """So many people opt out; nobody has been told that they are owed a confirmation."""
        record([opt_out(f"person{number}@example.org", "newsletter") for number in range(first, first + people)])
        connections.close_all()

    def broker(self) -> Connection:
        return Connection(broker_url(self.valkey.get_uri()))

    def flush_valkey(self) -> None:
        with redis.Redis(unix_socket_path=str(self.valkey.socket)) as client:
            client.flushall()

    def freeze_valkey(self) -> None:
        self.valkey.process.send_signal(signal.SIGSTOP)

    def thaw_valkey(self) -> None:
        self.valkey.process.send_signal(signal.SIGCONT)

    def beat_once(self) -> None:
        """What beat sends every ten seconds."""
        with self.broker() as connection:
            app.send_task("messaging.tasks.sweep", connection=connection, ignore_result=True)

    def start_sending(self, processes: int = 2) -> Process:
        """Five hundred are owed, and a worker has been told."""
        self.owe()
        self.beat_once()
        return self.worker(processes)

    def stop_postgres(self, number: int = signal.SIGINT) -> None:
        """SIGINT: what PostgreSQL calls fast; SIGQUIT: immediate, which is a crash that it recovers from."""
        self.database.close()
        self.cluster.server.postmaster().send_signal(number)
        self.cluster.server.process.wait(30)

    def start_postgres(self) -> None:
        self.cluster.server.start(QUICK)
        self.database = self.cluster.connect("superuser")

    def states(self) -> Counter[str]:
        query = "SELECT state, count(*) FROM messaging_message GROUP BY state"
        return Counter(dict(self.database.execute(query).fetchall()))

    def leases_end(self) -> None:
        """As if minutes had passed for whoever holds a message."""
        self.database.execute(
            "UPDATE messaging_message SET lease_until = clock_timestamp() - interval '1 s' WHERE state = 'sending'"
        )

    def pauses_end(self) -> None:
        """As if the time between two tries had passed."""
        self.database.execute("UPDATE messaging_message SET not_before = now() WHERE state = 'retry_wait'")

    def relay_is_asked_again(self) -> None:
        """As if the time had passed for which a failing relay is left alone."""
        self.database.execute("UPDATE messaging_transporthealth SET open_until = NULL WHERE open_until IS NOT NULL")

    def doubts_age(self) -> None:
        """As if the window for evidence had passed; what ended is kept by triggers, which only a superuser lifts."""
        with self.database.transaction():
            self.database.execute("ALTER TABLE messaging_deliveryattempt DISABLE TRIGGER USER")
            self.database.execute(
                "UPDATE messaging_deliveryattempt SET started_at = started_at - interval '1 h', "
                "ended_at = ended_at - interval '1 h' WHERE outcome = 'in_doubt'"
            )
            triggers = self.database.execute(
                "SELECT tgname FROM pg_trigger "
                "WHERE NOT tgisinternal AND tgrelid = 'messaging_deliveryattempt'::regclass"
            )
            for [name] in triggers.fetchall():
                self.database.execute(f"ALTER TABLE messaging_deliveryattempt ENABLE ALWAYS TRIGGER {name}".encode())

    def until_sent(self, *rest: str, nudged: bool = False, owed: int = PEOPLE) -> Counter[str]:
        """Until all are accepted, or in a state that is named; then the account of it. No pause is waited for."""

        def all_sent(states: Counter[str]) -> bool:
            self.pauses_end()
            return bool(states) and not set(states) - {"accepted", *rest} and states.total() >= owed

        self.until_states(all_sent, nudged=nudged)
        return self.account(owed=owed)

    def until_states(self, holds: Callable[[Counter[str]], Any], *, nudged: bool = False) -> None:
        """`nudged`: as beat would, but every second."""
        nudge_at = 0.0

        def look() -> Any:
            nonlocal nudge_at
            self.relay_is_asked_again()
            if nudged and time.monotonic() > nudge_at:
                self.beat_once()
                nudge_at = time.monotonic() + 1
            return holds(self.states())

        until(look, 60, lambda: f"{self.states()}\n{self.said()}")

    def account(self, *, at_rest: bool = True, owed: int = PEOPLE) -> Counter[str]:
        return account(self.sink, self.database, owed=owed, at_rest=at_rest)

    def said(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""
