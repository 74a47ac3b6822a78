"""Mails of the kinds that come back, built for a message of ours."""

from email.message import EmailMessage
from pathlib import Path

import pytest
from django.conf import settings

VECTORS = Path(settings.BASE_DIR).parent / "shared" / "vectors" / "mail"
is_there = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="../shared/vectors/mail is not here: nothing to compare with"
)


def vectors(folder):
    return sorted((VECTORS / folder).glob("*.eml"))


def report(
    status="5.1.1", action="failed", diagnostic="550 5.1.1 User unknown", to="anna@example.org", quoted=""
) -> bytes:
    """A bounce after RFC 3464."""
    return (
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example.org\r\nSubject: Undelivered Mail Returned to Sender\r\n"
        "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nIt did not arrive.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\n"
        f"Final-Recipient: rfc822; {to}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; {diagnostic}\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        f"Message-ID: {quoted or '<other@example.org>'}\r\nTo: {to}\r\n\r\n--b--\r\n"
    ).encode()


def complaint(feedback="abuse", message_ids=("<other@example.org>",), rcpt="") -> bytes:
    """An abuse report after RFC 5965, with the recipient redacted unless one is given."""
    named = f"Original-Rcpt-To: {rcpt}\r\n" if rcpt else ""
    ids = "".join(f"Message-ID: {one}\r\n" for one in message_ids)
    return (
        "From: fbl@provider.example\r\nSubject: FW: Offers\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nA complaint.\r\n"
        f"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {feedback}\r\n"
        f"User-Agent: Loop/1\r\nVersion: 1\r\n{named}\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\n{ids}Subject: Offers\r\n\r\nOffers.\r\n--b--\r\n"
    ).encode()


def letter(
    text, *, subject="Re: Your opt-out", sender="anna@example.org", to="reply@holdfast.example", **headers
) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail.as_bytes()
