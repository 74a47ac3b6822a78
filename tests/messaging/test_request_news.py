"""A request that is logged or extended is news to its person, owed in the same transaction."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from consent import access, replies, requests
from consent.identifiers import Identity
from consent.models import DeadlineRule
from messaging import suppressing
from messaging.models import Message, Suppression
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
ANNA = [Identity.of("email", "anna@example.org")]


def logged(kind="access", **facts):
    return requests.log_request(ANNA, kind, by="user:bela", locale="de", **facts)


def told(key):
    return Message.objects.get(template_key=key)


def text_of(message):
    """The plain text, as it was frozen when it was owed."""
    return message_from_bytes(bytes(message.raw), policy=default).get_body(["plain"]).get_content()


@pytest.mark.parametrize("kind", ["access", "deletion", "correction", "opt_out"])
def test_a_logged_request_is_acknowledged_once_with_its_reference_and_its_day(kind):
    request = logged(kind)

    message = told("request_received")

    assert (message.request_id, message.locale, message.message_class) == (request.pk, "de", "privacy_notice")
    assert message.context == {
        "ref": request.ref,
        "kind": kind,
        "received_on": request.received_on.isoformat(),
        "due_on": request.due_on.isoformat(),
    }


@pytest.mark.parametrize("staff_in", ["UTC", "Europe/Berlin", "America/Los_Angeles"])
def test_the_day_by_which_a_request_is_answered_is_told_where_its_rule_counts_days(staff_in, time_machine):
    time_machine.move_to(datetime(2026, 1, 1, 7, 30, tzinfo=UTC), tick=False)  # New Year's Eve in California
    with timezone.override(staff_in):
        request = requests.log_request(ANNA, "access", by="user:bela")
        requests.extend(request, reason="Three archives", by="user:bela")
        answer = replies.fill("Received {received}, due {due}", request)

    received, extended = text_of(told("request_received")), text_of(told("request_extended"))
    assert request.rule_id == "US-CA-RESPOND-ACCESS"
    assert request.due_at == datetime(2026, 2, 15, 7, 59, 59, tzinfo=UTC)
    assert "Received on: 31 December 2025" in received
    assert "We will answer by 14 February 2026 at the latest." in received
    assert "We will answer by 31 March 2026 at the latest." in extended
    assert answer == "Received 2025-12-31, due 2026-02-14"


def test_an_extended_request_counts_both_spans_from_its_receipt_and_tells_the_person_why():
    request = logged(rule=DeadlineRule.objects.get(pk="EU-ART12-3-ACCESS"))
    first = request.due_at

    extended = requests.extend(request, reason="Drei Archive", by="user:bela")

    assert extended.due_at > first + timedelta(days=55)
    assert extended.due_at == requests.due_by(request.rule, request.received_at, is_extended=True)
    assert (extended.extended_by, extended.extended_reason) == ("user:bela", "Drei Archive")
    assert told("request_extended").context["reason"] == "Drei Archive"
    assert extended.events.last().kind == "extended"


@pytest.mark.parametrize("words", ["Jetzt bestellen!", "Siehe https://evil.example/.", "Hier: {url}/opt-in/"])
def test_what_no_notice_may_say_is_no_answer_and_no_reason_for_more_time(settings, words):
    request = logged()
    words = words.format(url=settings.PUBLIC_URL)

    with pytest.raises(ValidationError, match=r"links lead to|carries no"):
        replies.answer(request, f"Was wir speichern:\n\n{{data}}\n\n{words}", by="user:bela")
    with pytest.raises(ValidationError, match=r"links lead to|carries no"):
        requests.extend(request, reason=words, by="user:bela")

    request.refresh_from_db()
    assert (request.state, request.extended_by) == ("open", "")
    assert set(Message.objects.values_list("template_key", flat=True)) == {"request_received"}


def test_what_is_stored_about_a_person_is_sent_to_them_whatever_links_it_holds(monkeypatch):
    monkeypatch.setattr(access, "as_text", lambda data: "Seen on https://shop.example/sale/?utm_source=mail")

    replies.answer(logged(), "Was wir speichern:\n\n{data}", by="user:bela")

    assert "https://shop.example/sale/" in text_of(told("request_answered"))


def test_an_extension_is_refused_without_a_reason_twice_late_and_where_the_rule_has_none():
    request = logged()
    with pytest.raises(ValidationError, match="Say why more time"):
        requests.extend(request, reason=" ", by="user:bela")
    requests.extend(request, reason="Much to read", by="user:bela")
    with pytest.raises(ValidationError, match="extended once"):
        requests.extend(request, reason="More", by="user:bela")
    late = logged(received_at=timezone.now() - timedelta(days=60))
    with pytest.raises(ValidationError, match="overdue"):
        requests.extend(late, reason="Late", by="user:bela")
    with pytest.raises(ValidationError, match="allows no extension"):
        requests.extend(logged("opt_out"), reason="Later", by="user:bela")


def test_support_extends_by_a_button_that_is_there_once(client):
    client.force_login(UserFactory(username="sam", role="Support"))
    request = logged()
    url = reverse("admin:consent_privacyrequest_extend", args=[request.pk])
    page = reverse("admin:consent_privacyrequest_change", args=[request.pk])
    assert url in client.get(page).content.decode()

    client.post(url, {"_form_submitted": "on", "reason": "Drei Archive"})

    request.refresh_from_db()
    assert request.extended_by == "user:sam"
    assert url not in client.get(page).content.decode()


def test_an_answer_that_would_not_be_sent_is_refused_and_the_request_stays_open():
    request = logged()
    suppressing.suppress(ANNA[0].digest, Suppression.Reason.NO_MAILBOX)

    with pytest.raises(ValidationError, match="no such mailbox"), transaction.atomic():
        replies.answer(request, "This is all that we know.", by="user:bela")

    request.refresh_from_db()
    assert request.state != "answered"
    assert not Message.objects.filter(template_key="request_answered").exists()


def test_a_dump_of_the_messages_holds_nothing_of_what_an_answer_says():
    replies.answer(logged(), "This is all that we know of you:\n\n{data}", by="user:bela")
    assert "anna@example.org" in told("request_answered").context["answer"]

    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(to_jsonb(m)::text, ' ') FROM messaging_message m")
        [dump] = cursor.fetchone()

    assert not {form for form in ("anna@example.org", b"anna@example.org".hex(), "all that we know") if form in dump}


def test_whoever_called_our_mail_spam_gets_the_answer_that_they_asked_for():
    suppressing.suppress(ANNA[0].digest, Suppression.Reason.COMPLAINT)

    replies.answer(logged(), "This is all that we know.", by="user:bela")

    assert told("request_answered").state == "ready"
