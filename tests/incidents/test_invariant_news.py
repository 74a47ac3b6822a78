"""What must never happen, read in log order and judged by what held at its time: found by the next look, told once."""

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from consent.models import Consent
from consent.services import confirm_reversal, merge, record, request_reversal
from incidents import validation
from incidents.invariants import looking
from incidents.invariants.sending import CONTACTED
from incidents.models import Alarm, Incident
from messaging.models import DeliveryAttempt, MessageClass
from tests.factories import MessageFactory, PurposeFactory, SubjectFactory, opt_in, opt_out
from tests.incidents.hands import HASHED

COPY = """
    INSERT INTO consent_historicalconsent ({columns}) SELECT {values} FROM consent_historicalconsent
     ORDER BY history_id DESC LIMIT 1
"""


@pytest.fixture(autouse=True)
def marketing(committed):
    PurposeFactory(code="marketing")


@pytest.fixture
def subject():
    return SubjectFactory()


@contextmanager
def unguarded(cluster):
    """A superuser's connection, once for writing history that the projection never wrote, in a transaction."""
    with cluster.connect("superuser") as connection:
        connection.execute("ALTER TABLE consent_historicalconsent DISABLE TRIGGER USER")
    with cluster.connect("superuser", autocommit=False) as connection:
        yield connection


def forge(connection, **values):
    """A version like the newest, but for these values."""
    found = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'consent_historicalconsent'::regclass "
        "AND attnum > 0 AND NOT attisdropped AND attname <> 'history_id'"
    )
    columns = [name for (name,) in found]
    values = {"tx": "(pg_current_xact_id()::text)::bigint"} | values
    connection.execute(
        COPY.format(columns=", ".join(columns), values=", ".join(values.get(name, name) for name in columns))
    )
    connection.execute(HASHED)


def attempted(subject, ended_at, message_class=MessageClass.OPERATIONAL, ended_tx=None, **facts):
    """A message that was accepted then."""
    message = MessageFactory(subject_id=subject.pk, message_class=message_class, state="accepted", **facts)
    return DeliveryAttempt.objects.create(
        message=message, number=1, transport="relay", lease=message.pk, started_at=ended_at - timedelta(minutes=1),
        outcome="accepted", phase="replied", ended_at=ended_at, ended_tx=ended_tx,
    )  # fmt: skip


def changed_at(subject):
    return Consent.objects.get(subject=subject).changed_at


def rules():
    """What was told but for the trigger that slept: each question with how many rows."""
    told = Counter(key.rpartition(":")[0] for key in Alarm.objects.values_list("key", flat=True))
    return {question: many for question, many in told.items() if not question.startswith("I5:guard")}


def test_what_people_do_is_no_breach(subject):
    record([opt_in(subject)])
    record([opt_out(subject)])
    reversal = request_reversal(subject.pk, "marketing", "email")
    confirm_reversal(reversal.pk)

    assert validation.look() == 0
    assert not Incident.objects.exists()


def test_an_opt_out_that_was_reversed_by_nobody_opens_a_sev1_at_once(subject, committed):
    record([opt_out(subject)])
    with unguarded(committed) as connection:
        forge(connection, version="version + 1", state="'opt_in'", previous="'opt_out'", explicit="false")

    validation.look()

    assert rules() == {"I2:reversed": 1, "I5:forged": 1}
    assert Incident.objects.get(dedup_key="zero:I2").severity == "sev1"
    assert validation.look() == 0


def test_a_gap_in_the_history_is_found(subject, committed):
    record([opt_out(subject)])
    with unguarded(committed) as connection:
        forge(connection, version="version + 2")

    validation.look()

    assert rules() == {"I5:gap": 1, "I5:forged": 1}


def test_an_opt_out_that_is_only_made_weaker_is_reversed_too(subject, committed):
    record([opt_out(subject)])
    with unguarded(committed) as connection:
        forge(connection, version="version + 1", explicit="false")

    validation.look()

    assert rules() == {"I2:reversed": 1, "I5:forged": 1}


def test_what_commits_long_after_its_number_was_given_is_found(subject, committed):
    record([opt_out(subject)])
    with unguarded(committed) as slow:
        forge(slow, version="version + 2")
        slow.execute("SELECT setval('consent_historicalconsent_history_id_seq', 1000000)")
        record([opt_out(SubjectFactory())])
        validation.look()
        assert rules() == {}
    record([opt_out(SubjectFactory())])

    validation.look()

    assert rules() == {"I5:gap": 1, "I5:forged": 1}


def test_a_look_goes_on_until_nothing_is_new(subject, committed, monkeypatch):
    monkeypatch.setattr(looking, "BATCH", 2)
    record([opt_out(SubjectFactory()) for _ in range(4)])
    with unguarded(committed) as connection:
        forge(connection, version="version + 2")

    validation.look()

    assert rules() == {"I5:gap": 1, "I5:forged": 1}


def test_a_choice_written_round_the_product_is_found(subject, committed):
    with committed.connect("superuser") as connection:
        connection.execute(
            "INSERT INTO consent_decision (subject_id, purpose, channel, choice, cause, decided_at, actor) "
            "VALUES (%s, 'marketing', 'email', 'opt_out', 'support', now(), 'by hand')",
            [subject.pk],
        )

    validation.look()

    assert rules() == {"I10:login": 1}


