"""What must never happen: made to happen by somebody who may do anything, found by the next look, told once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consent.models import Consent
from consent.services import confirm_reversal, record, request_reversal
from incidents.detection import zero_tolerance
from incidents.models import Alarm, Incident
from messaging.models import DeliveryAttempt, MessageClass
from tests.factories import MessageFactory, PurposeFactory, SubjectFactory, opt_in, opt_out

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


def forge(cluster, **values):
    """A version that the projection never wrote, by a superuser who switched the guard off."""
    with cluster.connect("superuser") as connection:
        found = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'consent_historicalconsent'::regclass "
            "AND attnum > 0 AND NOT attisdropped AND attname <> 'history_id'"
        )
        columns = [name for (name,) in found]
        connection.execute("ALTER TABLE consent_historicalconsent DISABLE TRIGGER a_by_projection_only")
        connection.execute(
            COPY.format(columns=", ".join(columns), values=", ".join(values.get(name, name) for name in columns))
        )


def rules():
    return sorted(Alarm.objects.filter(detector="zero").values_list("inputs__rule", flat=True))


def test_what_people_do_is_no_breach(subject):
    record([opt_in(subject)])
    record([opt_out(subject)])
    reversal = request_reversal(subject.pk, "marketing", "email")
    confirm_reversal(reversal.pk)

    assert zero_tolerance.look() == 0
    assert not Incident.objects.exists()


def test_an_opt_out_that_was_reversed_by_nobody_opens_a_sev1_at_once(subject, committed):
    record([opt_out(subject)])
    forge(committed, version="version + 1", state="'opt_in'", previous="'opt_out'", explicit="false")

    found = zero_tolerance.look()

    assert (found, rules()) == (1, ["I2"])
    assert Incident.objects.get().severity == "sev1"
    assert zero_tolerance.look() == 0


def test_a_gap_in_the_history_is_found(subject, committed):
    record([opt_out(subject)])
    forge(committed, version="version + 2")

    zero_tolerance.look()

    assert rules() == ["I5"]


def test_a_choice_written_round_the_product_is_found(subject, committed):
    with committed.connect("superuser") as connection:
        connection.execute(
            "INSERT INTO consent_decision (subject_id, purpose, channel, choice, cause, decided_at, actor) "
            "VALUES (%s, 'marketing', 'email', 'opt_out', 'support', now(), 'by hand')",
            [subject.pk],
        )

    zero_tolerance.look()

    assert rules() == ["I10"]


@pytest.mark.parametrize(
    ("message_class", "seconds_later", "breaches"),
    [
        (MessageClass.OPERATIONAL, 120, ["I3"]),
        (MessageClass.OPERATIONAL, 30, []),  # it was on the wire
        (MessageClass.CONFIRMATION, 120, []),
    ],
)
def test_a_message_after_an_opt_out_is_found_unless_it_is_the_answer_to_it(
    subject, message_class, seconds_later, breaches
):
    record([opt_out(subject)])
    changed = Consent.objects.get(subject=subject).changed_at
    message = MessageFactory(subject_id=subject.pk, message_class=message_class, state="accepted")
    attempt = DeliveryAttempt.objects.create(
        message=message, number=1, transport="relay", lease=message.pk, started_at=changed - timedelta(minutes=1)
    )
    assert zero_tolerance.look() == 0  # it is under way: the cursor waits before it

    DeliveryAttempt.objects.filter(pk=attempt.pk).update(
        outcome="accepted", phase="replied", ended_at=changed + timedelta(seconds=seconds_later)
    )
    zero_tolerance.look()

    assert rules() == breaches


def test_rules_of_one_kind_share_an_incident(subject, committed):
    for _ in range(2):
        record([opt_out(SubjectFactory())])
        forge(committed, version="version + 2")

    zero_tolerance.look()

    assert rules() == ["I5", "I5"]
    assert Incident.objects.count() == 1
    assert Incident.objects.get().occurred_from <= timezone.now()
