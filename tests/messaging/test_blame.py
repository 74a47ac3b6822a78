"""What servers say when they refuse: which words are about the recipient, and which about us and so everybody."""

import pytest

from messaging.transports.blame import refusal
from messaging.transports.replies import Refused, Reply, Temporary

ABOUT_THE_RECIPIENT = [
    (550, "5.1.1 <anna@example.org>: Recipient address rejected: User unknown in relay recipient table"),
    (550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"),
    (550, "5.2.1 The email account that you tried to reach is disabled."),
    (552, "5.2.2 The recipient's inbox is out of storage space"),
    (553, "5.1.3 The recipient address is not a valid RFC 5321 address"),
    (556, "5.1.10 Recipient address has null MX"),
    (550, "5.4.1 Recipient address rejected: Access denied. AS(201806281)"),
    (554, "5.7.1 <anna@example.org>: Recipient address rejected: Access denied"),
    (504, "5.5.2 <anna@example>: Recipient address rejected: need fully-qualified address"),
    (550, "5.7.1 RESOLVER.RST.AuthRequired; authentication required"),
    (550, "5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction"),
    (550, "5.7.17 The owner of this mailbox has changed"),
    (550, "5.5.0 Requested action not taken: mailbox unavailable"),
    (550, "No such user here"),
    (550, "5.7.1 You are not allowed to send to this group"),
    (551, "User not local; please try <anna@example.net>"),
    (554, "5.5.1 Error: no valid recipients"),
    # about this message, which no other way would make a better one
    (552, "5.3.4 Message size exceeds fixed limit"),
    (554, "5.7.1 Message rejected as spam by content filtering"),
    (550, "5.7.0 A virus was found in the attachment"),
    (554, "5.6.0 Message contains bare carriage returns"),
    # nothing said, and so what SMTP means by it (RFC 5321 section 4.2.3)
    (550, "Requested action not taken"),
    (554, "Transaction failed"),
]
ABOUT_US = [
    (554, "5.7.1 <anna@example.org>: Relay access denied"),
    (550, "5.7.1 Relaying denied"),
    (550, "relay not permitted"),
    (550, "5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
    (551, "we do not relay for you"),
    (553, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
    (530, "5.7.0 Authentication required"),
    (530, "Must issue a STARTTLS command first"),
    (535, "5.7.8 Authentication credentials invalid"),
    (538, "5.7.11 Encryption required for requested authentication mechanism"),
    (550, "5.7.1 Authentication is required for relay"),
    (503, "5.5.4 Need to authenticate first"),
    (503, "5.5.1 Error: need MAIL command"),
    (555, "5.5.4 Unsupported option: NOTIFY"),
    (521, "5.3.2 This host takes no mail"),
    (554, "5.7.1 <out.example[192.0.2.7]>: Client host rejected: Access denied"),
    (554, "5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org"),
    (550, "5.7.606 Access denied, banned sending IP [192.0.2.7]"),
    (550, "5.7.708 Access denied, traffic not accepted from this IP"),
    (550, "5.7.1 The IP you're using to send mail is not authorized to send email directly"),
    (550, "5.7.25 Reverse DNS does not match"),
    (550, "5.7.26 This mail is unauthenticated, which poses a security risk"),
    (550, "5.7.23 <anna@example.org>: Recipient address rejected: Message rejected due to: SPF fail - not authorized"),
    (554, "5.7.1 <privacy@shop.example>: Sender address rejected: Access denied"),
    (550, "5.7.60 SMTP; Client does not have permissions to send as this sender"),
    (550, "5.1.8 Access denied, bad outbound sender"),
    (550, "The from address does not match a verified Sender Identity"),
    (554, "Message rejected: Email address is not verified."),
    (554, "Message rejected: Sending suspended for this account."),
    (550, "5.4.5 Daily user sending quota exceeded"),
    (554, "5.3.5 Local configuration error"),
    (550, "5.7.1 Command rejected"),
    (550, "This account is not allowed to send"),
    (550, "5.7.1 Delivery not authorized, message refused"),
]
PASSING = [
    (451, "4.7.1 Greylisted, please come back", False),
    (450, "4.2.0 <anna@example.org>: Recipient address rejected: Greylisted", False),
    (452, "4.2.2 Mailbox full", False),
    (452, "4.3.1 Insufficient system storage", False),
    (451, "4.7.1 Come back", False),
    (421, "4.3.2 Shutting down", True),
    (454, "4.7.0 Temporary authentication failure", True),
    (454, "Throttling failure: Maximum sending rate exceeded.", True),
    (454, "4.7.1 <anna@example.org>: Relay access denied", True),
    (450, "4.7.25 Client host rejected: cannot find your reverse hostname", True),
]


@pytest.mark.parametrize(("code", "text"), ABOUT_THE_RECIPIENT)
def test_a_word_about_the_recipient_or_the_message_is_the_last_one(code, text):
    said = refusal(Reply(code, text))

    assert (type(said), said.blames_transport) == (Refused, False)


@pytest.mark.parametrize(("code", "text"), ABOUT_US)
def test_a_word_about_us_settles_nobodys_message(code, text):
    said = refusal(Reply(code, text))

    assert (type(said), said.blames_transport) == (Temporary, True)


@pytest.mark.parametrize(("code", "text", "blames"), PASSING)
def test_a_passing_refusal_is_tried_again_and_elsewhere_where_it_is_about_us(code, text, blames):
    said = refusal(Reply(code, text))

    assert (type(said), said.blames_transport) == (Temporary, blames)
