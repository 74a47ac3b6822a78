"""Real bounces of many hosts are understood, whatever else comes is not taken for one, and garbage never raises."""

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging.inbound.auto_replies import is_automatic
from messaging.inbound.bounces import bounces_of, own_words
from messaging.inbound.complaints import complaint_of
from messaging.inbound.parsing import read
from messaging.inbound.wordings import Class, Reason, judge
from tests.messaging.inbound.mails import complaint, is_there, letter, report, vectors


@is_there
def test_nine_of_ten_real_bounces_yield_a_class_and_a_recipient():
    files = vectors("dsn")

    understood = [
        path.name
        for path in files
        if (found := bounces_of(read(path.read_bytes())))
        and all(b.recipient and b.verdict.kind in (Class.PERMANENT, Class.TEMPORARY) for b in found)
    ]

    assert len(understood) >= 0.9 * len(files), {path.name for path in files} - set(understood)


@is_there
@pytest.mark.parametrize("ends", [b"\n", b"\r", b"\r\n"])
def test_line_ends_change_nothing(ends):
    for path in vectors("dsn"):
        raw = path.read_bytes().replace(b"\r\n", b"\n")

        assert bounces_of(read(raw.replace(b"\n", ends))) == bounces_of(read(raw)), path.name


@is_there
def test_every_abuse_report_with_a_feedback_part_is_recognised_and_none_is_taken_for_a_bounce():
    for path in vectors("arf"):
        raw = path.read_bytes()
        found = complaint_of(read(raw))

        assert bounces_of(read(raw)) == [], path.name
        assert found is not None or b"message/feedback-report" not in raw.lower(), path.name


@is_there
@pytest.mark.parametrize("folder", ["auto-reply", "not-bounce"])
def test_what_is_no_bounce_is_not_taken_for_one(folder):
    assert [path.name for path in vectors(folder) if bounces_of(read(path.read_bytes()))] == []


@is_there
def test_automatic_answers_are_known_and_a_letter_is_not_one():
    assert all(is_automatic(read(path.read_bytes())) for path in vectors("auto-reply"))
    assert not any(is_automatic(read(path.read_bytes())) for path in vectors("not-bounce"))


def test_a_report_that_calls_itself_an_automatic_answer_is_a_bounce_all_the_same():
    [bounce] = bounces_of(read(report()))

    assert (bounce.recipient, bounce.verdict.kind, bounce.verdict.reason) == (
        "anna@example.org", Class.PERMANENT, Reason.MAILBOX,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "diagnostic", "kind", "reason"),
    [
        ("5.0.0", "550 5.1.1 no such user", Class.PERMANENT, Reason.MAILBOX),
        ("5.7.1", "550 5.7.1 Access denied", Class.PERMANENT, Reason.POLICY),
        ("5.7.1", "554 5.7.1 Message rejected as spam", Class.PERMANENT, Reason.CONTENT),
        ("5.2.2", "552 5.2.2 Mailbox full", Class.PERMANENT, Reason.FULL),
        ("5.4.4", "Host not found", Class.TEMPORARY, Reason.NETWORK),
        ("4.4.7", "450 4.7.1 Client host rejected", Class.TEMPORARY, Reason.NETWORK),
        ("", "550 user unknown", Class.PERMANENT, Reason.MAILBOX),
        ("", "", Class.UNKNOWN, Reason.UNKNOWN),
    ],
)
def test_a_status_and_its_words_are_read_together(status, diagnostic, kind, reason):
    verdict = judge(diagnostic, status)

    assert (verdict.kind, verdict.reason) == (kind, reason)


def test_a_delay_and_a_receipt_are_no_failures():
    [delayed] = bounces_of(read(report(status="4.4.1", action="delayed", diagnostic="451 try later")))
    [delivered] = bounces_of(read(report(status="2.0.0", action="delivered", diagnostic="250 ok")))

    assert (delayed.verdict.kind, delivered.verdict.kind) == (Class.TEMPORARY, Class.DELIVERED)


def test_a_letter_about_a_mail_that_did_not_arrive_is_no_bounce():
    assert (
        bounces_of(read(letter("Your mail was not delivered, said the user unknown to me.", subject="Delivery"))) == []
    )


def test_of_several_message_ids_in_a_complaint_the_last_stands_first():
    found = complaint_of(read(complaint(message_ids=["<first@example.org>", "<last@example.org>"])))

    assert found.message_ids[0] == "last@example.org"


@pytest.mark.parametrize("feedback", ["fraud", "virus", "other", "not-spam", "auth-failure"])
def test_only_abuse_is_a_complaint_about_being_written_to(feedback):
    assert complaint_of(read(complaint("abuse"))).is_abuse
    assert not complaint_of(read(complaint(feedback))).is_abuse


