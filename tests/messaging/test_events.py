"""However often and in whatever order something is told about a message, the same is known of it in the end."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messaging import verp
from messaging.events import HEARD, Kind, NewEvent, delivery_of, find_message, fold, record_events
from messaging.models import DeliveryAttempt, DeliveryEvent
from messaging.verp import Signed, Use
from tests.factories import MessageFactory

START = datetime(2026, 11, 1, tzinfo=UTC)


def event(message, kind, minute=0, **facts):
    at = START + timedelta(minutes=minute)
    return NewEvent(
        source="relay", kind=kind, occurred_at=at, facts=[message.pk, kind, minute], message_id=message.pk, **facts
    )


TOLD = st.lists(st.tuples(st.sampled_from(HEARD), st.integers(0, 5)), min_size=1, max_size=6)


@settings(max_examples=200)
@given(st.data())
def test_any_order_and_repetition_folds_to_the_same(data):
    told = [(kind, START + timedelta(minutes=minute)) for kind, minute in data.draw(TOLD)]
    again = data.draw(st.permutations(told + data.draw(st.lists(st.sampled_from(told), max_size=4))))

    assert delivery_of(again) == delivery_of(told)


@pytest.mark.django_db
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_rows_fold_like_the_arithmetic_however_they_are_told(data):
    first, second = MessageFactory(), MessageFactory()
    told = data.draw(TOLD)
    shuffled = data.draw(st.permutations(told + told[:2]))

    record_events([event(first, kind, minute) for kind, minute in told])
    for kind, minute in shuffled:
        record_events([event(second, kind, minute)])

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.delivery, first.complained_at) == (second.delivery, second.complained_at)
    assert first.events.count() == second.events.count() == len(set(told))


@pytest.mark.parametrize(
    ("told", "delivery"),
    [
        ([], "none"),
        ([(Kind.SENT, 0)], "queued"),
        ([(Kind.DELIVERED, 0), (Kind.DEFERRED, 1)], "delivered"),
        ([(Kind.BOUNCED_HARD, 0), (Kind.DELIVERED, 1)], "bounced_hard"),
        ([(Kind.DELIVERED, 0), (Kind.BOUNCED_SOFT, 1)], "bounced_soft"),
        ([(Kind.BOUNCED_SOFT, 0), (Kind.DELIVERED, 1)], "delivered"),
        ([(Kind.COMPLAINED, 0), (Kind.AUTORESPONDED, 1)], "none"),
    ],
)
def test_a_bounce_may_follow_a_delivery_and_facts_beside_it_change_nothing(told, delivery):
    assert delivery_of([(kind, START + timedelta(minutes=m)) for kind, m in told]) == delivery


@pytest.mark.django_db
def test_an_event_told_again_is_one_event_and_no_news():
    message = MessageFactory()

    news = [len(record_events([event(message, Kind.DELIVERED)])) for _ in range(3)]

    assert news == [1, 0, 0]
    assert DeliveryEvent.objects.count() == 1


@pytest.mark.django_db
def test_a_complaint_is_not_hidden_by_a_better_delivery():
    message = MessageFactory()

    record_events([event(message, Kind.COMPLAINED, 1), event(message, Kind.DELIVERED, 2)])

    message.refresh_from_db()
    assert (message.delivery, message.complained_at) == ("delivered", START + timedelta(minutes=1))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "state"), [(Kind.DELIVERED, "accepted"), (Kind.BOUNCED_HARD, "accepted"), (Kind.REFUSED, "rejected")]
)
def test_evidence_that_names_a_message_settles_its_doubt(kind, state):
    message = MessageFactory(state="in_doubt")

    record_events([event(message, kind)])

    message.refresh_from_db()
    assert message.state == state
    assert message.settled_at


@pytest.mark.django_db
def test_evidence_that_comes_before_the_second_copy_makes_it_needless():
    message = MessageFactory(state="retry_wait", possible_duplicate=True)
    DeliveryAttempt.objects.create(message=message, number=1, transport="a", lease=message.pk, outcome="in_doubt")

    record_events([event(message, Kind.DELIVERED)])

    message.refresh_from_db()
    assert message.state == "accepted"


@pytest.mark.django_db
def test_what_staff_do_to_a_message_is_no_evidence_that_it_was_sent():
    message = MessageFactory(state="in_doubt")
    DeliveryEvent.objects.create(message=message, source="staff", event_key=b"x", kind="held", occurred_at=START)

    fold(message.pk)

    message.refresh_from_db()
    assert (message.state, message.delivery) == ("in_doubt", "none")


@pytest.mark.django_db
def test_a_message_is_found_by_our_id_and_by_the_id_under_which_a_relay_took_it():
    message = MessageFactory()
    DeliveryAttempt.objects.create(message=message, number=1, transport="a", lease=message.pk, queue_id="pm-7")

    assert find_message(ids=["<nothing>", f"<{message.pk}@holdfast.example>"]) == message.pk
    assert find_message(provider_id="<pm-7>") == message.pk
    assert find_message(ids=["<x@y>"], provider_id="other") is None


@pytest.mark.django_db
def test_an_address_that_we_signed_is_read_back_in_any_capitals_and_for_its_own_use_alone(settings):
    settings.MAIL_BOUNCES, settings.MAIL_UNSUBSCRIBE = "bounces.example", "unsubscribe@example.org"
    message = MessageFactory()
    path, way_out = verp.return_path(message), verp.unsubscribe_address(message)

    assert verp.read(f"<{path.upper()}>") == Signed(Use.BOUNCE, message.pk)
    assert verp.read(way_out) == Signed(Use.UNSUBSCRIBE, message.pk)
    assert len(path.partition("@")[0]) <= 64 >= len(way_out.partition("@")[0])
    assert verp.read(way_out.replace(way_out[-20], "0" if way_out[-20] != "0" else "1")) != Signed(
        Use.UNSUBSCRIBE, message.pk
    )


@pytest.mark.django_db
def test_nobody_makes_an_unsubscribe_address_out_of_a_return_path(settings):
    settings.MAIL_BOUNCES, settings.MAIL_UNSUBSCRIBE = "bounces.example", "unsubscribe@example.org"
    message = MessageFactory()
    stolen = verp.return_path(message).replace("b+", "unsubscribe+").replace("bounces.example", "example.org")

    assert verp.read(stolen).use is Use.BOUNCE


@pytest.mark.django_db
def test_without_a_domain_for_bounces_the_return_path_is_the_senders_address(settings):
    settings.MAIL_BOUNCES, settings.MAIL_UNSUBSCRIBE, settings.MAIL_REPLIES = "", "", ""

    assert verp.return_path(MessageFactory()) == "privacy@holdfast.example"
    assert verp.unsubscribe_address(MessageFactory()) == verp.reply_address(MessageFactory()) == ""
