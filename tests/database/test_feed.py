"""Reading the log while others write it: in the order of transactions, nothing missed, nothing twice."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from consent import feed
from consent.models import Decision
from consent.services import record, void
from tests.database.conftest import CHOICE
from tests.factories import SubjectFactory, opt_out


def read(reader: str) -> list[int]:
    with feed.reading(reader) as decisions:
        return [decision.pk for decision in decisions]


@pytest.fixture
def reader(crowd):
    """The name of a reader that has dealt with everything so far."""
    name = f"reader-{uuid4()}"
    read(name)
    return name


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


def test_what_is_older_than_the_oldest_unread_choice_was_read(crowd, reader):
    """Also while a reader is held up: the choice that it waits for is no reason to know nothing of those before."""
    assert feed.oldest_unread(reader) is None
    [first, _] = record([opt_out(SubjectFactory(), channel="sms"), opt_out(SubjectFactory())])
    received = Decision.objects.get(pk=first.id).received_at
    assert feed.oldest_unread(reader) == received

    with crowd.session() as slow:
        slow.execute("SELECT pg_current_xact_id()")
        [held_up] = record([opt_out(SubjectFactory())])
        read(reader)
        assert feed.oldest_unread(reader) == Decision.objects.get(pk=held_up.id).received_at
    read(reader)

    assert feed.oldest_unread(reader) is None


def changes(reader: str) -> list[tuple[str, int]]:
    with feed.changes(reader) as versions:
        return [(version.channel, version.version) for version in versions]


@pytest.fixture
def follower(crowd):
    """The name of a reader of changes to whom the past means nothing."""
    name = f"{feed.CHANGES}{uuid4()}"
    feed.skip(name)
    return name


def test_a_follower_of_changes_never_misses_one_that_commits_late(crowd, follower):
    subject = SubjectFactory().pk

    with crowd.session() as late:
        late.execute("SELECT pg_current_xact_id()")
        record([opt_out(subject, channel="sms")])
        late.execute(CHOICE, [subject, "marketing", "post", "opt_out", True])
        assert changes(follower) == []

    assert changes(follower) == [("post", 1), ("sms", 1)], "in the order of transactions"
    assert changes(follower) == []


def test_a_follower_of_changes_sees_what_a_void_does_and_nothing_of_a_late_older_choice(crowd, follower):
    subject = SubjectFactory().pk
    [imported] = record([opt_out(subject, explicit=False, cause="import")])
    void([imported.id], reason="Wrong list", by="user:ben", confirmed_by="user:cleo")
    assert changes(follower) == [("email", 1), ("email", 2)]
    record([opt_out(subject)])
    record([opt_out(subject, decided_at=timezone.now() - timedelta(days=1))])

    assert feed.lag(follower) == 1
    assert changes(follower) == [("email", 3)]
    assert feed.lag(follower) == 0


def test_skipping_puts_no_open_transaction_behind_the_cursor(crowd):
    name, subject = f"{feed.CHANGES}{uuid4()}", SubjectFactory().pk
    with crowd.session() as late:
        late.execute(CHOICE, [subject, "marketing", "email", "opt_out", True])
        feed.skip(name)

    assert changes(name) == [("email", 1)]


def test_a_reader_of_changes_is_named_as_one():
    with pytest.raises(ValueError, match="changes:"), feed.changes("webhooks"):
        pass