FRAGMENTS = st.sampled_from(
    [
        b'Content-Type: multipart/report; boundary="b"\n',
        b"Content-Type: message/delivery-status\n",
        b"\n--b\n",
        b"--b--",
        b"Final-Recipient: rfc822;",
        b"Status: 5.",
        b"Subject: =?x?q?=",
        b"Return-Path: <>\n",
        b"\r",
        b"\0",
        b"\xff\xfe",
        b"Content-Transfer-Encoding: base64\n",
        b"Content-Type: text/plain; charset=nonsense\n",
        b"From: MAILER-DAEMON@x\n",
        b"Content-Type: message/rfc822\n\n",
        b"Content-Type: message/feedback-report\n\n",
        b"550 5.1.1 <a@b.c> unknown\n",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAGMENTS | st.binary(max_size=60), max_size=25).map(b"".join))
def test_garbage_never_raises(raw):
    mail = read(raw)

    bounces_of(mail)
    complaint_of(mail)
    is_automatic(mail)
    own_words(mail)


def nested(start, depth):
    return b"From: anna@example.org\nSubject: STOP\n" + b"".join(start % {b"n": n} for n in range(depth))


@pytest.mark.parametrize(
    "raw",
    [
        nested(b'Content-Type: multipart/mixed; boundary="b%(n)d"\n\n--b%(n)d\n', 5000),
        nested(b"Content-Type: message/rfc822\n\n", 5000),
    ],
)
def test_parts_within_parts_without_end_leave_the_headers_readable(raw):
    mail = read(raw)

    assert (mail.header("Subject"), mail.addresses("From")) == ("STOP", ["anna@example.org"])
    assert (bounces_of(mail), complaint_of(mail)) == ([], None)


def test_what_is_looked_at_is_bounded_before_it_is_parsed():
    long_type = b"Content-Type: text/plain; " + b"a=b;\n " * 20_000 + b"charset=utf-8\n"
    many_parts = b'Content-Type: multipart/mixed; boundary="b"\n\n' + b"--b\n\na\n" * 5000

    assert len(read(long_type + b"\nHi").mime["Content-Type"]) < 5000
    assert len(read(b"X-A: b\n" * 50_000 + b"\nHi").mime.items()) < 10_000
    assert len(read(many_parts).parts) == 100
    assert read(b"Content-Type: text/html\n\nSTOP" + b"<!--" * 10_000).text.strip() == "STOP"


def test_a_report_whose_boundary_is_nowhere_is_read_as_text():
    raw = report().replace(b'; boundary="b"', b"")

    [bounce] = bounces_of(read(raw))

    assert (bounce.recipient, bounce.verdict.kind) == ("anna@example.org", Class.PERMANENT)


def from_a_person(subject, text, headers="", sender="Anna <anna@example.org>"):
    return f"{headers}From: {sender}\nTo: reply@holdfast.example\nSubject: {subject}\n\n{text}\n".encode()


NOBODY = "Return-Path: <>\n"
LEFT = "I no longer work here and my mailbox is no longer active. Write to\n\nbob@example.org\n\nor call 555 1234 567."


@pytest.mark.parametrize(
    "raw",
    [
        from_a_person("Out of office: Hello", "What you send is not delivered to me. Call 550 1234.", NOBODY),
        from_a_person("Automatic reply: Hello", LEFT, NOBODY),
        from_a_person("Re: Hello", LEFT, NOBODY + "Auto-Submitted: auto-replied\n"),
        from_a_person("Your request", "Look into your spam folder, says our policy.", "Return-Path: <bounces+1@esp>\n"),
        from_a_person(
            "Complaint", "Stop sending spam to our users, it is against our policy.", sender="postmaster@a.b"
        ),
        from_a_person("Re: Undelivered Mail", "Why do I get these?\n\n> <bob@example.org>: 550 5.1.1 User unknown"),
        from_a_person("My mail could not be delivered", "I get 550 5.1.1 user unknown from privacy@holdfast.example."),
        from_a_person("Delivery failed", "Your courier failed to deliver it.\n\nanna2@example.org"),
        from_a_person(
            "[list] A bounce", "> Final-Recipient: rfc822; bob@example.org\n> Action: failed", "List-Id: <list>\n"
        ),
        from_a_person("Confirm", "To stop spam, mail is held until you confirm.", sender="Guard <guard@example.org>"),
    ],
)
def test_what_people_and_their_programs_write_about_mail_that_fails_is_no_bounce(raw):
    assert bounces_of(read(raw)) == []


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (
            from_a_person(
                "Returned Mail - Error", "Failed Recipients\n\n<bob@example.org>: unavailable. [Error Code 550]",
                sender="smtp_service@example.org",
            ),
            Class.PERMANENT,
        ),
        (
            from_a_person(
                "Delivery failure", "could not be delivered to the following recipients:\n\nbob@example.org",
                sender="gateway@example.org",
            ),
            Class.PERMANENT,
        ),
        (from_a_person("Non remis : Bonjour", "Votre message n'a pas pu être remis :\n\nbob@example.org",
                       NOBODY, "postmaster@example.fr"), Class.PERMANENT),
        (from_a_person("Zustellung", "Die Nachricht konnte nicht zugestellt werden:\n\nbob@example.org",
                       NOBODY, "MAILER-DAEMON@example.de"), Class.PERMANENT),
        (from_a_person("No se puede entregar: Hola", "El mensaje no se pudo entregar:\n\nbob@example.org",
                       NOBODY, "postmaster@example.es"), Class.PERMANENT),
        (from_a_person("Fwd: Undelivered", "> From: MAILER-DAEMON@mx\n>\n> <bob@example.org>: 550 5.1.1 User unknown"),
         Class.PERMANENT),
    ],
)  # fmt: skip
def test_hosts_without_a_standard_are_understood_whatever_their_language(raw, kind):
    [bounce] = bounces_of(read(raw))

    assert (bounce.recipient, bounce.verdict.kind) == ("bob@example.org", kind)


