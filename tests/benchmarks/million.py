"""A million people who chose: for what must not slow down beside them."""

import os

import psycopg

from tests.benchmarks.stand import Stand

CONSENTS = int(os.environ.get("BENCH_CONSENTS", "1000000"))
# Ids as random in the index as real ones are, and the same in each run.
SEED = """
    INSERT INTO consent_subject (id, locale, created_at)
    SELECT md5(n::text)::uuid, '', now()
      FROM generate_series(%(first)s, %(last)s) n;
    INSERT INTO consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor)
    SELECT md5(n::text)::uuid, 'marketing', 'post',
           'opt_out', true, 'subject_choice', now(), 'subject'
      FROM generate_series(%(first)s, %(last)s) n;
"""
STEP = 10_000


def seed(stand: Stand) -> None:
    """Once per stand: whoever measures first beside a million brings it."""
    with psycopg.connect(stand.app, autocommit=True) as app:
        if app.execute("SELECT FROM consent_subject WHERE id = md5('1')::uuid").fetchone():
            return
        for first in range(1, CONSENTS + 1, STEP):
            sql = psycopg.ClientCursor(app)
            sql.execute(SEED, {"first": first, "last": min(first + STEP - 1, CONSENTS)})
    with psycopg.connect(stand.admin, autocommit=True) as admin:
        admin.execute("VACUUM ANALYZE")
