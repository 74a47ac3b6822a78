"""Several transports: which one a message takes, when it moves on, and what keeps it where it is."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from celery.signals import worker_process_init
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from consent.models import Decision
from consent.services import record
from messaging import health, outcomes
from messaging.checks import spool_takes_something, transports, transports_are_encrypted
from messaging.claiming import claim
from messaging.confirmations import confirmations_of
from messaging.delivery import deliver, deliver_due, finish, pass_point_of_no_return
from messaging.doubts import agree, propose, withdraw
from messaging.holding import held_besides, hold_sending, let_go
from messaging.models import DeliveryAttempt, Message, MessageClass, SendHold, Suppression
from messaging.routing import Routes
from messaging.services import NewMessage, close_unknown, enqueue, note, resend
from messaging.sweeping import DOUBT_WINDOW, REMEMBERED, sweep
from messaging.tasks import take_answers_from_disk
from messaging.transports.configured import SMS, is_unencrypted, transport_of
from messaging.transports.replies import Reply
from messaging.transports.smtp import Address, Relay
from tests.factories import opt_out
from tests.messaging.http import DROP, calls
from tests.messaging.smtp import fault_server, free_port

pytestmark = pytest.mark.usefixtures("newsletter")


def owe(*addresses):
    made = record([opt_out(address, "newsletter") for address in addresses or ["anna@example.org"]])
    enqueue(confirmations_of(Decision.objects.filter(pk__in=[decision.id for decision in made])))
    return Message.objects.order_by("created_at").first()


def by_smtp(name, server):
    port = server.server_address[1] if hasattr(server, "server_address") else server.port
    return f"{name}=smtp://127.0.0.1:{port}?connect=0.3&command=0.3&dot=0.3"


def dead(name):
    return f"{name}=smtp://127.0.0.1:{free_port()}?connect=0.3"


def by(message):
    return list(message.attempts.order_by("number").values_list("transport", "outcome"))


# Moving on


@pytest.mark.parametrize(
    "fault",
    [
        {"greeting": "554 out of order"},
        {"mail": "421 4.3.2 shutting down"},
        {"rcpt": "554 5.7.1 Relay access denied"},
        {"data": "530 5.7.0 Authentication required"},
        {"dot": "550 5.7.60 Client does not have permissions to send as this sender"},
    ],
)
def test_what_a_relay_could_not_take_leaves_at_once_by_the_next(sending_by, relay_inbox, fault):
    message = owe()
    with fault_server(**fault) as broken:
        sending_by(by_smtp("relay", broken), by_smtp("backup", relay_inbox))

        deliver_due()

    assert by(message) == [("relay", "retry_wait"), ("backup", "accepted")]


def test_a_relay_that_refuses_everybody_is_not_believed_for_long(sending_by, relay_inbox):
    """In words that nobody knew, or since it lost its list of recipients. Who was refused before that was noticed is
    tried again.
    """
    whoever = health.BELIEVED + 4
    owe(*[f"person{number}@example.org" for number in range(whoever)])
    with fault_server(rcpt="550 5.1.1 no such user") as broken:
        sending_by(by_smtp("relay", broken), by_smtp("backup", relay_inbox))

        deliver_due()

    states = list(Message.objects.order_by("state").values_list("state", flat=True))
    assert states == ["accepted"] * 4 + ["rejected"] * health.BELIEVED
    assert health.TransportHealth.objects.get(pk="relay").last_error == "550 5.1.1 no such user"

    sweep()
    assert not any(suppression.holds() for suppression in Suppression.objects.all())
    deliver_due()

    assert set(Message.objects.values_list("state", flat=True)) == {"accepted"}
    assert len(relay_inbox.mails) == whoever


def test_who_was_refused_before_somebody_was_taken_stays_refused(sending_by):
    message = owe()
    with fault_server(rcpt="550 5.1.1 no such user") as broken:
        sending_by(by_smtp("relay", broken))
        deliver_due()
    health.worked("relay")
    for _ in range(health.BELIEVED + 1):
        health.refused("relay")

    sweep()

    message.refresh_from_db()
    assert message.state == "rejected"


def test_one_who_is_taken_ends_the_row_of_those_who_were_refused():
    for _ in range(2):
        health.worked("relay")
        assert all(health.refused("relay") for _ in range(health.BELIEVED))

    assert not health.refused("relay")


def test_after_silence_at_the_end_nothing_moves_on(sending_by, relay_inbox):
    message = owe()
    with fault_server(dot="drop") as broken:
        sending_by(by_smtp("relay", broken), by_smtp("backup", relay_inbox))

        deliver_due()
        sweep()
        deliver_due()

    message.refresh_from_db()
    assert (message.state, relay_inbox.mails) == ("in_doubt", [])


def test_a_recipient_who_is_asked_to_wait_waits_at_the_same_relay(sending_by, relay_inbox):
    message = owe()
    with fault_server(rcpt="451 4.7.1 greylisted, come back") as broken:
        sending_by(by_smtp("relay", broken), by_smtp("backup", relay_inbox))

        deliver_due()

    message.refresh_from_db()
    assert (message.state, message.transport, relay_inbox.mails) == ("retry_wait", "relay", [])


def test_a_round_that_nothing_took_begins_again_after_a_pause(sending_by):
    message = owe()
    sending_by(dead("relay"), dead("backup"))

    deliver_due()

    message.refresh_from_db()
    assert by(message) == [("relay", "retry_wait"), ("backup", "retry_wait")]
    assert (message.state, message.transport) == ("retry_wait", "")
    assert message.not_before > timezone.now()


def test_a_relay_that_keeps_failing_is_passed_by_without_trying(sending_by, relay_inbox):
    for _ in range(health.OPENS_AFTER):
        health.failed("relay", "out of order")
    message = owe()
    sending_by(dead("relay"), by_smtp("backup", relay_inbox))

    deliver_due()

    assert by(message) == [("backup", "accepted")]


def test_when_the_pause_is_over_one_worker_tries_and_the_others_wait_for_that():
    for _ in range(health.OPENS_AFTER):
        health.failed("relay", "out of order")
    health.TransportHealth.objects.update(open_until=timezone.now() - timedelta(seconds=1))

    assert [health.may_try("relay"), health.may_try("relay")] == [True, False]


def test_mail_moves_on_from_a_relay_to_a_provider_that_is_spoken_to_by_http(sending_by):
    message = owe()
    good = (200, {"ErrorCode": 0, "Message": "OK", "MessageID": "pm-1", "To": "anna@example.org"})
    with calls(good) as server:
        sending_by(dead("relay"), f"backup=anymail://postmark?server_token=x&api_url={server.url}/")
        deliver_due()

    assert by(message) == [("relay", "retry_wait"), ("backup", "accepted")]
    assert message.attempts.get(number=2).queue_id == "pm-1"


# The last resort


def test_a_last_resort_has_a_message_only_after_it_has_waited_that_long(sending_by, tmp_path):
    message = owe()
    for _ in range(health.OPENS_AFTER):
        health.failed("relay", "out of order")
    sending_by(dead("relay"), f"disk=file://{tmp_path}/unsent?after=3600")

    deliver_due()
    assert not (tmp_path / "unsent").exists()
    Message.objects.update(created_at=timezone.now() - timedelta(hours=2), not_before=timezone.now())
    deliver_due()

    message.refresh_from_db()
    assert message.state == "filed"  # never accepted: no relay has it
    assert (tmp_path / "unsent" / f"{message.pk}.eml").exists()


def test_what_lies_in_a_file_is_sent_again_by_a_person_when_a_relay_is_back(sending_by, tmp_path, relay_inbox):
    message = owe()
    Message.objects.update(created_at=timezone.now() - timedelta(hours=2), state="filed", transport="disk")
    sending_by(by_smtp("relay", relay_inbox), f"disk=file://{tmp_path}/unsent?after=3600")

    resend(message, reason="The relay is back", by="user:anna")
    deliver_due()

    message.refresh_from_db()
    assert (message.state, len(relay_inbox.mails)) == ("accepted", 1)


# Doubts that a transport can clear


def test_a_transport_that_makes_one_of_two_is_asked_again_and_clears_the_doubt(sending_by):
    message = owe()
    with calls(DROP, (200, {"id": "re-1"})) as server:
        sending_by(f"mail=anymail://resend?api_key=x&api_url={server.url}/")
        deliver_due()
        message.refresh_from_db()
        assert message.state == "in_doubt"

        sweep()
        deliver_due()

    message.refresh_from_db()
    assert (message.state, message.possible_duplicate) == ("accepted", False)
    assert len(server.taken) == 2


def test_a_doubt_at_such_a_transport_is_never_taken_to_another(sending_by, relay_inbox):
    message = owe()
    with calls(DROP) as server:
        sending_by(f"mail=anymail://resend?api_key=x&api_url={server.url}/", by_smtp("backup", relay_inbox))
        deliver_due()
        sweep()
        for _ in range(health.OPENS_AFTER):
            health.failed("mail", "out of order")
        deliver_due()

    message.refresh_from_db()
    assert (message.state, message.is_pinned, relay_inbox.mails) == ("retry_wait", True, [])


def doubtful_at(transport, age, **facts):
    """In doubt since so long at a transport that was to be asked again."""
    message, since = owe(), timezone.now() - age
    DeliveryAttempt.objects.create(
        message=message, number=1, transport=transport, lease=message.pk, phase="ponr", outcome="in_doubt",
        started_at=since, ended_at=since,
    )  # fmt: skip
    pinned = {"state": "retry_wait", "is_pinned": True, "transport": transport, "attempts_made": 1}
    Message.objects.update(**pinned | facts)
    return message


@pytest.mark.parametrize("minutes", [1, REMEMBERED.total_seconds() // 60 + 1])
def test_what_cannot_be_asked_any_more_or_could_not_in_time_is_in_doubt_again(sending_by, relay_inbox, minutes):
    with calls() as server:
        asked = f"mail=anymail://resend?api_key=x&api_url={server.url}/"
        sending_by(*([asked] if minutes > 1 else []), by_smtp("backup", relay_inbox))
        message = doubtful_at("mail", timedelta(minutes=minutes), on_doubt="never")

        sweep()
        deliver_due()

    message.refresh_from_db()
    assert (message.state, message.is_pinned, server.taken, relay_inbox.mails) == ("in_doubt", False, [], [])


@pytest.mark.parametrize("decided_by", ["time", "staff", "staff after the last try"])
def test_once_it_is_decided_that_a_doubt_goes_again_it_goes_by_what_works(sending_by, relay_inbox, decided_by):
    sending_by(by_smtp("backup", relay_inbox))
    state = "failed" if "last" in decided_by else "in_doubt"
    message = doubtful_at("mail", DOUBT_WINDOW, state=state, on_doubt="resend" if decided_by == "time" else "never")

    if decided_by != "time":
        resend(message, reason="Nothing in the provider's log", by="user:anna")
    sweep()
    deliver_due()

    message.refresh_from_db()
    assert (message.state, message.possible_duplicate, len(relay_inbox.mails)) == ("accepted", True, 1)


# Lanes and holds


def test_a_bulk_is_sent_after_what_people_wait_for_and_by_workers_of_its_own(relay_inbox):
    owe("bulk@example.org", "person@example.org")
    Message.objects.filter(pk=Message.objects.order_by("created_at")[:1].values("pk")).update(lane="bulk")

    deliver_due(transport=relay_inbox.relay(), lane="critical")
    assert len(relay_inbox.mails) == 1
    deliver_due(transport=relay_inbox.relay(), lane="bulk")

    assert len(relay_inbox.mails) == 2


def test_a_text_stands_behind_no_mail_that_is_older(relay_inbox):
    owe("mail@example.org", "text@example.org")
    last = Message.objects.order_by("created_at").last()
    Message.objects.filter(pk=last.pk).update(lane="text")

    deliver_due(1, relay_inbox.relay())

    assert [mail.recipients for mail in relay_inbox.mails] == [[last.recipient]]


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("lane", "critical"),
        ("message_class", "confirmation"),
        ("template", "opt_out_confirmation"),
        ("transport", "relay"),
    ],
)
def test_what_is_held_waits_and_goes_on_by_itself_when_it_is_let_go(sending_by, relay_inbox, scope, value):
    owe()
    sending_by(by_smtp("relay", relay_inbox))
    held = hold_sending(scope, value, reason="Wrong text", by="user:anna")

    deliver_due()
    assert not relay_inbox.mails
    let_go(held, reason="Mended", by="user:bela")
    deliver_due()

    assert len(relay_inbox.mails) == 1


def test_a_held_transport_is_passed_by(sending_by, relay_inbox):
    message = owe()
    sending_by(dead("relay"), by_smtp("backup", relay_inbox))
    hold_sending("transport", "relay", reason="Blocklisted", by="user:anna")

    deliver_due()

    assert by(message) == [("backup", "accepted")]


def test_a_hold_with_an_end_ends_by_itself_and_can_be_made_again(relay_inbox):
    owe()
    ended = {"held_at": timezone.now() - timedelta(hours=2), "until": timezone.now() - timedelta(hours=1)}
    SendHold.objects.create(scope="lane", value="critical", reason="A moment", held_by="user:anna", **ended)

    deliver_due(transport=relay_inbox.relay())

    assert len(relay_inbox.mails) == 1
    assert hold_sending("lane", "critical", reason="Again", by="user:anna").reason == "Again"
    assert SendHold.objects.get(reason="A moment").released_by == "system:clock"


def test_several_hold_the_same_and_each_lets_go_of_their_own(relay_inbox):
    owe()
    anna = hold_sending("lane", "critical", reason="Wrong text", by="user:anna")
    ben = hold_sending("lane", "critical", reason="Blocklisted", by="user:ben")
    assert hold_sending("lane", "critical", reason="Still", by="user:ben") == ben

    let_go(anna, reason="Mended", by="user:anna")
    assert held_besides(anna) == ["user:ben"]
    deliver_due(transport=relay_inbox.relay())
    assert not relay_inbox.mails
    let_go(ben, reason="Listed no more", by="user:ben")
    deliver_due(transport=relay_inbox.relay())

    assert len(relay_inbox.mails) == 1


@pytest.mark.parametrize(("first", "then", "ends"), [(5, None, None), (5, 60, 60), (60, 5, 60), (None, 5, None)])
def test_a_hold_that_is_asked_for_again_lasts_as_long_as_the_longer(first, then, ends):
    now = timezone.now()
    moments = {minutes: now + timedelta(minutes=minutes) if minutes else None for minutes in (first, then, ends)}
    hold_sending("lane", "bulk", reason="First", by="user:anna", until=moments[first])

    hold_sending("lane", "bulk", reason="Then", by="user:anna", until=moments[then])

    assert SendHold.objects.get(released_at=None).until == moments[ends]


@pytest.mark.parametrize(
    ("scope", "value", "said"),
    [
        ("lane", "fast", "Known: text, critical, bulk"),
        ("template", "nonsense", "opt_out_confirmation"),
        ("x", "y", "Choose"),
    ],
)
def test_a_hold_of_something_unknown_is_refused_with_what_there_is(scope, value, said):
    with pytest.raises(ValidationError, match=said):
        hold_sending(scope, value, reason="Please", by="user:anna")


def test_the_database_keeps_who_held_what_and_why():
    hold = hold_sending("lane", "bulk", reason="Incident", by="user:anna")

    with pytest.raises(DatabaseError, match="only let go"), transaction.atomic():
        SendHold.objects.filter(pk=hold.pk).update(reason="Other")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM messaging_sendhold")


# Four eyes


@pytest.fixture
def doubtful():
    """A notice that the law asks for, in doubt."""
    message = owe()
    Message.objects.update(
        state="in_doubt", message_class=MessageClass.INCIDENT_NOTICE, on_doubt="ask", attempts_made=1
    )
    message.refresh_from_db()
    return message


@pytest.mark.parametrize("verb", [resend, close_unknown])
def test_a_doubt_about_what_the_law_asks_for_is_not_one_persons_to_decide(doubtful, verb):
    with pytest.raises(ValidationError, match="another agrees"):
        verb(doubtful, reason="I know", by="user:anna")


@pytest.mark.parametrize(("verdict", "state"), [("resend", "retry_wait"), ("close", "closed_unknown")])
def test_two_people_decide_it(doubtful, verdict, state):
    ruling = propose(doubtful, verdict, reason="Nothing in the relay's log", by="user:anna")

    with pytest.raises(ValidationError, match="somebody else"):
        agree(ruling, reason="Yes", by="user:anna")
    agree(ruling, reason="I looked too", by="user:bela")

    doubtful.refresh_from_db()
    assert (doubtful.state, doubtful.possible_duplicate) == (state, verdict == "resend")
    assert [event.payload["by"] for event in doubtful.events.order_by("pk")] == ["user:anna", "user:bela"]


def test_what_two_closed_as_unknown_takes_two_to_be_sent_again(doubtful):
    agree(propose(doubtful, "close", reason="The log is gone", by="user:anna"), reason="Yes", by="user:bela")

    with pytest.raises(ValidationError, match="another agrees"):
        resend(doubtful, reason="It turned up", by="user:anna")
    with pytest.raises(DatabaseError, match="two people"), transaction.atomic():
        Message.objects.filter(pk=doubtful.pk).update(state="retry_wait", possible_duplicate=True)
    with pytest.raises(ValidationError, match="closed as unknown"):
        propose(doubtful, "close", reason="Once more", by="user:anna")

    agree(propose(doubtful, "resend", reason="It turned up", by="user:anna"), reason="I saw it", by="user:bela")
    doubtful.refresh_from_db()
    assert (doubtful.state, doubtful.possible_duplicate) == ("retry_wait", True)


@pytest.mark.parametrize("settled", ["accepted", "rejected"])
def test_an_agreement_that_comes_after_the_answer_sends_nothing_again(doubtful, settled):
    ruling = propose(doubtful, "resend", reason="Nothing in the relay's log", by="user:anna")
    Message.objects.filter(pk=doubtful.pk).update(state=settled, settled_at=timezone.now())

    with pytest.raises(ValidationError, match="It is not in doubt"):
        agree(ruling, reason="I looked too", by="user:bela")

    doubtful.refresh_from_db()
    ruling.refresh_from_db()
    assert (doubtful.state, ruling.is_open) == (settled, True)


def test_two_people_decide_each_doubt_anew(doubtful):
    agree(propose(doubtful, "resend", reason="Not in the log", by="user:anna"), reason="Yes", by="user:bela")
    DeliveryAttempt.objects.create(
        message=doubtful, number=2, transport="relay", lease=doubtful.pk, phase="ponr", outcome="in_doubt",
        ended_at=timezone.now() + timedelta(seconds=1),
    )  # fmt: skip
    Message.objects.filter(pk=doubtful.pk).update(state="in_doubt", attempts_made=2)

    with pytest.raises(DatabaseError, match="two people"), transaction.atomic():
        Message.objects.filter(pk=doubtful.pk).update(state="retry_wait")


def test_a_transport_that_is_asked_again_or_answers_late_needs_nobody(doubtful):
    Message.objects.filter(pk=doubtful.pk).update(state="retry_wait", is_pinned=True)
    Message.objects.filter(pk=doubtful.pk).update(state="in_doubt", possible_duplicate=True)

    note(doubtful, "relay", "late_reply", {"attempt": 1, "outcome": "retry_wait"})
    Message.objects.filter(pk=doubtful.pk).update(state="retry_wait")


def test_a_proposal_that_was_withdrawn_leaves_the_doubt_and_room_for_another(doubtful):
    ruling = propose(doubtful, "resend", reason="It bounced before", by="user:anna")
    with pytest.raises(ValidationError, match="Agree with it, or withdraw it first"):
        propose(doubtful, "close", reason="No", by="user:bela")

    withdraw(ruling, reason="It had not", by="user:bela")

    doubtful.refresh_from_db()
    assert doubtful.state == "in_doubt"
    assert propose(doubtful, "close", reason="Nobody knows", by="user:bela").is_open
    with pytest.raises(ValidationError, match="decided already"):
        agree(ruling, reason="Yes", by="user:cleo")


@pytest.mark.parametrize(
    "change",
    [
        {"state": "closed_unknown"},
        {"state": "retry_wait", "possible_duplicate": True},
        {"state": "held"},
        {"state": "closed_unknown", "on_doubt": "never"},
    ],
)
def test_the_database_asks_for_the_second_person_too(doubtful, change):
    with pytest.raises(DatabaseError, match="two people"), transaction.atomic():
        Message.objects.filter(pk=doubtful.pk).update(**change)


def test_a_message_takes_the_policy_of_its_class_unless_its_sender_says_otherwise():
    message = owe()
    assert message.on_doubt == "resend"

    common = {"subject_id": message.subject_id, "context": {"ref": "PR-1", "answer": "x"}}
    enqueue(
        [
            NewMessage(template_key="request_answered", cause="bulk", lane="bulk", **common),
            NewMessage(template_key="request_answered", cause="said", on_doubt="never", **common),
        ]
    )

    assert sorted(Message.objects.exclude(pk=message.pk).values_list("lane", "on_doubt")) == [
        ("bulk", "ask"),
        ("critical", "never"),
    ]


# The database away


@pytest.fixture
def handed_over(settings, tmp_path):
    """A message past its point of no return, with an answer to write down."""
    settings.SPOOL_DIR = str(tmp_path)
    owe()
    [claimed] = claim(routes=Routes.only(Relay(Address(host="127.0.0.1", port=1))))
    pass_point_of_no_return(claimed)
    return claimed


ANSWER = Reply(250, "2.0.0 Ok: queued as 4F2A")


def test_an_acceptance_lies_on_disk_while_the_database_is_away_and_is_written_when_it_is_back(committed, handed_over):
    with committed.away():
        assert finish(handed_over, "accepted", ANSWER) == "accepted"

    sweep()

    message = Message.objects.get()
    assert (message.state, message.attempts.get().queue_id) == ("accepted", "4F2A")
    assert outcomes.replay() == 0


class Looks:
    """Something happens before each look; after the last one it ends."""

    def __init__(self, *before):
        self.before = list(before)

    def wait(self, seconds):
        if self.before:
            self.before.pop(0)()
            return False
        return True


def test_each_process_that_sends_takes_answers_from_its_hosts_disk_once_the_database_is_back(committed, handed_over):
    outcomes.keep(outcomes.Outcome.of(handed_over, "accepted", ANSWER, None, timedelta(0)))

    with ExitStack() as stack:
        outcomes.keep_replaying(Looks(lambda: stack.enter_context(committed.away()), stack.close))

    assert Message.objects.get().state == "accepted"
    assert take_answers_from_disk in [receiver() for _, receiver in worker_process_init.receivers]


def test_an_outcome_that_is_read_twice_is_told_once(handed_over, settings):
    outcome = outcomes.Outcome.of(handed_over, "accepted", ANSWER, None, timedelta(0))
    Message.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    sweep()
    outcomes.keep(outcome)
    outcomes.keep(outcome)

    outcomes.replay()

    message = Message.objects.get()
    assert (message.state, message.events.count()) == ("accepted", 1)


def test_a_line_that_a_crash_cut_off_does_not_stop_the_others(handed_over):
    outcomes.keep(outcomes.Outcome.of(handed_over, "accepted", ANSWER, None, timedelta(0)))
    with (outcomes._folder() / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"message": "b0a7')

    assert outcomes.replay() == 1
    assert Message.objects.get().state == "accepted"


def test_a_line_that_the_database_cannot_take_is_put_aside_and_does_not_stop_the_others(committed, handed_over):
    good = outcomes.Outcome.of(handed_over, "accepted", ANSWER, None, timedelta(0))
    outcomes.keep(replace(good, message="not a number"))
    outcomes.keep(good)

    assert outcomes.replay() == 1
    assert Message.objects.get().state == "accepted"
    assert b"not a number" in (outcomes._folder() / "refused.jsonl").read_bytes()


def test_a_look_at_what_waits_on_disk_writes_nothing_there(settings, tmp_path):
    settings.SPOOL_DIR = str(tmp_path / "not-there")  # as where the image's own disk is read-only

    sweep()

    assert not (tmp_path / "not-there").exists()


def test_a_spool_that_takes_nothing_is_found_before_it_is_needed(settings, tmp_path):
    settings.SPOOL_DIR = str(tmp_path / "spool")
    assert spool_takes_something() == []

    (tmp_path / "file").write_text("in its place")
    settings.SPOOL_DIR = str(tmp_path / "file" / "spool")

    [error] = spool_takes_something()
    assert (error.id, str(tmp_path / "file") in error.msg) == ("messaging.E008", True)
    assert "share" in error.hint


# Settings


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("smtp://relay.example", "name=address"),
        ("relay=imap://relay.example", "begins with none of smtp://"),
        ("relay=smtp://", "names no host"),
        ("relay=smtp://relay.example?timeout=3", "no option timeout"),
        ("relay=smtp://relay.example?dot=soon", "dot is a number of seconds"),
        ("relay=smtp://relay.example?dot=-1", "dot is a number of seconds"),
        ("relay=smtp://relay.example?connect=nan", "connect is a number of seconds"),
        ("relay=smtp://relay.example?connect=", "connect is a number of seconds"),
        ("relay=smtp://relay.example:0", "from 1 to 65535"),
        ("relay=smtp://relay.example:abc", "from 1 to 65535"),
        ("relay=smtp://[::1", "this is no address"),
        ("relay=smtp://relay.example/inbox", "a relay has no path"),
        ("relay=smtp+tls://user@relay.example", "a user and a password, or neither"),
        ("relay=smtp://one.example:587,two=smtp://two.example", "this is no address"),
        ("relay=smtp://relay.example?dot=900", "command and dot 660"),
        ("relay=smtp://relay.example?connect=120", "connect and command may be 150 seconds"),
        ("backup=anymail://nobody?api_key=x", "backup: django-anymail has no provider 'nobody'"),
        ("disk=file://unsent", "an/absolute/folder"),
        ("disk=file:///unsent?aftr=5", "no option aftr; known: after"),
        ("disk=file:///unsent?after=soon", "after is a number of seconds"),
    ],
)
def test_a_transport_that_is_none_says_what_to_write(entry, said):
    with pytest.raises(ImproperlyConfigured, match=said):
        transport_of(entry)


@pytest.mark.parametrize(
    ("option", "said"), [("?idempotent=yes", "write idempotent=1"), ("?idempotnt=1", "no option idempotnt")]
)
def test_a_gateway_that_is_none_says_what_to_write(option, said):
    with pytest.raises(ImproperlyConfigured, match=said):
        transport_of(f"texts=https://:t0ken@gateway.example/send{option}", SMS)


@pytest.mark.parametrize("password", ["pw#rd@", "pw/rd", "pw?rd", "pw/r@d", "12?rd", "12/rd"])
def test_a_password_that_would_make_another_address_is_refused_and_not_repeated(password):
    """Read as it stands, mail and the beginning of the password would go to a host that nobody meant."""
    entry = f"relay=smtp+tls://user:{password}@relay.example:587"

    with pytest.raises(ImproperlyConfigured, match="%40") as refused:
        transport_of(entry)

    assert "pw" not in str(refused.value)
    assert "12" not in str(refused.value)
    assert not is_unencrypted(entry)


def test_a_password_is_what_its_percent_signs_say():
    relay = transport_of("relay=smtp+tls://us%40er:p%40%23%2F%3Fw@relay.example")

    assert (relay.address.user, relay.address.password, relay.address.port) == ("us@er", "p@#/?w", 587)


def test_wrong_transports_are_found_at_start_up_with_a_cure(settings):
    settings.MAIL_TRANSPORTS = ["relay=nonsense://x", "disk=file:///unsent", "disk=file:///unsent"]
    settings.TEXT_TRANSPORTS = ["texts=https://gateway.example"]
    settings.MAIL_FROM = "Nobody"

    found = {problem.id for problem in run_checks() if problem.id.startswith("messaging.")}
    assert found == {"messaging.E001", "messaging.E002", "messaging.E003"}
    assert "smtp+tls://" in transports()[0].hint
    settings.MAIL_TRANSPORTS = ["disk=file:///unsent"]
    settings.TEXT_TRANSPORTS = ["disk=file:///unsent/texts"]
    assert "two transports are called disk" in next(p for p in transports() if p.id == "messaging.E003").msg
    assert "messaging.E004" in {problem.id for problem in transports()}


def test_a_provider_without_its_key_is_found_at_start_up(settings):
    settings.MAIL_TRANSPORTS = ["backup=anymail://postmark"]

    assert transports()[0].id == "messaging.E001"


def test_a_relay_elsewhere_without_encryption_is_warned_of(settings):
    settings.MAIL_TRANSPORTS = ["relay=smtp://relay.example", "near=smtp://127.0.0.1"]

    [warning] = transports_are_encrypted()
    assert (warning.id, warning.msg) == ("messaging.W001", "relay: messages travel to it unencrypted.")


def test_one_message_is_delivered_by_its_number(sending_by, relay_inbox):
    owe("anna@example.org", "bela@example.org")
    sending_by(by_smtp("relay", relay_inbox))
    last = Message.objects.order_by("created_at").last()

    deliver(last.pk)

    assert [mail.recipients for mail in relay_inbox.mails] == [[last.recipient]]
