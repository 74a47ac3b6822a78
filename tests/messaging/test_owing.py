"""What leads to a message besides a decision, what keeps it from being owed twice, and what nudges do."""

import pytest
from django.core.exceptions import ValidationError

from consent.services import record
from consent.signals import request_answered
from messaging import tasks
from messaging.delivery import deliver_due
from messaging.models import Message
from messaging.services import NewMessage, enqueue
from tests.factories import PrivacyRequestFactory, opt_in, opt_out

pytestmark = pytest.mark.usefixtures("newsletter")


@pytest.fixture
def request_of_anna():
    [made] = record([opt_in("anna@example.org", "newsletter")])
    return PrivacyRequestFactory(subject_id=made.subject_id, ref="PR-77", locale="de")


def answer(request, text="Erledigt.\n\nFreundliche Grüße"):
    request_answered.send(sender=None, request=request, written=text, text=text, by="user:bela")


def test_the_answer_to_a_request_is_mailed_in_its_own_words_and_language(request_of_anna, relay_inbox):
    answer(request_of_anna)

    deliver_due(transport=relay_inbox.relay())

    message = Message.objects.get()
    assert (message.request_id, message.state, message.message_class) == (
        request_of_anna.pk,
        "accepted",
        "privacy_notice",
    )
    content = relay_inbox.mails[0].content
    assert b"Subject: Unsere Antwort auf Ihre Anfrage PR-77" in content
    assert b"Freundliche Gr=C3=BC=C3=9Fe" in content
    assert b"List-Unsubscribe" not in content  # it is what the person asked for, and nothing to end


def test_the_same_answer_is_owed_once_and_another_one_again(request_of_anna):
    answer(request_of_anna)
    answer(request_of_anna)
    answer(request_of_anna, "We found more.")

    assert Message.objects.count() == 2


def test_a_message_of_an_unknown_text_is_refused(request_of_anna):
    with pytest.raises(ValidationError, match="No such template: nonsense"):
        enqueue([NewMessage(template_key="nonsense", subject_id=request_of_anna.subject_id, cause="x", context={})])


def test_news_that_nobody_was_nudged_about_are_found_by_the_sweep(committed, relay_inbox, sending_by):
    sending_by(f"relay=smtp://127.0.0.1:{relay_inbox.port}")
    record([opt_out("anna@example.org", "newsletter")])

    tasks.sweep.run()  # its own nudge is lost: there is no broker here
    tasks.deliver_due.run("critical")

    assert len(relay_inbox.mails) == 1
