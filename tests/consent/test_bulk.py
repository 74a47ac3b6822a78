"""The set-based door: thousands of rows by one statement, and every guard of the log holds."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from consent.bulk import Instruction, Selected, write_batch
from consent.models import Consent, Decision, Subject
from consent.refusals import SecondPersonNeeded
from consent.services import DecisionsRefused, may_contact, merge, record, set_guard, void_batch
from tests.factories import BatchFactory, PurposeFactory, SubjectFactory, UserFactory, opt_in, opt_out

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def marketing():
    return PurposeFactory(code="marketing")


def written(batch, *rows):
    return write_batch(
        batch, [Instruction(s.pk, "marketing", "email", c) for s, c in rows], cause="import", by="system:x"
    )


def state(subject):
    return Consent.objects.filter(subject=subject).values_list("state", "explicit").get()


def test_a_batch_is_written_by_a_fixed_number_of_statements_with_its_batch_and_actor(django_assert_num_queries):
    batch, person = BatchFactory(), UserFactory()
    subjects = Subject.objects.bulk_create([Subject() for _ in range(1000)])
    rows = [Instruction(subject.pk, "marketing", "email", "opt_out") for subject in subjects]

    with django_assert_num_queries(5):  # a savepoint and a way of planning around it
        count = write_batch(batch, rows, cause="import", by=person)

    assert count == Consent.objects.opted_out().count() == Decision.objects.filter(batch=batch).count() == 1000
    one = Decision.objects.filter(batch=batch).first()
    assert (one.explicit, one.cause, one.actor) == (False, "import", person.actor)


def test_rows_that_lie_in_the_database_are_written_where_they_lie():
    batch = BatchFactory()
    SubjectFactory.create_batch(3)

    chosen = Selected("SELECT id, %s::text, 'email', 'opt_out', NULL::timestamptz FROM consent_subject", ["marketing"])

    assert write_batch(batch, chosen, cause="import", by="system:x") == 3
    assert Consent.objects.opted_out().count() == 3


def test_it_never_opts_in_where_the_persons_own_opt_out_stands_not_even_a_wider_one():
    said_no, said_no_to_all, never_asked = SubjectFactory.create_batch(3)
    record([opt_out(said_no), opt_out(said_no_to_all, purpose="*", channel="*")])
    batch = BatchFactory()

    count = written(batch, (said_no, "opt_in"), (said_no_to_all, "opt_in"), (never_asked, "opt_in"))

    assert count == 1
    assert [may_contact(s.pk, "marketing", "email") for s in (said_no, said_no_to_all, never_asked)] == [
        False,
        False,
        True,
    ]


def test_an_opt_out_of_nobodys_own_does_not_replace_a_persons_own_choice_and_is_kept():
    subject = SubjectFactory()
    record([opt_in(subject)])

    assert written(BatchFactory(), (subject, "opt_out")) == 1
    assert state(subject) == ("opt_in", True)


def test_opt_outs_pass_at_freeze_and_opt_ins_do_not():
    out, into = SubjectFactory.create_batch(2)
    set_guard("freeze", reason="An incident", by="user:anna")

    assert written(BatchFactory(), (out, "opt_out")) == 1
    with pytest.raises(DecisionsRefused, match="guard"):
        written(BatchFactory(), (into, "opt_in"))
    assert not Consent.objects.filter(subject=into).exists()


def test_at_protect_those_who_said_no_are_left_out_and_the_others_are_written():
    said_no, other = SubjectFactory.create_batch(2)
    record([opt_out(said_no)])
    set_guard("protect", reason="An incident", by="user:anna")

    assert written(BatchFactory(), (said_no, "opt_in"), (other, "opt_in")) == 1


def test_whoever_was_merged_is_spoken_for_by_the_other():
    merged, root = SubjectFactory.create_batch(2)
    merge(merged.pk, root.pk, reason="The same", by="user:anna")

    written(BatchFactory(), (merged, "opt_out"))

    assert state(root) == ("opt_out", False)


@pytest.mark.parametrize(
    "row",
    [
        Instruction(uuid4(), "marketing", "email", "opt_out"),
        Instruction(uuid4(), "unheard-of", "email", "opt_out"),
    ],
)
def test_an_unknown_person_or_purpose_refuses_the_whole_batch(row):
    known = Instruction(SubjectFactory().pk, "marketing", "email", "opt_out")

    with pytest.raises(DecisionsRefused, match="Unknown"):
        write_batch(BatchFactory(), [known, row], cause="import", by="system:x")

    assert not Decision.objects.exists()


def test_a_moment_in_the_future_refuses_the_whole_batch():
    tomorrow = timezone.now() + timedelta(days=1)

    with pytest.raises(DecisionsRefused, match="future"):
        write_batch(
            BatchFactory(),
            [Instruction(SubjectFactory().pk, "marketing", "email", "opt_out", tomorrow)],
            cause="import",
            by="system:x",
        )


def test_it_is_undone_as_one_and_later_choices_stay():
    first, second = SubjectFactory.create_batch(2)
    batch = BatchFactory()
    written(batch, (first, "opt_out"), (second, "opt_out"))
    record([opt_out(second)])

    with pytest.raises(SecondPersonNeeded, match="a second person"):
        void_batch(batch, reason="A mistake", by="user:anna")
    assert void_batch(batch, reason="A mistake", by="user:anna", confirmed_by="user:ben") == 2

    assert state(first) == (None, False)
    assert state(second) == ("opt_out", True)


def test_nothing_to_write_is_nothing_written():
    assert write_batch(BatchFactory(), [], cause="import", by="system:x") == 0
