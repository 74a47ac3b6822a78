"""The projection against a plain model of the rule, over random sequences; and that its plans fit one row and 5,000."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent.models import Consent
from tests.factories import PurposeFactory, SubjectFactory

BASE = datetime(2025, 1, 1, tzinfo=UTC)
INSERT = """
    INSERT INTO consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor)
    SELECT s, p, c, choice, explicit, 'support', at, 'test' FROM
      unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bool[], %s::timestamptz[])
      n(s, p, c, choice, explicit, at)
    RETURNING id
"""


@dataclass(frozen=True)
class Draft:
    purpose: str
    channel: str
    choice: str
    explicit: bool
    minute: int

    @property
    def key(self):
        return self.purpose, self.channel

    @property
    def is_out(self):
        return self.choice == "opt_out"

    def covers(self, other):
        return self.purpose in (other.purpose, "*") and self.channel in (other.channel, "*")


@dataclass
class Model:
    """Every decision counts unless voided; per key the explicit, then the newest, then the opt-out, then the first."""

    log: dict[int, Draft] = field(default_factory=dict)
    voided: set[int] = field(default_factory=set)

    def state(self):
        best = {}
        for number, draft in self.log.items():
            best.setdefault(draft.key, None)
            if draft.explicit or number not in self.voided:
                rank = (draft.explicit, draft.minute, draft.is_out, -number)
                best[draft.key] = max(filter(None, (best[draft.key], (rank, number))))
        return {key: found and found[1] for key, found in best.items()}

    def refuses(self, statement):
        """Back in, explicitly, in one step, where an explicit opt-out covers it."""
        held = [self.log[n] for n in self.state().values() if n and self.log[n].explicit]
        outs, ins = [d for d in held if d.is_out], [d for d in held if not d.is_out]
        for new in (d for d in statement if d.explicit and not d.is_out):
            for out in (d for d in outs if d.covers(new) and d.minute < new.minute):
                if not any(i.covers(new) and out.covers(i) and i.minute > out.minute for i in ins):
                    return True
            if any(d.explicit and d.is_out and d.covers(new) and d.minute < new.minute for d in statement):
                return True
        return False


drafts = st.builds(
    Draft,
    purpose=st.sampled_from(["a", "*"]),
    channel=st.sampled_from(["email", "*"]),
    choice=st.sampled_from(["opt_in", "opt_out"]),
    explicit=st.booleans(),
    minute=st.integers(0, 4),
)
steps = st.lists(st.one_of(st.lists(drafts, min_size=1, max_size=4), st.integers(0, 20)), min_size=1, max_size=8)


def insert(cursor, subject: UUID, statement) -> list[int]:
    cursor.execute(
        INSERT,
        [
            [subject] * len(statement),
            [d.purpose for d in statement],
            [d.channel for d in statement],
            [d.choice for d in statement],
            [d.explicit for d in statement],
            [BASE + timedelta(minutes=d.minute) for d in statement],
        ],
    )
    return [number for (number,) in cursor.fetchall()]


def refusal(act, *args) -> tuple[str | None, list[int]]:
    """The SQLSTATE that the database answers with, or nothing and the new numbers."""
    try:
        with transaction.atomic():
            return None, act(*args)
    except DatabaseError as error:
        return error.__cause__.sqlstate, []


def void(cursor, number: int) -> list[int]:
    cursor.execute("INSERT INTO consent_decisionvoid (decision_id, reason, voided_by) VALUES (%s, 'x', 'x')", [number])
    return []


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_the_projection_is_the_rule_whatever_comes_in_whatever_order(db, steps):
    with transaction.atomic(), connection.cursor() as cursor:
        PurposeFactory(code="a")
        subject, model = SubjectFactory().pk, Model()

        for step in steps:
            if isinstance(step, int):
                number = sorted(model.log)[step % len(model.log)] if model.log else -1
                twice = number in model.voided
                own_choice = number not in model.log or model.log[number].explicit
                assert refusal(void, cursor, number)[0] == ("23505" if twice else "HF006" if own_choice else None)
                model.voided |= set() if own_choice else {number}
            else:
                refused, numbers = refusal(insert, cursor, subject, step)
                assert refused == ("HF004" if model.refuses(step) else None)
                model.log |= dict(zip(numbers, step if numbers else [], strict=True))

        rows = Consent.objects.filter(subject=subject)
        assert {(c.purpose, c.channel): c.decision_id for c in rows} == model.state()
        for consent in rows:
            ruling = model.log.get(consent.decision_id)
            assert (consent.state, consent.explicit) == ((ruling.choice, ruling.explicit) if ruling else (None, False))
            versions = list(consent.history.order_by("version").values_list("version", "state", "previous"))
            assert [v for v, *_ in versions] == list(range(1, consent.version + 1))
            assert [previous for *_, previous in versions] == [None, *[state for _, state, _ in versions[:-1]]]
        cursor.execute("SELECT consent_reproject(%s)", [[c.id for c in rows]])
        assert cursor.fetchone() == (0,)
        transaction.set_rollback(True)


@pytest.mark.django_db
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(statement=st.lists(drafts.filter(lambda d: d.is_out or not d.explicit), min_size=1, max_size=8), split=st.data())
def test_the_same_choices_end_the_same_in_any_order_and_in_any_number_of_statements(db, statement, split):
    with transaction.atomic(), connection.cursor() as cursor:
        PurposeFactory(code="a")
        together, apart = SubjectFactory().pk, SubjectFactory().pk

        insert(cursor, together, statement)
        for draft in split.draw(st.permutations(statement)):
            insert(cursor, apart, [draft])

        states = [
            set(Consent.objects.filter(subject=s).values_list("purpose", "channel", "state", "explicit", "decided_at"))
            for s in (together, apart)
        ]
        assert states[0] == states[1]
        transaction.set_rollback(True)


READS = """
    SELECT coalesce(sum(seq_scan), 0)::int, coalesce(sum(idx_tup_fetch), 0)::int FROM pg_stat_xact_user_tables
     WHERE relname IN ('consent_subject', 'consent_consent', 'consent_decision', 'consent_reversal', 'consent_batch')
