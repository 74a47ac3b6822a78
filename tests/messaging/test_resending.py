"""Many messages sent again at once: what goes is told first, what must not go stays with why, and each keeps who."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from messaging import resending, suppressing
from messaging.models import Message, Suppression
from messaging.resending import look, send_again
from tests.factories import MessageFactory, UserFactory

pytestmark = pytest.mark.django_db
OUTBOX = reverse("admin:messaging_message_changelist")


@pytest.fixture
def officer(client):
    user = UserFactory(username="olga", role="Officer")
    client.force_login(user)
    return user


def failed(number=1, **facts):
    facts = {"state": "failed", "settled_at": timezone.now()} | facts
    return MessageFactory.create_batch(number, **facts)


def press(client, chosen, query="", **answers):
    ids = [message.pk for message in chosen]
    return client.post(f"{OUTBOX}{query}", {"action": "send_again", "_selected_action": ids, **answers})


def said(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"state": "accepted"}, "Only what was refused or given up is sent again. It is accepted by the relay."),
        ({"state": "ready"}, "Only what was refused or given up is sent again. It is ready."),
        ({"state": "in_doubt"}, resending.MAYBE_SENT),
        ({"state": "closed_unknown"}, resending.MAYBE_SENT),
        ({"possible_duplicate": True}, resending.MAYBE_SENT),
        ({"state": "in_doubt", "message_class": "incident_notice"}, resending.FOR_TWO),
        ({"sealed_recipient": None}, "No e-mail address is known for this person, or it was erased: nothing was sent."),
        ({"expires_at": timezone.now() - timedelta(days=1)}, resending.TOO_LATE),
    ],
)
def test_what_must_not_go_with_many_stays_and_says_why(facts, why):
    [message] = failed(**facts)
    before = message.state

    done = send_again(Message.objects.all(), reason="The relay is back", by="user:olga")

    message.refresh_from_db()
    assert message.state == before
    assert (done.goes, done.refused) == ([], {why: [message]})
    assert not message.events.exists()


def test_an_attempt_without_an_answer_keeps_its_message_out():
    [message] = failed()
    message.attempts.create(number=1, transport="relay", lease=message.pk, outcome="in_doubt")

    assert look(Message.objects.all()).refused == {resending.MAYBE_SENT: [message]}


def test_a_suppressed_address_and_a_person_who_opted_out_stay():
    [suppressed] = failed()
    [stopped] = failed(message_class="operational")
    suppressing.suppress(suppressing.digest_of_recipient(suppressed), Suppression.Reason.NO_MAILBOX)

    refused = look(Message.objects.all()).refused

    assert refused["The address is suppressed: no such mailbox."] == [suppressed]
    [why] = set(refused) - {"The address is suppressed: no such mailbox."}
    assert why.startswith("The person may not be contacted")
    assert refused[why] == [stopped]


@pytest.mark.parametrize("state", ["failed", "rejected", "render_failed", "filed"])
def test_what_was_not_sent_goes_again_each_with_who_and_why(state):
    messages = failed(2, state=state)

    done = send_again(Message.objects.all(), reason="The relay is back", by="user:olga")

    assert {message.pk for message in done.goes} == {message.pk for message in messages}
    for message in messages:
        message.refresh_from_db()
        assert (message.state, message.settled_at, message.possible_duplicate) == ("retry_wait", None, False)
        [event] = message.events.all()
        assert (event.kind, event.payload["by"]) == ("resent", "user:olga")
        assert event.payload["reason"] == "The relay is back (one of 2 sent again together)"


def test_one_that_somebody_else_sent_meanwhile_takes_no_other_with_it(monkeypatch):
    first, second = failed(2)
    chosen = look(Message.objects.all())
    Message.objects.filter(pk=first.pk).update(state="ready")
    monkeypatch.setattr(resending, "look", lambda messages: chosen)

    done = send_again(Message.objects.all(), reason="The relay is back", by="user:olga")

    assert done.goes == [second]
    [(why, them)] = done.refused.items()
    assert (them, why.endswith("It is ready.")) == ([first], True)


def test_it_is_not_done_without_a_reason():
    failed()

    with pytest.raises(ValidationError, match="Say why"):
        send_again(Message.objects.all(), reason=" ", by="user:olga")

    assert not Message.objects.filter(state="retry_wait").exists()


def test_looking_at_many_costs_as_much_as_looking_at_few():
    counts = []
    for _ in range(2):
        failed(4)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            look(Message.objects.all())
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_no_more_go_than_fit_one_press_and_the_page_says_so(client, officer, monkeypatch):
    monkeypatch.setattr(resending, "AT_ONCE", 2)
    messages = failed(3)

    text = press(client, messages, index=0, select_across=1).content.decode()

    assert text.count('name="_selected_action"') == 2
    assert "More were chosen than go at once: these are the first 2." in text


def test_the_page_says_how_many_go_and_why_others_do_not_before_anything_happens(client, officer):
    going, [doubtful] = failed(2), failed(state="in_doubt", message_class="incident_notice")

    text = press(client, [*going, doubtful], index=0).content.decode()

    assert "Send 2 messages again" in text
    assert "1 does not go" in text
    assert resending.FOR_TWO in text
    assert reverse("admin:messaging_message_change", args=[doubtful.pk]) in text
    assert text.count('name="_selected_action"') == 2
    assert not Message.objects.filter(state="retry_wait").exists()


def test_the_second_press_sends_what_was_read_of_and_nothing_that_came_since(client, officer):
    read, late = failed(2), failed()

    response = press(client, read, "?queue=trouble", confirmed=1, reason="The relay is back", send="")

    assert said(response) == ["2 messages are sent again within seconds."]
    assert response["Location"] == f"{OUTBOX}?queue=trouble"
    assert set(Message.objects.filter(state="retry_wait")) == set(read)
    assert Message.objects.get(pk=late[0].pk).state == "failed"


def test_the_second_press_asks_for_a_reason(client, officer):
    text = press(client, failed(), confirmed=1, reason="", send="").content.decode()

    assert "This field is required." in text
    assert not Message.objects.filter(state="retry_wait").exists()


def test_what_was_suppressed_since_the_page_was_read_is_named(client, officer):
    [message] = failed()
    suppressing.suppress(suppressing.digest_of_recipient(message), Suppression.Reason.NO_MAILBOX)

    response = press(client, [message], confirmed=1, reason="The relay is back", send="")

    assert said(response) == ["1 not sent again: The address is suppressed: no such mailbox."]


def test_where_nothing_can_go_there_is_no_button(client, officer):
    text = press(client, failed(state="in_doubt"), index=0).content.decode()

    assert "Nothing of this can go again so." in text
    assert 'name="send"' not in text


@pytest.mark.parametrize("role", ["Responder", "Auditor"])
def test_who_may_not_send_again_is_offered_nothing_and_changes_nothing(client, role):
    messages = failed()
    client.force_login(UserFactory(role=role))

    assert "send_again" not in client.get(OUTBOX).content.decode()
    press(client, messages, confirmed=1, reason="Please", send="")

    assert not Message.objects.filter(state="retry_wait").exists()
