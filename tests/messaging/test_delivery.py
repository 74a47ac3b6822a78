"""Claim, send, answer: each message once, and whoever dies on the way leaves a state that says what is known."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, connections
from django.db.models import F
from django.utils import timezone

from consent.identifiers import Identity
from consent.models import Subject
from consent.services import erase
from messaging import delivery, health, suppressing, sweeping
from messaging.claiming import claim
from messaging.delivery import deliver, deliver_due, finish, pass_point_of_no_return, send
from messaging.models import DeliveryAttempt, DeliveryEvent, Message, Suppression, TransportHealth
from messaging.routing import Routes
from messaging.services import NewMessage, cancel, close_unknown, enqueue, hold, release, resend
from messaging.suppressing import lift
from messaging.sweeping import DOUBT_WINDOW, UNKNOWN_AFTER, sweep
from messaging.transports.replies import LeaseLost, Reply
from messaging.transports.smtp import Address, Relay
from tests.factories import MessageFactory, SubjectFactory
from tests.messaging.smtp import DROP, HANG, fault_server

pytestmark = pytest.mark.usefixtures("newsletter")


def later(message, **changes):
    """As if time had passed."""
    Message.objects.filter(pk=message.pk).update(**changes)


def nowhere():
    """Routes by one relay that nothing is sent to."""
    return Routes.only(Relay(Address(host="127.0.0.1", port=1)))


def lease_ended(message):
    later(message, lease_until=timezone.now() - timedelta(seconds=1))


def due_now():
    Message.objects.filter(state="retry_wait").update(not_before=timezone.now())


def test_an_acceptance_is_kept_in_the_relays_own_words(owed, relay_inbox):
    owed()

    deliver_due(transport=relay_inbox.relay())

    attempt = DeliveryAttempt.objects.get()
    assert (attempt.phase, attempt.outcome, attempt.reply_code) == ("replied", "accepted", 250)
    assert (attempt.enhanced_status, attempt.queue_id) == ("2.0.0", "0001")
    assert TransportHealth.objects.get().last_success_at


def test_a_message_is_settled_once_and_never_sent_again(owed, relay_inbox):
    message = owed()
    deliver_due(transport=relay_inbox.relay())

    deliver(message.pk, transport=relay_inbox.relay())
    deliver_due(transport=relay_inbox.relay())

    assert len(relay_inbox.mails) == 1


@pytest.mark.parametrize(
    ("faults", "state"),
    [
        ({"rcpt": "550 5.1.1 no such user"}, "rejected"),
        ({"rcpt": "451 4.7.1 come back"}, "retry_wait"),
        ({"mail": "550 5.7.1 who are you"}, "retry_wait"),
        ({"data": DROP}, "retry_wait"),
        ({"dot": DROP}, "in_doubt"),
        ({"dot": HANG}, "in_doubt"),
        ({"dot": "552 5.3.4 too big"}, "rejected"),
    ],
)
def test_a_failure_leaves_the_state_that_is_true(owed, faults, state):
    message = owed()

    with fault_server(**faults) as server:
        assert deliver(transport=server.relay()) == state

    message.refresh_from_db()
    attempt = message.attempts.get()
    assert (message.state, attempt.outcome, message.lease) == (state, state, None)
    assert (attempt.phase == "intent") == (state == "retry_wait" or "rcpt" in faults) or attempt.phase == "replied"
    assert message.last_error
    assert "anna@example.org" not in message.last_error


def test_one_refused_recipient_does_not_touch_the_others(owed, relay_inbox):
    owed("anna@example.org", "bela@example.org", "cleo@example.org")

    with fault_server(rcpt="550 5.1.1 no such user") as server:
        deliver(transport=server.relay())
    deliver_due(transport=relay_inbox.relay())

    assert sorted(Message.objects.values_list("state", flat=True)) == ["accepted", "accepted", "rejected"]
    assert len(relay_inbox.mails) == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("550 5.1.1 <anna@example.org>: no such user", "no such mailbox"),
        ("550 5.2.1 mailbox disabled", "mailbox disabled"),
        ("552 5.2.2 mailbox full", None),
        ("554 5.7.1 message rejected as spam", None),
        ("554 5.7.1 Relay access denied", None),
        ("450 4.1.1 no such user, perhaps", None),
    ],
)
def test_a_mailbox_that_a_server_says_is_dead_is_not_written_to_again(owed, said, reason):
    message = owed("anna@example.org")

    with fault_server(rcpt=said) as server:
        deliver(transport=server.relay())

    found = [(one.reason, one.message_id) for one in Suppression.objects.all()]
    assert found == ([(reason, message.pk)] if reason else [])


def test_a_relay_that_refuses_everybody_makes_nobody_suppressed(owed):
    owed()
    for _ in range(health.BELIEVED):
        health.refused("relay")

    with fault_server(rcpt="550 5.1.1 no such user") as server:
        deliver(transport=server.relay())

    assert not Suppression.objects.exists()


def test_what_a_server_said_is_kept_without_the_address_in_time_and_late(owed):
    message = owed("anna@example.org")
    with fault_server(rcpt="450 4.2.1 <anna@example.org>: mailbox busy") as server:
        deliver(transport=server.relay())
    later(message, not_before=timezone.now() - timedelta(seconds=1))
    [claimed] = claim(routes=nowhere())
    lease_ended(message)
    sweep()
    finish(claimed, "rejected", Reply(550, "<anna@example.org>: no such user"))

    message.refresh_from_db()
    first = message.attempts.get(number=1)
    assert (first.reply_code, "mailbox busy" in first.reply_text) == (450, True)
    assert "no such user" in message.events.get(kind="late_reply").payload["reply"]
    kept = [message.last_error, *message.attempts.values_list("reply_text", flat=True)]
    assert "anna" not in str([*kept, *message.events.values_list("payload", flat=True)])


def test_a_second_try_is_the_same_bytes_under_the_same_message_id(owed, relay_inbox):
    message = owed()
    with fault_server(dot="451 4.3.0 try later") as server:
        deliver(transport=server.relay())
        first = server.taken[0]
    due_now()

    deliver_due(transport=relay_inbox.relay())

    assert relay_inbox.mails[0].content == first
    assert f"<{message.pk}@".encode() in first
    assert list(message.attempts.order_by("number").values_list("number", "outcome")) == [
        (1, "retry_wait"),
        (2, "accepted"),
    ]


def test_tries_come_at_growing_distances_up_to_an_hour():
    pauses = [delivery.pause_after(attempts).total_seconds() for attempts in (1, 2, 5, 40)]

    assert 15 <= pauses[0] <= 30 <= pauses[1] <= 60 < 240 <= pauses[2] <= 480
    assert 1800 <= pauses[3] <= 3600


def tried_since(message, age, tries=delivery.LEAST_TRIES - 1):
    """Its first try was so long ago, and it had so many."""
    began = timezone.now() - age
    DeliveryAttempt.objects.create(
        message=message, number=1, transport="relay", lease=message.pk, phase="replied", outcome="retry_wait",
        started_at=began, ended_at=began,
    )  # fmt: skip
    later(message, attempts_made=tries)


@pytest.mark.parametrize(
    ("age", "tries", "state"),
    [
        (delivery.GIVE_UP_AFTER, delivery.LEAST_TRIES - 1, "failed"),
        (delivery.GIVE_UP_AFTER - timedelta(minutes=5), 500, "retry_wait"),  # many transports, one after the other
        (timedelta(days=9), 1, "retry_wait"),  # it was held since
    ],
)
def test_what_was_tried_long_and_often_has_failed_visibly(owed, age, tries, state):
    message = owed()
    tried_since(message, age, tries)

    with fault_server(rcpt="451 4.7.1 come back") as server:
        assert deliver(transport=server.relay()) == state


def test_a_relay_that_keeps_failing_is_left_alone_for_a_while(owed):
    owed(*[f"person{n}@example.org" for n in range(health.OPENS_AFTER + 3)])

    with fault_server(greeting="554 out of order") as server:
        assert deliver_due(transport=server.relay()) == health.OPENS_AFTER
        assert server.connections == health.OPENS_AFTER

    assert Message.objects.filter(state="ready").count() == 3
    assert health.unusable(["relay", "other"]) == {"relay"}


def test_a_relay_that_works_again_is_used_again(owed, relay_inbox):
    owed()
    for _ in range(health.OPENS_AFTER):
        health.failed("relay", "out of order")
    TransportHealth.objects.update(open_until=timezone.now() - timedelta(seconds=1))

    deliver_due(transport=relay_inbox.relay())

    assert TransportHealth.objects.get().failures_in_a_row == 0


def test_two_workers_at_once_send_each_message_once(committed, owed, relay_inbox):
    owed(*[f"person{n}@example.org" for n in range(20)])
    start = threading.Barrier(2)

    def work():
        relay = relay_inbox.relay()
        start.wait()
        deliver_due(transport=relay)
        relay.close()
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(relay_inbox.mails) == len({mail.recipients[0] for mail in relay_inbox.mails}) == 20
    assert DeliveryAttempt.objects.count() == 20


def test_a_claimed_message_is_nobody_elses(owed):
    owed()

    assert claim(routes=nowhere())

    assert claim(routes=nowhere()) == []


def test_a_worker_whose_clock_runs_ahead_can_still_write_down_how_it_ended(owed, relay_inbox, time_machine):
    owed()
    time_machine.move_to(timezone.now() + timedelta(minutes=15))

    assert deliver(transport=relay_inbox.relay()) == "accepted"


def test_whoever_lost_the_lease_sends_nothing(owed, relay_inbox):
    message = owed()
    [claimed] = claim(routes=nowhere())
    lease_ended(message)

    send(replace(claimed, transport=relay_inbox.relay()), nowhere())

    assert not relay_inbox.mails


def test_a_worker_that_wakes_up_after_another_took_over_sends_nothing(owed, relay_inbox):
    message = owed()
    [sleeping] = claim(routes=nowhere())
    lease_ended(message)
    sweep()
    due_now()
    deliver_due(transport=relay_inbox.relay())

    with pytest.raises(LeaseLost):
        pass_point_of_no_return(sleeping)

    assert len(relay_inbox.mails) == 1


def test_abandoned_before_the_point_of_no_return_it_is_tried_again(owed, relay_inbox):
    message = owed()
    claim(routes=nowhere())
    lease_ended(message)

    sweep()

    message.refresh_from_db()
    assert (message.state, message.attempts.get().outcome) == ("retry_wait", "retry_wait")
    due_now()
    deliver_due(transport=relay_inbox.relay())
    assert len(relay_inbox.mails) == 1


def test_abandoned_at_the_last_try_it_has_failed_and_is_settled(owed):
    message = owed()
    tried_since(message, delivery.GIVE_UP_AFTER)
    claim(routes=nowhere())
    lease_ended(message)

    sweep()

    message.refresh_from_db()
    assert message.state == "failed"
    assert message.settled_at


def test_abandoned_after_the_point_of_no_return_it_is_in_doubt_and_not_sent_again(owed, relay_inbox):
    message = owed()
    pass_point_of_no_return(*claim(routes=nowhere()))
    lease_ended(message)

    sweep()
    deliver_due(transport=relay_inbox.relay())

    message.refresh_from_db()
    assert message.state == "in_doubt"
    assert not relay_inbox.mails


def test_an_answer_after_the_lease_settles_the_doubt(owed):
    message = owed()
    [claimed] = claim(routes=nowhere())
    pass_point_of_no_return(claimed)
    lease_ended(message)
    sweep()

    finish(claimed, "accepted", Reply(250, "2.0.0 Ok"))

    message.refresh_from_db()
    assert message.state == "accepted"
    assert DeliveryEvent.objects.get().kind == "late_reply"


@pytest.mark.parametrize("meanwhile", ["retry_wait", "held"])
def test_an_answer_after_it_was_decided_to_send_again_makes_that_needless(owed, relay_inbox, meanwhile):
    message = owed()
    [claimed] = claim(routes=nowhere())
    pass_point_of_no_return(claimed)
    lease_ended(message)
    sweep()
    resend(message, reason="Nothing in the relay's log", by="user:anna")
    later(message, state=meanwhile)

    finish(claimed, "accepted", Reply(250, "2.0.0 Ok"))
    deliver_due(transport=relay_inbox.relay())

    message.refresh_from_db()
    assert (message.state, relay_inbox.mails) == ("accepted", [])
    assert message.settled_at


@pytest.mark.parametrize("outcome", ["rejected", "retry_wait"])
def test_a_late_refusal_changes_nothing_of_what_was_decided_meanwhile(owed, outcome):
    message = owed()
    [claimed] = claim(routes=nowhere())
    pass_point_of_no_return(claimed)
    lease_ended(message)
    sweep()
    resend(message, reason="Nothing in the relay's log", by="user:anna")

    finish(claimed, outcome, Reply(550, "5.1.1 no such user"))

    message.refresh_from_db()
    assert message.state == "retry_wait"


def test_a_doubt_that_nothing_resolves_is_sent_again_once_and_marked(owed, relay_inbox):
    message = owed()
    in_doubt_for(message, DOUBT_WINDOW)

    sweep()
    deliver_due(transport=relay_inbox.relay())

    message.refresh_from_db()
    assert (message.state, message.possible_duplicate) == ("accepted", True)
    assert len(relay_inbox.mails) == 1


def test_a_doubt_about_one_of_many_is_closed_as_unknown_after_a_day_and_never_sent_again(owed, relay_inbox):
    message = owed()
    in_doubt_for(message, UNKNOWN_AFTER)
    later(message, on_doubt="never")

    sweep()
    deliver_due(transport=relay_inbox.relay())

    message.refresh_from_db()
    assert (message.state, relay_inbox.mails) == ("closed_unknown", [])
    assert message.settled_at
    assert [(e.kind, e.payload["by"]) for e in message.events.all()] == [("closed_unknown", "system:sweep")]


@pytest.mark.parametrize(
    ("age", "facts"),
    [
        (UNKNOWN_AFTER - timedelta(minutes=1), {"on_doubt": "never"}),
        (UNKNOWN_AFTER, {"on_doubt": "ask"}),
        (UNKNOWN_AFTER, {"on_doubt": "never", "message_class": "incident_notice"}),
    ],
)
def test_a_doubt_that_may_still_clear_or_is_for_people_stays_one(owed, age, facts):
    message = owed()
    in_doubt_for(message, age)
    later(message, **facts)

    sweep()

    message.refresh_from_db()
    assert message.state == "in_doubt"


def test_a_second_doubt_waits_for_a_person(owed):
    message = owed()
    in_doubt_for(message, DOUBT_WINDOW)
    later(message, possible_duplicate=True)

    sweep()

    message.refresh_from_db()
    assert message.state == "in_doubt"


def test_a_fresh_doubt_waits_for_evidence(owed):
    message = owed()
    in_doubt_for(message, DOUBT_WINDOW / 2)

    sweep()

    message.refresh_from_db()
    assert message.state == "in_doubt"


def in_doubt_for(message, age):
    """In doubt since `age`; an ended attempt cannot be changed, so its end is told when it ends."""
    began = timezone.now() - age - timedelta(seconds=1)
    DeliveryAttempt.objects.create(
        message=message,
        number=1,
        transport="relay",
        lease=message.pk,
        phase="ponr",
        outcome="in_doubt",
        started_at=began,
        ended_at=began,
    )
    later(message, state="in_doubt", attempts_made=1)


def test_what_came_too_late_expires(owed, relay_inbox):
    message = owed()
    later(message, expires_at=timezone.now() - timedelta(seconds=1))

    deliver_due(transport=relay_inbox.relay())

    message.refresh_from_db()
    assert (message.state, relay_inbox.mails) == ("expired", [])


def test_the_sweep_expires_what_nobody_asked_for(owed):
    message = owed()
    hold(message, reason="Incident", by="user:anna")
    later(message, expires_at=timezone.now() - timedelta(seconds=1))

    sweep()

    message.refresh_from_db()
    assert message.state == "expired"


def test_a_suppressed_address_is_not_written_to(owed, relay_inbox):
    message = owed()
    Suppression.objects.create(digest=Identity.of("email", "anna@example.org").digest, reason="hard bounce")

    deliver_due(transport=relay_inbox.relay())

    message.refresh_from_db()
    assert (message.state, message.last_error) == ("suppressed", "The address is suppressed: hard bounce.")


def suppressed(reason, *addresses):
    for address in addresses:
        suppressing.suppress(Identity.of("email", address).digest, reason)


def test_whoever_called_our_mail_spam_is_told_what_the_law_asks_for_and_nothing_else(owed, relay_inbox):
    message = owed("anna@example.org", "bela@example.org")
    later(message, message_class="incident_notice")
    suppressed(Suppression.Reason.COMPLAINT, "anna@example.org", "bela@example.org")

    deliver_due(transport=relay_inbox.relay())

    message.refresh_from_db()
    assert message.state == "accepted"
    assert Message.objects.exclude(pk=message.pk).get().state == "suppressed"


def test_what_the_law_asks_for_and_a_dead_mailbox_kept_back_waits_for_a_person(owed, relay_inbox):
    message = owed("anna@example.org", "bela@example.org")
    later(message, message_class="incident_notice")
    suppressed(Suppression.Reason.NO_MAILBOX, "anna@example.org", "bela@example.org")

    deliver_due(transport=relay_inbox.relay())

    assert set(Message.objects.values_list("state", flat=True)) == {"suppressed"}
    assert list(Message.objects.in_trouble()) == [message]


def test_only_what_the_law_or_the_person_asks_for_reaches_somebody_who_opted_out(owed, relay_inbox):
    message = owed()
    later(message, message_class="operational")

    deliver_due(transport=relay_inbox.relay())

    message.refresh_from_db()
    assert message.state == "suppressed"
    assert message.last_error == "The person may not be contacted: explicit opt out."


def test_an_unknown_purpose_reaches_nobody(owed, relay_inbox):
    message = owed()
    later(message, message_class="operational", purpose="")

    deliver_due(transport=relay_inbox.relay())

    assert not relay_inbox.mails


def test_one_address_that_cannot_be_opened_does_not_keep_the_others_waiting(owed, relay_inbox):
    message = owed("anna@example.org", "bela@example.org")
    later(message, sealed_recipient=b"sealed by another key, some time ago")

    deliver_due(transport=relay_inbox.relay())

    message.refresh_from_db()
    assert message.state == "render_failed"
    assert "PRIVACY_KEY" in message.last_error
    assert len(relay_inbox.mails) == 1


def test_a_held_message_waits_until_somebody_lets_it_go(owed, relay_inbox):
    message = owed()
    hold(message, reason="Wrong text", by="user:anna")
    deliver_due(transport=relay_inbox.relay())
    assert not relay_inbox.mails

    release(message, reason="Mended", by="user:bela")
    deliver_due(transport=relay_inbox.relay())

    assert len(relay_inbox.mails) == 1
    assert [event.payload["by"] for event in message.events.order_by("pk")] == ["user:anna", "user:bela"]


def test_what_was_refused_can_be_sent_again_by_a_person(owed, relay_inbox):
    message = owed()
    with fault_server(rcpt="550 5.1.1 no such user") as server:
        deliver(transport=server.relay())

    lift(Suppression.objects.get(), reason="The mailbox exists again", by="user:anna")
    resend(message, reason="The mailbox exists again", by="user:anna")
    deliver_due(transport=relay_inbox.relay())

    assert len(relay_inbox.mails) == 1


def test_a_doubt_can_be_closed_as_unknown_and_stays_so(owed):
    message = owed()
    in_doubt_for(message, DOUBT_WINDOW)

    close_unknown(message, reason="The relay's logs are gone", by="user:anna")
    sweep()

    message.refresh_from_db()
    assert message.state == "closed_unknown"


@pytest.mark.parametrize("verb", [hold, release, cancel, resend, close_unknown])
def test_nothing_is_done_to_a_message_that_was_accepted(owed, relay_inbox, verb):
    message = owed()
    deliver_due(transport=relay_inbox.relay())

    with pytest.raises(Exception, match=r"It is accepted by the relay|may have been sent"):
        verb(message, reason="Please", by="user:anna")


def test_the_same_intent_is_one_message(owed):
    message = owed()
    again = NewMessage(
        template_key="request_answered",
        subject_id=message.subject_id,
        cause="request:1:answered",
        context={"ref": "PR-1", "answer": "Done"},
    )

    enqueue([again, again])
    enqueue([again])

    assert Message.objects.filter(template_key="request_answered").count() == 1


def test_the_answer_to_a_deletion_reaches_its_person_and_is_then_forgotten(owed, relay_inbox):
    message = owed()
    answer = NewMessage(
        template_key="request_answered",
        subject_id=message.subject_id,
        cause="request:1:answered",
        context={"ref": "PR-1", "answer": "We deleted what we held about you."},
    )
    enqueue([answer])
    erase(message.subject_id, by="user:anna")

    deliver_due(transport=relay_inbox.relay())
    sweep()

    assert len(relay_inbox.mails) == 1
    kept = Message.objects.get(template_key="request_answered")
    assert (kept.state, kept.sealed_recipient, kept.sealed_raw, kept.context) == ("accepted", None, None, {})
    assert kept.render_hash


def test_what_settles_long_after_its_person_was_erased_is_forgotten_too(owed):
    message = owed()
    later(message, state="in_doubt")
    erase(message.subject_id, by="user:anna")
    Subject.objects.filter(pk=message.subject_id).update(erased_at=timezone.now() - timedelta(days=40))
    sweep()
    assert Message.objects.get().raw  # two people have not decided yet

    later(message, state="closed_unknown", settled_at=timezone.now())
    sweep()

    kept = Message.objects.get()
    assert (kept.sealed_recipient, kept.sealed_raw, kept.context) == (None, None, {})


def test_all_who_were_ever_erased_are_looked_at_again_from_wherever_it_begins(db, monkeypatch):
    erased = [SubjectFactory(erased_at=timezone.now() - timedelta(days=40)).pk for _ in range(5)]
    SubjectFactory()
    monkeypatch.setattr(sweeping, "AT_ONCE", 3)

    seen = [sweeping._some_who_were_erased() for _ in range(100)]

    assert {len(set(some)) for some in seen} == {3}
    assert {person for some in seen for person in some} == set(erased)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE messaging_message SET sealed_raw = 'other'",
        "UPDATE messaging_message SET render_hash = sha256('other'), sealed_raw = 'other'",
        "UPDATE messaging_message SET subject_id = gen_random_uuid()",
        "UPDATE messaging_deliveryattempt SET outcome = 'accepted'",
        "UPDATE messaging_deliveryattempt SET phase = 'intent'",
        "DELETE FROM messaging_message",
        "DELETE FROM messaging_deliveryattempt",
    ],
)
def test_the_database_keeps_what_was_sent_and_how_it_ended(owed, statement):
    owed()
    with fault_server(rcpt="550 5.1.1 no such user") as server:
        deliver(transport=server.relay())

    with connection.cursor() as cursor, pytest.raises(DatabaseError):
        cursor.execute(statement)


def test_a_dump_of_the_messages_holds_neither_an_address_nor_a_link_of_a_person(owed):
    message = owed()
    [token] = re.findall(rb"<https?://[^>]+/u/([A-Za-z0-9_-]{20,})/>", message.raw)

    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(to_jsonb(m)::text, ' ') FROM messaging_message m")
        [dump] = cursor.fetchone()

    assert b"anna@example.org" in message.raw
    for secret in (b"anna@example.org", token):
        assert not {form for form in (secret.decode(), secret.hex()) if form in dump}
    assert hashlib.sha256(message.raw).digest() == bytes(message.render_hash)


def test_bytes_that_were_moved_to_another_message_are_not_sent_and_stop_nobody_else(owed, relay_inbox):
    message = owed()
    taken = {"sealed_raw": message.sealed_raw, "sealed_recipient": message.sealed_recipient}
    moved = MessageFactory(**taken, render_hash=message.render_hash, subject_id=message.subject_id)

    deliver_due(transport=relay_inbox.relay())

    states = dict(Message.objects.values_list("pk", "state"))
    assert states == {message.pk: "accepted", moved.pk: "render_failed"}


WORKER = """
import os, signal, sys
import django
from django.conf import settings
django.setup()
from django.db import connections
names = ("HOST", "PORT", "NAME", "USER", "PASSWORD")
connections["default"].settings_dict.update(zip(names, sys.argv[1:6], strict=True))
from messaging import delivery
from messaging.transports.smtp import Address, Connection, Relay
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[7] == "before":
    delivery.pass_point_of_no_return = die
