"""GET /api/v1/notices/: how far each is, and what is proved of each recipient, without addresses."""

import pytest

from config.models import Scope
from messaging import batches
from messaging.models import Message
from tests.api.conftest import Api
from tests.factories import NoticeFactory
from tests.messaging.test_batches import started
from tests.messaging.test_notices import people

pytestmark = pytest.mark.usefixtures("newsletter")

URL = "/api/v1/notices/"


@pytest.fixture
def reader(db):
    return Api(Scope.MESSAGES_READ)


def test_a_notice_is_told_with_its_progress(reader):
    notice = started(people("anna", "bela").values())
    batches.send_all()
    Message.objects.filter(pk=notice.messages.first().pk).update(state="in_doubt")

    row = reader.get(f"{URL}{notice.ref}/").json()

    assert (row["ref"], row["state"], row["approved_by"]) == (notice.ref, "sending", "user:bela")
    assert {name: count for name, count in row["progress"].items() if count} == {"in_doubt": 1, "waiting": 1}
    assert row["cohort_sha256"] == bytes(notice.cohort_digest).hex()
    assert reader.get(URL).json()["results"] == [row]
    assert not {"listed", "cohort", "context"} & set(row)


def test_recipients_are_paged_and_filtered_and_carry_no_address(reader):
    known = people("anna", "bela", "cem")
    notice = started(known.values())
    batches.send_all()
    Message.objects.filter(subject_id=known["anna"]).update(state="accepted")

    seen, url = [], f"{URL}{notice.ref}/recipients/?page_size=2"
    while url:
        body = reader.get(url).json()
        seen += [row["subject"] for row in body["results"]]
        url = body["next"]
    [sent] = reader.get(f"{URL}{notice.ref}/recipients/", {"outcome": "sent"}).json()["results"]

    assert sorted(seen) == sorted(str(pk) for pk in known.values())
    assert (sent["subject"], sent["state"], sent["evidence"]) == (str(known["anna"]), "accepted", "E3")
    assert "example.org" not in str(sent)


def test_what_is_not_there_and_who_may_not_ask(reader):
    assert reader.get(f"{URL}NTC-9/").status_code == 404
    assert reader.get(f"{URL}x/recipients/").status_code == 404
    assert reader.get(URL, {"state": "lost"}).status_code == 400
    assert Api(Scope.CHECK).get(URL).status_code == 403


def test_a_page_takes_a_bounded_number_of_queries(reader, django_assert_max_num_queries):
    NoticeFactory.create_batch(20)
    notice = started(people(*(f"p{n}" for n in range(20))).values())
    batches.send_all()
    reader.get(URL)

    with django_assert_max_num_queries(4):
        reader.get(URL)
    with django_assert_max_num_queries(4):
        reader.get(f"{URL}{notice.ref}/recipients/")