"""
minutes = count()


def reads(session: psycopg.Connection, subjects, choice: str, explicit: bool, purpose: str = "a") -> tuple[int, int]:
    """Whole-table scans, and rows fetched by index, that a statement of one row a subject takes."""
    at, before = BASE + timedelta(days=1, minutes=next(minutes)), session.execute(READS).fetchone()
    n = len(subjects)
    session.execute(INSERT, [list(subjects), [purpose] * n, ["email"] * n, [choice] * n, [explicit] * n, [at] * n])
    after = session.execute(READS).fetchone()
    session.commit()
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.parametrize("first", [1, 5000])
@pytest.mark.parametrize(
    ("choice", "explicit", "purpose"),
    [("opt_out", True, "a"), ("opt_out", True, "*"), ("opt_in", True, "a"), ("opt_in", False, "a")],
)
def test_a_session_s_first_plan_serves_one_row_and_five_thousand(committed, first, choice, explicit, purpose):
    PurposeFactory(code="a")
    with committed.connect("superuser") as superuser:
        superuser.execute(
            "INSERT INTO consent_subject (id, locale, created_at) "
            "SELECT gen_random_uuid(), '', now() FROM generate_series(1, 6000)"
        )
        superuser.execute("ANALYZE consent_subject")
        everybody = [row[0] for row in superuser.execute("SELECT id FROM consent_subject")]

    with committed.connect("holdfast_app", autocommit=False) as session:
        reads(session, everybody[:first], choice, explicit, purpose)
        single = reads(session, everybody[:1], choice, explicit, purpose)
        batch = reads(session, everybody[:5000], choice, explicit, purpose)

    assert single[0] == batch[0] == 0, "a whole table was scanned"
    assert single[1] <= 30
    assert batch[1] <= 5000 * 12


def test_no_trigger_joins_a_statement_s_rows_with_themselves(committed):
    """Such a join, planned once for one row, compares every row with every other."""
    with committed.connect("superuser") as superuser:
        bodies = superuser.execute(
            "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchall()

    joined = [name for name, body in bodies if re.search(r"\b(fresh|changed)\s+\w+\s+JOIN\s+(fresh|changed)\b", body)]

    assert joined == []
