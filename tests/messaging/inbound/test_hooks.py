"""Providers' posts are checked, kept and answered at the door; what they say is read afterwards, once."""

import base64
import hashlib
import hmac
import json
import time

import pytest
import time_machine
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from consent.identifiers import Identity
from consent.models import Decision
from consent.services import Query, check
from consent.subjects import find
from messaging import signing
from messaging.checks import providers_are_known_by_something
from messaging.confirmations import confirmations_of, owe_all
from messaging.delivery import deliver_due
from messaging.inbound import desk, hooks, inbox
from messaging.models import DeliveryAttempt, HookDelivery, InboundMessage, Message, Suppression
from tests.factories import HookDeliveryFactory, PurposeFactory, UserFactory
from tests.messaging.http import calls
from tests.messaging.inbound.mails import letter

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BASIC = {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(b"hook:secret").decode()}


@pytest.fixture(autouse=True)
def heard(settings):
    settings.MAIL_PROVIDERS = ["postmark", "mailgun", "resend", "amazon_ses"]
    settings.ANYMAIL = {
        "WEBHOOK_SECRET": "hook:secret",
        "MAILGUN_WEBHOOK_SIGNING_KEY": "mailgun-key",
        "RESEND_SIGNING_SECRET": SECRET,
    }
    settings.TEXT_GATEWAYS = {"gateway": SECRET}


@pytest.fixture
def taken(sent):
    """A message that a provider took under an id of its own."""
    DeliveryAttempt.objects.create(message=sent, number=1, transport="esp", lease=sent.pk, queue_id="esp-1")
    return sent


def post(client, address, payload, **headers):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return client.post(address, body, content_type="application/json", **headers)


def told(client, address, payload, **headers):
    """Posted and read; the delivery."""
    answer = post(client, address, payload, **headers)
    assert answer.status_code == 200, answer.content
    inbox.read_all()
    return HookDelivery.objects.get(pk=answer.json()["delivery"])


def now():
    return timezone.now().isoformat().replace("+00:00", "Z")


@pytest.fixture
def signed_only(settings):
    """The providers that sign need no password beside it."""
    settings.ANYMAIL = {name: value for name, value in settings.ANYMAIL.items() if name != "WEBHOOK_SECRET"}


def postmark(kind, **facts):
    return {"RecordType": kind, "MessageID": "esp-1", "Recipient": "anna@example.org", "Metadata": {}, **facts}


