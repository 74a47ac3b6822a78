"""Sessions that meet: each race is set up by locks that are seen to wait, in both orders, and never by a pause."""

import psycopg
import pytest
from django.db import transaction

from consent.identifiers import Identity
from consent.models import Consent, Subject
from consent.recording import write
from consent.services import may_contact, merge, record
from tests.database.conftest import CHOICE, NEW_DECISION, VOID
from tests.factories import SubjectFactory, email, opt_in, opt_out

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
