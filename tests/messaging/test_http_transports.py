"""Providers and gateways that are spoken to by HTTP, and the folder that is the last resort: the same three answers."""

from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from ipaddress import ip_address
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from messaging.transports import http
from messaging.transports.configured import SMS, transport_of
from messaging.transports.folder import Folder
from messaging.transports.replies import Envelope, InDoubt, LeaseLost, Permanent, Temporary
from tests.messaging.http import DROP, GARBLED, HANG, calls
from tests.messaging.smtp import free_port

MESSAGE = UUID("b0a7c1de-0000-4000-8000-000000000001")


def mail():
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = "Shop <privacy@shop.example>", "anna@example.org", "Grüße"
    made["Message-ID"], made["List-Unsubscribe"] = f"<{MESSAGE}@shop.example>", "<https://shop.example/u/x/>"
    made.set_content("Hallo Anna")
    made.add_alternative("<p>Hallo Anna</p>", subtype="html")
    return Envelope("privacy@shop.example", "anna@example.org", made.as_bytes(), MESSAGE)


def text():
    return Envelope("privacy@shop.example", "+4930901820", b"Sie sind abgemeldet.", MESSAGE)


def provider(url, name="postmark"):
    key = {"postmark": "server_token", "resend": "api_key"}[name]
    return transport_of(f"backup=anymail://{name}?{key}=secret&api_url={url}/")


def gateway(url):
    return transport_of(f"texts={url.replace('http://', 'http://:t0ken@')}/texts?idempotent=1", SMS)


POSTMARK_OK = (200, {"ErrorCode": 0, "Message": "OK", "MessageID": "pm-1", "To": "anna@example.org"})
WAYS = [
    pytest.param(provider, mail, POSTMARK_OK, "pm-1", id="provider"),
    pytest.param(gateway, text, (202, {"id": "sms-1"}), "sms-1", id="gateway"),
]


@pytest.mark.parametrize(("way", "envelope", "good", "given_id"), WAYS)
def test_an_acceptance_brings_back_the_providers_own_id(way, envelope, good, given_id):
    with calls(good) as server:
        reply = way(server.url).send(envelope(), lambda: None)

    assert (reply.code, reply.queue_id) == (good[0], given_id)


@pytest.mark.parametrize(("way", "envelope", "good", "given_id"), WAYS)
@pytest.mark.parametrize(
    ("answer", "kind", "blames"),
    [
        ((422, {"ErrorCode": 300, "Message": "no such address"}), Permanent, False),
        ((401, {"Message": "bad key"}), Temporary, True),
        ((422, {"ErrorCode": 400, "Message": "No Sender Signature of yours has this 'From' address"}), Temporary, True),
        ((400, {"message": "The from address does not match a verified Sender Identity"}), Temporary, True),
        ((429, {"Message": "slower"}), Temporary, True),
        ((503, {"Message": "later"}), Temporary, True),
        ((500, {"Message": "oops"}), InDoubt, False),
        ((302, {}), InDoubt, False),
        (DROP, InDoubt, False),
    ],
)
def test_only_an_answer_that_says_so_is_a_refusal(way, envelope, good, given_id, answer, kind, blames):
    with calls(answer) as server, pytest.raises(kind) as raised:
        way(server.url).send(envelope(), lambda: None)

    assert raised.value.blames_transport is blames
    assert "bad key" not in str(raised.value) or raised.value.reply.code == 401


@pytest.mark.parametrize(("way", "envelope", "good", "given_id"), WAYS)
def test_silence_after_the_request_is_doubt(way, envelope, good, given_id, monkeypatch):
    monkeypatch.setattr(http, "READ", 0.2)

    with calls(HANG) as server, pytest.raises(InDoubt):
        way(server.url).send(envelope(), lambda: None)


@pytest.mark.parametrize(("way", "envelope", "good", "given_id"), WAYS)
def test_a_provider_that_cannot_be_reached_got_nothing(way, envelope, good, given_id):
    with pytest.raises(Temporary) as raised:
        way(f"http://127.0.0.1:{free_port()}").send(envelope(), lambda: None)

    assert raised.value.blames_transport


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of 127.0.0.1, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = timezone.now()
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(pem))
    return path