def mailgun(event, **facts):
    stamp, token = str(int(time.time())), "t" * 50
    signature = hmac.new(b"mailgun-key", f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
    data = {
        "event": event,
        "id": "ev-1",
        "timestamp": time.time(),
        "recipient": "anna@example.org",
        "user-variables": {},
    }
    data |= {"message": {"headers": {"message-id": "esp-1"}}, "delivery-status": {}, **facts}
    return {"signature": {"timestamp": stamp, "token": token, "signature": signature}, "event-data": data}


def svix(payload, *, secret=SECRET, prefix="svix", at=None):
    body, stamp = json.dumps(payload).encode(), int(at or time.time())
    names = {"id": "msg_1", "timestamp": str(stamp), "signature": signing.sign(secret, "msg_1", stamp, body)}
    return body, {f"HTTP_{prefix.upper()}_{name.upper()}": value for name, value in names.items()}


def sns(message, kind="Notification", **facts):
    body = {"Type": kind, "MessageId": "sns-1", "Message": json.dumps(message), **facts}
    return body, {"HTTP_X_AMZ_SNS_MESSAGE_TYPE": kind, "HTTP_X_AMZ_SNS_MESSAGE_ID": "sns-1", **BASIC}


def test_postmark_a_delivery_is_folded_into_its_message(client, taken):
    delivery = told(client, "/hooks/mail/postmark/", postmark("Delivery", DeliveredAt=now(), Details="250 OK"), **BASIC)

    taken.refresh_from_db()
    assert (delivery.outcome, taken.delivery) == ("read", "delivered")


def test_postmark_a_spam_complaint_opts_out(client, taken):
    told(
        client,
        "/hooks/mail/postmark/",
        postmark("SpamComplaint", ID=7, BouncedAt=now(), Type="SpamComplaint", Email="anna@example.org"),
        **BASIC,
    )

    assert Decision.objects.get(choice="opt_out").cause == "complaint"


def spam_complaint(**facts):
    return postmark("SpamComplaint", ID=7, BouncedAt=now(), Type="SpamComplaint", MessageID="esp-other", **facts)


@pytest.mark.parametrize("address", ["anna@example.org", "Nobody.Known@example.org"])
def test_a_complaint_that_names_no_message_of_ours_opts_its_address_out(client, sent, address):
    told(client, "/hooks/mail/postmark/", spam_complaint(Email=address, Recipient=address), **BASIC)

    decision = Decision.objects.get(choice="opt_out")
    assert (decision.cause, decision.purpose, decision.channel, decision.confidence) == ("complaint", "*", "email", 70)
    assert (decision.subject_id == sent.subject_id) == (address == "anna@example.org")
    assert may_contact_by_mail(address) is False
    assert bytes(Suppression.objects.get().digest) == Identity.of("email", address).digest


def may_contact_by_mail(address):
    subject = find([Identity.of("email", address)]).popitem()[1]
    return check([Query(subject, "marketing", "email")])[0].allowed


def test_an_unsubscribe_at_the_provider_that_names_no_message_of_ours_opts_its_address_out(client, sent, signed_only):
    gone = mailgun("unsubscribed", message={"headers": {"message-id": "esp-other"}})

    told(client, "/hooks/mail/mailgun/", gone)

    decision = Decision.objects.get(choice="opt_out")
    assert (decision.exit_path, decision.cause, decision.subject_id) == (
        "mail-provider",
        "subject_choice",
        sent.subject_id,
    )
    assert not Suppression.objects.exists()


def test_a_complaint_that_names_nobody_at_all_waits_for_a_person_once(client, sent):
    for _ in range(2):
        told(client, "/hooks/mail/postmark/", spam_complaint(Email="", Recipient=""), **BASIC)

    row = InboundMessage.objects.get()
    assert (row.state, row.kind, row.source) == ("open", "complaint", "postmark")
    assert "names neither a message of ours nor an address" in row.outcome
    first = HookDelivery.objects.earliest("pk")
    client.force_login(UserFactory(role="Support"))
    page = client.get(f"/admin/messaging/inboundmessage/{row.pk}/change/").content.decode()
    assert f"/admin/messaging/hookdelivery/{first.pk}/change/" in page
    assert not Decision.objects.filter(choice="opt_out").exists()


def test_a_post_that_a_person_has_still_to_look_at_is_kept_until_then(client, sent):
    told(client, "/hooks/mail/postmark/", spam_complaint(Email="", Recipient=""), **BASIC)
    told_of, row = HookDelivery.objects.get(), InboundMessage.objects.get()
    with time_machine.travel(timezone.now() + hooks.KEPT * 2):
        assert hooks.forget() == 0

        desk.close(row, reason="Nobody we know", by="user:anna")

        assert hooks.forget() == 1
    told_of.refresh_from_db()
    assert told_of.body is None


def test_what_a_provider_says_is_kept_for_good_without_the_address(client, taken):
    said = "550 5.1.1 <anna@example.org>: Recipient address rejected; bounce+anna=example.org@esp.example"

    told(client, "/hooks/mail/postmark/", postmark("Delivery", DeliveredAt=now(), Details=said), **BASIC)

    [event] = taken.events.all()
    assert event.payload["reply"] == "550 5.1.1 <(an address)>: Recipient address rejected; (an address)"
    assert bytes(event.recipient) == Identity.of("email", "anna@example.org").digest


def test_a_post_is_emptied_after_thirty_days_and_its_digest_stays(client, sent):
    old = timezone.now() - hooks.KEPT
    dealt_with, fresh = [HookDeliveryFactory(outcome="read", received_at=at) for at in (old, timezone.now())]
    refused = HookDeliveryFactory(outcome="refused", received_at=old)

    inbox.read_all()

    assert set(HookDelivery.objects.filter(body=None)) == {dealt_with, refused}
    assert bytes(HookDelivery.objects.get(pk=dealt_with.pk).body_digest) == dealt_with.body_digest
    client.force_login(UserFactory(role="Support"))
    assert "It was emptied" in client.get(f"/admin/messaging/hookdelivery/{dealt_with.pk}/change/").content.decode()
    assert bytes(HookDelivery.objects.get(pk=fresh.pk).body) == b"{}"


def test_the_database_empties_no_post_that_nobody_read(db):
    HookDeliveryFactory()

    with pytest.raises(DatabaseError), transaction.atomic():
        HookDelivery.objects.update(body=None, outcome="read")


def test_mailgun_a_failure_suppresses_and_opts_nobody_out(client, taken, signed_only):
    status = {"code": 550, "message": "5.1.1 no such user", "description": ""}
    failed = mailgun("failed", severity="permanent", reason="bounce", **{"delivery-status": status})

    told(client, "/hooks/mail/mailgun/", failed)

    taken.refresh_from_db()
    assert (taken.delivery, Suppression.objects.get().reason) == ("bounced_hard", "no such mailbox")
    assert not Decision.objects.filter(choice="opt_out").exists()


def test_resend_a_delivery_with_a_svix_signature_is_read(client, taken, signed_only):
    body, headers = svix(
        {"type": "email.delivered", "created_at": now(), "data": {"email_id": "esp-1", "to": ["anna@example.org"]}}
    )

    told(client, "/hooks/mail/resend/", body, **headers)

    taken.refresh_from_db()
    assert taken.delivery == "delivered"


def test_amazon_a_bounce_by_sns_is_known_by_our_message_id_in_its_headers(client, sent):
    message = {
        "notificationType": "Bounce",
        "mail": {
            "messageId": "ses-9",
            "destination": ["anna@example.org"],
            "commonHeaders": {"messageId": f"<{sent.pk}@holdfast.example>"},
        },
        "bounce": {
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "timestamp": now(),
            "feedbackId": "fb-1",
            "bouncedRecipients": [
                {"emailAddress": "anna@example.org", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 unknown"}
            ],
        },
    }
    body, headers = sns(message)

    told(client, "/hooks/mail/amazon_ses/", body, **headers)

    sent.refresh_from_db()
    assert (sent.delivery, Suppression.objects.count()) == ("bounced_hard", 1)


def test_amazon_a_subscription_waits_for_a_person_who_sees_its_address(client, db):
    body, headers = sns({}, kind="SubscriptionConfirmation", SubscribeURL="https://sns.example/confirm")

    delivery = told(client, "/hooks/mail/amazon_ses/", body, **headers)

    assert (delivery.outcome, "https://sns.example/confirm" in delivery.reason) == ("rejected", True)


@pytest.mark.parametrize("provider", ["postmark", "mailgun", "resend", "amazon_ses"])
def test_what_proves_nothing_is_refused_and_kept_with_its_reason(client, db, provider):
    answer = post(client, f"/hooks/mail/{provider}/", {"signature": {"timestamp": "1", "token": "t", "signature": "0"}})

    delivery = HookDelivery.objects.get()
    assert answer.status_code == 401
    assert (delivery.outcome, bool(delivery.reason)) == ("refused", True)


def test_a_wrong_mailgun_signature_is_refused(client, taken, signed_only):
    forged = mailgun("delivered")
    forged["signature"]["signature"] = "0" * 64

    assert post(client, "/hooks/mail/mailgun/", forged).status_code == 401
    assert not taken.events.exists()


def test_refused_posts_cannot_fill_the_table(client, db, monkeypatch):
    monkeypatch.setattr(hooks, "REFUSED_KEPT", 3)

    answers = {post(client, "/hooks/mail/postmark/", b"x" * 5000).status_code for _ in range(5)}

    assert answers == {401}
    assert [len(bytes(row.body)) for row in HookDelivery.objects.all()] == [2048] * 3


def test_no_password_is_kept(client, taken):
    delivery = told(client, "/hooks/mail/postmark/", postmark("Delivery", DeliveredAt=now()), **BASIC)

    assert "authorization" not in delivery.headers
    assert "secret" not in json.dumps(delivery.headers)


def test_a_provider_without_a_secret_is_our_own_trouble(client, db, settings):
    settings.ANYMAIL = {}

    assert post(client, "/hooks/mail/postmark/", {}).status_code == 503


def test_the_start_says_which_provider_cannot_be_heard(settings):
    assert providers_are_known_by_something() == []

    settings.ANYMAIL, settings.TEXT_GATEWAYS = {}, {"gateway": "whsec_"}

    said = {problem.msg.split()[2] for problem in providers_are_known_by_something()}
    assert said == {"postmark", "mailgun", "resend", "amazon_ses", "gateway"}


@pytest.mark.parametrize("change", ["body = 'other'", "outcome = 'read', provider = 'other'", "received_at = now()"])
def test_the_database_keeps_a_post_as_it_came(client, taken, change):
    told(client, "/hooks/mail/postmark/", postmark("Delivery", DeliveredAt=now()), **BASIC)

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE messaging_hookdelivery SET {change}")


@pytest.mark.parametrize("change", ["raw = 'other'", "raw_digest = 'other'", "decision_id = 7", "decision_id = NULL"])
def test_the_database_keeps_a_letter_as_it_came_and_lets_it_be_erased(client, db, change):
    texted(client, "STOP")

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE messaging_inboundmessage SET {change}")
    assert InboundMessage.objects.update(raw=None) == 1


def test_a_provider_that_is_not_configured_is_not_there(client, db):
    assert post(client, "/hooks/mail/sendgrid/", {}).status_code == 404


def test_while_the_database_is_away_a_provider_is_asked_to_come_again(client, committed):
    with committed.away():
        answer = post(client, "/hooks/mail/postmark/", postmark("Delivery", DeliveredAt=now()), **BASIC)

    assert (answer.status_code, "Retry-After" in answer) == (503, True)


def test_an_event_told_again_is_one_event(client, taken):
    delivered = postmark("Delivery", DeliveredAt=now(), Details="250 OK")

    for _ in range(3):
        told(client, "/hooks/mail/postmark/", delivered, **BASIC)

    assert taken.events.count() == 1


def test_opens_are_not_kept(client, taken):
    delivery = told(client, "/hooks/mail/postmark/", postmark("Open", ReceivedAt=now(), FirstOpen=True), **BASIC)

    assert (delivery.outcome, taken.events.count()) == ("empty", 0)


def test_a_post_that_cannot_be_used_is_put_aside_and_holds_up_nobody(client, taken):
    broken = told(client, "/hooks/mail/postmark/", b'"text"', **BASIC)
    good = told(client, "/hooks/mail/postmark/", postmark("Delivery", DeliveredAt=now()), **BASIC)

    assert (broken.outcome, good.outcome) == ("rejected", "read")


def test_incoming_mail_by_webhook_is_read_like_any_other(client, sent):
    raw = letter("STOP").decode()
    payload = {
        "From": "anna@example.org",
        "FromFull": {"Email": "anna@example.org", "Name": ""},
        "OriginalRecipient": "reply@holdfast.example",
    }
    payload |= {
        "RawEmail": raw,
        "Headers": [],
        "Attachments": [],
        "ToFull": [],
        "CcFull": [],
        "BccFull": [],
        "Subject": "Re",
        "TextBody": "STOP",
    }

    told(client, "/hooks/mail/postmark/inbound/", payload, **BASIC)

    assert InboundMessage.objects.get().kind == "unsubscribe"
    assert Decision.objects.get(choice="opt_out").exit_path == "mail-reply"


# Text messages


def texted(client, text, sender="+4930901820", number="1", **changed):
    payload = {"id": number, "from": sender, "to": "+49301111", "text": text} | changed
    body, headers = svix(payload, prefix="webhook")
    return told(client, "/hooks/sms/gateway/", body, **headers)


@pytest.mark.parametrize("text", ["STOP", "stop!", "Unsubscribe", "BAJA", "stopp", "Opt-Out"])
def test_stop_is_an_opt_out_of_text_messages_also_from_an_unknown_number(client, db, text):
    texted(client, text)

    decision = Decision.objects.get()
    assert (decision.explicit, decision.cause, decision.channel, decision.purpose) == (True, "keyword", "sms", "*")
    assert (decision.exit_path, decision.choice) == ("sms-keyword", "opt_out")


def test_one_confirmation_text_is_owed_within_five_minutes_and_no_second_one(client, committed):
    PurposeFactory(code="marketing")
    for number in ("1", "2", "2"):
        texted(client, "STOP", number=number)
    owe_all()

    [message] = Message.objects.all()
    decision = Decision.objects.get()
    assert (message.channel, message.lane, message.template_key) == ("sms", "text", "opt_out_confirmation_sms")
    assert (message.owed_by - decision.received_at).total_seconds() == 300


def test_the_confirmation_goes_out_once_through_the_gateway_though_the_number_is_opted_out(
    client, committed, sending_by
):
    with calls((202, {"id": "sms-1"})) as gateway:
        sending_by(texts=[f"texts={gateway.url.replace('http://', 'http://:t0ken@')}/texts"])
        texted(client, "STOP")
        owe_all()
        deliver_due()
        deliver_due()

    [(path, headers, body)] = gateway.taken
    assert (path, headers["Authorization"]) == ("/texts", "Bearer t0ken")
    assert "+4930901820" in body.values()
    assert Message.objects.get().state == "accepted"


def test_other_opt_outs_of_text_messages_are_confirmed_by_mail(sent):
    decision = Decision(
        pk=1,
        choice="opt_out",
        cause="subject_choice",
        channel="sms",
        purpose="*",
        subject_id=sent.subject_id,
        decided_at=now_at(),
        received_at=now_at(),
    )

    assert [m.channel for m in confirmations_of([decision])] == ["email"]


def now_at():
    return timezone.now()


def test_help_is_answered_once_a_day(client, db):
    texted(client, "STOP")
    for number in ("2", "3"):
        texted(client, "HELP", number=number)

    assert [m.template_key for m in Message.objects.all()] == ["help_sms"]


@pytest.mark.parametrize("text", ["please no more", "Who is this?", "help me stop this"])
def test_other_text_messages_wait_for_a_person(client, db, text):
    texted(client, text)

    assert (InboundMessage.objects.get().state, Decision.objects.count()) == ("open", 0)


def test_a_text_message_with_a_bad_signature_is_refused(client, db):
    body, headers = svix(
        {"id": "1", "from": "+4930901820", "to": "x", "text": "STOP"}, prefix="webhook", at=time.time() - 400
    )

    assert post(client, "/hooks/sms/gateway/", body, **headers).status_code == 401
    assert post(client, "/hooks/sms/other/", body, **headers).status_code == 404


def test_a_post_that_is_no_text_message_is_put_aside_in_words(client, db):
    body, headers = svix({"id": 1}, prefix="webhook")

    assert told(client, "/hooks/sms/gateway/", body, **headers).reason == "Send id, from, to and text, each a string."
