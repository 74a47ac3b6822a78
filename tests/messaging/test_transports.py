"""What a relay can do to a message, and what we know afterwards: sent, not sent, or in doubt; never a guess."""

import socket
from uuid import uuid4

import pytest

from messaging.transports import smtp
from messaging.transports.replies import Envelope, InDoubt, LeaseLost, NotSent, Permanent, Reply, Temporary
from messaging.transports.smtp import Address, Relay
from tests.messaging.smtp import DROP, HANG, QUICK, fault_server, free_port, inbox

MAIL = b"Subject: Hello\r\n\r\n.a line that begins with a dot\r\nend\r\n"
# What is larger than `smtp.AT_END` leaves before the point of no return, and its end by itself.
SIZES = pytest.mark.parametrize("raw", [MAIL, MAIL + b".line\r\n" * smtp.AT_END], ids=["at-once", "in-two"])


def send(transport, raw=MAIL, before_end=lambda: None, takes_long=lambda: None):
    envelope = Envelope("privacy@holdfast.example", "anna@example.org", raw, uuid4())
    return transport.send(envelope, before_end, takes_long)


@SIZES
def test_an_accepted_mail_brings_back_the_reply_with_its_queue_id(raw):
    with inbox() as box:
        reply = send(box.relay(), raw)

    assert (reply.code, reply.enhanced_status, reply.queue_id) == (250, "2.0.0", "0001")
    assert box.mails[0].content == raw


def test_a_connection_serves_one_mail_after_the_other():
    with fault_server() as server:
        relay = server.relay()
        for _ in range(3):
            send(relay)

        assert (len(server.taken), server.connections) == (3, 1)


@pytest.mark.parametrize("phase", ["greeting", "ehlo", "mail", "rcpt", "data"])
@pytest.mark.parametrize("fault", [DROP, HANG])
def test_a_relay_that_is_lost_before_the_end_has_not_got_the_mail(phase, fault):
    with fault_server(**{phase: fault}) as server:
        with pytest.raises(Temporary) as raised:
            send(server.relay())

        assert server.taken == []
    assert raised.value.blames_transport


@SIZES
def test_a_relay_that_is_lost_within_the_body_is_never_taken_for_one_that_accepted(raw):
    with fault_server(body=DROP) as server:
        # The kernel may take the end, and tell of the loss only when the answer is read: then it is doubt.
        with pytest.raises((Temporary, InDoubt)):
            send(server.relay(), raw)

        assert server.taken == []


@SIZES
def test_an_end_that_could_not_be_written_did_not_leave(raw):
    with fault_server() as server:
        relay = server.relay()
        send(relay)
        session = relay.kept.connection

        with pytest.raises(Temporary) as raised:
            send(relay, raw, before_end=lambda: session.smtp.sock.shutdown(socket.SHUT_WR))

        assert len(server.taken) == 1
    assert raised.value.blames_transport


@pytest.mark.parametrize("fault", [DROP, HANG])
def test_silence_after_the_end_is_doubt_although_the_relay_has_the_mail(fault):
    with fault_server(dot=fault) as server:
        with pytest.raises(InDoubt):
            send(server.relay())

        assert len(server.taken) == 1


@pytest.mark.parametrize(
    ("faults", "kind", "blames"),
    [
        ({"rcpt": "550 5.1.1 no such user"}, Permanent, False),
        ({"rcpt": "451 4.7.1 greylisted, come back"}, Temporary, False),
        ({"rcpt": "421 4.3.2 shutting down"}, Temporary, True),
        ({"data": "554 5.5.1 no valid recipients"}, Permanent, False),
        ({"dot": "552 5.3.4 too big"}, Permanent, False),
        ({"dot": "452 4.3.1 disk full"}, Temporary, False),
        ({"dot": "250"}, None, False),
        ({"dot": "999 what"}, InDoubt, False),
        # A refusal before the recipient is named is about us: the mail waits until the relay is mended.
        ({"greeting": "554 go away"}, Temporary, True),
        ({"mail": "550 5.7.1 sender unknown"}, Temporary, True),
    ],
)
def test_what_the_relay_says_decides_whether_trying_again_helps(faults, kind, blames):
    with fault_server(**faults) as server:
        if kind is None:
            assert send(server.relay()).code == 250
            return

        with pytest.raises(kind) as raised:
            send(server.relay())

    assert raised.value.blames_transport is blames


def test_a_relay_that_is_not_there_is_the_transports_fault():
    relay = Relay(Address(host="127.0.0.1", port=free_port()), QUICK)

    with pytest.raises(Temporary) as raised:
        send(relay)

    assert raised.value.blames_transport


@SIZES
def test_whoever_lost_the_lease_sends_no_dot(raw):
    def lost():
        raise LeaseLost

    with fault_server() as server:
        with pytest.raises(LeaseLost):
            send(server.relay(), raw, before_end=lost)

        assert server.taken == []


@pytest.mark.parametrize("again", [DROP, HANG, "421 4.3.2 enough for now", "550 5.5.1 one mail a session"])
def test_a_connection_that_takes_no_second_mail_is_replaced(again):
    with fault_server(again=again) as server:
        relay = server.relay()
        send(relay)

        send(relay)

        assert (len(server.taken), server.connections) == (2, 2)


@pytest.mark.parametrize("phase", ["greeting", "mail", "rcpt", "data", "dot"])
def test_a_relay_that_lets_us_wait_is_told_of_once_and_waited_for(monkeypatch, phase):
    monkeypatch.setattr(smtp, "LONG", 0.05)
    told = []

    with fault_server(**{phase: HANG}) as server, pytest.raises(NotSent):
        send(server.relay(), takes_long=lambda: told.append(phase))

    assert told == [phase]


def test_a_relay_that_answers_is_not_called_slow():
    told = []

    with fault_server() as server:
        send(server.relay(), takes_long=lambda: told.append(1))

    assert told == []


@pytest.mark.parametrize(("rset", "connections"), [("250 2.0.0 Ok", 1), (DROP, 2), ("502 5.5.1 what?", 2)])
def test_a_refused_recipient_ends_the_message_and_not_the_session(rset, connections):
    with fault_server(rcpt="550 5.1.1 no such user", rset=rset) as server:
        relay = server.relay()
        with pytest.raises(Permanent):
            send(relay)
        del server.faults["rcpt"]

        send(relay)

        assert (len(server.taken), server.connections) == (1, connections)


@pytest.mark.parametrize("raw", [b"Subject: a\n\nb\r\n", b"a\r\n.\n\r\nMAIL FROM:<x@y.example>\r\n", b"a\rb\r\n"])
def test_a_line_break_that_servers_read_differently_is_not_sent(raw):
    with fault_server() as server:
        with pytest.raises(Permanent, match="not CRLF"):
            send(server.relay(), raw)

        assert server.taken == []


@pytest.mark.parametrize(
    ("text", "queue_id"),
    [
        ("2.0.0 Ok: queued as 4F2A1C", "4F2A1C"),
        ("2.6.0 <4711@relay.example> [InternalId=1] Queued mail for delivery", ""),
        ("OK id=1sAbCd-0001aB-2C", "1sAbCd-0001aB-2C"),
        ("fine", ""),
    ],
)
def test_the_queue_id_is_read_where_there_is_one(text, queue_id):
    assert Reply(250, text).queue_id == queue_id


def test_a_reply_is_kept_without_the_address_it_repeats():
    reply = Reply(550, "5.1.1 <Anna@Example.org>: unknown user")

    assert reply.without("anna@example.org").text == "5.1.1 <(the recipient)>: unknown user"
