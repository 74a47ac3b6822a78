"""What nobody sends: silence where a sign of life is due, and deliveries that were turned away for their pace."""

from datetime import timedelta

import pytest
from django.db.models import Sum
from django.utils import timezone

from incidents import alerts
from incidents.models import AlertDelivery, AlertGroup, AlertOverflow, AlertSource, Incident
from incidents.services import close
from tests.factories import AlertDeliveryFactory, AlertSourceFactory

pytestmark = pytest.mark.django_db

NOW = timezone.now() - timedelta(hours=2)
AGO = NOW - timedelta(hours=3)


@pytest.fixture
def source():
    return AlertSourceFactory(
        name="Watchdog", heartbeat_timeout=timedelta(minutes=10), watched_since=AGO, created_at=AGO
    )


def beat(source, minutes_ago=0, **facts):
    received_at = NOW - timedelta(minutes=minutes_ago)
    delivery = AlertDeliveryFactory(source=source, received_at=received_at, **facts)
    alerts.read_stored()
    return delivery


def test_a_source_that_was_not_heard_in_time_opens_one_incident(source):
    beat(source, minutes_ago=11)

    assert (alerts.watch(NOW), alerts.watch(NOW), alerts.watch(NOW + timedelta(hours=1))) == (1, 0, 0)

    incident = Incident.objects.get()
    assert (incident.status, incident.title) == ("triage", "Watchdog is silent: no alert has come from it")
    assert incident.occurred_from == NOW - timedelta(minutes=1)
    assert "nothing was heard since" in incident.timeline.order_by("seq").last().text


def test_a_delivery_in_time_is_a_sign_of_life_whatever_is_in_it(source):
    beat(source, minutes_ago=9, raw_body=b"not even JSON")

    assert alerts.watch(NOW) == 0


def test_one_that_waits_to_be_read_is_a_sign_of_life_too(source):
    AlertDeliveryFactory(source=source, received_at=NOW)

    assert alerts.watch(NOW) == 0


@pytest.mark.parametrize("facts", [{"outcome": "refused"}, {"is_test": True}])
def test_what_the_source_did_not_send_is_none(source, facts):
    AlertDeliveryFactory(source=source, received_at=NOW, **facts)

    assert alerts.watch(NOW) == 1


def test_the_next_delivery_ends_the_silence_and_another_silence_is_another_line(source):
    alerts.watch(NOW)

    beat(source)

    group = AlertGroup.objects.get()
    assert (group.state, group.is_open) == ("resolved", None)
    assert "heard again" in group.incident.timeline.order_by("seq").last().text
    assert alerts.watch(NOW + timedelta(minutes=11)) == 1
    assert Incident.objects.count() == 1


def test_closing_the_incident_of_a_silence_that_goes_on_opens_no_other(source):
    alerts.watch(NOW)
    close(Incident.objects.get(), reason="Known", by="user:anna")

    assert alerts.watch(NOW + timedelta(minutes=30)) == 0

    assert Incident.objects.count() == 1


def test_after_a_closed_silence_and_a_sign_of_life_the_next_silence_is_new(source):
    alerts.watch(NOW)
    close(Incident.objects.get(), reason="Known", by="user:anna")
    beat(source)
    AlertGroup.objects.update(last_at=NOW - timedelta(minutes=1))

    assert alerts.watch(NOW + timedelta(minutes=11)) == 1

    assert Incident.objects.count() == 2


@pytest.mark.parametrize(
    "facts",
    [
        {"heartbeat_timeout": None},
        {"mode": "off"},
        {"mode": "monitor"},
        {"watched_since": NOW - timedelta(minutes=5)},
        {"silenced_until": NOW + timedelta(hours=1), "silenced_by": "user:anna", "silence_reason": "Work"},
    ],
)
def test_nobody_is_missed_who_need_not_be_heard(source, facts):
    AlertSource.objects.filter(pk=source.pk).update(**facts)

    assert alerts.watch(NOW) == 0


def test_switching_a_source_on_begins_its_wait_anew(source):
    alerts.change(source, reason="Moved", by="user:anna", mode="off")
    alerts.change(source, reason="Back", by="user:anna", mode="active")

    assert alerts.watch(timezone.now()) == 0


def test_a_sender_cannot_speak_of_the_causes_that_are_ours(source):
    alerts.watch(NOW)
    key = AlertGroup.objects.get().group_key

    assert key == "this product: heartbeat"
    assert AlertGroup.objects.get().key != alerts.digest_of(key)


def overflow(source, count, minutes_ago=0):
    began_at = (NOW - timedelta(minutes=minutes_ago)).replace(second=0, microsecond=0)
    return AlertOverflow.objects.create(source=source, began_at=began_at, count=count)


def test_deliveries_that_were_turned_away_are_announced_once_a_window():
    source = AlertSourceFactory(name="Noisy", rate_limit=100)
    overflow(source, 40)

    assert (alerts.watch(NOW), alerts.watch(NOW)) == (1, 0)

    incident = Incident.objects.get()
    assert incident.title == "Noisy sends more than it may: deliveries are turned away"
    told = incident.timeline.filter(kind="alert").get().text
    assert "above 100 a minute are answered 429; 40 so far" in told


def test_the_next_window_is_one_more_line_of_the_same_incident():
    source = AlertSourceFactory(name="Noisy")
    overflow(source, 40, minutes_ago=15)
    alerts.watch(NOW)
    overflow(source, 7)
    alerts.watch(NOW)

    assert Incident.objects.get().timeline.filter(kind="alert").count() == 2
    assert AlertOverflow.objects.aggregate(Sum("count"))["count__sum"] == 47


def test_when_nothing_was_turned_away_for_a_while_it_is_over():
    source = AlertSourceFactory(name="Noisy")
    overflow(source, 40, minutes_ago=15)
    alerts.watch(NOW)

    assert alerts.watch(NOW + timedelta(minutes=45)) == 1
    assert alerts.watch(NOW + timedelta(minutes=45)) == 0

    assert AlertGroup.objects.get().state == "resolved"
    assert "was turned away for a quarter of an hour" in Incident.objects.get().timeline.order_by("seq").last().text


def test_a_silenced_source_that_overflows_is_counted_and_opens_nothing():
    source = AlertSourceFactory(silenced_until=NOW + timedelta(hours=1), silenced_by="user:anna", silence_reason="Work")
    overflow(source, 40)

    alerts.watch(NOW)

    assert not Incident.objects.exists()
    assert AlertOverflow.objects.get().announced_at is not None


def test_watching_asks_little_where_nothing_is_due(django_assert_max_num_queries):
    for source in AlertSourceFactory.create_batch(20, heartbeat_timeout=timedelta(minutes=10)):
        AlertDelivery.objects.create(source=source, body_digest=b"", outcome="accepted")

    with django_assert_max_num_queries(4):
        alerts.watch()
