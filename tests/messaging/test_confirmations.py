"""Each explicit opt-out is confirmed to the person who made it, once, by a real mail."""

import email
from email.policy import default

import pytest

from consent.models import FeedCursor, Subject
from consent.services import erase, merge, record
from consent.tokens import Token, read
from messaging.confirmations import owe, owe_all
from messaging.delivery import deliver_due
from messaging.models import Message
from tests.factories import opt_in, opt_out

pytestmark = pytest.mark.usefixtures("committed", "newsletter")


def parsed(received):
    return email.message_from_bytes(received.content, policy=default)


def test_an_opt_out_is_confirmed_by_a_mail_that_was_really_sent(relay_inbox):
    [recorded] = record([opt_out("anna@example.org", "newsletter", locale="de-AT")])

    owe_all()
    deliver_due(transport=relay_inbox.relay())

    [received] = relay_inbox.mails
    mail = parsed(received)
    message = Message.objects.get()
    assert (message.state, message.decision_id) == ("accepted", recorded.id)
    assert received.recipients == ["anna@example.org"]
    assert mail["Subject"] == "Ihre Abmeldung ist gespeichert: O'Brien & Söhne"
    assert mail["Message-ID"] == f"<{message.pk}@holdfast.example>"
    assert mail["Content-Language"] == "de"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert "per E-Mail" in mail.get_body(["plain"]).get_content()
    assert "O&#x27;Brien &amp; Söhne" in mail.get_body(["html"]).get_content()


def test_the_way_out_in_the_headers_is_one_line_and_names_the_person_and_the_message(relay_inbox, settings):
    settings.MAIL_UNSUBSCRIBE = "unsubscribe@holdfast.example"
    [recorded] = record([opt_out("anna@example.org", "newsletter")])

    owe_all()
    deliver_due(transport=relay_inbox.relay())

    [line] = [line for line in relay_inbox.mails[0].content.split(b"\r\n") if line.startswith(b"List-Unsubscribe: ")]
    url = line.split(b"<")[1].partition(b">")[0].decode()
    token = read(url.removeprefix("http://localhost:8000/u/").rstrip("/"))
    assert token == Token(recorded.subject_id, "*", "email", Message.objects.get().pk)
    assert b"<mailto:unsubscribe+" in line


def test_reading_the_log_twice_owes_a_confirmation_once(relay_inbox):
    record([opt_out("anna@example.org", "newsletter")])
    owe_all()
    FeedCursor.objects.update(tx=0, decision=0)

    assert owe() == 1

    assert Message.objects.count() == 1


def test_what_is_no_explicit_opt_out_owes_nothing():
    record(
        [
            opt_in("in@example.org", "newsletter"),
            opt_out("import@example.org", explicit=False, cause="import", purpose="newsletter"),
        ]
    )

    assert owe_all() == 2

    assert not Message.objects.exists()


def test_each_of_five_choices_made_at_once_is_confirmed_by_a_mail_of_its_own(relay_inbox):
    channels = ["email", "sms", "phone", "post", "push"]
    record([opt_out("anna@example.org", "newsletter", channel) for channel in channels])

    owe_all()
    deliver_due(transport=relay_inbox.relay())

    assert len({parsed(mail)["Message-ID"] for mail in relay_inbox.mails}) == 5


def test_without_an_address_the_message_says_so_instead_of_vanishing():
    subject = Subject.objects.create()
    record([opt_out(subject, "newsletter", "phone")])

    owe_all()

    message = Message.objects.get()
    assert message.state == "suppressed"
    assert message.last_error.startswith("No e-mail address is known")


def test_an_erased_person_is_not_written_to(relay_inbox):
    [recorded] = record([opt_out("anna@example.org", "newsletter")])
    owe_all()
    erase(recorded.subject_id, by="user:anna")

    deliver_due(transport=relay_inbox.relay())

    assert not relay_inbox.mails
    assert Message.objects.get().last_error == "This person was erased: nobody is written to."


def test_what_a_merge_carries_over_is_not_confirmed_again(relay_inbox):
    [first, second] = record([opt_out("anna@example.org", "newsletter"), opt_in("a.b@example.org", "newsletter")])
    merge(first.subject_id, second.subject_id, reason="Same person", by="user:anna")

    owe_all()

    assert Message.objects.count() == 1


def test_a_person_of_several_addresses_is_written_to_at_the_newest(relay_inbox):
    [first] = record([opt_in("old@example.org", "newsletter")])
    [second] = record([opt_in("new@example.org", "newsletter")])
    merge(second.subject_id, first.subject_id, reason="Same person", by="user:anna")
    record([opt_out(Subject.objects.get(pk=first.subject_id), "newsletter")])

    owe_all()
    deliver_due(transport=relay_inbox.relay())

    assert relay_inbox.mails[0].recipients == ["new@example.org"]


def test_an_address_with_umlauts_in_its_domain_is_reached(relay_inbox):
    record([opt_out("anna@müller.example", "newsletter")])

    owe_all()
    deliver_due(transport=relay_inbox.relay())

    assert relay_inbox.mails[0].recipients == ["anna@xn--mller-kva.example"]


def test_a_thousand_confirmations_are_owed_with_as_many_statements_as_one(django_assert_max_num_queries):
    record([opt_out(f"person{n}@example.org", "newsletter") for n in range(1000)])

    with django_assert_max_num_queries(20):
        owe()

    assert Message.objects.count() == 1000
