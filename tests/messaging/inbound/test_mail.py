"""What comes back by mail is stored first, and only a no that somebody really said opts anybody out."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consent.models import Decision, ExitPath
from consent.services import erase, may_contact
from messaging import confirmations, suppressing, verp
from messaging.inbound import mail
from messaging.inbound.bounces import bounces_of
from messaging.inbound.consequences import bounced
from messaging.inbound.parsing import read
from messaging.models import InboundMessage, Message, Suppression
from tests.factories import InboundMessageFactory, SubjectFactory
from tests.messaging.inbound.mails import complaint, is_there, letter, report, vectors

pytestmark = pytest.mark.django_db


def received(raw, to="reply@holdfast.example", sender=""):
    row = mail.store(raw, source="smtp", recipient=to, sender=sender)
    mail.read_stored()
    row.refresh_from_db()
    return row


def opt_outs():
    return list(Decision.objects.filter(choice="opt_out").order_by("pk"))


def test_a_hard_bounce_suppresses_the_address_and_opts_nobody_out(sent):
    row = received(report(), to=verp.return_path(sent))

    sent.refresh_from_db()
    suppression = Suppression.objects.get()
    assert (row.kind, row.state, row.message_id) == ("bounce", "settled", sent.pk)
    assert (suppression.reason, suppression.expires_at, sent.delivery) == ("no such mailbox", None, "bounced_hard")
    assert opt_outs() == []
    assert may_contact(sent.subject_id, "marketing", "email")


@pytest.mark.parametrize("status", ["5.7.1", "5.2.2", "5.6.0", "5.3.4", "4.2.2", "5.4.4"])
def test_what_says_nothing_about_the_mailbox_suppresses_nothing(sent, status):
    received(report(status=status, diagnostic=f"550 {status} no"), to=verp.return_path(sent))

    assert not Suppression.objects.exists()


def test_a_diagnostic_is_kept_for_good_without_the_address(sent):
    bounce = report(diagnostic="550 5.1.1 <anna@example.org>: User unknown")

    received(bounce, to=verp.return_path(sent))

    assert sent.events.get().payload["reply"] == "smtp; 550 5.1.1 <(an address)>: User unknown"


def test_a_mailbox_that_is_disabled_is_tried_again_after_a_while(sent):
    received(report(status="5.2.1", diagnostic="550 5.2.1 disabled"), to=verp.return_path(sent))

    suppression = Suppression.objects.get()
    assert 89 <= (suppression.expires_at - suppression.created_at).days <= 90


def test_a_bounce_that_quotes_our_message_id_is_matched_without_our_return_path(sent):
    row = received(report(quoted=f"<{sent.pk}@holdfast.example>"), to="privacy@holdfast.example")

    assert row.message_id == sent.pk
    assert Suppression.objects.exists()


def test_a_bounce_that_names_no_message_of_ours_changes_nothing(sent):
    row = received(report(to="anna@example.org"), to="privacy@holdfast.example")

    assert (row.kind, row.message_id) == ("bounce", None)
    assert "nothing was changed" in row.outcome
    assert not Suppression.objects.exists()


def test_the_same_bounce_by_two_ways_is_one_event(sent):
    received(report(), to=verp.return_path(sent))
    received(b"X-Relay: second\r\n" + report(), to=verp.return_path(sent))

    assert sent.events.count() == 1


def test_a_suppression_that_staff_lifted_is_not_put_back_by_an_old_story(sent):
    received(report(), to=verp.return_path(sent))
    suppressing.lift(Suppression.objects.get(), reason="Mended", by="user:anna")

    bounced(bounces_of(read(report())), sent, sent.created_at)

    row = Suppression.objects.get()
    assert not row.holds()
    assert [version.history_change_reason for version in row.history.all()] == ["Mended", "Reported"]


def test_a_complaint_is_an_explicit_opt_out_of_everything_and_no_confirmation_is_sent_to_it(sent):
    row = received(complaint(), to=verp.return_path(sent))

    [decision] = opt_outs()
    assert (decision.explicit, decision.cause, decision.purpose, decision.channel) == (True, "complaint", "*", "email")
    assert (decision.exit_path, decision.message_id, row.decision_id) == ("spam-complaint", sent.pk, decision.pk)
    assert Suppression.objects.get().reason == "spam complaint"
    sent.refresh_from_db()
    assert sent.complained_at


def test_a_complaint_whose_recipient_is_redacted_is_known_by_the_last_message_id(sent):
    ids = ["<wrapper@provider.example>", f"<{sent.pk}@holdfast.example>"]

    row = received(complaint(message_ids=ids), to="privacy@holdfast.example")

    assert row.decision_id == opt_outs()[0].pk


def test_a_complaint_that_names_nothing_of_ours_waits_for_a_person(sent):
    row = received(complaint(rcpt="anna@example.org"), to="privacy@holdfast.example")

    assert (row.state, opt_outs()) == ("open", [])


@pytest.mark.parametrize("feedback", ["not-spam", "virus", "auth-failure"])
def test_other_feedback_is_kept_and_is_no_complaint(sent, feedback):
    row = received(complaint(feedback), to=verp.return_path(sent))

    assert (row.kind, row.state, opt_outs()) == ("complaint", "settled", [])


def test_a_mail_to_the_signed_address_is_the_opt_out_itself(sent):
    row = received(letter("Sent by a mail program.", subject="unsubscribe"), to=verp.unsubscribe_address(sent))

    [decision] = opt_outs()
    assert (row.kind, decision.exit_path, decision.cause) == ("unsubscribe", "mailto", "subject_choice")
    assert decision.reasons == ["signed_address", "word"]
    assert not may_contact(sent.subject_id, "marketing", "email")


@is_there
def test_the_unsubscribe_of_apples_mail_program_counts_although_it_calls_itself_automatic(sent):
    [raw] = [path.read_bytes() for path in vectors("arf") if b"X-Apple-Unsubscribe" in path.read_bytes()]

    received(raw, to=verp.unsubscribe_address(sent))

    assert [decision.exit_path for decision in opt_outs()] == ["mailto"]


def test_a_forged_address_opts_nobody_out(sent):
    forged = verp.unsubscribe_address(sent).replace(sent.pk.hex, SubjectFactory().pk.hex)

    row = received(letter("", subject="Hello", sender="evil@example.com"), to=forged)

    assert (opt_outs(), row.state) == ([], "open")


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        " stop. ",
        "Unsubscribe!",
        "opt-out",
        "Opt  Out",
        "CANCEL",
        "quit",
        "End",
        "revoke",
        "Abmelden",
        "stopp",
        "BAJA",
        "Désabonner",
        "arrêt",
        "Stop stop",
        "Stop\n\nOn Mon, 2 Nov 2026, Holdfast wrote:\n> Do you like it?",
        "Stop\n-- \nAnna Example\nExample Ltd",
        "Abmelden\n\nVon meinem iPhone gesendet",
        "St\u200bop",
        "\uff33\uff34\uff2f\uff30",
        "arrêter",
        "STOP\n\nSent from Outlook for iOS<https://example.org>",
        "STOP\n\nHolen Sie sich Outlook für iOS",
        "STOP\n\nGesendet mit der Mail App",
        "STOP\n\nObtener Outlook para Android",
        "STOP\n\nTélécharger Outlook pour iOS",
        "STOP\n\nDe : Holdfast\nEnvoyé : lundi",
        "STOP\n\n*From:* Holdfast",
        "STOP\n\n2026-11-02 10:00 GMT+01:00 Holdfast <a@holdfast.example>:\n> Do you like it?",
    ],
)
def test_a_reply_that_is_one_of_the_words_is_an_opt_out(sent, text):
    row = received(letter(text), to=verp.reply_address(sent))

    [decision] = opt_outs()
    assert (decision.explicit, decision.exit_path, row.state) == (True, "mail-reply", "settled")


@pytest.mark.parametrize(
    "text",
    [
        "please no more",
        "Stop by on Tuesday?",
        "I do not want to cancel",
        "Why do I get this?",
        "",
        "unsubscribe me from A not B",
        "Thanks\n\n> Reply STOP to end this.",
    ],
)
def test_everything_else_is_read_by_a_person_and_never_guessed(sent, text):
    row = received(letter(text), to=verp.reply_address(sent))

    assert (opt_outs(), row.kind, row.state, row.subject_id) == ([], "reply", "open", sent.subject_id)


@pytest.mark.parametrize(
    "html",
    [
        "<p>STOP</p><blockquote>Offers, and more</blockquote>",
        "<!doctype html><title>x</title><body>STOP</body>",
        "<head><style>p{}</style><body>STOP<hr><b>From:</b> Holdfast",
    ],
)
def test_a_word_in_a_mail_of_html_alone_is_an_opt_out(sent, html):
    received(letter("").replace(b"text/plain", b"text/html").strip() + html.encode().join([b"\n\n", b"\n"]),
             to=verp.reply_address(sent))  # fmt: skip

    assert [decision.exit_path for decision in opt_outs()] == ["mail-reply"]


def test_a_word_from_a_known_sender_counts_and_says_how_sure_that_is(sent):
    received(letter("STOP", sender="Anna <ANNA@example.org>"))

    [decision] = opt_outs()
    assert (decision.reasons, decision.confidence) == (["from_address", "word"], 70)


def test_a_word_from_somebody_unknown_waits_for_a_person(sent):
    row = received(letter("STOP", sender="stranger@example.com"))

    assert (row.state, row.outcome, opt_outs()) == ("open", "Somebody unknown asked to stop: find out who.", [])


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Precedence": "bulk"},
        {"List_Id": "<a.example>"},
        {"X_Auto_Response_Suppress": "All"},
        {"subject": "Out of office: back on Monday"},
        {"subject": "Automatische Antwort: Urlaub"},
    ],
)
def test_an_automatic_answer_is_a_fact_and_neither_a_bounce_nor_a_no(sent, headers):
    row = received(letter("STOP", **headers), to=verp.reply_address(sent))

    assert (row.kind, row.state, opt_outs()) == ("auto_reply", "settled", [])
    assert [(event.kind, event.payload) for event in sent.events.all()] == [("autoresponded", {})]
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Return_Path": "<>"},
        {"sender": "MAILER-DAEMON@mx.example", "Auto_Submitted": "auto-replied", "Return_Path": "<>"},
    ],
)
def test_what_comes_to_a_return_path_and_no_rule_knows_is_read_by_a_person(sent, headers):
    row = received(letter("Det gick inte att leverera brevet.", **headers), to=verp.return_path(sent))

    assert (row.kind, row.state, row.message_id, row.subject_id) == ("unknown", "open", sent.pk, sent.subject_id)
    assert not sent.events.exists()  # it proves nothing about what became of the message


def test_what_a_host_wrote_in_words_that_no_rule_knows_is_read_by_a_person_wherever_it_came(sent):
    row = received(letter("Det gick inte.", sender="MAILER-DAEMON@mx.example", Return_Path="<>", Precedence="bulk"))

    assert row.state == "open"


def test_a_bounce_by_words_alone_that_names_no_message_of_ours_is_read_by_a_person(sent):
    row = received(
        letter("550 5.1.1 no such user bob@example.org", subject="Failure notice", sender="postmaster@a.example")
    )

    assert (row.kind, row.state) == ("bounce", "open")
    assert not Suppression.objects.exists()


def test_an_automatic_answer_to_a_return_path_needs_nobody(sent):
    row = received(letter("I am away.", Auto_Submitted="auto-replied"), to=verp.return_path(sent))

    assert (row.kind, row.state) == ("auto_reply", "settled")


def test_a_word_that_a_mail_program_sent_to_the_return_path_is_a_no_all_the_same(sent):
    row = received(letter("STOP"), to=verp.return_path(sent))

    assert (row.kind, row.state) == ("unsubscribe", "settled")
    assert [decision.exit_path for decision in opt_outs()] == ["mail-reply"]


def test_the_same_mail_handed_in_twice_is_one_and_opts_out_once(sent):
    for _ in range(2):
        received(letter("STOP"), to=verp.reply_address(sent))

    assert (InboundMessage.objects.count(), len(opt_outs())) == (1, 1)


def test_a_second_no_changes_nothing_while_the_first_stands(sent):
    received(letter("STOP"), to=verp.reply_address(sent))
    second = received(letter("stop"), to=verp.reply_address(sent))

    assert second.outcome == "They had opted out already."
    assert len(opt_outs()) == 1


def test_a_mail_that_breaks_its_reader_gets_a_persons_eyes_and_holds_up_nobody(sent, monkeypatch):
    def breaks(found):
        raise KeyError(found.header("From"))

    monkeypatch.setattr(mail, "complaint_of", breaks)

    row = received(letter("STOP"), to=verp.reply_address(sent))

    assert (row.kind, row.state) == ("unknown", "open")
    assert "(an address)" in row.outcome
    assert "anna" not in row.outcome


def test_of_an_erased_person_no_letter_stays(sent):
    row = received(letter("Why me?"), to=verp.reply_address(sent))
    Message.objects.filter(pk=sent.pk).update(settled_at=sent.created_at)
    erase(sent.subject_id, by="user:anna")

    assert mail.forget() == 1

    row.refresh_from_db()
    assert (row.raw, row.sender, row.subject, row.kind) == (None, "", "", "reply")


def test_a_letter_is_emptied_a_month_after_it_was_dealt_with_whoever_wrote_it():
    now = timezone.now()
    old = now - mail.KEPT - timedelta(days=1)
    handled = {"handled_by": "user:anna", "handled_reason": "By letter"}
    settled = InboundMessageFactory(received_at=old, state="settled")
    closed = InboundMessageFactory(received_at=old, state="closed", handled_at=old, **handled)
    InboundMessageFactory(received_at=old, state="answered", handled_at=now, **handled)
    InboundMessageFactory(received_at=old, state="open")
    InboundMessageFactory(received_at=now, state="settled")

    assert mail.forget() == 2

    assert set(InboundMessage.objects.filter(raw=None)) == {settled, closed}
    settled.refresh_from_db()
    assert (settled.sender, settled.subject) == ("", "")


def test_the_ways_out_that_lead_here_are_registered():
    assert set(ExitPath.objects.values_list("code", flat=True)) >= {
        "mailto", "mail-reply", "spam-complaint", "mail-provider", "sms-keyword",
    }  # fmt: skip


def test_a_no_by_mail_is_confirmed_like_every_other(sent):
    received(letter("Abmelden"), to=verp.reply_address(sent))
    owed = confirmations.confirmations_of(opt_outs())

    assert [(message.channel, message.locale, message.template_key) for message in owed] == [
        ("email", "de", "opt_out_confirmation")
    ]
