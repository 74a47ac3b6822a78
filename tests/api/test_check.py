"""GET and POST /api/v1/check/: one question or a thousand."""

import json
from urllib.parse import urlencode

import pytest
from django.db import connection

from consent.services import record
from tests.api.conftest import Api
from tests.factories import PurposeFactory, RestoreFactory, opt_in, opt_out

pytestmark = pytest.mark.django_db

URL = "/api/v1/check/"


@pytest.fixture(autouse=True)
def purposes(db):
    PurposeFactory(code="marketing")
    PurposeFactory(code="parcel_news", regime="opt_out")


def ask(api, **query):
    return api.get(f"{URL}?{urlencode({'purpose': 'marketing', 'channel': 'email', **query})}")


def test_an_opt_out_is_a_no_that_names_its_decision(api):
    [row] = record([opt_out("anna@example.org")])

    body = ask(api, email="Anna@Example.org").json()

    assert {**body, "since": None} == {
        "allowed": False,
        "state": "opted_out",
        "reason": "explicit_opt_out",
        "decision": str(row.id),
        "since": None,
    }
    assert body["since"].endswith("Z")


def test_an_opt_in_is_a_yes(api):
    record([opt_in("anna@example.org")])

    assert ask(api, email="anna@example.org").json()["allowed"] is True


def test_never_asked_is_not_a_yes_where_an_opt_in_is_needed(api):
    body = ask(api, email="stranger@example.org").json()

    assert (body["allowed"], body["state"], body["reason"]) == (False, "never_asked", "opt_in_needed")
    assert ask(api, email="stranger@example.org", purpose="parcel_news").json()["allowed"] is True


@pytest.mark.parametrize("name", ["email", "phone", "user_id", "id"])
def test_a_person_is_named_by_any_identifier_or_id(api, name):
    subject = {"email": "anna@example.org", "phone": "+49 30 901820", "user_id": "u1"}
    body = {"subject": subject, "purpose": "marketing", "channel": "email", "choice": "opt_in", "cause": "support"}
    subject["id"] = api.send("/api/v1/decisions/", body).json()["subject"]

    assert ask(api, **{name: subject[name]}).json()["allowed"] is True


def test_any_no_is_a_no_when_several_identifiers_are_named(api):
    record([opt_in("anna@example.org"), opt_out("old@example.org")])
    both = {"subject": {"email": "anna@example.org", "user_id": "u1"}, "purpose": "marketing", "channel": "email"}

    assert ask(api, email="anna@example.org", user_id="u1").json()["allowed"] is False
    assert api.send(URL, {"queries": [both]}).json()["answers"][0]["allowed"] is False


WRONG = [
    ({"purpose": "unheard-of"}, "purpose", "unknown"),
    ({"purpose": "*"}, "purpose", "unknown"),
    ({"purpose": "\x00"}, "purpose", "unknown"),
    ({"channel": "*"}, "channel", "unknown"),
    ({"channel": "pigeon"}, "channel", "unknown"),
    ({"email": "anna"}, "email", "invalid"),
    ({"email": "a\x00@example.org"}, "email", "control_characters"),
    ({"phone": "030 901820"}, "phone", "invalid"),
    ({"id": "seven"}, "id", "invalid"),
]


@pytest.mark.parametrize(("changes", "pointer", "code"), WRONG)
def test_a_question_that_cannot_be_asked_is_refused_with_a_pointer(api, problem, changes, pointer, code):
    query = {"email": "anna@example.org"} if pointer in ("purpose", "channel") else {}

    body = problem(ask(api, **{**query, **changes}), 400, "invalid")

    assert [(error["pointer"], error["code"]) for error in body["errors"]] == [(pointer, code)]


@pytest.mark.parametrize(("changes", "pointer", "code"), WRONG)
def test_a_wrong_question_of_many_refuses_all_with_its_index(api, problem, changes, pointer, code):
    is_person = pointer not in ("purpose", "channel")
    right = {"subject": {"email": "anna@example.org"}, "purpose": "marketing", "channel": "email"}
    wrong = {**right, "subject": changes} if is_person else {**right, **changes}

    body = problem(api.send(URL, {"queries": [right, wrong]}), 400, "invalid")

    path = f"/queries/1/subject/{pointer}" if is_person else f"/queries/1/{pointer}"
    assert [(error["pointer"], error["code"]) for error in body["errors"]] == [(path, code)]


def test_nobody_named_is_nobody_asked_about(api, problem):
    assert problem(ask(api), 400)["errors"][0]["pointer"] == "email"


@pytest.mark.parametrize("body", [{}, {"queries": []}, {"queries": {}}, {"queries": [{}] * 1001}, [], "text", None])
def test_queries_are_a_list_of_1_to_1000(api, problem, body):
    problem(api.send(URL, body if isinstance(body, str) else json.dumps(body)), 400)


@pytest.mark.parametrize(
    "query", [7, None, [], {"subject": []}, {"subject": {"email": 7}, "purpose": [], "channel": {}}]
)
def test_queries_of_another_shape_are_refused(api, problem, query):
    problem(api.send(URL, {"queries": [query]}), 400, "invalid")


def test_a_thousand_answers_take_one_statement_like_one(api, django_assert_num_queries):
    record([opt_out("person7@example.org")])
    ask(api, email="anna@example.org")  # the key is known from here on
    question = {"purpose": "parcel_news", "channel": "email"}
    many = [{"subject": {"email": f"person{n}@example.org"}, **question} for n in range(999)]
    many.append({"subject": {"email": "person7@example.org"}, "purpose": "marketing", "channel": "email"})

    with django_assert_num_queries(1):
        ask(api, email="anna@example.org")
    with django_assert_num_queries(1):
        answers = api.send(URL, {"queries": many}).json()["answers"]

    assert [answer["allowed"] for answer in answers] == [True] * 999 + [False]


def test_while_opt_outs_are_put_back_after_a_restore_nobody_is_told_yes_but_about_what_is_mandatory(api):
    PurposeFactory(code="receipts", regime="mandatory")
    record([opt_in("anna@example.org"), opt_out("ben@example.org")])
    restore = RestoreFactory(state="found", let_go_at=None, let_go_by="", let_go_reason="")

    during = ask(api, email="anna@example.org", purpose="marketing").json()
    both = api.send(
        URL,
        {
            "queries": [
                {"subject": {"email": email}, "purpose": purpose, "channel": "email"}
                for email, purpose in [("anna@example.org", "receipts"), ("ben@example.org", "marketing")]
            ]
        },
    ).json()["answers"]
    restore.state = "replayed"
    restore.save()

    assert (during["allowed"], during["state"], during["reason"]) == (False, "opted_in", "restore_under_way")
    assert [(one["allowed"], one["reason"]) for one in both] == [(True, "mandatory"), (False, "explicit_opt_out")]
    assert ask(api, email="anna@example.org", purpose="marketing").json()["allowed"]


def test_without_the_database_nobody_is_contacted(committed, problem):
    PurposeFactory(code="marketing")
    api = Api()
    ask(api, email="anna@example.org")
    with committed.away():
        response = ask(api, email="anna@example.org")
        connection.close()

    problem(response, 503, "unavailable")
    assert response["Retry-After"] == "5"
