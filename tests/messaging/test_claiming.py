"""Several messages are taken by one claim: each is asked about by itself, and what could not be tried is given back."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from consent.services import erase, record
from messaging import delivery
from messaging.claiming import Claim, claim
from messaging.delivery import deliver_due
from messaging.models import DeliveryAttempt, DeliveryEvent, Message, Suppression
from messaging.routing import Routes
from messaging.sweeping import sweep
from messaging.transports.replies import LeaseLost, Reply, Temporary
from tests.factories import opt_out

pytestmark = pytest.mark.usefixtures("newsletter")


class Failing:
    """A transport of the test: takes so many messages, then meets a fault."""

    name, is_idempotent, after, tells_when_long = "relay", False, 0.0, True

    def __init__(self, takes, fault=None):
        self.takes, self.fault = takes, fault or Temporary(Reply(text="gone"), blames_transport=True)
        self.taken = []

    def send(self, envelope, before_end, takes_long):
        if len(self.taken) == self.takes:
            raise self.fault
        before_end()
        self.taken.append(envelope.message_id)
        return Reply(250, "2.0.0 Ok")


def states():
    return dict(Message.objects.order_by("state").values_list("pk", "state"))


def test_each_of_a_claim_is_asked_about_by_itself(owed, relay_inbox):
    owed("anna@example.org", "bela@example.org", "cleo@example.org", "dora@example.org", "emil@example.org")
    anna, bela, cleo, dora, emil = Message.objects.order_by("created_at", "decision_id")
    erase(anna.subject_id, by="user:olga")
    Suppression.objects.create(digest=digest_of(bela), reason="no such mailbox")
    Message.objects.filter(pk=cleo.pk).update(sealed_recipient=b"sealed by another key, some time ago")
    Message.objects.filter(pk=dora.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    dealt_with = claim(9, routes=Routes.only(relay_inbox.relay()))

    assert [one.message.pk for one in dealt_with if isinstance(one, Claim)] == [emil.pk]
    assert [Message.objects.get(pk=one.pk).state for one in (anna, bela, cleo, dora, emil)] == [
        "suppressed",
        "suppressed",
        "render_failed",
        "expired",
        "sending",
    ]


def digest_of(message):
    with connection.cursor() as cursor:
        cursor.execute("SELECT digest FROM consent_identifier WHERE subject_id = %s", [message.subject_id])
        return cursor.fetchone()[0]


def test_any_number_is_claimed_by_the_same_statements(owed, relay_inbox, django_assert_max_num_queries):
    owed(*[f"person{number}@example.org" for number in range(20)])
    routes = Routes.only(relay_inbox.relay())

    with django_assert_max_num_queries(8):  # holds and health included, which are looked at twice a second at most
        assert len(claim(20, routes=routes)) == 20


@pytest.mark.parametrize("fault", [Temporary(Reply(421, "closing"), blames_transport=True), LeaseLost()])
def test_what_was_not_tried_for_a_fault_goes_out_by_what_works_and_nothing_twice(owed, relay_inbox, fault):
    owed(*[f"person{number}@example.org" for number in range(9)])
    failing = Failing(takes=3, fault=fault)  # one, then two of the four of the next claim

    deliver_due(5, failing)

    held = Message.objects.filter(state="retry_wait", last_error__startswith="Not tried")
    assert {(one.attempts_made, one.tries) for one in held} == {(1, 0)}
    assert all(one.lease is None and one.not_before <= timezone.now() for one in held)
    Message.objects.filter(state="sending").update(lease_until=timezone.now() - timedelta(seconds=1))
    sweep()
    Message.objects.filter(state="retry_wait").update(not_before=timezone.now())
    deliver_due(20, relay_inbox.relay())
    assert set(states().values()) == {"accepted"}
    assert len(failing.taken) + len(relay_inbox.mails) == 9


def test_after_a_fault_messages_are_taken_one_by_one(owed):
    owed(*[f"person{number}@example.org" for number in range(9)])
    failing = Failing(takes=1)

    deliver_due(9, failing)

    tried = DeliveryAttempt.objects.exclude(reply_text__startswith="Not tried")
    assert tried.count() > 3  # one taken, one that failed and gave three back, then each by itself
    assert DeliveryAttempt.objects.count() - tried.count() == 3


def test_nobody_waits_behind_a_message_that_takes_long(owed, relay_inbox):
    owed(*[f"person{number}@example.org" for number in range(5)])

    class Slow(Failing):
        def send(self, envelope, before_end, takes_long):
            if len(self.taken) == 1:  # the first of the second claim
                takes_long()
                assert Message.objects.filter(last_error__startswith="Not tried", state="retry_wait").count() == 3
            return super().send(envelope, before_end, takes_long)

    slow = Slow(takes=9)
    deliver_due(5, slow)
    deliver_due(5, relay_inbox.relay())

    assert (len(slow.taken), len(relay_inbox.mails)) == (2, 3)
    assert set(states().values()) == {"accepted"}


def test_what_took_long_all_together_is_asked_about_again(owed, monkeypatch):
    owed(*[f"person{number}@example.org" for number in range(5)])
    failing = Failing(takes=9)
    monkeypatch.setattr(delivery, "FRESH", -1)

    deliver_due(5, failing)

    assert len(failing.taken) == 5  # one by one, each asked about at its own claim
    assert not Message.objects.filter(last_error__startswith="Not tried").exists()


class Far(Failing):
    """Each message takes it a fifth of a second, of a clock of its own."""

    now = 0.0

    def monotonic(self):
        return self.now

    def send(self, envelope, before_end, takes_long):
        self.now += 0.2
        return super().send(envelope, before_end, takes_long)


def test_a_relay_that_is_far_away_is_given_as_many_as_it_takes_in_time(owed, monkeypatch):
    owed(*[f"person{number}@example.org" for number in range(12)])
    far = Far(takes=12)
    monkeypatch.setattr(delivery, "time", far)

    deliver_due(12, far)

    assert DeliveryAttempt.objects.filter(outcome="accepted").count() == DeliveryAttempt.objects.count() == 12


def test_a_run_ends_after_its_time_and_what_is_left_stays_due(owed, monkeypatch):
    owed(*[f"person{number}@example.org" for number in range(12)])
    far = Far(takes=12)
    monkeypatch.setattr(delivery, "time", far)

    assert deliver_due(12, far, seconds=0.5) == 3  # one, then two that were taken before the time was over

    assert list(states().values()).count("accepted") == 3
    assert DeliveryAttempt.objects.count() == 3


def test_a_transport_that_does_not_say_when_it_takes_long_has_one_message_in_hand(owed):
    owed("anna@example.org", "bela@example.org")
    silent = Failing(takes=9)
    silent.tells_when_long = False

    assert len(claim(9, routes=Routes.only(silent))) == 1


def test_what_is_given_back_after_its_lease_is_no_answer_of_the_relay(owed):
    owed("anna@example.org", "bela@example.org", "cleo@example.org")

    class Sleeps(Failing):
        def send(self, envelope, before_end, takes_long):
            Message.objects.filter(state="sending").update(lease_until=timezone.now() - timedelta(seconds=1))
            sweep()
            return super().send(envelope, before_end, takes_long)

    deliver_due(1, Failing(takes=1))
    deliver_due(2, Sleeps(takes=9))

    assert set(Message.objects.values_list("state", flat=True)) == {"accepted", "retry_wait"}
    assert not DeliveryEvent.objects.filter(kind="late_reply").exists()


def test_an_opt_out_between_two_claims_is_heard(owed, relay_inbox):
    """What the law does not ask for is asked about at each claim, not once for a run."""
    message = owed("anna@example.org", "bela@example.org")
    Message.objects.filter(pk=message.pk).update(message_class="operational", purpose="newsletter", decision_id=None)
    record([opt_out("anna@example.org", "newsletter")])

    deliver_due(5, relay_inbox.relay())

    assert Message.objects.get(pk=message.pk).state == "suppressed"
