"""One person over HTTP: what holds, what changed, why."""

from uuid import uuid4

import pytest

from consent.models import Purpose
from consent.services import erase, merge, record
from tests.factories import PurposeFactory, opt_in, opt_out

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def marketing(db):
    return PurposeFactory(code="marketing")


def test_a_person_shows_masked_identifiers_and_what_holds(api):
    [row] = record([opt_out("anna@example.org")])

    body = api.get(f"/api/v1/subjects/{row.subject_id}/").json()

    assert body["identifiers"] == [{"kind": "email", "value": "a•••@example.org"}]
    [consent] = body["consents"]
    assert (consent["state"], consent["explicit"], consent["decision"]) == ("opted_out", True, str(row.id))


def test_an_erased_person_is_known_by_nothing_and_still_opted_out(api):
    [row] = record([opt_out("anna@example.org")])
    erase(row.subject_id, by="user:anna")

    body = api.get(f"/api/v1/subjects/{row.subject_id}/").json()

    assert body["identifiers"] == [{"kind": "email", "value": None}]
    assert body["erased_at"]
    assert body["consents"][0]["state"] == "opted_out"


def test_a_merged_person_is_spoken_for_by_the_other(api):
    first, second = record([opt_in("a@example.org"), opt_out("b@example.org")])
    merge(first.subject_id, second.subject_id, reason="same person", by="user:anna")

    body = api.get(f"/api/v1/subjects/{first.subject_id}/").json()

    assert body["merged_into"] == str(second.subject_id)
    assert body["consents"][0]["state"] == "opted_out"


def test_history_shows_from_what_to_what_newest_first(api):
    [row] = record([opt_in("anna@example.org", explicit=False, cause="import")])
    record([opt_out(row.subject_id)])

    body = api.get(f"/api/v1/subjects/{row.subject_id}/history/").json()

    assert [(version["from"], version["to"], version["cause"]) for version in body["results"]] == [
        ("opted_in", "opted_out", "subject_choice"),
        ("never_asked", "opted_in", "import"),
    ]
    assert body["next"] is None


def test_a_long_history_comes_in_pages(api):
    [row] = record([opt_out("anna@example.org")])
    for _ in range(100):
        record([opt_out(row.subject_id)])

    first = api.get(f"/api/v1/subjects/{row.subject_id}/history/").json()
    second = api.get(first["next"]).json()

    assert len(first["results"]) == 100
    assert [version["version"] for version in second["results"]] == [1]


def test_why_tells_the_choices_of_the_person(api):
    [row] = record([opt_out("anna@example.org", cause="complaint")])

    body = api.get(f"/api/v1/subjects/{row.subject_id}/why/").json()

    assert str(row.id) in {entry["decision"] for entry in body["entries"]}
    assert not body["is_cut"]


@pytest.mark.parametrize("part", ["", "history/", "why/"])
def test_nobody_by_that_id_is_a_404(api, problem, part):
    problem(api.get(f"/api/v1/subjects/{uuid4()}/{part}"), 404, "not_found")


def test_a_purpose_is_registered_once_with_its_author(api, problem):
    body = {"code": "letters", "name": "Letters", "regime": "opt_out"}

    created = api.send("/api/v1/purposes/", body)

    assert created.status_code == 201
    purpose = Purpose.objects.get(code="letters")
    assert str(purpose.history.get().history_user_id) != ""
    assert "letters" in [row["code"] for row in api.get("/api/v1/purposes/?page_size=500").json()["results"]]
    errors = problem(api.send("/api/v1/purposes/", body), 400, "invalid")["errors"]
    assert [error["pointer"] for error in errors] == ["/code"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"code": "Not A Code"}, "/code"),
        ({"code": "*"}, "/code"),
        ({"code": "a\x00"}, "/code"),
        ({"name": "a\x07b"}, "/name"),
        ({"name": ""}, "/name"),
        ({"description": "\x00"}, "/description"),
        ({"regime": "sometimes"}, "/regime"),
        ({"position": -1}, "/position"),
        ({"position": 99999}, "/position"),
    ],
)
def test_a_purpose_that_cannot_be_is_refused(api, problem, changes, pointer):
    body = problem(api.send("/api/v1/purposes/", {"code": "letters", "name": "Letters", **changes}), 400, "invalid")

    assert {error["pointer"] for error in body["errors"]} == {pointer}
    assert not Purpose.objects.filter(code="letters").exists()


def test_exit_paths_are_listed(api):
    codes = [row["code"] for row in api.get("/api/v1/exit-paths/").json()["results"]]

    assert {"api", "one-click"} <= set(codes)