else:
    Connection._end = die
delivery.deliver(transport=Relay(Address(host="127.0.0.1", port=int(sys.argv[6]))))
"""


def test_a_point_of_no_return_that_fails_takes_no_outcome_with_it(committed, owed, relay_inbox):
    owed("anna@example.org", "ben@example.org")
    routes = Routes.only(relay_inbox.relay())
    first, second = claim(2, routes=routes)
    last = delivery.Unwritten()
    send(first, routes, last)
    second.message.lease = "no lease at all"

    with pytest.raises(DatabaseError):
        send(second, routes, last)

    first.message.refresh_from_db()
    assert first.message.state == "accepted"
    assert len(relay_inbox.mails) == 1


@pytest.mark.parametrize(("moment", "state"), [("before", "retry_wait"), ("after", "in_doubt")])
def test_a_worker_killed_in_the_middle_leaves_what_is_known(committed, owed, relay_inbox, moment, state):
    message = owed()
    database = connection.settings_dict
    login = [str(database[name]) for name in ("HOST", "PORT", "NAME", "USER", "PASSWORD")]

    worker = subprocess.run(
        [sys.executable, "-c", WORKER, *login, str(relay_inbox.port), moment],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "1"},
        capture_output=True,
        check=False,
    )

    assert worker.returncode == -signal.SIGKILL, worker.stderr.decode()
    message.refresh_from_db()
    assert message.state == "sending"
    later(message, lease_until=F("lease_until") - delivery.DOT_LEASE)
    sweep()
    message.refresh_from_db()
    assert message.state == state
    assert not relay_inbox.mails
