"""Real bounces of many hosts are understood, whatever else comes is not taken for one, and garbage never raises."""

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
