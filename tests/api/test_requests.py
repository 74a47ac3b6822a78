"""Privacy requests over HTTP: handed to the desk once, an opt-out in effect at once."""

import pytest

from consent.identifiers import Identity
from consent.models import Decision, PrivacyRequest
from consent.services import may_contact
from tests.api.conftest import Api
from tests.factories import PurposeFactory

URL = "/api/v1/requests/"


@pytest.fixture
def api(committed):
    PurposeFactory(code="tips", regime="opt_out")
    return Api()


def asked(**changes):
    return {"subject": {"email": "anna@example.org"}, "kind": "access", **changes}


def test_a_request_gets_a_reference_and_a_due_date(api):
    response = api.send(URL, asked(details="Everything, please.\nAnna"))

    assert response.status_code == 201
    body = response.json()
    assert (body["kind"], body["state"], body["received_via"]) == ("access", "open", "api")
    assert body["due_at"] > body["received_at"]
    assert "details" not in body
    assert api.get(f"{URL}{body['ref']}/").json() == body
    assert [row["ref"] for row in api.get(f"{URL}?kind=access").json()["results"]] == [body["ref"]]
    assert api.get(f"{URL}?state=closed").json()["results"] == []
    assert PrivacyRequest.objects.get().details == "Everything, please.\nAnna"


def test_an_opt_out_takes_effect_at_once(api):
    assert may_contact(Identity.of("email", "anna@example.org"), "tips", "email")

    api.send(URL, asked(kind="opt_out"))

    assert not may_contact(Identity.of("email", "anna@example.org"), "tips", "email")


def test_an_opt_out_may_be_about_one_thing(api):
    api.send(URL, asked(kind="opt_out", scopes=[{"purpose": "tips", "channel": "sms"}]))

    assert may_contact(Identity.of("email", "anna@example.org"), "tips", "email")
    assert not may_contact(Identity.of("email", "anna@example.org"), "tips", "sms")


@pytest.mark.parametrize("kind", ["access", "opt_out"])
def test_the_same_request_sent_twice_is_one(api, kind):
    first, second = (api.send(URL, asked(kind=kind), **{"Idempotency-Key": "k"}) for _ in range(2))

    assert first.json() == second.json()
    assert second["Idempotent-Replayed"] == "true"
    assert PrivacyRequest.objects.count() == 1
    assert Decision.objects.count() == (1 if kind == "opt_out" else 0)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"subject": {"email": "x"}}, "/subject/email"),
        ({"subject": None}, "/subject"),
        ({"kind": "complaint"}, "/kind"),
        ({"received_at": "2999-01-01T00:00:00Z"}, "/received_at"),
        ({"received_at": "1999-01-01T00:00:00Z"}, "/received_at"),
        ({"received_at": "2026-01-01T00:00:00"}, "/received_at"),
        ({"details": "\x00"}, "/details"),
        ({"details": "x" * 5001}, "/details"),
        ({"locale": "\x07"}, "/locale"),
        ({"kind": "opt_out", "scopes": []}, "/scopes"),
        ({"kind": "opt_out", "scopes": [{"purpose": "unheard-of", "channel": "email"}]}, "/scopes/0/purpose"),
        ({"kind": "opt_out", "scopes": [{"purpose": "tips", "channel": "pigeon"}]}, "/scopes/0/channel"),
    ],
)
def test_a_request_that_cannot_be_is_refused_and_nothing_is_stored(api, problem, changes, pointer):
    body = problem(api.send(URL, asked(**changes)), 400, "invalid")

    assert [error["pointer"] for error in body["errors"]] == [pointer]
    assert not PrivacyRequest.objects.exists()
    assert not Decision.objects.exists()


def test_identifiers_of_several_people_opt_each_out_and_otherwise_ask_which_one_is_meant(api, problem):
    for subject in ({"email": "anna@example.org"}, {"user_id": "u1"}):
        api.send(URL, asked(subject=subject))

    both = {"email": "anna@example.org", "user_id": "u1"}
    refused = problem(api.send(URL, asked(subject=both)), 400, "invalid")
    taken = api.send(URL, asked(kind="opt_out", subject=both), **{"Idempotency-Key": "k" * 200})

    assert refused["errors"][0]["pointer"] == "/subject"
    assert taken.status_code == 201
    assert not may_contact(Identity.of("email", "anna@example.org"), "tips", "email")
    assert not may_contact(Identity.of("user_id", "u1"), "tips", "email")


@pytest.mark.parametrize("query", ["kind=x", "state=x", "subject=7", "due_before=0130-01-22T04:23:29-22:09"])
def test_a_filter_that_cannot_be_is_refused(api, problem, query):
    problem(api.get(f"{URL}?{query}"), 400, "invalid")


@pytest.mark.parametrize("ref", ["PR-99999", "%00", "x" * 300])
def test_a_request_that_is_not_there_is_a_404(api, problem, ref):
    problem(api.get(f"{URL}{ref}/"), 404, "not_found")


@pytest.mark.parametrize(("method", "scope"), [("get", "requests:read"), ("post", "requests:write")])
def test_the_scope_is_named(committed, problem, method, scope):
    assert scope in problem(getattr(Api("check"), method)(URL), 403, "missing_scope")["detail"]
