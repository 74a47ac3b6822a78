"""Sessions that meet: each race is set up by locks that are seen to wait, in both orders, and never by a pause."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from django.db import connections, transaction

from consent import feed
from consent.identifiers import Identity
from consent.models import Consent, Decision, Purpose, Subject
from consent.recording import write
from consent.services import may_contact, merge, record
from tests.database.conftest import NEW_DECISION
from tests.database.test_history import drift, gaps
from tests.factories import SubjectFactory, email, opt_in, opt_out

CHOICE = f"{NEW_DECISION} VALUES (%s, %s, %s, %s, %s, 'support', clock_timestamp(), 'x') RETURNING id"
VOID = "INSERT INTO consent_decisionvoid (decision_id, reason, voided_by) VALUES (%s, 'Wrong list', 'x')"


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


@pytest.fixture
def reader(crowd):
    """The name of a reader that has dealt with everything so far."""
    name = f"reader-{uuid4()}"
    read(name)
    return name


SCOPES = [("marketing", "email"), ("marketing", "*"), ("*", "email"), ("*", "*")]


@pytest.mark.parametrize("scope", SCOPES)
def test_one_step_back_in_waits_for_the_opt_out_and_is_refused(crowd, scope):
    subject = SubjectFactory().pk

    with crowd.session() as leaving:
        leaving.execute(CHOICE, [subject, *scope, "opt_out", True])
        back = crowd.beside(crowd.choose, subject, "marketing", "email", "opt_in", True)
        assert not back.done()

    assert back.result() == "HF004"
    assert not may_contact(subject, "marketing", "email")


@pytest.mark.parametrize("scope", SCOPES)
def test_an_opt_out_that_waits_for_an_opt_in_stands_after_it(crowd, scope):
    subject = SubjectFactory().pk

    with crowd.session() as joining:
        joining.execute(CHOICE, [subject, "marketing", "email", "opt_in", True])
        leaving = crowd.beside(crowd.choose, subject, *scope, "opt_out", True)
        assert not leaving.done()

    assert leaving.result() is None
    # Decided while the opt-in was under way, received after it: the later of the two stands.
    assert not may_contact(subject, "marketing", "email")


def test_a_choice_that_arrives_during_a_void_survives_it(crowd):
    subject = SubjectFactory().pk
    [bad] = record([opt_in(subject, explicit=False, cause="import")])

    with crowd.session() as voiding:
        voiding.execute(VOID, [bad.id])
        leaving = crowd.beside(crowd.choose, subject, "marketing", "email", "opt_out", True)
        assert not leaving.done()

    assert leaving.result() is None
    assert Consent.objects.get(subject=subject).is_explicitly_opted_out


@pytest.mark.parametrize("explicit", [True, False])
def test_a_void_that_waits_for_a_choice_gives_back_that_choice(crowd, explicit):
    """Also an older one that changed nothing when it came: the void looks again after its wait."""
    subject = SubjectFactory().pk
    [bad] = record([opt_in(subject, explicit=False, cause="import")])

    with crowd.session() as leaving:
        late = "VALUES (%s, 'marketing', 'email', 'opt_out', %s, 'support', '2025-01-01', 'x')"
        leaving.execute(f"{NEW_DECISION} {late}", [subject, explicit])
        voiding = crowd.beside(crowd.void, bad.id)
        assert not voiding.done()
    voiding.result()

    held = Consent.objects.get(subject=subject)
    assert (held.state, held.explicit) == ("opt_out", explicit)


def test_a_merge_waits_for_a_choice_under_way_and_takes_it_along(crowd):
    other, root = SubjectFactory().pk, SubjectFactory().pk

    with crowd.session() as leaving:
        leaving.execute(CHOICE, [other, "marketing", "email", "opt_out", True])
        merging = crowd.beside(lambda: merge(other, root, reason="Same person", by="user:anna"))
        assert not merging.done()
    merging.result()

    assert not may_contact(root, "marketing", "email")
    assert not may_contact(other, "marketing", "email")


def test_a_choice_that_waits_for_a_merge_is_recorded_for_the_one_that_remains(crowd):
    other, root = SubjectFactory().pk, SubjectFactory().pk

    with transaction.atomic():
        merge(other, root, reason="Same person", by="user:anna")
        leaving = crowd.beside(record, [opt_out(other)])
        assert not leaving.done()

    [recorded] = leaving.result()
    assert recorded.subject_id == root
    assert not may_contact(other, "marketing", "email")


def test_a_merge_by_hand_waits_for_a_choice_under_way_too(crowd):
    other, root = SubjectFactory().pk, SubjectFactory().pk

    def by_hand():
        with pytest.raises(psycopg.Error) as refused, crowd.session() as session:
            session.execute("UPDATE consent_subject SET merged_into_id = %s WHERE id = %s", [root, other])
        return refused.value.sqlstate

    with crowd.session() as leaving:
        leaving.execute(CHOICE, [other, "marketing", "email", "opt_out", True])
        merging = crowd.beside(by_hand)
        assert not merging.done()

    assert merging.result() == "HF004"
    assert not may_contact(other, "marketing", "email")


@pytest.mark.parametrize("first_commits", [True, False])
def test_two_strangers_with_one_address_are_one_subject(crowd, first_commits):
    address, subjects = f"{first_commits}@example.org", Subject.objects.count()

    with transaction.atomic():
        record([opt_out(address)])
        second = crowd.beside(record, [opt_out(address, channel="sms")])
        assert not second.done()
        transaction.set_rollback(not first_commits)
    second.result()

    assert Subject.objects.count() == subjects + 1
    assert may_contact(*email(address), "marketing", "email") is not first_commits
    assert not may_contact(*email(address), "marketing", "sms")


def test_an_address_and_a_number_that_two_calls_make_at_once_become_one_person(crowd):
    address, number = Identity.of("email", "both@example.org"), Identity.of("phone", "+49 30 901820")

    with transaction.atomic():
        record([opt_out([address])])
        second = crowd.beside(record, [opt_out([number, address], channel="phone")])
        assert not second.done()
    second.result()

    for known in (address, number):
        assert not may_contact(known, "marketing", "email")
        assert not may_contact(known, "marketing", "phone")


def written(drafts):
    with transaction.atomic():
        return write(drafts)


@pytest.mark.parametrize("what", ["opt_out", "wide", "keyed"])
def test_batches_in_opposite_order_wait_for_each_other_and_do_not_deadlock(crowd, what):
    """A third session holds the middle, so that each batch has taken what it takes first when it comes to wait."""
    people = sorted(SubjectFactory().pk for _ in range(9))
    facts = [{"channel": "*"} if what == "wide" else {} for _ in people]
    if what == "keyed":
        facts = [{"idempotency_key": f"k{n}"} for n in range(9)]
    drafts = [(opt_out(person, **fact), person) for person, fact in zip(people, facts, strict=True)]
    other = [(opt_out(person, **fact, locale="de"), person) for person, fact in zip(people, facts, strict=True)]

    with transaction.atomic():
        write([drafts[4]])
        there = crowd.beside(written, drafts)
        back = crowd.beside(written, other[::-1])
        assert not there.done()
        assert not back.done()

    assert [recorded.subject_id for recorded in there.result()] == people
    assert [recorded.subject_id for recorded in back.result()] == people[::-1]


def read(reader: str) -> list[int]:
    with feed.reading(reader) as decisions:
        return [decision.pk for decision in decisions]


def test_a_reader_never_misses_a_choice_that_commits_late(crowd, reader):
    """Numbers and transactions begin in different orders: a mark by number would pass the late one by."""
    subject = SubjectFactory().pk

    with crowd.session() as late, crowd.session() as later:
        later.execute("SELECT pg_current_xact_id()")  # an old transaction that will write last
        [first] = late.execute(CHOICE, [subject, "marketing", "email", "opt_out", True]).fetchone()
        quick = [r.id for r in record([opt_out(subject, channel="sms"), opt_out(subject, channel="post")])]
        assert read(reader) == []
        late.commit()
        assert read(reader) == []
        [last] = later.execute(CHOICE, [subject, "marketing", "push", "opt_out", True]).fetchone()
    numbers = read(reader)

    assert sorted(numbers) == sorted([first, *quick, last])
    assert numbers[0] == last, "in the order of transactions"
    assert read(reader) == []


def test_a_reader_skips_what_was_rolled_back_and_waits_for_nobody_s_locks(crowd, reader):
    subject = SubjectFactory().pk
    with crowd.session() as gone:
        gone.execute(CHOICE, [subject, "marketing", "email", "opt_out", True])
        gone.rollback()
    [kept] = record([opt_out(subject, channel="sms")])

    with feed.reading(reader) as mine:
        beside = crowd.beside(read, reader)
        assert beside.result() == []  # another process is at it
    assert [decision.pk for decision in mine] == [kept.id]


def test_a_reader_that_fails_reads_the_same_again(crowd, reader):
    [kept] = record([opt_out(SubjectFactory())])

    with pytest.raises(ZeroDivisionError), feed.reading(reader):
        raise ZeroDivisionError

    assert read(reader) == [kept.id]


def test_a_lower_number_in_a_later_transaction_is_read_once(crowd, reader):
    """The mark is a pair: (transaction, number). Six sessions commit in a shuffled order while a reader reads."""
    subject = SubjectFactory().pk
    seen: list[int] = []
    sessions = [crowd.cluster.connect("holdfast_app", autocommit=False) for _ in range(6)]
    try:
        for session in sessions[::-1]:
            session.execute("SELECT pg_current_xact_id()")
        for session, channel in zip(sessions, ["email", "sms", "phone", "post", "push", "web"], strict=True):
            session.execute(CHOICE, [subject, "marketing", channel, "opt_out", True])
        for session in (sessions[2], sessions[5], sessions[0], sessions[4], sessions[1], sessions[3]):
            session.commit()
            seen += read(reader)
    finally:
        for session in sessions:
            session.close()

    assert sorted(seen) == sorted(Decision.objects.filter(subject=subject).values_list("pk", flat=True))
    assert len(seen) == 6