def by_tls(url, trusted):
    session = http.session(http.LastMoment())
    session.verify = trusted
    with http.told():
        return session.post(url, json={"to": "anna@example.org"})


def test_without_agreement_on_encryption_nothing_left(certificate):
    with calls(POSTMARK_OK, certificate=certificate) as server:
        with pytest.raises(Temporary) as raised:
            by_tls(server.url, True)

        assert server.taken == []
    assert raised.value.blames_transport


def test_encryption_that_breaks_after_the_request_is_doubt(certificate):
    with calls(POSTMARK_OK, GARBLED, certificate=certificate) as server:
        assert by_tls(server.url, str(certificate)).status_code == 200

        with pytest.raises(InDoubt):
            by_tls(server.url, str(certificate))

        assert len(server.taken) == 2


@pytest.mark.parametrize(("way", "envelope", "good", "given_id"), WAYS)
def test_whoever_lost_the_lease_makes_no_call(way, envelope, good, given_id):
    def lost():
        raise LeaseLost

    with calls(good) as server:
        with pytest.raises(LeaseLost):
            way(server.url).send(envelope(), lost)

        assert server.taken == []


def test_an_answer_that_nobody_can_read_is_doubt_although_it_says_200():
    with calls((200, b"<html>all is well</html>")) as server, pytest.raises(InDoubt):
        provider(server.url).send(mail(), lambda: None)


def test_a_session_serves_one_mail_after_the_other_and_names_the_message():
    with calls(POSTMARK_OK) as server:
        way = provider(server.url)
        way.send(mail(), lambda: None)
        way.send(mail(), lambda: None)

    _, headers, body = server.taken[1]
    assert headers["X-Postmark-Server-Token"] == "secret"
    assert (body["To"], body["Subject"], body["TextBody"].strip()) == ("anna@example.org", "Grüße", "Hallo Anna")
    assert body["Metadata"] == {"message": str(MESSAGE)}
    assert {"Name": "List-Unsubscribe", "Value": "<https://shop.example/u/x/>"} in body["Headers"]


def test_a_provider_that_makes_one_of_two_is_given_the_same_key_on_every_try():
    with calls((200, {"id": "re-1"})) as server:
        way = provider(server.url, "resend")
        way.send(mail(), lambda: None)

    assert way.is_idempotent
    assert str(MESSAGE) in str(server.taken[0])


def test_a_text_goes_to_the_gateway_with_its_key_and_token():
    with calls((202, {"id": "sms-1"})) as server:
        gateway(server.url).send(text(), lambda: None)

    path, headers, body = server.taken[0]
    assert (path, headers["Authorization"], headers["Idempotency-Key"]) == ("/texts", "Bearer t0ken", str(MESSAGE))
    assert body == {"id": str(MESSAGE), "to": "+4930901820", "text": "Sie sind abgemeldet."}


def test_the_last_resort_is_a_file_for_the_operator_alone(tmp_path):
    folder = Folder("disk", tmp_path / "unsent", after=60)

    reply = folder.send(mail(), lambda: None)
    folder.send(mail(), lambda: None)  # a second try is the same file

    [file] = (tmp_path / "unsent").iterdir()
    assert (file.name, reply.queue_id, reply.code) == (f"{MESSAGE}.eml", f"{MESSAGE}.eml", None)
    assert file.read_bytes().startswith(b"X-Envelope-From: privacy@shop.example\r\nX-Envelope-To: anna@example.org\r\n")
    assert (tmp_path / "unsent").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_takes_nothing_is_the_transports_fault(tmp_path):
    (tmp_path / "unsent").write_text("a file in its place")

    with pytest.raises(Temporary) as raised:
        Folder("disk", tmp_path / "unsent").send(mail(), lambda: None)

    assert raised.value.blames_transport
