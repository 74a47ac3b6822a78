"""How long it takes to hold a million states against the log, and what a run costs for what is new."""

import time
from collections.abc import Callable, Iterator

from django.db import connection, transaction

from consent import drift, feed
from incidents import validation
from incidents.invariants import HISTORIES, QUESTIONS
from incidents.models import LookCursor
from incidents.validation.drifting import mend_everything, mend_news
from tests.benchmarks import million
from tests.benchmarks.figures import Figure, at_most, figure, paired
from tests.benchmarks.stand import Stand

SWEEP_SECONDS = 10.0
# What nobody could do without: each state beside the decision that it names.
JOIN = """
    SELECT count(*) FROM consent_consent c JOIN consent_decision d ON d.id = c.decision_id
     WHERE d.choice IS DISTINCT FROM c.state
"""


def figures(stand: Stand, rounds: int) -> Iterator[Figure]:
    few = _cost_of_news(1_000)
    million.seed(stand)
    pairs = paired(_timed(mend_everything), _timed(_join), min(rounds, 3))
    note = "milliseconds; the join of each state with its own decision, which finds neither gaps nor newer decisions"
    yield figure(f"full sweep of {million.CONSENTS:,} states ÷ the bare join (ms)", pairs, None, note)
    seconds = [(ours / 1000, SWEEP_SECONDS) for ours, _ in pairs]
    note = f"in slices of {drift.SLICE:,}, as it runs: {_sliced():.1f} s"
    yield at_most("the same, seconds ÷ 10 s", seconds, 1.0, note)
    many = _cost_of_news(1_000)
    note = "milliseconds; drift and invariants of 1,000 new decisions, beside few rows and beside a million"
    yield at_most("news of 1,000 decisions: a million ÷ few", [(many, few)], 1.5, note)


def _all_is_known() -> None:
    """As if every reader had come to the end: what is then new is new."""
    for reader in ("drift", "changes:drift"):
        feed.skip(reader)
    for question in (*QUESTIONS, *HISTORIES):
        LookCursor.objects.get_or_create(name=f"ask:{question.cursor}")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE incidents_lookcursor SET tx = (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint - 1, "
            "last_id = CASE name WHEN 'ask:I5:untold' THEN (SELECT coalesce(max(id), 0) FROM consent_consent) "
            "ELSE 2^62 END "
            "WHERE name LIKE 'ask:%'"
        )


def _join(_: int = 0) -> None:
    with connection.cursor() as cursor:
        cursor.execute(JOIN)


def _timed(work: Callable[[], object] | Callable[[int], object]) -> Callable[[int], float]:
    def milliseconds(_: int) -> float:
        began = time.monotonic()
        work()
        return (time.monotonic() - began) * 1000

    return milliseconds


def _sliced() -> float:
    """Seconds of a whole round as workers go through it."""
    began = time.monotonic()
    for a_pass in drift.PASSES:
        after = 0
        while last := a_pass.end(after, drift.SLICE):
            with transaction.atomic():
                drift.walk()
                drift.between(a_pass, after, last)
            after = last
    return time.monotonic() - began


def _cost_of_news(many: int) -> float:
    """Milliseconds for so many choices of people who never chose before."""
    _all_is_known()
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH new AS (INSERT INTO consent_subject (id, locale, created_at) "
            "SELECT gen_random_uuid(), '', now() FROM generate_series(1, %s) RETURNING id) "
            "INSERT INTO consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor) "
            "SELECT id, 'marketing', 'email', 'opt_out', true, 'subject_choice', now(), 'subject' FROM new",
            [many],
        )
    began = time.monotonic()
    mend_news()
    validation.look()
    return (time.monotonic() - began) * 1000
