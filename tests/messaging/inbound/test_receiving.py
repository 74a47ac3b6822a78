"""The mail server: takes what is for us, stores it before it says 250, and is bounded in size and rate."""

import asyncio
import smtplib
import threading
from contextlib import contextmanager

import pytest

from messaging import verp
from messaging.inbound import mail, receiving
from messaging.models import InboundMessage
from tests.factories import MessageFactory
from tests.messaging.inbound.mails import letter, report
from tests.messaging.smtp import free_port


@contextmanager
def running(lmtp=False, size=20_000):
    port, started = free_port(), threading.Event()
    loop, ended = asyncio.new_event_loop(), asyncio.Event()

    async def serve():
        loop.call_soon(started.set)
        await receiving.serve("127.0.0.1", port, size=size, lmtp=lmtp, ended=ended)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait(5)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(15)
        loop.close()


def connect(port, maker=smtplib.SMTP):
    for _ in range(50):
        try:
            return maker("127.0.0.1", port, timeout=10)
        except ConnectionRefusedError:
            threading.Event().wait(0.05)
    raise AssertionError("It does not listen.")


@pytest.fixture
def message(committed):
    return MessageFactory(state="accepted")


@pytest.mark.parametrize(("lmtp", "maker"), [(False, smtplib.SMTP), (True, smtplib.LMTP)])
def test_a_bounce_to_our_address_is_stored_before_it_is_acknowledged(message, lmtp, maker):
    with running(lmtp) as port, connect(port, maker) as client:
        assert client.sendmail("", [verp.return_path(message)], report()) == {}
        row = InboundMessage.objects.get()

    assert (row.state, row.source, row.recipient) == ("stored", "smtp", verp.return_path(message))
    assert bytes(row.raw) == report()
    assert mail.read_stored() == 1


def test_mail_to_anybody_else_is_refused(message):
    with running() as port, connect(port) as client, pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        client.sendmail("a@example.org", ["postmaster@example.net"], letter("Hello"))

    assert refusal.value.recipients["postmaster@example.net"][0] == 550
    assert not InboundMessage.objects.exists()


def test_a_mail_that_is_too_large_is_refused(message):
    with running(size=1000) as port, connect(port) as client, pytest.raises(smtplib.SMTPResponseException) as refusal:
        client.sendmail("a@example.org", ["reply@holdfast.example"], letter("x" * 5000))

    assert refusal.value.smtp_code == 552


def test_while_the_database_is_away_the_sender_is_asked_to_come_again(message, committed):
    with running() as port, connect(port) as client, committed.away(), pytest.raises(smtplib.SMTPDataError) as refusal:
        client.sendmail("a@example.org", ["reply@holdfast.example"], letter("STOP"))

    assert refusal.value.smtp_code == 451


def test_one_peer_hands_in_so_many_a_minute_and_no_more(message, monkeypatch):
    monkeypatch.setattr(receiving.Rate.__init__, "__defaults__", (2,))

    with running() as port, connect(port) as client:
        for number in range(2):
            client.sendmail("a@example.org", ["reply@holdfast.example"], letter(f"Letter {number}"))
        with pytest.raises(smtplib.SMTPException):
            client.sendmail("a@example.org", ["reply@holdfast.example"], letter("Letter 3"))

    assert InboundMessage.objects.count() == 2


def test_only_so_many_may_be_connected_at_once(message, monkeypatch):
    monkeypatch.setattr(receiving, "MOST_CONNECTIONS", 1)

    with running() as port, connect(port), pytest.raises(smtplib.SMTPConnectError) as refusal:
        connect(port)

    assert refusal.value.smtp_code == 421