@pytest.mark.parametrize(
    ("message_class", "seconds_later", "facts", "breaches"),
    [
        (MessageClass.OPERATIONAL, 120, {}, ["I3:contacted"]),
        (MessageClass.OPERATIONAL, 30, {}, []),  # it was on the wire
        (MessageClass.CONFIRMATION, 120, {}, []),
        (MessageClass.CONSENT_UPDATE, 120, {}, ["I3:contacted"]),
        (MessageClass.CONSENT_UPDATE, 120, {"decision_id": 1}, []),  # somebody else's hand changed their choice
    ],
)
def test_a_message_after_an_opt_out_is_found_unless_it_is_the_answer_to_it(
    subject, message_class, seconds_later, facts, breaches
):
    record([opt_out(subject)])

    attempted(subject, changed_at(subject) + timedelta(seconds=seconds_later), message_class, **facts)
    validation.look()

    assert rules() == dict.fromkeys(breaches, 1)


def test_an_attempt_is_looked_at_when_it_has_ended_however_late_that_is(subject):
    record([opt_out(subject)])
    opted_out_at = changed_at(subject)
    message = MessageFactory(subject_id=subject.pk, message_class=MessageClass.OPERATIONAL, state="accepted")
    attempt = DeliveryAttempt.objects.create(
        message=message, number=1, transport="relay", lease=message.pk, started_at=opted_out_at - timedelta(hours=5)
    )
    attempted(SubjectFactory(), opted_out_at)
    assert validation.look() == 0

    DeliveryAttempt.objects.filter(pk=attempt.pk).update(
        outcome="accepted", phase="replied", ended_at=opted_out_at + timedelta(seconds=120)
    )
    validation.look()

    assert Alarm.objects.get().key == f"I3:contacted:{attempt.pk}"


def test_nobody_says_for_themselves_by_which_transaction_an_attempt_ended(subject):
    """Whoever named an old one would pass behind the reader."""
    attempt = attempted(subject, timezone.now(), ended_tx=5)
    begun = DeliveryAttempt.objects.create(
        message=attempt.message, number=2, transport="relay", lease=attempt.lease, ended_tx=5
    )
    assert DeliveryAttempt.objects.get(pk=begun.pk).ended_tx is None

    DeliveryAttempt.objects.filter(pk=begun.pk).update(outcome="rejected", ended_at=timezone.now(), ended_tx=5)

    first, second = DeliveryAttempt.objects.order_by("pk").values_list("ended_tx", flat=True)
    assert 5 < first < second


def test_pressing_again_after_the_message_does_not_hide_it(subject):
    record([opt_out(subject)])
    attempted(subject, changed_at(subject) + timedelta(seconds=120))

    record([opt_out(subject)])
    assert Consent.objects.get(subject=subject).version == 2
    validation.look()

    assert rules() == {"I3:contacted": 1}


def back_in(subject):
    confirm_reversal(request_reversal(subject.pk, "marketing", "email").pk)


def just_after(subject):
    """A message that was accepted as soon as the subject's last choice held."""
    last = Consent.objects.filter(subject=subject).latest("changed_at").changed_at
    return attempted(subject, last + timedelta(microseconds=1))


def found(*attempts):
    numbers = [attempt.pk for attempt in attempts]
    rows = looking.among(CONTACTED, numbers, grace=timedelta(0))
    return [numbers.index(int(row.key.rpartition(":")[2])) for row in rows]


def test_a_message_is_judged_by_what_held_when_it_was_accepted(subject):
    attempts = []
    for choose in (lambda: record([opt_out(subject)]), lambda: back_in(subject), lambda: record([opt_out(subject)])):
        choose()
        attempts.append(just_after(subject))

    assert found(*attempts) == [0, 2]


def test_whoever_came_back_a_moment_before_the_message_wanted_it(subject):
    record([opt_out(subject)])
    out = changed_at(subject)
    back_in(subject)
    came_back = changed_at(subject)

    attempt = attempted(subject, came_back + timedelta(microseconds=1))

    assert looking.among(CONTACTED, [attempt.pk], grace=(came_back - out) / 2) == []


def test_an_opt_out_of_everything_is_lifted_by_what_is_opted_into_later_and_not_the_other_way_round(subject):
    record([opt_out(subject, purpose="*", channel="*")])
    attempts = [just_after(subject)]
    back_in(subject)
    attempts.append(just_after(subject))
    record([opt_out(subject)])
    attempts.append(just_after(subject))

    assert found(*attempts) == [0, 2]


def test_what_somebody_chose_as_another_subject_counts_from_the_merge_on(subject):
    other = SubjectFactory()
    record([opt_out(other)])
    said = changed_at(other)
    before = attempted(subject, said + timedelta(microseconds=1))
    merge(subject.pk, other.pk, reason="The same person", by="user:anna")
    after = attempted(subject, timezone.now() + timedelta(seconds=1))

    assert found(before, after) == [1]


def test_rules_of_one_kind_share_an_incident(subject, committed):
    with unguarded(committed) as connection:
        for _ in range(2):
            record([opt_out(SubjectFactory())])
            forge(connection, version="version + 2")

    validation.look()

    assert rules() == {"I5:gap": 2, "I5:forged": 2}
    assert Incident.objects.count() == 1
    assert Incident.objects.get().occurred_from <= timezone.now()
