"""What is told about sending: nothing while all is well, and each trouble once, with when it began."""

from datetime import timedelta

import pytest
from django.utils import timezone

from messaging import health
from messaging.condition import ALARMING_DOUBT, MANY_REFUSED, conditions
from messaging.holding import hold_sending
from messaging.models import DeliveryAttempt, Message, TransportHealth
from messaging.sweeping import sweep
from tests.factories import MessageFactory

pytestmark = pytest.mark.django_db


def in_doubt(minutes, message=None):
    """Since so long, by its first or by another attempt."""
    began = timezone.now() - timedelta(minutes=minutes)
    message = message or MessageFactory(state="in_doubt", transport="relay", attempts_made=1)
    DeliveryAttempt.objects.create(
        message=message,
        number=message.attempts.count() + 1,
        transport="relay",
        lease=message.pk,
        phase="ponr",
        outcome="in_doubt",
        started_at=began,
        ended_at=began,
    )
    return message


def test_while_all_is_well_there_is_nothing_to_tell():
    MessageFactory(owed_by=timezone.now() + timedelta(minutes=5))
    MessageFactory(owed_by=timezone.now() - timedelta(minutes=5), state="accepted", settled_at=timezone.now())
    in_doubt(ALARMING_DOUBT.total_seconds() / 60 - 1)

    assert conditions() == []


def test_each_trouble_is_told_with_its_beginning():
    late = timezone.now() - timedelta(minutes=5)
    MessageFactory(owed_by=late)
    MessageFactory(owed_by=late + timedelta(minutes=1))
    in_doubt(30)
    for _ in range(health.OPENS_AFTER):
        health.failed("relay", "out of order")

    found = {condition.key: condition for condition in conditions()}

    assert list(found) == ["mail-overdue", "transport-relay", "mail-in-doubt"]
    assert (found["mail-overdue"].title, found["mail-overdue"].since) == ("2 messages are overdue", late)
    assert found["transport-relay"].title == "The transport relay failed 5 times in a row"
    assert found["transport-relay"].since <= timezone.now()
    assert found["mail-in-doubt"].title == "1 message is in doubt"


def test_a_doubt_is_as_old_as_the_last_attempt_and_is_told_once():
    fresh_again = in_doubt(120)
    in_doubt(1, fresh_again)
    assert conditions() == []

    twice = in_doubt(120)
    in_doubt(60, twice)

    [told] = conditions()
    assert (told.key, told.count) == ("mail-in-doubt", 1)
    assert told.since == twice.attempts.get(number=2).ended_at


def given_up(state, message_class="confirmation", days=0, **facts):
    """Owed and ended without being sent, or with it, so many days ago."""
    at = timezone.now() - timedelta(days=days)
    facts = {"owed_by": at} | facts
    facts |= {"owed_by": at, "created_at": at}
    return MessageFactory(state=state, message_class=message_class, settled_at=at, **facts)


def test_what_was_tried_until_it_was_given_up_is_told_by_class_although_it_is_overdue_no_longer():
    first = given_up("failed", days=1)
    given_up("failed")
    given_up("failed", "incident_notice", owed_by=None)
    given_up("failed", days=4)

    assert [(told.key, told.count) for told in conditions()] == [
        ("mail-given-up-confirmation", 2),
        ("mail-given-up-incident_notice", 1),
    ]
    told = conditions()[0]
    assert (told.title, told.since) == ("2 messages are given up, not sent: confirmation", first.settled_at)


def test_of_what_the_law_asks_for_each_refusal_is_told_and_what_an_address_kept_back():
    given_up("rejected", "privacy_notice")
    given_up("suppressed", "privacy_notice")
    given_up("suppressed", "privacy_notice", sealed_recipient=None)  # nobody to tell: erased, or never known
    given_up("suppressed")

    assert [(told.key, told.count) for told in conditions()] == [("mail-given-up-privacy_notice", 2)]


def test_refusals_are_told_where_they_are_many_and_more_than_one_in_ten():
    for _ in range(MANY_REFUSED - 1):
        given_up("rejected")
    assert conditions() == []

    given_up("rejected")
    assert [told.count for told in conditions()] == [MANY_REFUSED]

    for _ in range(9 * MANY_REFUSED):
        given_up("accepted")
    assert conditions() == []


def test_a_transport_that_works_again_is_no_longer_told():
    for _ in range(health.OPENS_AFTER):
        health.failed("relay", "out of order")

    health.worked("relay")

    assert conditions() == []


def test_a_transport_that_was_taken_out_of_the_settings_is_no_longer_told(sending_by):
    for _ in range(health.OPENS_AFTER):
        health.failed("relay", "out of order")

    sending_by("backup=smtp://127.0.0.1:1025")

    assert conditions() == []


def test_how_long_ago_a_sweep_went_through_is_told_and_before_the_first_nothing(client):
    assert client.get("/readyz").json()["sweep"] == {"last": None, "seconds_ago": None}
    assert "\nholdfast_sweep_age_seconds " not in client.get("/metrics").content.decode()

    sweep()
    TransportHealth.objects.update(swept_at=timezone.now() - timedelta(minutes=9))

    assert 539 <= client.get("/readyz").json()["sweep"]["seconds_ago"] <= 560
    assert "\nholdfast_sweep_age_seconds 54" in client.get("/metrics").content.decode()


def test_a_sweep_that_breaks_does_not_count_as_one(settings, tmp_path):
    (tmp_path / "outcomes").write_text("a file in the folder's place")
    settings.SPOOL_DIR = str(tmp_path)
    late = MessageFactory(expires_at=timezone.now() - timedelta(minutes=1))

    sweep()

    late.refresh_from_db()
    assert (late.state, health.last_sweep()["seconds_ago"]) == ("expired", None)


def test_a_sweep_counts_only_when_what_else_belongs_to_it_went_through():
    def broken():
        raise RuntimeError("what nobody thought of")

    sweep({"notices stopped": broken})
    assert health.last_sweep()["seconds_ago"] is None

    sweep({"notices stopped": lambda: 0})
    assert health.last_sweep()["seconds_ago"] is not None


def test_prometheus_is_told_counts_and_nothing_about_a_person(client):
    MessageFactory(owed_by=timezone.now() - timedelta(minutes=5), lane="bulk")
    in_doubt(30)
    given_up("failed")
    health.failed("relay", "out of order")
    hold_sending("lane", "bulk", reason="Wrong text", by="user:anna")

    text = client.get("/metrics").content.decode()

    assert 'holdfast_messages_unsettled{lane="bulk",state="pending"} 1.0' in text
    assert "holdfast_messages_overdue 1.0" in text
    assert 'holdfast_messages_given_up{message_class="confirmation",state="failed"} 1.0' in text
    assert 'holdfast_messages_in_doubt_oldest_seconds{transport="relay"} 1' in text
    assert 'holdfast_transport_failures{transport="relay"} 1.0' in text
    assert "holdfast_send_holds 1.0" in text
    assert not [m for m in Message.objects.all() if m.recipient in text]
