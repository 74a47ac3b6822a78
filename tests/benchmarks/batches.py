"""Batches: a thousand in one request, five thousand in one statement, beside the bare statements of the same rows."""

import http.client
import itertools
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg

from consent.answers import covering
from consent.recording import INSERT

# Copies with every index and constraint, and without triggers: what PostgreSQL itself needs for the same rows.
COPIES = """
    CREATE SCHEMA bare;
    CREATE TABLE bare.decision (LIKE public.consent_decision INCLUDING ALL);
    CREATE TABLE bare.consent (LIKE public.consent_consent INCLUDING ALL);
    CREATE TABLE bare.state (LIKE public.consent_consent INCLUDING ALL);
    GRANT USAGE ON SCHEMA bare TO holdfast_app;
    GRANT ALL ON ALL TABLES IN SCHEMA bare TO holdfast_app;
"""
BARE_INSERT = INSERT.replace("INTO consent_decision", "INTO bare.decision")
UPSERT = """
    INSERT INTO bare.{table} AS c
      (subject_id, purpose, channel, state, explicit, cause, actor, decided_at, decision_id, version)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bool[], %s::text[], %s::text[],
                         %s::timestamptz[], %s::bigint[], %s::int[])
    ON CONFLICT (subject_id, purpose, channel) DO UPDATE
      SET state = EXCLUDED.state, explicit = EXCLUDED.explicit, cause = EXCLUDED.cause, actor = EXCLUDED.actor,
          decided_at = EXCLUDED.decided_at, decision_id = EXCLUDED.decision_id, version = c.version + 1
"""
SIZES = (1, 5000, 20, 5000, 300)  # in one session: a plan made for one row must not serve five thousand
numbers = itertools.count(1)


def columns(subjects: list[Any], at: str) -> list[list[Any]]:
    """Parameters of `consent.recording.INSERT`: opt-outs of those subjects."""
    count = len(subjects)
    nothing = [None] * count
    same = ["marketing", "email", "opt_out", True, "subject_choice", 100, "", "", at, "service:bench", "", ""]
    return [subjects, *([value] * count for value in same), *([nothing] * 6)]


def upserts(subjects: list[Any], at: str) -> list[list[Any]]:
    count = len(subjects)
    same = ["marketing", "email", "opt_out", True, "subject_choice", "service:bench", at]
    return [subjects, *([value] * count for value in same), [next(numbers) for _ in subjects], [1] * count]


def rate(work: Callable[[], int], seconds: float) -> float:
    """Rows per second, over at least so many seconds."""
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        done += work()
    return done / elapsed


class Statements:
    """The statements themselves, by one session of the app: no HTTP, no Python of ours in the measured time."""

    def __init__(self, app: str) -> None:
        self.connection = psycopg.connect(app)

    def make_subjects(self, count: int) -> list[Any]:
        subjects = [uuid4() for _ in range(count)]
        with self.connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO consent_subject (id, locale, created_at) SELECT unnest(%s::uuid[]), '', now()", [subjects]
            )
        self.connection.commit()
        return subjects

    def time(self, *statements: tuple[str, list[list[Any]]]) -> float:
        """Seconds for one transaction, durable at its end."""
        start = time.perf_counter()
        with self.connection.cursor() as cursor:
            for sql, parameters in statements:
                cursor.execute(sql, parameters)
        self.connection.commit()
        return time.perf_counter() - start

    def mixed(self, *, updates: bool) -> dict[str, float]:
        """Rows per second of each shape for batches of 5,000, with smaller ones between them in the same session."""
        spent = dict.fromkeys(("guarded", "upsert", "insert and upsert"), 0.0)
        rows = 0
        for size in SIZES:
            subjects, at = self.make_subjects(size), "2026-01-01T00:00:00Z"
            if updates:
                self._all(subjects, at)
                at = "2026-01-02T00:00:00Z"
            taken = self._all(subjects, at)
            if size == max(SIZES):
                rows += size
                spent = {name: spent[name] + seconds for name, seconds in taken.items()}
        return {name: rows / seconds for name, seconds in spent.items()}

    def _all(self, subjects: list[Any], at: str) -> dict[str, float]:
        new, state = columns(subjects, at), upserts(subjects, at)
        return {
            "guarded": self.time((INSERT, new)),
            "upsert": self.time((UPSERT.format(table="consent"), state)),
            "insert and upsert": self.time((BARE_INSERT, new), (UPSERT.format(table="state"), state)),
        }

    def insert_thousand(self) -> int:
        self.time((BARE_INSERT, columns([uuid4() for _ in range(1000)], "2026-01-01T00:00:00Z")))
        return 1000

    def join_thousand(self, digests: list[bytes]) -> int:
        """The set-based join alone: the question of a thousand people in one statement."""
        count = len(digests)
        with self.connection.cursor() as cursor:
            parameters = [list(range(count)), [None] * count, ["email"] * count, digests]
            cursor.execute(covering(), [*parameters, ["marketing"] * count, ["email"] * count])
            cursor.fetchall()
        self.connection.commit()
        return count


class Client:
    """One connection that sends a thousand at a time."""

    def __init__(self, port: int, key: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def post(self, path: str, body: bytes, **headers: str) -> int:
        self.connection.request("POST", path, body, {**self.headers, **headers})
        response = self.connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise RuntimeError(text[:500])
        return 1000


def decisions(run_number: int, call: int) -> bytes:
    """A thousand people who were never seen before."""
    return _decisions([f"b{run_number}c{call}n{n}@bench.example" for n in range(1000)], "marketing")


def decisions_of(people: list[str], purpose: str) -> bytes:
    """A thousand people who are known, about something they have not decided yet."""
    return _decisions(people, purpose)


def _decisions(people: list[str], purpose: str) -> bytes:
    fixed = {"purpose": purpose, "channel": "email", "choice": "opt_out", "cause": "subject_choice"}
    return json.dumps({"decisions": [{"subject": {"email": person}, **fixed} for person in people]}).encode()


def questions(people: list[str]) -> bytes:
    fixed = {"purpose": "marketing", "channel": "email"}
    return json.dumps({"queries": [{"subject": {"email": person}, **fixed} for person in people]}).encode()
