"""GET /api/v1/messages/: what became of each, without addresses and texts."""

from uuid import uuid4

import pytest

from config.models import Scope
from tests.api.conftest import Api
from tests.factories import MessageFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/messages/"


@pytest.fixture
def reader(db):
    return Api(Scope.MESSAGES_READ)


def ids(response):
    assert response.status_code == 200, response.content
    return [row["id"] for row in response.json()["results"]]


def test_a_message_is_told_with_its_state_and_what_is_proved(reader):
    message = MessageFactory(decision_id=4711, state="accepted", attempts_made=1)

    [row] = reader.get(URL).json()["results"]

    assert (row["id"], row["subject"], row["decision"]) == (str(message.pk), str(message.subject_id), "4711")
    assert (row["state"], row["attempts"]) == ("accepted", 1)
    assert row["evidence"].startswith("E3")
    assert not {"recipient", "sealed_recipient", "raw", "sealed_raw", "context", "sealed_context"} & set(row)
    assert reader.get(f"{URL}{message.pk}/").json() == row


def test_messages_are_filtered_by_person_decision_and_state(reader):
    first = MessageFactory(decision_id=1, state="accepted")
    second = MessageFactory(decision_id=2, state="held")
    MessageFactory(decision_id=3, state="pending")

    assert ids(reader.get(URL, {"subject": str(first.subject_id)})) == [str(first.pk)]
    assert ids(reader.get(URL, {"decision": 2})) == [str(second.pk)]
    assert ids(reader.get(URL, {"state": ["held", "accepted"]})) == [str(second.pk), str(first.pk)]
    assert ids(reader.get(URL, {"created_to": "2026-01-01T00:00:00Z"})) == []


def test_pages_follow_one_another_without_gap_or_repetition(reader):
    made = [str(message.pk) for message in MessageFactory.create_batch(7)]

    seen, url = [], f"{URL}?page_size=3"
    while url:
        response = reader.get(url)
        seen += ids(response)
        url = response.json()["next"]

    assert seen == made[::-1]


@pytest.mark.parametrize(
    "query",
    [
        {"subject": "x"},
        {"decision": "x"},
        {"decision": "99999999999999999999"},
        {"decision": "-1"},
        {"state": "sent"},
        {"created_from": "yesterday"},
    ],
)
def test_a_bad_filter_is_refused_with_a_problem(reader, query):
    response = reader.get(URL, query)

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"


def test_a_key_without_the_scope_and_a_message_that_is_not_there(reader):
    assert Api(Scope.CHECK).get(URL).status_code == 403
    assert reader.get(f"{URL}{uuid4()}/").status_code == 404
    assert reader.get(URL, {"cursor": "crafted"}).status_code == 404


def test_a_page_takes_a_bounded_number_of_queries(reader, django_assert_max_num_queries):
    MessageFactory.create_batch(30)
    reader.get(URL)

    with django_assert_max_num_queries(3):
        reader.get(URL)