def encoded(part, encoding):
    """The same part in another transfer encoding."""
    text = b64encode(part) if encoding == b"base64" else part.replace(b"anna@ex", b"anna@ex=\n")
    return b"Content-Transfer-Encoding: " + encoding + b"\n\n" + text + b"\n"


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable"])
def test_the_part_that_machines_read_may_be_encoded(encoding):
    status = b"Final-Recipient: rfc822; anna@example.org\nAction: failed\nStatus: 5.1.1\n"
    feedback = b"Feedback-Type: abuse\nOriginal-Rcpt-To: anna@example.org\n"
    head = b'From: MAILER-DAEMON@mx\nContent-Type: multipart/report; boundary="b"\n\n--b\nContent-Type: message/'

    [bounce] = bounces_of(read(head + b"delivery-status\n" + encoded(status, encoding) + b"--b--\n"))
    abuse = complaint_of(read(head + b"feedback-report\n" + encoded(feedback, encoding) + b"--b--\n"))

    assert (bounce.recipient, bounce.action) == ("anna@example.org", "failed")
    assert (abuse.is_abuse, abuse.recipients) == (True, ["anna@example.org"])


@pytest.mark.parametrize("written", ["jos\u00e9@example.org", "jos\\x{E9}@example.org"])
def test_a_recipient_may_have_letters_of_any_script(written):
    raw = report().replace(b"message/delivery-status", b"message/global-delivery-status")

    [bounce] = bounces_of(read(raw.replace(b"rfc822; anna@example.org", f"utf-8; {written}".encode())))

    assert bounce.recipient == "jos\u00e9@example.org"


def within(raw, sender):
    return (
        f'From: {sender}\nSubject: Returned mail\nContent-Type: multipart/mixed; boundary="q"\n\n--q\n'
        "Content-Type: text/plain\n\nSee what came.\n--q\nContent-Type: message/rfc822\n\n"
    ).encode() + raw + b"\n--q--\n"  # fmt: skip


def test_a_report_within_a_report_is_the_one_that_counts():
    [bounce] = bounces_of(read(within(report(), "MAILER-DAEMON@gateway.example")))

    assert (bounce.recipient, bounce.verdict.status) == ("anna@example.org", "5.1.1")


def test_a_complaint_that_somebody_passed_on_is_one():
    found = complaint_of(read(within(complaint(rcpt="anna@example.org"), "abuse@relay.example")))

    assert (found.is_abuse, found.recipients) == (True, ["anna@example.org"])


@pytest.mark.parametrize(
    "subject",
    [
        "Re: Hello (Automatic Response)", "AUTO: Anna Berg is out of the office.", "Réponse automatique : Bonjour",
        "Message d'absence", "Respuesta automática: Hola", "Risposta automatica: Ciao", "Afwezig: hallo",
        "Resposta automática: Olá", "Odpowiedź automatyczna: Cześć", "Automatiskt svar: Hej", "Automatisk svar: Hej",
        "Automaattinen vastaus: Hei", "Automatická odpověď: Ahoj", "Автоматический ответ: Привет",
        "自動応答: こんにちは",
        "自动答复: 你好", "Abwesenheitsnotiz: Hallo", "Urlaubsnotiz",
    ],
)  # fmt: skip
def test_automatic_answers_are_known_by_their_subject_in_many_languages_also_in_bare_bytes(subject):
    assert is_automatic(read(from_a_person(subject, "Back on Monday.")))


@pytest.mark.parametrize("subject", ["Urlaubsreise stornieren", "Autos", "Absender gesucht", "Automatic renewal"])
def test_a_subject_that_only_begins_alike_is_a_letter(subject):
    assert not is_automatic(read(from_a_person(subject, "Hello")))


def test_a_receipt_is_an_automatic_answer():
    raw = report().replace(b"delivery-status", b"disposition-notification")

    assert bounces_of(read(raw.replace(b"MAILER-DAEMON", b"anna"))) == []
    assert is_automatic(read(raw.replace(b"Auto-Submitted: auto-replied\r\n", b"")))
