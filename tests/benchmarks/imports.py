"""A suppression list of 100,000 rows, from the file to the last commit, beside a bare COPY of what it leaves."""

import itertools
import time
from collections.abc import Iterator

import psycopg

from consent.importing import applying, staging
from consent.importing.staging import Upload
from consent.models import Import, ImportPortion, Purpose
from tests.benchmarks.figures import Figure, figure, paired
from tests.benchmarks.stand import Stand

ROWS = 100_000
# What an import leaves, a table each, and where its rows are found by the subjects it decided for.
LEFT = {
    "consent_identifier": "subject_id IN (SELECT subject_id FROM consent_decision WHERE batch_id = ANY (%s))",
    "consent_subject": "id IN (SELECT subject_id FROM consent_decision WHERE batch_id = ANY (%s))",
    "consent_decision": "batch_id = ANY (%s)",
    "consent_consent": "decision_id IN (SELECT id FROM consent_decision WHERE batch_id = ANY (%s))",
    "consent_historicalconsent": "decision_id IN (SELECT id FROM consent_decision WHERE batch_id = ANY (%s))",
}
OF_KNOWN = ("consent_decision", "consent_consent", "consent_historicalconsent")
numbers = itertools.count()


def listed(run: str, purpose: str = "marketing") -> bytes:
    line = f"@bench.example,opt_out,{purpose},2026-01-01 00:00:00\n"
    return ("email,choice,purpose,decided_at\n" + "".join(f"i{run}n{n}{line}" for n in range(ROWS))).encode()


def bring(data: bytes) -> tuple[float, Import]:
    """Rows per second: read, planned and applied."""
    start = time.perf_counter()
    imported = staging.take(Upload(name="list.csv", data=data), by="system:bench")
    written = applying.apply_opt_outs(imported, by="system:bench")
    taken = time.perf_counter() - start
    if written != ROWS:
        raise RuntimeError(f"{written} of {ROWS} rows were written: {imported.counts}")
    return ROWS / taken, imported


class Copies:
    """Tables with every index and constraint of ours, and without triggers."""

    def __init__(self, stand: Stand) -> None:
        self.admin = psycopg.connect(stand.admin, autocommit=True)
        self.admin.execute("CREATE SCHEMA IF NOT EXISTS bare_import")
        for table in LEFT:
            self.admin.execute(f"CREATE TABLE bare_import.{table} (LIKE public.{table} INCLUDING ALL)".encode())
        self.dumps: dict[str, bytes] = {}

    def remember(self, imported: Import) -> None:
        batches = list(ImportPortion.objects.filter(imported=imported).values_list("batch_id", flat=True))
        for table, where in LEFT.items():
            query = f"COPY (SELECT * FROM {table} WHERE {where}) TO STDOUT".encode()
            with psycopg.ClientCursor(self.admin) as cursor, cursor.copy(query, [batches]) as copy:
                self.dumps[table] = b"".join(bytes(part) for part in copy)

    def rate(self, *tables: str) -> float:
        """Rows of the file per second, where each of them is a row in each table."""
        spent = 0.0
        for table in tables:
            self.admin.execute(f"TRUNCATE bare_import.{table}".encode())
            start = time.perf_counter()
            with self.admin.cursor().copy(f"COPY bare_import.{table} FROM STDIN".encode()) as copy:
                copy.write(self.dumps[table])
            spent += time.perf_counter() - start
        return ROWS / spent


def figures(stand: Stand, rounds: int) -> Iterator[Figure]:
    copies = Copies(stand)

    def strangers(_: int) -> float:
        rate, imported = bring(listed(f"s{next(numbers)}"))
        copies.remember(imported)
        return rate

    def known(_: int) -> float:
        """The same people every time, about something that they have not decided yet."""
        rate, imported = bring(listed("known", purpose=next(purposes)))
        copies.remember(imported)
        return rate

    strangers(0)
    rounds = min(rounds, 3)
    note = "base: people, log, state and history: copies with every index, without triggers"
    pairs = paired(strangers, lambda _: copies.rate(*LEFT), rounds)
    yield figure(f"import of {ROWS:,} strangers, file to commit ÷ bare COPY of what it leaves", pairs, 0.30, note)
    purposes = iter([make_purpose() for _ in range(rounds + 1)])
    known(0)
    pairs = paired(known, lambda _: copies.rate(*OF_KNOWN), rounds)
    note = "base: log, state and history; of what is left the guarded write is the most"
    yield figure("the same of people who are known ÷ bare COPY of what it leaves", pairs, None, note)
    pairs = [(ours, copies.rate("consent_decision")) for ours, _ in pairs]
    yield figure("the same ÷ bare COPY of the log's rows alone", pairs, None, "a third of the rows")


def make_purpose() -> str:
    return Purpose.objects.create(code=f"import-{next(numbers)}", name="Purpose").code
