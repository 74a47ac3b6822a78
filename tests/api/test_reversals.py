"""Back in after an explicit opt-out: two steps in two transactions, so all of it is committed."""

from uuid import UUID, uuid4

import pytest

from consent.models import Reversal
from consent.services import record
from tests.api.conftest import Api
from tests.factories import PurposeFactory, opt_out

REVERSALS = "/api/v1/reversals/"


@pytest.fixture
def api(committed):
    PurposeFactory(code="marketing")
    return Api()


@pytest.fixture
def asked(api):
    record([opt_out("anna@example.org")])
    return {"subject": {"email": "anna@example.org"}, "purpose": "marketing", "channel": "email"}


def test_the_first_step_changes_nothing_and_the_second_opts_in(api, asked):
    first = api.send(REVERSALS, asked)
    assert first.status_code == 201
    check = "/api/v1/check/?email=anna@example.org&purpose=marketing&channel=email"
    assert not api.get(check).json()["allowed"]

    second = api.send(f"{REVERSALS}{first.json()['id']}/confirm/", {})

    assert second.status_code == 201
    assert second.json()["effective"]["state"] == "opted_in"
    assert api.get(check).json()["allowed"]
    assert Reversal.objects.get().kind == "subject"


def test_a_confirmation_counts_once(api, asked, problem):
    path = f"{REVERSALS}{api.send(REVERSALS, asked).json()['id']}/confirm/"
    api.send(path, {})

    problem(api.send(path, {}), 409, "used")


def test_what_was_not_asked_cannot_be_confirmed(api, problem):
    body = problem(api.send(f"{REVERSALS}{uuid4()}/confirm/", {}), 400, "invalid")

    assert body["errors"][0]["code"] == "unknown"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"subject": {"email": "stranger@example.org"}}, "/subject"),
        ({"subject": {"id": str(UUID(int=7))}}, "/subject"),
        ({"subject": {"email": "x"}}, "/subject/email"),
        ({"subject": None}, "/subject"),
        ({"purpose": "unheard-of"}, "/purpose"),
        ({"purpose": "\x00"}, "/purpose"),
        ({"channel": "pigeon"}, "/channel"),
        ({"reason": "\x00"}, "/reason"),
    ],
)
def test_a_first_step_that_cannot_be_is_refused(api, asked, problem, changes, pointer):
    body = problem(api.send(REVERSALS, {**asked, **changes}), 400, "invalid")

    assert [error["pointer"] for error in body["errors"]] == [pointer]
    assert not Reversal.objects.exists()


def test_a_second_step_names_a_known_way_in(api, asked, problem):
    path = f"{REVERSALS}{api.send(REVERSALS, asked).json()['id']}/confirm/"

    assert problem(api.send(path, {"exit_path": "unheard-of"}), 400)["errors"][0]["pointer"] == "/exit_path"
    assert problem(api.send(path, {"locale": "\x00"}), 400)["errors"][0]["pointer"] == "/locale"
    problem(api.send(path, []), 400)
