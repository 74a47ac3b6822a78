"""Sending a notice: in batches, at its rate, once to each, and stopped when somebody stops it."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from consent.identifiers import Identity
from consent.models import Identifier, Subject
from consent.services import erase, merge, record
from messaging import batches, notices, services, tasks
from messaging.delivery import deliver, deliver_due
from messaging.models import DeliveryAttempt, Message, Notice
from messaging.models.template import MessageClass
from messaging.publishing import retire
from messaging.report import progress_of
from messaging.sweeping import sweep
from tests.factories import notice_text, opt_out
from tests.messaging.smtp import fault_server
from tests.messaging.test_notices import approved, people

pytestmark = pytest.mark.usefixtures("newsletter")


def started(ids, **facts):
    return notices.start(approved(ids, **facts), reason="Go", by="user:bela")


def states(notice):
    return sorted(notice.messages.values_list("state", flat=True))


def test_a_notice_goes_to_each_once_and_is_done_when_all_were_sent(relay_inbox):
    known = people("anna", "bela", "cem")
    record([opt_out("bela@example.org", "*", "*")])
    Subject.objects.filter(pk=known["cem"]).update(locale="de-AT")
    notice = started(known.values())

    assert batches.send_all() == 3
    deliver_due(transport=relay_inbox.relay())
    batches.send_all()

    notice.refresh_from_db()
    assert notice.state == "done"
    assert sorted(mail.recipients[0][:4] for mail in relay_inbox.mails) == ["anna", "bela", "cem@"]
    assert sum(b"Subject: Zu Ihren Daten" in mail.content for mail in relay_inbox.mails) == 1
    assert all(b"List-Unsubscribe" not in mail.content for mail in relay_inbox.mails)
    assert progress_of(notice).counts == {"sent": 3}
    assert set(notice.messages.values_list("lane", "on_doubt", "purpose")) == {("bulk", "ask", "")}


def test_the_rate_is_kept_by_the_rows_whoever_asks(monkeypatch):
    monkeypatch.setattr(batches, "AT_ONCE", 2)
    notice = started(people(*"abcdefg").values(), rate=5)

    assert batches.send_all() == 5
    Message.objects.filter(notice=notice).update(state="accepted")  # nothing waits any more

    assert batches.send_all() == 0  # this minute's are gone, for every process


def test_no_more_than_a_minutes_worth_waits(monkeypatch):
    """A relay that is away must not end in a flood."""
    monkeypatch.setattr(batches, "MINUTE", batches.MINUTE * 0)  # the minute is over
    notice = started(people(*"abcde").values(), rate=3)

    assert batches.send_all() == 3
    Message.objects.filter(pk=notice.messages.first().pk).update(state="accepted")

    assert batches.send_all() == 1


def test_those_who_are_asked_to_wait_keep_nobody_else_waiting(monkeypatch):
    """A large provider that answers 450 to each of its customers is no reason to leave out everybody else."""
    monkeypatch.setattr(batches, "MINUTE", batches.MINUTE * 0)  # the minute is over
    notice = started(people(*"abcde").values(), rate=2)
    batches.send_all()

    with fault_server(rcpt="450 4.2.1 greylisted") as server:
        deliver_due(transport=server.relay())

    assert states(notice) == ["retry_wait"] * 2
    assert batches.send_all() == 2
    Message.objects.filter(state="retry_wait").update(not_before=timezone.now())
    assert batches.send_all() == 0  # what is due again counts again


def test_what_is_published_after_the_approval_does_not_reach_the_people(relay_inbox):
    notice = started(people("anna").values())
    notice_text(notice.template_id, text="NEVER APPROVED ")

    batches.send_all()
    deliver_due(transport=relay_inbox.relay())

    assert b"NEVER" not in relay_inbox.mails[0].content
    assert notice.messages.get().template_version == notice.version


def test_a_text_that_was_retired_stops_its_notice():
    notice = started(people("anna").values())
    notice_text(notice.template_id)
    retire(notice.version, reason="It names the wrong date", by="user:olga")

    assert batches.send_all() == 0

    notice.refresh_from_db()
    assert notice.state == "paused"
    assert "was retired" in notice.events.last().reason


def test_a_pause_holds_what_is_not_on_its_way_and_resuming_goes_on_where_it_stopped(monkeypatch, relay_inbox):
    monkeypatch.setattr(batches, "AT_ONCE", 3)
    notice = started(people(*"abcde").values())
    batches.send_due()
    deliver(transport=relay_inbox.relay())
    single = notice.messages.filter(state="ready").first()
    services.hold(single, reason="Wrong address", by="user:olga")

    paused = notices.pause(notice, reason="Wrong date", by="user:rita")
    assert batches.send_all() == 0
    deliver_due(transport=relay_inbox.relay())
    assert states(notice) == ["accepted", "held", "held"]
    assert paused.events.last().facts == {"held": 1}

    notices.resume(paused, reason="The date is right", by="user:bela")
    batches.send_all()
    deliver_due(transport=relay_inbox.relay())

    assert states(notice) == ["accepted"] * 4 + ["held"]
    assert Message.objects.get(pk=single.pk).state == "held"
    assert len({mail.recipients[0] for mail in relay_inbox.mails}) == len(relay_inbox.mails) == 4


def test_what_comes_back_from_the_relay_during_a_pause_waits_too():
    notice = started(people("anna").values())
    batches.send_all()
    with fault_server(rcpt="451 4.3.0 later") as server:

        class Slow:
            name, is_idempotent, after, tells_when_long = "relay", False, 0.0, True

            def send(self, *mail):
                notices.pause(Notice.objects.get(pk=notice.pk), reason="Stop", by="user:rita")
                return server.relay().send(*mail)

        deliver(transport=Slow())

    message = notice.messages.get()
    assert (message.state, message.held_with_notice) == ("held", True)
    notices.resume(notice, reason="Go on", by="user:bela")
    assert states(notice) == ["retry_wait"]


def test_what_slipped_past_a_pause_is_held_by_the_next_look():
    notice = started(people("anna").values())
    batches.send_all()
    Notice.objects.filter(pk=notice.pk).update(state="paused")

    assert batches.tend() == 1

    assert states(notice) == ["held"]


def test_what_was_resumed_while_the_look_was_on_its_way_is_not_held(committed):
    notice = started(people("anna").values())
    batches.send_all()
    Notice.objects.filter(pk=notice.pk).update(state="paused")

    with ThreadPoolExecutor(1) as other:
        with transaction.atomic():
            notices.resume(notice, reason="Go on", by="user:bela")
            looking = other.submit(in_a_session_of_its_own, batches.tend)
            while not looking.done() and not somebody_waits_for_a_lock():
                time.sleep(0.01)
        assert looking.result(10) == 0

    assert states(notice) == ["ready"]


def somebody_waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return cursor.fetchone()[0]


def test_an_address_that_cannot_be_opened_is_told_and_stops_nobody_elses_message(relay_inbox):
    known = people("anna", "bela")
    notice = started(known.values())
    Identifier.objects.filter(subject=known["anna"]).update(sealed=b"sealed by another key, some time ago")

    batches.send_all()
    deliver_due(transport=relay_inbox.relay())

    failed = notice.messages.get(subject_id=known["anna"])
    assert (failed.state, "PRIVACY_KEY" in failed.last_error) == ("render_failed", True)
    assert [mail.recipients for mail in relay_inbox.mails] == [["bela@example.org"]]
    assert progress_of(notice).counts == {"failed": 1, "sent": 1}


def test_what_could_not_be_made_ready_is_made_of_the_approved_text_when_it_can_be(relay_inbox):
    known = people("anna")
    notice = started(known.values())
    sealed = Identifier.objects.get(subject=known["anna"]).sealed
    Identifier.objects.filter(subject=known["anna"]).update(sealed=b"sealed by another key, some time ago")
    batches.send_all()
    Message.objects.update(sealed_recipient=sealed)

    notice_text(notice.template_id, text="NEVER APPROVED ")  # publishing tries again what waited for a good text
    deliver_due(transport=relay_inbox.relay())

    assert b"NEVER" not in relay_inbox.mails[0].content
    assert notice.messages.get().template_version == notice.version


def test_an_address_that_no_mail_can_be_written_to_stops_nobody_else():
    known = people("anna", "bela")
    notice = started(known.values())
    unusable = Identity("email", "an address that no header takes").seal()
    Identifier.objects.filter(subject=known["anna"]).update(sealed=unusable)

    batches.send_all()

    assert states(notice) == ["ready", "render_failed"]
    assert "correct it" in notice.messages.get(state="render_failed").last_error


def test_a_notice_that_breaks_does_not_stop_the_next_one(monkeypatch):
    known = people("anna", "bela")
    broken, whole = started([known["anna"]]), started([known["bela"]])

    def enqueue(messages):
        if messages[0].notice_id == broken.pk:
            raise RuntimeError("a fault of ours")
        services.enqueue(messages)

    monkeypatch.setattr(batches, "enqueue", enqueue)

    assert batches.send_due() == 1

    assert (broken.messages.count(), whole.messages.count()) == (0, 1)


def test_cancelling_withdraws_what_did_not_leave_and_calls_nothing_withdrawn_that_may_have_been_sent(relay_inbox):
    notice = started(people("anna", "bela", "cem").values())
    batches.send_all()
    deliver(transport=relay_inbox.relay())
    doubtful = notice.messages.filter(state="ready").first()
    attempt = DeliveryAttempt.objects.create(message=doubtful, number=1, transport="x", lease=doubtful.pk)
    DeliveryAttempt.objects.filter(pk=attempt.pk).update(phase="ponr")

    notices.cancel(notice, reason="Sent to the wrong list", by="user:bela")

    assert states(notice) == ["accepted", "cancelled", "closed_unknown"]
    assert progress_of(notice).counts == {"sent": 1, "withdrawn": 1, "unknown": 1}
    with pytest.raises(Exception, match="cancelled: it cannot be resumed"):
        notices.resume(notice, reason="No", by="user:bela")


def test_somebody_who_opts_out_between_counting_and_sending_gets_no_update(relay_inbox):
    notice = started(people("anna").values(), message_class=MessageClass.CONSENT_UPDATE, purpose="newsletter")
    batches.send_all()
    record([opt_out("anna@example.org", "newsletter")])

    deliver_due(transport=relay_inbox.relay())

    assert relay_inbox.mails == []
    assert progress_of(notice).counts == {"suppressed": 1}


def test_somebody_who_was_erased_since_the_counting_leaves_only_a_number():
    known = people("anna", "bela")
    notice = started(known.values())
    erase(known["anna"], by="user:olga")

    batches.send_all()
    sweep()

    message = notice.messages.get(subject_id=known["anna"])
    assert (message.state, message.sealed_recipient, message.sealed_raw) == ("suppressed", None, None)
    assert progress_of(notice).counts == {"suppressed": 1, "waiting": 1}


def test_somebody_who_was_erased_while_a_notice_waited_is_not_written_to(relay_inbox):
    known = people("anna", "bela")
    notice = started(known.values(), message_class=MessageClass.PRIVACY_NOTICE)
    batches.send_all()
    notices.pause(notice, reason="Stop", by="user:rita")
    erase(known["anna"], by="user:olga")

    notices.resume(notice, reason="Go on", by="user:bela")
    deliver_due(transport=relay_inbox.relay())

    assert [mail.recipients for mail in relay_inbox.mails] == [["bela@example.org"]]
    assert progress_of(notice).counts == {"suppressed": 1, "sent": 1}


def test_two_workers_do_not_take_the_same_notice(committed):
    notice = started(people("anna").values())

    with ThreadPoolExecutor(1) as other, transaction.atomic():
        Notice.objects.select_for_update().get(pk=notice.pk)
        taken = other.submit(in_a_session_of_its_own, batches.send_batch, notice.pk).result(10)

    assert taken == 0
    assert batches.send_batch(notice.pk) == 1


def in_a_session_of_its_own(work, *arguments):
    try:
        return work(*arguments)
    finally:
        connections.close_all()


def test_two_who_turn_out_to_be_one_person_get_one_mail():
    known = people("anna", "bela")
    notice = started(known.values())
    merge(known["bela"], known["anna"], reason="One person", by="user:olga")

    batches.send_all()

    assert notice.messages.get().subject_id == known["anna"]
    assert progress_of(notice).counts == {"left_out": 1, "waiting": 1}


def test_the_database_refuses_a_message_of_a_notice_that_is_not_being_sent_or_to_somebody_else():
    known = people("anna", "bela")
    notice = approved([known["anna"]])

    def owe(person):
        with transaction.atomic():
            services.enqueue([batches.message_of(notice, notice.version, known[person], "en")])

    with pytest.raises(DatabaseError, match="not being sent"):
        owe("anna")
    notices.start(notice, reason="Go", by="user:bela")
    with pytest.raises(DatabaseError, match="not to this person"):
        owe("bela")


def test_every_recipient_is_in_exactly_one_place(relay_inbox, monkeypatch):
    monkeypatch.setattr(batches, "AT_ONCE", 3)
    known = people(*"abcdef")
    erase(known["f"], by="user:olga")
    notice = started(known.values())
    batches.send_due()
    deliver(transport=relay_inbox.relay())

    progress = progress_of(notice)

    assert progress.counts == {"left_out": 1, "not_yet_owed": 2, "waiting": 2, "sent": 1}
    assert sum(progress.counts.values()) == progress.total == notice.recipients.count()


def test_a_batch_takes_as_many_statements_for_many_as_for_few(django_assert_max_num_queries):
    notice = started(people(*(f"person{n}" for n in range(60))).values())

    with django_assert_max_num_queries(21):
        batches.send_batch(notice.pk)

    assert notice.messages.count() == 60


def die_between_batches(database, notice_id):
    """In a process of its own: one batch committed, the next one begun and killed before its commit."""
    connections.close_all()
    connections["default"].settings_dict.update(database)
    batches.AT_ONCE = 2
    batches.send_batch(notice_id)
    with transaction.atomic():
        batches.send_batch(notice_id)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_between_batches_leaves_nobody_out_and_nobody_twice(committed):
    notice = started(people(*"abcde").values())
    settings = {name: connection.settings_dict[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    connections.close_all()
    victim = multiprocessing.get_context("fork").Process(target=die_between_batches, args=(settings, notice.pk))
    victim.start()
    victim.join(30)
    assert victim.exitcode == -signal.SIGKILL
    assert notice.messages.count() == 2

    tasks.send_notices.run()  # its nudge is lost: there is no broker here

    assert notice.messages.count() == 5
    assert notice.messages.values("subject_id").distinct().count() == 5
