"""The mail server: takes what is for us, stores it before it says 250, and is bounded in size and rate."""

import asyncio
import smtplib
import ssl
import threading
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import CommandError, call_command
from django.utils import timezone

from messaging import verp
from messaging.checks import certificate_of_mail
from messaging.inbound import mail, receiving
from messaging.models import InboundMessage
from tests.factories import MessageFactory
from tests.messaging.inbound.mails import letter, report
from tests.messaging.smtp import free_port


@contextmanager
def running(lmtp=False, size=20_000, tls=None):
    port, started = free_port(), threading.Event()
    loop, ended = asyncio.new_event_loop(), asyncio.Event()

    async def serve():
        loop.call_soon(started.set)
        await receiving.serve("127.0.0.1", port, size=size, lmtp=lmtp, ended=ended, tls=tls)

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


def pem(name):
    """A key, and a certificate of 127.0.0.1 that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    names, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), timezone.now()
    made = x509.CertificateBuilder(names, names, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))]), critical=False)
    kind = serialization.Encoding.PEM
    private = key.private_bytes(kind, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, made.sign(key, hashes.SHA256()).public_bytes(kind)


@pytest.fixture
def certified(settings, tmp_path):
    """The paths of a certificate and its key, as they are set."""
    for setting, content in zip(("KEY", "CERTIFICATE"), pem("127.0.0.1"), strict=True):
        path = tmp_path / setting
        path.write_bytes(content)
        setattr(settings, f"RECEIVE_MAIL_{setting}", str(path))
    return tmp_path


@pytest.mark.parametrize(("lmtp", "maker"), [(False, smtplib.SMTP), (True, smtplib.LMTP)])
def test_with_a_certificate_mail_may_come_encrypted(message, certified, monkeypatch, lmtp, maker):
    monkeypatch.setattr(receiving, "MOST_CONNECTIONS", 1)  # the encrypted session is the same one
    ours = ssl.create_default_context(cafile=certified / "CERTIFICATE")

    with running(lmtp, tls=receiving.encryption()) as port, connect(port, maker) as client:
        client.starttls(context=ours)
        cipher = client.sock.cipher()
        assert client.sendmail("", [verp.return_path(message)], report()) == {}

    assert cipher
    assert bytes(InboundMessage.objects.get().raw) == report()


def test_with_a_certificate_a_sender_that_knows_no_encryption_is_heard_too(message, certified):
    with running(tls=receiving.encryption()) as port, connect(port) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        assert client.sendmail("", [verp.return_path(message)], report()) == {}


def test_without_a_certificate_no_encryption_is_offered(message):
    assert receiving.encryption() is None
    with running() as port, connect(port) as client:
        client.ehlo()
        assert not client.has_extn("starttls")


@pytest.mark.parametrize("wrong", ["missing", "no certificate", "another's key", "key alone", "passphrase"])
def test_a_certificate_that_cannot_be_used_is_told_at_start_up(settings, certified, wrong):
    assert certificate_of_mail() == []
    private, _ = pem("127.0.0.1")
    sealed = serialization.load_pem_private_key(private, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    made = {"no certificate": ("CERTIFICATE", b"x"), "another's key": ("KEY", private), "passphrase": ("KEY", sealed)}
    if wrong in made:
        name, content = made[wrong]
        (certified / name).write_bytes(content)
    elif wrong == "missing":
        settings.RECEIVE_MAIL_CERTIFICATE += ".pem"
    else:
        settings.RECEIVE_MAIL_CERTIFICATE = ""

    [error] = certificate_of_mail()

    assert (error.id, "RECEIVE_MAIL_" in error.msg) == ("messaging.E010", True)
    with pytest.raises(CommandError, match="RECEIVE_MAIL_"):
        call_command("receive_mail")


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
