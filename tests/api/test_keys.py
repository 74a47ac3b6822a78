"""Service keys: who may call, what they may do, and that guessing teaches nothing."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from config import authentication, refused_calls
from config.models import RefusedCall, Scope, ServiceKey
from tests.api.conftest import Api
from tests.factories import PurposeFactory, ServiceFactory, UserFactory, service_key

pytestmark = pytest.mark.django_db

CHECK = "/api/v1/check/?email=anna@example.org&purpose=marketing&channel=email"
PURPOSES = "/api/v1/purposes/"


@pytest.fixture(autouse=True)
def nothing_is_known_yet():
    PurposeFactory(code="marketing")
    authentication._kept.clear()
    refused_calls._counts.clear()


def _expired():
    text = service_key(Scope.CHECK)
    ServiceKey.objects.update(
        created_at=timezone.now() - timedelta(days=9), expires_at=timezone.now() - timedelta(seconds=1)
    )
    return text


def _revoked():
    text = service_key(Scope.CHECK)
    ServiceKey.objects.update(revoked_at=timezone.now(), revoked_by=UserFactory())
    return text


def _of_a_closed_account():
    return service_key(Scope.CHECK, account=ServiceFactory(is_active=False))


def _with_another_secret():
    return service_key(Scope.CHECK)[:-1] + "!"


def _of_another_key():
    first, second = service_key(Scope.CHECK), service_key(Scope.CHECK)
    return first[:16] + second[16:]


@pytest.mark.parametrize("path", [CHECK, PURPOSES], ids=["lean view", "framework view"])
@pytest.mark.parametrize(
    "make",
    [
        _expired,
        _revoked,
        _of_a_closed_account,
        _with_another_secret,
        _of_another_key,
        lambda: "hf_000000000000_" + "A" * 43,
        lambda: "x",
        lambda: "",
    ],
)
def test_every_key_that_does_not_count_gets_the_same_answer(problem, path, make):
    response = Api(key=make() or "-").get(path)

    body = problem(response, 401, "unauthorized")
    assert body["detail"] == "This key is not valid: it is unknown, expired or revoked. Ask for a new one."
    assert response["WWW-Authenticate"] == 'Bearer realm="holdfast"'


@pytest.mark.parametrize("path", [CHECK, PURPOSES], ids=["lean view", "framework view"])
def test_without_a_key_the_caller_is_told_to_send_one(client, problem, path):
    response = client.get(path)

    assert "Bearer" in problem(response, 401, "unauthorized")["detail"]
    assert response["WWW-Authenticate"] == 'Bearer realm="holdfast"'


def test_a_password_is_not_a_key(client, problem):
    problem(client.get(CHECK, headers={"Authorization": "Basic YTpi"}), 401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("get", CHECK, "check"),
        ("post", "/api/v1/check/", "check"),
        ("get", "/api/v1/decisions/", "decisions:read"),
        ("post", "/api/v1/decisions/", "decisions:write"),
        ("get", "/api/v1/subjects/00000000-0000-4000-8000-000000000000/", "subjects:read"),
        ("post", PURPOSES, "purposes:write"),
        ("post", "/api/v1/reversals/", "decisions:write"),
    ],
)
def test_a_missing_scope_is_named(problem, method, path, scope):
    api = Api(*set(Scope.values) - {scope})

    body = problem(getattr(api, method)(path), 403, "missing_scope")

    assert f"'{scope}'" in body["detail"]


def test_last_use_is_noted_at_most_once_a_minute(django_assert_num_queries):
    api = Api()
    api.get(CHECK)
    noted = ServiceKey.objects.get().last_used_at
    authentication._kept.clear()

    with django_assert_num_queries(2):  # the key, the answer
        api.get(CHECK)

    assert timezone.now() - noted < timedelta(seconds=30)
    assert ServiceKey.objects.get().last_used_at == noted


def test_a_key_seen_seconds_ago_costs_no_statement(django_assert_num_queries):
    api = Api()
    api.get(CHECK)

    with django_assert_num_queries(1):
        api.get(CHECK)


def test_a_revoked_key_is_refused_within_five_seconds(monkeypatch, problem):
    api = Api()
    api.get(CHECK)
    ServiceKey.objects.update(revoked_at=timezone.now(), revoked_by=UserFactory())
    later = time.monotonic() + 5
    monkeypatch.setattr(time, "monotonic", lambda: later)

    problem(api.get(CHECK), 401, "unauthorized")


def test_refused_calls_are_counted_by_reason(client):
    reader = Api(Scope.DECISIONS_READ)
    client.get(CHECK)
    Api(key="x").get(CHECK)
    reader.get(CHECK)
    refused_calls.flush()

    counts = RefusedCall.objects.values_list("reason", "count")
    assert dict(counts.exclude(reason="missing_scope")) == {"unauthorized": 2}
    assert counts.get(reason="missing_scope") == ("missing_scope", 1)
    assert RefusedCall.objects.get(reason="missing_scope").caller.startswith("service:")


def test_writes_of_refusals_do_not_grow_with_knocking(client, django_assert_max_num_queries):
    with django_assert_max_num_queries(6):  # two writes at most, should a second pass meanwhile
        for _ in range(200):
            client.get(CHECK)
