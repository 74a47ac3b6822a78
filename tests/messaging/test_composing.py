"""The bytes on the wire say the same to every reader: read back by the mail library, they are what was written."""

import uuid
from email import message_from_bytes
from email.policy import default
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.identifiers import Identity
from messaging.composing import compose
from messaging.models import Message, TemplateVersion
from messaging.rendering import Rendered, RenderError

VERSION = TemplateVersion(template_id="opt_out_confirmation", number=3)
# What a template can become: no control characters but line breaks and tabs, no lone surrogates.
WRITTEN = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t\r"))
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=150).filter(str.strip)


def message_to(address="anna@example.org"):
    sealed = Identity("email", address).seal()
    return Message(
        id=uuid.uuid4(), message_class="confirmation", channel="email", subject_id=uuid.uuid4(), sealed_recipient=sealed
    )


def read_back(raw):
    return message_from_bytes(raw, policy=default)


def lines(text):
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


@given(text=WRITTEN, html=WRITTEN)
def test_both_texts_arrive_as_they_were_written_on_lines_that_every_relay_takes(text, html):
    raw = compose(message_to(), Rendered("Hello", text, html, "en"), VERSION)

    mail = read_back(raw)
    plain = mail.get_body(("plain",))
    assert lines(plain.get_content()) == lines(text)
    if html:
        assert lines(mail.get_body(("html",)).get_content()) == lines(html)
        assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert raw.isascii()
    assert raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998  # RFC 5322 section 2.1.1
    assert not mail.defects
    assert not plain.defects


@given(subject=LINE)
def test_a_subject_arrives_in_any_script(subject):
    mail = read_back(compose(message_to(), Rendered(subject, "Text", "", "en"), VERSION))

    assert " ".join(mail["Subject"].split()) == " ".join(subject.split())


@pytest.mark.parametrize("name", ["Holdfast", "Müller & Söhne, Büro", 'The "Office"'])
def test_a_sender_with_any_name_is_one_mailbox(settings, name):
    quoted = name.replace('"', '\\"')
    settings.MAIL_FROM = f'"{quoted}" <privacy@holdfast.example>'

    [sender] = read_back(compose(message_to(), Rendered("Hello", "Text", "", "en"), VERSION))["From"].addresses

    assert (sender.display_name, sender.addr_spec) == (name, "privacy@holdfast.example")


@pytest.mark.parametrize(
    "address",
    ["anna@example.org", "o'brien+news@example.org", '"two words"@example.org', f"{'a' * 64}@{'b' * 60}.example.org"],
)
def test_a_recipient_is_one_mailbox(address):
    raw = compose(message_to(address), Rendered("Hello", "Text", "", "en"), VERSION)

    assert [one.addr_spec for one in read_back(raw)["To"].addresses] == [address]


@pytest.mark.parametrize("address", ["two words@example.org", "nobody", "a@b\r\nBcc: c@example.org"])
def test_what_is_no_address_is_refused_in_words_for_staff(address):
    with pytest.raises(RenderError, match="correct it"):
        compose(message_to(address), Rendered("Hello", "Text", "", "en"), VERSION)


def test_what_it_is_stands_in_its_headers():
    message = message_to()

    mail = read_back(compose(message, Rendered("Hello", "Text", "<p>Text</p>", "de"), VERSION))

    assert mail["Message-ID"] == f"<{message.pk}@holdfast.example>"
    assert mail["Feedback-ID"] == "opt_out_confirmation:v3:confirmation:holdfast"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Content-Language"] == "de"
    assert parsedate_to_datetime(mail["Date"]).tzinfo
    assert [name for name in set(mail) if mail.get_all(name)[1:]] == []  # each once
