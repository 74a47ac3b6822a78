"""Tried and failed: kept whatever is broken, opened when the way out works, recorded where the wish is beyond doubt."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from consent import exit_paths, interrupted, spool, tokens, upkeep
from consent.identifiers import Identity
from consent.interrupted import Attempt
from consent.models import Decision, ExitPathMinute, InterruptedOptOut
from consent.services import erase, may_contact, record
from consent.tokens import Token
from tests.factories import InterruptedOptOutFactory, SubjectFactory, UserFactory, email, opt_out, service_key

PRESS = {"List-Unsubscribe": "One-Click"}


@pytest.fixture(autouse=True)
def nothing_waits():
    interrupted._in_memory.clear()
    yield
    interrupted._in_memory.clear()


@pytest.fixture
def full_disk(monkeypatch):
    def put(call):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "put", put)


def link_of(subject):
    return f"/u/{tokens.issue(Token(subject.pk, 'marketing', 'email', uuid4()))}/"


def attempt(person, **facts):
    known = {"exit_path": "one-click", "place": "POST /u/", "error_code": "OSError", "purpose": "marketing"}
    return Attempt(**{**known, "channel": "email", "person": person, "is_certain": True, **facts})


def test_what_neither_database_nor_disk_took_is_kept_and_recorded_when_others_come_through(
    committed, without_database, full_disk, client
):
    subject = SubjectFactory()
    with without_database():
        assert client.post(link_of(subject), PRESS).status_code == 503
    assert upkeep.keep_up() >= 1
    row = InterruptedOptOut.objects.get()
    assert (row.state, row.subject_id, row.purpose, row.error_code) == ("waiting", subject.pk, "marketing", "OSError")

    spool._watch.away_until = 0.0
    client.post(link_of(SubjectFactory()), PRESS)
    upkeep.keep_up()

    row.refresh_from_db()
    decision = Decision.objects.get(subject=subject)
    assert (row.state, row.decision_id, row.settled_by) == ("retried", decision.pk, "system:interrupted")
    assert decision.decided_at == row.tried_at
    assert decision.reasons == ["tried_before", "OSError"]


def test_it_waits_in_memory_where_nothing_else_takes_it(committed, without_database, monkeypatch):
    def append(path, line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(interrupted.journal, "append", append)
    with without_database():
        interrupted.keep([attempt(SubjectFactory.build().pk)])

    assert (interrupted.take_up(), InterruptedOptOut.objects.count()) == (1, 1)


def test_the_journal_tells_nobody_who_it_was(committed, without_database, journal):
    with without_database():
        interrupted.keep([attempt(Identity.of("email", "anna@example.org"))])

    assert b"anna" not in (journal / "interrupted" / "journal.jsonl").read_bytes()
    assert interrupted.take_up() == 1
    assert interrupted.take_up() == 0


def test_a_link_that_was_cut_is_kept_for_support_without_changing_anything(db, client):
    subject = SubjectFactory()
    cut = link_of(subject).rstrip("/")[:-6]

    answer = client.post(f"{cut}/", PRESS)

    row = InterruptedOptOut.objects.get()
    assert answer.status_code == 200
    assert (row.subject_id, row.state, row.error_code, row.is_certain) == (subject.pk, "open", "bad_token", False)
    assert not Decision.objects.exists()


FORGED = tokens.issue(Token(UUID(int=7), "marketing", "email"))[:-2] + "AA"


@pytest.mark.parametrize("token", ["nonsense", FORGED])
def test_a_link_that_names_nobody_leaves_no_row(db, client, token):
    client.post(f"/u/{token}/", PRESS)

    assert not InterruptedOptOut.objects.exists()


def test_a_call_that_was_refused_is_kept_where_it_names_a_person(db, client):
    one = {"subject": {"email": "anna@example.org"}, "purpose": "no-such", "channel": "email", "choice": "opt_out"}
    bodies = [one | {"cause": "subject_choice"}, one | {"subject": {"email": "broken"}, "cause": "x"}]
    headers = {"Authorization": f"Bearer {service_key('decisions:write')}"}

    for body in bodies:
        assert client.post("/api/v1/decisions/", body, "application/json", headers=headers).status_code == 400

    row = InterruptedOptOut.objects.get()
    assert (row.exit_path, row.error_code, row.purpose, row.is_certain) == ("api", "unknown", "no-such", False)
    assert interrupted._opened(row) == "anna@example.org"


def test_the_same_attempt_again_is_one_row_with_a_count(db):
    subject = SubjectFactory()
    for _ in range(3):
        interrupted.keep([attempt(subject.pk)])

    assert InterruptedOptOut.objects.get().attempts == 3


def test_an_attempt_after_the_first_was_settled_is_a_row_of_its_own_and_one_that_comes_twice_is_not(db):
    first = attempt(SubjectFactory().pk, at=timezone.now() - timedelta(seconds=2))
    interrupted.keep([first])
    interrupted.settle(InterruptedOptOut.objects.get(), "closed", reason="A test", by=UserFactory())

    interrupted.keep([first])
    assert InterruptedOptOut.objects.count() == 1

    interrupted.keep([replace(first, at=first.at + timedelta(seconds=1))])
    assert InterruptedOptOut.objects.unsettled().get().attempts == 1


def test_an_address_that_does_not_open_keeps_no_other_waiting(db):
    works = {"path_works_at": timezone.now(), "state": "open", "is_certain": True}
    closed = InterruptedOptOutFactory(
        subject_id=None, identifier_kind="email", sealed_identifier=b"sealed by another key", **works
    )
    other = InterruptedOptOutFactory(**works)

    interrupted.recover()

    closed.refresh_from_db()
    other.refresh_from_db()
    assert (closed.state, closed.is_certain, other.state) == ("open", False, "retried")
    assert "cannot be opened" in closed.error
    InterruptedOptOut.objects.filter(pk=closed.pk).update(is_certain=True)
    with pytest.raises(ValidationError, match="cannot be opened"):
        interrupted.retry(closed, reason="They called", by=UserFactory())


def test_what_the_database_refuses_is_put_aside_and_keeps_no_other_waiting(committed, without_database, journal):
    with without_database():
        interrupted.keep([attempt(SubjectFactory.build().pk, error="\0"), attempt(SubjectFactory.build().pk)])

    assert interrupted.take_up() == 2
    assert interrupted.take_up() == 0

    assert InterruptedOptOut.objects.count() == 1
    assert len((journal / "interrupted" / "refused.jsonl").read_bytes().splitlines()) == 1


def test_only_a_later_success_by_the_same_way_opens_it_again(db):
    now = timezone.now()
    row = InterruptedOptOutFactory(last_tried_at=now)

    interrupted.path_works({"gpc": now + timedelta(seconds=1)})
    interrupted.path_works({"one-click": now - timedelta(seconds=1)})
    row.refresh_from_db()
    assert row.path_works_at is None

    interrupted.path_works({"one-click": now + timedelta(seconds=1)})
    row.refresh_from_db()
    assert (row.state, row.path_works_at is not None) == ("open", True)


def test_a_choice_made_since_stands_against_the_old_attempt(committed):
    subject = SubjectFactory()
    row = InterruptedOptOutFactory(
        subject_id=subject.pk, tried_at=timezone.now() - timedelta(hours=1), path_works_at=timezone.now(), state="open"
    )
    record([opt_out(subject, choice="opt_in")])

    assert interrupted.recover() == 1

    row.refresh_from_db()
    assert row.state == "retried"
    assert may_contact(subject.pk, "marketing", "email")


def test_what_is_refused_again_is_left_to_people(db):
    row = InterruptedOptOutFactory(subject_id=uuid4(), path_works_at=timezone.now(), state="open")

    interrupted.recover()
    interrupted.recover()

    row.refresh_from_db()
    assert (row.state, row.is_certain, row.error) == ("open", False, "No such subject.")


def test_staff_record_ask_or_close_with_a_reason_and_once(db):
    anna = UserFactory(username="anna")
    retried, asked = InterruptedOptOutFactory(), InterruptedOptOutFactory(is_certain=False)

    number = interrupted.retry(retried, reason="They called", by=anna)
    interrupted.settle(asked, "contacted", reason="By telephone: yes", by=anna)

    assert Decision.objects.get(pk=number).exit_path == "one-click"
    asked.refresh_from_db()
    assert (asked.state, asked.settled_by, asked.settled_reason) == ("contacted", "user:anna", "By telephone: yes")
    for again in (
        lambda: interrupted.retry(retried, reason="Again", by=anna),
        lambda: interrupted.settle(asked, "closed", reason="Again", by=anna),
        lambda: interrupted.settle(InterruptedOptOutFactory(), "closed", reason=" ", by=anna),
        lambda: interrupted.retry(InterruptedOptOutFactory(is_certain=False), reason="Sure", by=anna),
    ):
        with pytest.raises(ValidationError):
            again()


def test_the_database_keeps_what_was_told_and_how_it_was_settled(db):
    row = InterruptedOptOutFactory()
    interrupted.settle(row, "closed", reason="A test", by=UserFactory())

    for change in ({"state": "contacted"}, {"error_code": "nothing"}, {"tried_at": timezone.now()}):
        with pytest.raises(DatabaseError), transaction.atomic():
            InterruptedOptOut.objects.filter(pk=row.pk).update(**change)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM consent_interruptedoptout")


def test_an_erasure_empties_the_address_of_a_settled_attempt_too(db):
    [recorded] = record([opt_out("anna@example.org")])
    interrupted.keep([attempt(email("anna@example.org")[0])])
    row = InterruptedOptOut.objects.get()
    interrupted.settle(row, "closed", reason="Done", by=UserFactory())

    erase(recorded.subject_id, by="user:anna")

    row.refresh_from_db()
    assert (row.subject_id, row.sealed_identifier) == (recorded.subject_id, None)


def test_a_completed_use_is_what_opens_them(committed):
    row = InterruptedOptOutFactory()
    record([opt_out(SubjectFactory(), exit_path="one-click")])

    exit_paths.fold()

    row.refresh_from_db()
    assert row.path_works_at is not None


def test_a_canary_that_comes_through_opens_them_and_is_counted_nowhere(committed):
    row = InterruptedOptOutFactory(last_tried_at=timezone.now() - timedelta(minutes=5))
    record([opt_out(SubjectFactory(is_canary=True), exit_path="one-click")])

    exit_paths.fold()

    row.refresh_from_db()
    assert row.path_works_at is not None
    assert not ExitPathMinute.objects.exists()


def test_the_desk_settles_by_buttons(db, client):
    row = InterruptedOptOutFactory()
    client.force_login(UserFactory(role="Support"))

    page = client.get(f"/admin/consent/interruptedoptout/{row.pk}/change/").content.decode()

    assert "Record it now" in page
    assert "waits until the way out works" in page
    client.force_login(UserFactory(role="Auditor"))
    assert "Record it now" not in client.get(f"/admin/consent/interruptedoptout/{row.pk}/change/").content.decode()
