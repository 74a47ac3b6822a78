"""A person says that a message reached them: voluntary, by a button, proved once, and never by opening a link."""

import pytest

from consent.tokens import Token, issue
from messaging.evidence import level_of, story_of
from tests.factories import MessageFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def message():
    return MessageFactory(state="in_doubt", attempts_made=1)


def door(message, subject_id=None):
    return f"/read/{issue(Token(subject_id or message.subject_id, '*', 'email', message.pk))}/"


def test_opening_the_link_proves_nothing(client, message):
    page = client.get(door(message)).content.decode()
    client.post(door(message))

    message.refresh_from_db()
    assert "I have read it" in page
    assert (message.acknowledged_at, message.state) == (None, "in_doubt")


def test_the_button_is_the_highest_proof_and_settles_a_doubt(client, message):
    thanks = client.post(door(message), {"read": "yes"})
    client.post(door(message), {"read": "yes"})

    message.refresh_from_db()
    assert "Thank you" in thanks.content.decode()
    assert not thanks.cookies
    assert message.state == "accepted"
    assert level_of(message) == "E5: the person said that it reached them."
    assert [line.text for line in story_of(message)].count("The person said that it reached them") == 1


@pytest.mark.parametrize("link", ["/read/nonsense/", None])
def test_a_link_that_is_not_ours_or_not_theirs_changes_nothing(client, message, link):
    other = MessageFactory()

    answer = client.post(link or door(message, other.subject_id), {"read": "yes"})

    message.refresh_from_db()
    assert answer.status_code == 200
    assert message.acknowledged_at is None


@pytest.mark.parametrize(
    ("language", "button"), [("de", "Ich habe sie gelesen"), ("es", "Lo he leído"), ("fr", "Je l’ai lu")]
)
def test_the_page_speaks_the_persons_language(client, message, language, button):
    assert button in client.get(door(message) + f"?lang={language}").content.decode()
