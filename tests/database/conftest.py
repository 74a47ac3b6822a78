"""People with choices of every sort and what must not move when somebody attacks; sessions that meet."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import psycopg
import pytest
from django.db import connections

from consent.models import Purpose, Reversal
from consent.services import Query, check, open_batch, record, request_reversal
from tests.factories import PurposeFactory, SubjectFactory, email, opt_in, opt_out

REFUSED = "42501"  # PostgreSQL's own: insufficient privilege
NEW_DECISION = (
    "INSERT INTO public.consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor)"
)

CHOICE = f"{NEW_DECISION} VALUES (%s, %s, %s, %s, %s, 'support', clock_timestamp(), 'x') RETURNING id"
VOID = "INSERT INTO consent_decisionvoid (decision_id, reason, voided_by) VALUES (%s, 'Wrong list', 'x')"


@dataclass
class World:
    """People by name, and the ids that attacks aim at."""

    cluster: Any
    observer: psycopg.Connection
    ids: dict[str, Any]

    def run(self, role: str, sql: str) -> None:
        """All statements in one transaction, as `role`. Raises what the database raises."""
        with self.cluster.connect(role, autocommit=False) as connection:
            cursor = psycopg.ClientCursor(connection)
            if sql.startswith("COPY"):
                head, row = sql.split("\n", 1)
                with cursor.copy(head) as copy:
                    copy.write(row % self.ids + "\n")
            else:
                cursor.execute(sql, self.ids)

    def held(self) -> tuple[Any, ...]:
        """The whole of consent, how many rows its history has, who may be contacted, and which decisions are void."""
        rows = tuple(
            self.observer.execute(query).fetchall()
            for query in (
                "SELECT * FROM public.consent_consent ORDER BY id",
                "SELECT count(*), max(history_id) FROM public.consent_historicalconsent",
                "SELECT decision_id FROM public.consent_decisionvoid ORDER BY 1",
            )
        )
        questions = [
            Query(who, purpose, channel)
            for who, purpose, channel in product(
                [self.ids[name] for name in ("anna", "ben", "cem", "dora")] + email("anna@example.org"),
                ["marketing", "news"],
                ["email", "sms"],
            )
        ]
        return rows, [answer.allowed for answer in check(questions)]


def people(cluster: Any, observer: psycopg.Connection) -> World:
    """anna opted out, ben opted in, cem stands on an imported list, dora opted out of everything, erin said nothing."""
    for code in ("marketing", "news"):
        PurposeFactory(code=code)
    Purpose.objects.update(regime="opt_out")  # silence is a yes: whatever hides an opt-out changes an answer
    [anna] = record([opt_out("anna@example.org")])
    ben, cem, dora, erin = (SubjectFactory().pk for _ in range(4))
    batch = open_batch("import", reason="Old list", by="user:ben")
    record([opt_in(ben), opt_out(dora, "*", "*")])
    [imported] = record([opt_out(cem, explicit=False, cause="import", batch_id=batch.pk)])
    reversal = request_reversal(
        anna.subject_id, "marketing", "email", by="user:eve", reason="Called us", evidence="ticket 7"
    )
    assert reversal.kind == Reversal.Kind.STAFF
    ids = {"anna": anna.subject_id, "anna_out": anna.id, "imported": imported.id, "reversal": reversal.pk}
    return World(cluster, observer, {**ids, "ben": ben, "cem": cem, "dora": dora, "erin": erin, "batch": batch.pk})


@pytest.fixture
def world(committed):
    with committed.connect("superuser") as observer:
        yield people(committed, observer)


@pytest.fixture(scope="module")
def siege(django_db_setup, django_db_blocker, cluster):
    """One world for a whole module of attacks: none of them leaves a trace."""
    with django_db_blocker.unblock():
        with cluster.connect("superuser") as observer:
            yield people(cluster, observer)
        connections.close_all()
        cluster.fresh_copy()


class Crowd:
    """Sessions of the site, and threads that act beside the test until they are seen to wait."""

    def __init__(self, cluster, observer: psycopg.Connection, pool: ThreadPoolExecutor) -> None:
        self.cluster, self.observer, self.pool = cluster, observer, pool

    @contextmanager
    def session(self):
        """A transaction under way; it commits where its block ends."""
        with self.cluster.connect("holdfast_app", autocommit=False) as session:
            yield session

    def beside(self, act: Callable, *args) -> Future:
        """In a thread with a Django connection of its own, from here on blocked by somebody, or done."""

        def run():
            try:
                return act(*args)
            finally:
                connections.close_all()

        waiting_before = self.waiting()
        future = self.pool.submit(run)
        while not future.done() and self.waiting() == waiting_before:
            pass  # each turn asks the database
        return future

    def waiting(self) -> int:
        return self.observer.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND cardinality(pg_blocking_pids(pid)) > 0"
        ).fetchone()[0]

    def choose(self, *choice) -> str | None:
        """One decision by a session of its own; its refusal, if any."""
        try:
            with self.session() as session:
                session.execute(CHOICE, choice)
        except psycopg.Error as error:
            return error.sqlstate
        return None

    def void(self, number: int) -> None:
        with self.session() as session:
            session.execute(VOID, [number])


@pytest.fixture(scope="module")
def meeting(django_db_setup, django_db_blocker, cluster):
    """One database for the module: every test has people of its own."""
    with django_db_blocker.unblock():
        Purpose.objects.update(regime="opt_out")  # silence is a yes: only an opt-out keeps anybody off
        with cluster.connect("superuser") as observer, ThreadPoolExecutor() as pool:
            yield Crowd(cluster, observer, pool)
        connections.close_all()
        cluster.fresh_copy()


@pytest.fixture
def crowd(meeting):
    yield meeting
    assert gaps(meeting.observer) == []
    assert drift(meeting.observer) == []


def gaps(look: psycopg.Connection) -> list:
    """Consents whose versions are not 1 to n, or whose newest version is not the row itself."""
    return look.execute(
        "SELECT c.id FROM consent_consent c LEFT JOIN consent_historicalconsent h USING (id) GROUP BY c.id "
        "HAVING array_agg(h.version ORDER BY h.version) <> ARRAY(SELECT generate_series(1, c.version)) "
        "OR (array_agg(h.decision_id ORDER BY h.version DESC))[1] IS DISTINCT FROM c.decision_id "
        "OR (array_agg(h.state ORDER BY h.version DESC))[1] IS DISTINCT FROM c.state"
    ).fetchall()


def drift(look: psycopg.Connection) -> list:
    """Consents that are not what the log says."""
    return look.execute(
        "SELECT c.id, c.decision_id, e.id FROM consent_consent c "
        "LEFT JOIN LATERAL consent_effective(c.subject_id, c.purpose, c.channel) e ON true "
        "WHERE (c.decision_id, c.state, c.explicit) IS DISTINCT FROM (e.id, e.choice, coalesce(e.explicit, false))"
    ).fetchall()
