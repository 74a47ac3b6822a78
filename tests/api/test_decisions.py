"""POST /api/v1/decisions/: one choice or a thousand, all or nothing, and every way it can be refused."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from config.models import Scope
from consent import receipts
from consent.identifiers import Identity
from consent.models import Consent, Decision, ExitPathMinute
from consent.services import may_contact, record, set_guard
from tests.api.conftest import Api
from tests.factories import ExitPathFactory, PurposeFactory, opt_out

pytestmark = pytest.mark.django_db

URL = "/api/v1/decisions/"


@pytest.fixture(autouse=True)
def marketing(db):
    return PurposeFactory(code="marketing")


def entry(**changes):
    body = {
        "subject": {"email": "anna@example.org"},
        "purpose": "marketing",
        "channel": "email",
        "choice": "opt_out",
        "cause": "subject_choice",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def test_an_opt_out_is_recorded_and_answered_with_what_holds_and_a_receipt(api):
    response = api.send(URL, entry(decided_at="2026-03-01T13:00:00+01:00", evidence={"form": 7}, locale="de"))

    assert response.status_code == 201
    body = response.json()
    assert {name: body[name] for name in ("purpose", "channel", "choice", "decided_at")} == {
        "purpose": "marketing",
        "channel": "email",
        "choice": "opt_out",
        "decided_at": "2026-03-01T12:00:00Z",
    }
    assert body["effective"] == {"state": "opted_out", "since": "2026-03-01T12:00:00Z", "decision": body["id"]}
    assert receipts.verify(body, body["receipt"])
    decision = Decision.objects.get(pk=body["id"])
    assert decision.actor == "service:" + decision.actor.removeprefix("service:")
    assert decision.evidence.content == {"form": 7}
    assert not may_contact(Identity.of("email", "anna@example.org"), "marketing", "email")


def test_a_list_is_recorded_as_one_with_one_receipt_over_all(api):
    people = [entry(subject={"email": f"person{n}@example.org"}) for n in range(3)]

    response = api.send(URL, {"decisions": people})

    assert response.status_code == 201
    body = response.json()
    assert len({row["subject"] for row in body["decisions"]}) == 3
    assert receipts.verify_all(body["decisions"], body["receipt"])
    assert Decision.objects.values("tx").distinct().count() == 1


def test_identifiers_named_together_are_linked(api):
    api.send(URL, entry(subject={"email": "anna@example.org", "phone": "+49 30 901820", "user_id": "u1"}))

    assert not may_contact(Identity.of("user_id", "u1"), "marketing", "email")


def test_a_known_id_names_the_person(api):
    subject = api.send(URL, entry()).json()["subject"]

    again = api.send(URL, entry(subject={"id": subject}, channel="sms")).json()

    assert again["subject"] == subject


def test_an_import_says_that_nobody_chose(api):
    body = api.send(URL, entry(choice="opt_in", cause="import", explicit=False)).json()

    assert not Decision.objects.get(pk=body["id"]).explicit


WRONG = [
    ({"purpose": "nothing-like-it"}, "/purpose", "unknown"),
    ({"purpose": "Not A Code"}, "/purpose", "unknown"),
    ({"purpose": "\x00"}, "/purpose", "control_characters"),
    ({"purpose": 7}, "/purpose", "invalid"),
    ({"purpose": None}, "/purpose", "required"),
    ({"channel": "pigeon"}, "/channel", "unknown"),
    ({"choice": "maybe"}, "/choice", "unknown"),
    ({"cause": "because"}, "/cause", "unknown"),
    ({"cause": "repair"}, "/cause", "unknown"),
    ({"exit_path": "back-door"}, "/exit_path", "unknown"),
    ({"exit_path": ["x"]}, "/exit_path", "invalid"),
    ({"subject": {"email": "anna"}}, "/subject/email", "invalid"),
    ({"subject": {"email": "anna\n@example.org"}}, "/subject/email", "control_characters"),
    ({"subject": {"email": "\ud800@example.org"}}, "/subject/email", "control_characters"),
    ({"subject": {"email": f"{'a' * 300}@example.org"}}, "/subject/email", "too_long"),
    ({"subject": {"phone": "12"}}, "/subject/phone", "invalid"),
    ({"subject": {"phone": "030 901820"}}, "/subject/phone", "invalid"),
    ({"subject": {"user_id": ""}}, "/subject/user_id", "invalid"),
    ({"subject": {"user_id": 7}}, "/subject/user_id", "invalid"),
    ({"subject": {"id": "7"}}, "/subject/id", "invalid"),
    ({"subject": {"id": "00000000-0000-4000-8000-000000000000"}}, "/subject/id", "unknown"),
    ({"subject": {"shoe_size": "43"}}, "/subject/shoe_size", "unknown_field"),
    ({"subject": {}}, "/subject", "invalid"),
    ({"subject": "anna@example.org"}, "/subject", "invalid"),
    ({"decided_at": "2999-01-01T00:00:00Z"}, "/decided_at", "future"),
    ({"decided_at": "1999-12-31T23:59:59Z"}, "/decided_at", "ancient"),
    ({"decided_at": "0001-01-01T00:00:00+14:00"}, "/decided_at", "ancient"),
    ({"decided_at": "9999-12-31T23:59:59-14:00"}, "/decided_at", "future"),
    ({"decided_at": "2026-03-01T12:00:00"}, "/decided_at", "no_zone"),
    ({"decided_at": "yesterday"}, "/decided_at", "invalid"),
    ({"decided_at": 1_772_000_000}, "/decided_at", "invalid"),
    ({"explicit": "no"}, "/explicit", "invalid"),
    ({"cause": "import"}, "/explicit", "not_explicit"),
    ({"confidence": 101}, "/confidence", "invalid"),
    ({"confidence": True}, "/confidence", "invalid"),
    ({"reasons": ["a,b"]}, "/reasons", "invalid"),
    ({"reasons": ["a"] * 11}, "/reasons", "invalid"),
    ({"locale": "d" * 36}, "/locale", "too_long"),
    ({"notice_version": "\x1b[2J"}, "/notice_version", "control_characters"),
    ({"evidence": "a form"}, "/evidence", "invalid"),
    ({"evidence": {"text": "x" * 9000}}, "/evidence", "too_long"),
    ({"evidence": {"text": "\x00"}}, "/evidence", "control_characters"),
    ({"evidence": {"text": "\udc00"}}, "/evidence", "invalid"),
    ({"explict": False}, "/explict", "unknown_field"),
]


@pytest.mark.parametrize(("changes", "pointer", "code"), WRONG)
def test_what_is_wrong_is_named_by_a_pointer_and_nothing_is_stored(api, problem, changes, pointer, code):
    body = problem(api.send(URL, entry(**changes)), 400, "invalid")

    assert [(error["pointer"], error["code"]) for error in body["errors"]] == [(pointer, code)]
    assert not Decision.objects.exists()


@pytest.mark.parametrize(("changes", "pointer", "code"), WRONG)
def test_one_wrong_entry_of_a_list_refuses_all_of_it(api, problem, changes, pointer, code):
    body = problem(api.send(URL, {"decisions": [entry(), entry(**changes), entry()]}), 400, "invalid")

    assert [(error["pointer"], error["code"]) for error in body["errors"]] == [(f"/decisions/1{pointer}", code)]
    assert not Decision.objects.exists()


def test_everything_wrong_with_a_list_is_said_at_once_in_order(api, problem):
    wrong = [entry(purpose="unheard-of"), entry(), entry(subject={"email": "x"}), "text", entry(channel="smoke")]

    body = problem(api.send(URL, {"decisions": wrong}), 400)

    assert [error["pointer"] for error in body["errors"]] == [
        "/decisions/0/purpose",
        "/decisions/2/subject/email",
        "/decisions/3",
        "/decisions/4/channel",
    ]


@pytest.mark.parametrize(
    "body", [{"decisions": []}, {"decisions": "x"}, {"decisions": [entry()] * 1001}, {"decisions": [], "more": 1}]
)
def test_a_list_has_1_to_1000_entries_and_nothing_beside_it(api, problem, body):
    problem(api.send(URL, body), 400, "invalid")


@pytest.mark.parametrize("body", [[], "text", 7, None, True])
def test_a_body_that_is_no_object_is_refused(api, problem, body):
    problem(api.send(URL, json.dumps(body)), 400, "invalid")


@pytest.mark.parametrize(
    "body",
    [b" ", b"{", b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000, b'{"confidence": ' + b"9" * 5000 + b"}"],
    ids=["empty", "cut", "NaN", "not text", "deep", "long number"],
)
def test_what_is_not_json_is_malformed(api, problem, body):
    problem(api.send(URL, body), 400, "malformed")


def test_infinity_written_as_a_number_is_refused(api, problem):
    text = json.dumps(entry(evidence={"n": 1})).replace('"n": 1', '"n": 1e999')

    problem(api.send(URL, text), 400, "invalid")


def test_a_body_over_the_limit_is_refused(api, problem):
    problem(api.send(URL, entry(locale="x" * 3_000_000)), 413, "too_large")


def test_another_content_type_is_refused(api, problem):
    problem(api.post(URL, {"purpose": "marketing"}), 415, "unsupported_media_type")


def test_other_methods_are_refused_and_told_which_there_are(api, problem):
    response = api.delete(URL)

    problem(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, POST, HEAD"


def test_one_step_back_in_is_refused_and_told_the_two_steps(api, problem):
    api.send(URL, entry())

    body = problem(api.send(URL, entry(choice="opt_in")), 409, "reversal_needed")

    assert body["errors"][0]["pointer"] == "/choice"
    assert "two steps" in body["detail"]


def test_the_guard_refuses_what_nobody_chose(api, problem):
    set_guard("freeze", reason="incident", by="user:anna")

    problem(api.send(URL, entry(choice="opt_in", explicit=False, cause="default")), 409, "guard")
    assert api.send(URL, entry()).status_code == 201


def test_a_refused_opt_out_counts_as_a_refused_use_of_its_way_out(api):
    ExitPathFactory(code="settings")

    api.send(URL, entry(exit_path="settings", subject={"email": "x"}))

    assert ExitPathMinute.objects.values_list("exit_path", "outcome", "cause", "count").get() == (
        "settings",
        "refused",
        "invalid",
        1,
    )


def test_a_thousand_take_as_many_statements_as_one(api, django_assert_num_queries):
    api.send(URL, entry())  # the key and the codes are known from here on

    with django_assert_num_queries(6):
        api.send(URL, {"decisions": [entry(subject={"email": "first@example.org"})]})
    with django_assert_num_queries(6):
        many = [entry(subject={"email": f"person{n}@example.org"}) for n in range(1000)]
        assert api.send(URL, {"decisions": many}).status_code == 201

    assert Consent.objects.opted_out().count() == 1002


@pytest.mark.parametrize("scope", [Scope.DECISIONS_READ, Scope.CHECK])
def test_a_key_without_the_scope_is_told_which_one_it_lacks(problem, scope):
    body = problem(Api(scope).send(URL, entry()), 403, "missing_scope")

    assert "decisions:write" in body["detail"]
    assert not Decision.objects.exists()


def test_one_decision_and_its_receipt(api):
    [row] = record([opt_out("anna@example.org", decided_at=timezone.now() - timedelta(hours=1))])

    decision = api.get(f"{URL}{row.id}/").json()
    receipt = api.get(f"{URL}{row.id}/receipt/").json()

    assert (decision["id"], decision["cause"], decision["explicit"]) == (str(row.id), "subject_choice", True)
    assert receipts.verify(receipt, receipt["receipt"])
    assert receipt["public_key"] == receipts.public_key()


@pytest.mark.parametrize("number", ["0", "99999", "9" * 19, "9" * 30, "9" * 5000])
def test_a_decision_that_is_not_there_is_a_404(api, problem, number):
    problem(api.get(f"{URL}{number}/"), 404, "not_found")
