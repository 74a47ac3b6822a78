"""Recording choices: one door, all or none, and what holds afterwards."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consent.identifiers import Identity
from consent.models import Consent, Decision, Identifier, Subject, SubjectMerge
from consent.services import (
    DecisionsRefused,
    confirm_reversal,
    erase,
    may_contact,
    merge,
    open_batch,
    record,
    request_reversal,
    set_guard,
    void,
)
from tests.factories import PurposeFactory, SubjectFactory, email, opt_in, opt_out

pytestmark = pytest.mark.django_db


@pytest.fixture
def marketing():
    return PurposeFactory(code="marketing")


@pytest.fixture
def subject():
    return SubjectFactory()


def test_an_opt_out_of_a_stranger_makes_the_subject_and_holds_at_once(marketing):
    [recorded] = record([opt_out("Anna@Example.org")])

    assert recorded.effective.state == "opt_out"
    assert recorded.effective.decision == recorded.id
    assert not may_contact(Identity.of("email", "anna@example.ORG"), "marketing", "email")


def test_the_same_person_in_other_letters_is_the_same_subject(marketing):
    first, second = record([opt_out("anna@example.org"), opt_out(" ANNA@example.org ")])

    assert first.subject_id == second.subject_id
    assert Subject.objects.count() == 1


def test_a_thousand_choices_take_as_many_statements_as_one(marketing, django_assert_num_queries):
    record([opt_out("warm@example.org")])

    with django_assert_num_queries(6):
        record([opt_out("single@example.org")])
    with django_assert_num_queries(6):
        record([opt_out(f"person{n}@example.org") for n in range(1000)])


def test_an_import_cannot_lift_an_explicit_opt_out(subject, marketing):
    record([opt_out(subject)])

    record([opt_in(subject, explicit=False, cause="import")])

    assert not may_contact(subject.pk, "marketing", "email")


def test_a_late_older_choice_is_kept_and_changes_nothing(subject, marketing):
    record([opt_out(subject)])

    record([opt_in(subject, decided_at=timezone.now() - timedelta(days=1))])

    assert not may_contact(subject.pk, "marketing", "email")
    assert Decision.objects.filter(subject=subject).count() == 2


def test_equal_times_resolve_to_out(subject, marketing):
    moment = timezone.now()

    record([opt_in(subject, decided_at=moment), opt_out(subject, decided_at=moment)])

    assert not may_contact(subject.pk, "marketing", "email")


@pytest.mark.parametrize("scope", [("marketing", "email"), ("*", "email"), ("marketing", "*"), ("*", "*")])
def test_one_step_back_in_is_refused_while_an_explicit_opt_out_covers_it(subject, marketing, scope):
    record([opt_out(subject, *scope)])

    with pytest.raises(DecisionsRefused) as refused:
        record([opt_in(subject)])

    assert refused.value.problems[0].code == "reversal_needed"
    assert not may_contact(subject.pk, "marketing", "email")


def test_out_and_back_in_one_call_is_one_step_too(subject, marketing):
    moment = timezone.now()

    with pytest.raises(DecisionsRefused):
        record([opt_out(subject, decided_at=moment - timedelta(seconds=1)), opt_in(subject, decided_at=moment)])


def test_two_steps_in_one_transaction_are_one_step(subject, marketing):
    record([opt_out(subject)])
    reversal = request_reversal(subject.pk, "marketing", "email")

    with pytest.raises(DecisionsRefused) as refused:
        confirm_reversal(reversal.pk)

    assert refused.value.problems[0].code == "not_confirmable"


def test_the_same_idempotency_key_changes_nothing_and_says_so(subject, marketing):
    first = record([opt_out(subject, idempotency_key="k1")])[0]

    [again, new] = record(
        [opt_out(subject, idempotency_key="k1"), opt_out(subject, channel="sms", idempotency_key="k2")]
    )

    assert (again.id, again.replayed) == (first.id, True)
    assert not new.replayed
    assert Decision.objects.count() == 2


def test_an_idempotency_key_of_another_choice_is_refused(subject, marketing):
    record([opt_out(subject, idempotency_key="k1")])

    with pytest.raises(DecisionsRefused, match="used for another choice"):
        record([opt_in(subject, channel="sms", idempotency_key="k1")])


def test_an_idempotency_key_of_another_person_is_refused(subject, marketing):
    record([opt_out(subject, idempotency_key="k1")])
    stranger = SubjectFactory()

    with pytest.raises(DecisionsRefused, match="used for another choice"):
        record([opt_out(stranger, idempotency_key="k1")])


def test_a_key_used_before_a_merge_is_still_the_persons(subject, marketing):
    first = record([opt_out(subject, idempotency_key="k1")])[0]
    other = SubjectFactory()
    merge(subject.pk, other.pk, reason="Same person", by="user:anna")

    again = record([opt_out(subject, idempotency_key="k1")])[0]

    assert (again.id, again.replayed) == (first.id, True)


def test_identifiers_named_together_are_linked_and_their_opt_outs_are_united(marketing):
    phone = Identity.of("phone", "+49 30 901820")
    record([opt_out("anna@example.org")])
    record([opt_out([phone], channel="phone")])

    record([opt_in([*email("anna@example.org"), phone], channel="push")])

    for known in [*email("anna@example.org"), phone]:
        assert not may_contact(known, "marketing", "email")
        assert not may_contact(known, "marketing", "phone")
        assert may_contact(known, "marketing", "push")
    assert SubjectMerge.objects.count() == 1


def test_a_merged_subject_is_answered_for_by_the_other(subject, marketing):
    other = SubjectFactory()
    record([opt_out(subject), opt_in(other)])

    merge(subject.pk, other.pk, reason="Same person", by="user:anna")

    assert not may_contact(subject.pk, "marketing", "email")
    assert not may_contact(other.pk, "marketing", "email")


def test_erasure_forgets_the_address_and_keeps_the_opt_out(marketing):
    [recorded] = record([opt_out("anna@example.org", evidence={"ip": "192.0.2.1"})])

    erase(recorded.subject_id, by="user:anna")
    [imported] = record([opt_in("anna@example.org", explicit=False, cause="import")])

    assert Identifier.objects.get().sealed is None
    assert imported.subject_id == recorded.subject_id
    assert not may_contact(recorded.subject_id, "marketing", "email")


@pytest.mark.parametrize("level", ["observe", "protect", "freeze"])
def test_an_opt_out_is_taken_at_every_guard_level(subject, marketing, level):
    set_guard(level, reason="Exercise", by="user:anna")

    record([opt_out(subject), opt_out(subject, channel="sms", explicit=False, cause="import")])

    assert Consent.objects.opted_out().count() == 2


def test_freeze_refuses_what_nobody_chose_and_nothing_else(subject, marketing):
    set_guard("freeze", reason="Exercise", by="user:anna")

    with pytest.raises(DecisionsRefused) as refused:
        record([opt_in(subject, explicit=False, cause="import")])
    record([opt_in(subject)])

    assert refused.value.problems[0].code == "guard"
    assert may_contact(subject.pk, "marketing", "email")


def test_voiding_an_import_gives_back_what_held_before(subject, marketing):
    batch = open_batch("import", reason="Old list", by="user:anna")
    record([opt_out(subject, explicit=False, cause="support")])
    [bad] = record([opt_in(subject, explicit=False, cause="import", batch_id=batch.pk)])
    assert may_contact(subject.pk, "marketing", "email")

    assert void([bad.id], reason="Wrong list", by="user:ben") == 1

    assert not may_contact(subject.pk, "marketing", "email")


def test_voiding_the_only_decision_leaves_nobody_asked(subject, marketing):
    [bad] = record([opt_in(subject, explicit=False, cause="import")])

    void([bad.id], reason="Wrong list", by="user:ben")

    assert Consent.objects.get().state is None
    assert not may_contact(subject.pk, "marketing", "email")


def test_an_explicit_choice_cannot_be_voided(subject, marketing):
    [own] = record([opt_out(subject)])

    with pytest.raises(DecisionsRefused, match="cannot be voided"):
        void([own.id], reason="Wish", by="user:ben")


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"purpose": "nonsense"}, "purpose"),
        ({"channel": "pigeon"}, "channel"),
        ({"cause": "weather"}, "cause"),
        ({"exit_path": "nowhere"}, "exit_path"),
        ({"choice": "maybe"}, "choice"),
        ({"decided_at": timedelta(minutes=6)}, "decided_at"),
        ({"decided_at": -timedelta(days=365 * 40)}, "decided_at"),
        ({"explicit": True, "cause": "import"}, "explicit"),
        ({"locale": "de\x00"}, "locale"),
        ({"subject": []}, "subject"),
    ],
)
def test_bad_input_is_told_per_field_and_nothing_is_stored(marketing, facts, field):
    if "decided_at" in facts:
        facts = {"decided_at": timezone.now() + facts["decided_at"]}

    with pytest.raises(DecisionsRefused) as refused:
        record([opt_out("good@example.org"), opt_out("anna@example.org", **facts)])

    assert [(p.index, p.field) for p in refused.value.problems] == [(1, field)]
    assert not Decision.objects.exists()
