"""Choices of the same moment share a commit, and nothing else."""

import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, connection

from consent import group_commit
from consent.group_commit import record_one
from consent.models import Consent, Decision
from consent.services import DecisionsRefused, record
from tests.factories import PurposeFactory, opt_in, opt_out


@pytest.fixture
def marketing(committed):
    return PurposeFactory(code="marketing")


def _in_threads(drafts, threads=16):
    """Each draft in a thread of its own, all at once; results and errors in order."""
    start = threading.Barrier(min(threads, len(drafts)))

    def send(draft):
        start.wait(timeout=10)
        try:
            return record_one(draft)
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(send, drafts))


def test_each_thread_gets_its_own_choice_back_after_it_is_committed(marketing):
    recorded = _in_threads([opt_out(f"person{n}@example.org") for n in range(160)])

    assert len({row.id for row in recorded}) == 160
    assert Consent.objects.opted_out().count() == 160
    of = dict(Decision.objects.values_list("pk", "subject_id"))
    assert all(of[row.id] == row.subject_id for row in recorded)


def test_choices_that_arrive_while_one_is_written_share_the_next_transaction(marketing, committed):
    with committed.connect("superuser", autocommit=False) as blocker, ThreadPoolExecutor(1) as background:
        blocker.execute("LOCK TABLE consent_consent IN EXCLUSIVE MODE")
        sending = background.submit(_in_threads, [opt_out(f"person{n}@example.org") for n in range(16)])
        deadline = time.monotonic() + 10
        while len(group_commit._queue.waiting) < 15 and time.monotonic() < deadline:
            os.sched_yield()
        blocker.rollback()

        assert len(sending.result(timeout=10)) == 16

    assert sorted(Counter(Decision.objects.values_list("tx", flat=True)).values()) == [1, 15]


def test_a_refused_choice_does_not_fail_its_neighbours(marketing):
    record([opt_out("out@example.org")])
    drafts = [opt_out(f"person{n}@example.org") for n in range(15)]

    *recorded, refused = _in_threads([*drafts, opt_in("out@example.org")])

    assert isinstance(refused, DecisionsRefused)
    assert refused.problems[0].code == "reversal_needed"
    assert Decision.objects.count() == 16
    assert all(row.effective.state == "opt_out" for row in recorded)


def test_after_a_broken_connection_the_next_choice_is_taken(marketing, committed):
    record_one(opt_out("anna@example.org"))
    with committed.connect("superuser") as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'holdfast_app'")

    with pytest.raises(DatabaseError):
        record_one(opt_out("bert@example.org"))

    assert record_one(opt_out("bert@example.org")).effective.state == "opt_out"


@pytest.mark.django_db
def test_inside_a_transaction_of_the_caller_it_is_plain_recording():
    PurposeFactory(code="marketing")

    record_one(opt_out("anna@example.org"))

    assert Decision.objects.get().choice == "opt_out"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_starts_with_an_empty_queue(marketing):
    """A lock that another thread held during the fork would never be released in the child."""
    group_commit._queue.lock.acquire()
    try:
        child = os.fork()
        if child == 0:
            os._exit(0 if not group_commit._queue.lock.locked() else 1)
        _, status = os.waitpid(child, 0)
    finally:
        group_commit._queue.lock.release()

    assert os.waitstatus_to_exitcode(status) == 0
