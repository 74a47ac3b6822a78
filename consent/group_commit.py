"""Single choices that arrive at the same time are written together: one transaction and one flush to disk for all.

The first thread to come writes at once, so nobody waits when alone. Whoever comes meanwhile queues; when the write is
done, the head of the queue writes all that has gathered. Everybody answers only after the commit that holds their own
choice. There is no thread of its own that could die, and a lost database is each caller's error, not the queue's.
"""

import copy
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError, connection, transaction

from config.idempotency import Answer, Claim, Raced, keep, kept, running
from config.problems import Refused, is_away
from consent.services import DecisionsRefused, NewDecision, Recorded, record
from consent.validation import problems_of

MOST = 500  # choices in one write
CONFLICTS = ("40001", "40P01")  # serialization failure, deadlock: another writer was in the way, a second try is not


@dataclass(eq=False, slots=True)
class _Job:
    draft: NewDecision
    claim: Claim | None = None
    answer: Callable[[Recorded], Answer] | None = None
    result: Recorded | Answer | None = None
    error: BaseException | None = None
    leads: bool = False  # its thread is to write, for itself and whoever waits by then
    turn: threading.Lock = field(default_factory=threading.Lock)  # held until the job is done, or is to write

    def __post_init__(self) -> None:
        self.turn.acquire()

    def outcome(self) -> Recorded | Answer:
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise RuntimeError("The write ended without saying what became of this choice.")
        return self.result


class _Queue:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: list[_Job] = []
        self.is_led = False
        self.running: set[tuple[int, str]] = set()

    def do(self, job: _Job) -> Recorded | Answer:
        key = (job.claim.account_id, job.claim.key) if job.claim else None
        with self.lock:
            if key is not None:
                if key in self.running:
                    raise running()
                self.running.add(key)
            if self.is_led:
                self.waiting.append(job)
            else:
                self.is_led = job.leads = True
        try:
            if not job.leads:
                _give_connection_back()
                job.turn.acquire()
            if job.leads:
                self._lead(job)
            return job.outcome()
        finally:
            if key is not None:
                with self.lock:
                    self.running.discard(key)

    def _lead(self, job: _Job) -> None:
        with self.lock:
            others, self.waiting = self.waiting[: MOST - 1], self.waiting[MOST - 1 :]
        try:
            _write([job, *others])
        except BaseException as error:
            for one in (job, *others):
                if one.result is None and one.error is None:
                    one.error = error
            raise
        finally:
            with self.lock:
                following = self.waiting.pop(0) if self.waiting else None
                self.is_led = following is not None
            if following:
                following.leads = True
                following.turn.release()
            for one in others:
                one.turn.release()


def _give_connection_back() -> None:
    """Who waits needs none; were they all held by those who wait, nobody could write."""
    if connection.settings_dict["OPTIONS"].get("pool"):
        connection.close()


_queue = _Queue()


def _forget_the_parents_queue() -> None:
    global _queue
    _queue = _Queue()


os.register_at_fork(after_in_child=_forget_the_parents_queue)


def record_one(draft: NewDecision) -> Recorded:
    """`record([draft])[0]`, sharing its commit with others of this moment. Raises what `record` raises."""
    if connection.in_atomic_block:  # the caller's transaction decides when it is durable
        return record([draft])[0]
    _refuse_what_cannot_be(draft)
    result = _queue.do(_Job(draft))
    if isinstance(result, Answer):
        raise TypeError("A choice without a claim has no kept answer.")
    return result


def record_once(draft: NewDecision, claim: Claim, answer: Callable[[Recorded], Answer]) -> Answer:
    """The same under an Idempotency-Key: the answer is kept in the transaction of the choice, and a repeated request
    gets it back as it was. Raises Refused for a key of another request, or while the first one runs."""
    if connection.in_atomic_block:
        job = _Job(draft, claim, answer)
        _write_together([job])
        result = job.outcome()
    else:
        _refuse_what_cannot_be(draft)
        result = _queue.do(_Job(draft, claim, answer))
    if isinstance(result, Recorded):
        raise TypeError("A choice with a claim is answered by what is kept.")
    return result


def _refuse_what_cannot_be(draft: NewDecision) -> None:
    """Before it joins others: what is wrong for sure must not send them back to one write each."""
    if problems := problems_of([draft]):
        raise DecisionsRefused(problems)


def _write(jobs: Sequence[_Job]) -> None:
    """All in one transaction; where that fails, one by one, so that a bad choice does not fail its neighbours."""
    try:
        _write_together(jobs)
    except Exception as error:
        if isinstance(error, DatabaseError | InterfaceError) and is_away(error):
            _leave(jobs, error)
        elif len(jobs) == 1 and not _was_in_the_way(error):
            jobs[0].error = error
        else:
            _write_one_by_one(jobs)


def _write_one_by_one(jobs: Sequence[_Job]) -> None:
    for position, job in enumerate(jobs):
        try:
            _write_together([job], savepoint=True)
        except Exception as error:
            job.error = error
            if isinstance(error, DatabaseError | InterfaceError) and is_away(error):
                return _leave(jobs[position:], error)


def _leave(jobs: Sequence[_Job], error: Exception) -> None:
    """The database is away: everybody is told, and nobody waits for another attempt."""
    connection.close()
    for job in jobs:
        job.error = copy.copy(error)  # raised in several threads: their tracebacks must not grow into each other
        job.error.__cause__ = error.__cause__


def _was_in_the_way(error: Exception) -> bool:
    return isinstance(error, Raced) or getattr(error.__cause__, "sqlstate", None) in CONFLICTS


def _write_together(jobs: Sequence[_Job], *, savepoint: bool = False) -> None:
    """One transaction, and then what became of each job. A claim that is refused is its own job's error.

    With a savepoint `record` itself tries again where another writer came between.
    """
    with transaction.atomic():
        known = kept([job.claim for job in jobs if job.claim])
        fresh = [job for job in jobs if job.claim not in known]
        recorded = record([job.draft for job in fresh], savepoint=savepoint)
        results = [job.answer(row) if job.answer else row for job, row in zip(fresh, recorded, strict=True)]
        keep(
            {
                job.claim: result
                for job, result in zip(fresh, results, strict=True)
                if job.claim is not None and isinstance(result, Answer)
            }
        )
    for job, result in zip(fresh, results, strict=True):
        job.result = result
    for job in jobs:
        match known.get(job.claim) if job.claim else None:
            case Answer() as answer:
                job.result = answer
            case Refused() as refused:
                job.error = refused
