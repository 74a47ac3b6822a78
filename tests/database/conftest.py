"""A handful of people with choices of every sort, and what must not move when somebody attacks."""

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
