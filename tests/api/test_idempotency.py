"""A write may be sent twice: the first answer comes back, and nothing is done again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.utils import timezone

from config import idempotency
from config.idempotency import Answer, Claim
from config.models import IdempotencyRecord, User
from consent import group_commit
from consent.models import Decision
from tests.api.conftest import Api
from tests.factories import PurposeFactory

URL = "/api/v1/decisions/"
KEY = {"Idempotency-Key": "k-1"}


def entry(address="anna@example.org", **changes):
    body = {"subject": {"email": address}, "purpose": "marketing", "channel": "email"}
    return {**body, "choice": "opt_out", "cause": "subject_choice", **changes}


@pytest.fixture
def marketing(db):
    return PurposeFactory(code="marketing")


@pytest.mark.parametrize("body", [entry(), {"decisions": [entry(), entry("bert@example.org")]}], ids=["one", "list"])
def test_the_same_request_gets_the_stored_answer_and_stores_nothing(api, marketing, body):
    first = api.send(URL, body, **KEY)
    count = Decision.objects.count()

    second = api.send(URL, body, **KEY)

    assert (second.status_code, second.json()) == (201, first.json())
    assert second["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    assert Decision.objects.count() == count


@pytest.mark.parametrize("other", [entry("bert@example.org"), {"decisions": [entry()]}], ids=["one", "list"])
def test_another_body_under_the_same_key_is_refused_with_a_pointer(api, marketing, problem, other):
    api.send(URL, entry(), **KEY)

    body = problem(api.send(URL, other, **KEY), 422, "idempotency_reused")

    assert body["errors"][0]["pointer"] == "Idempotency-Key"
    assert Decision.objects.count() == 1


def test_another_service_may_use_the_same_key(api, marketing):
    api.send(URL, entry(), **KEY)

    assert Api().send(URL, entry(), **KEY).status_code == 201
    assert Decision.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "a\x7fb", "a\x01b"])
def test_what_cannot_be_a_key_is_refused(api, marketing, problem, key):
    body = problem(api.send(URL, entry(), **{"Idempotency-Key": key}), 400, "invalid")

    assert body["errors"][0]["pointer"] == "Idempotency-Key"
    assert not Decision.objects.exists()


def test_a_refused_request_may_be_mended_under_the_same_key(api, marketing, problem):
    problem(api.send(URL, entry(channel="pigeon"), **KEY), 400)

    assert api.send(URL, entry(), **KEY).status_code == 201


def test_a_key_is_forgotten_after_a_day(api, marketing):
    api.send(URL, entry(), **KEY)
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(days=1, minutes=1))

    response = api.send(URL, entry("bert@example.org"), **KEY)

    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response


def test_records_past_their_day_are_dropped(db):
    account = User.objects.create(username="shop", is_service=True)
    idempotency.keep({Claim(account.pk, key, b"f"): Answer(201, b"{}") for key in ("old", "new")})
    IdempotencyRecord.objects.filter(key="old").update(created_at=timezone.now() - timedelta(days=1, minutes=1))

    assert idempotency.forget_old() == 1
    assert IdempotencyRecord.objects.get().key == "new"


def test_purposes_and_reversals_are_made_once_too(api, marketing):
    subject = api.send(URL, entry()).json()["subject"]

    for path, body in [
        ("/api/v1/purposes/", {"code": "news", "name": "News"}),
        ("/api/v1/reversals/", {"subject": {"id": subject}, "purpose": "marketing", "channel": "email"}),
    ]:
        answers = [api.send(path, body, **{"Idempotency-Key": path}) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()
        assert answers[1]["Idempotent-Replayed"] == "true"


class TestAtTheSameTime:
    """Committed for good, from several threads and sessions."""

    @pytest.fixture
    def key(self, committed):
        PurposeFactory(code="marketing")
        return Api().key

    def test_one_of_many_does_it_and_the_others_wait_their_turn_or_get_its_answer(self, key):
        start = Barrier(8)

        def send(_):
            start.wait(timeout=10)
            try:
                return Api(key=key).send(URL, entry(), **KEY)
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, range(8)))

        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
        assert Decision.objects.count() == 1

    def test_while_the_first_runs_the_second_is_told_so(self, key, problem, committed):
        account = User.objects.get(is_service=True)
        held = group_commit._queue.running
        held.add((account.pk, "k-1"))
        try:
            problem(Api(key=key).send(URL, entry(), **KEY), 409, "idempotency_running")
        finally:
            held.discard((account.pk, "k-1"))

    def test_while_a_list_runs_in_another_process_the_second_is_told_so(self, key, problem, committed):
        account = User.objects.get(is_service=True)
        with committed.connect("holdfast_app", autocommit=False) as other:
            other.execute(idempotency.LOCK, [f"idempotency/{account.pk}/k-1"])

            problem(Api(key=key).send(URL, {"decisions": [entry()]}, **KEY), 409, "idempotency_running")

        assert Api(key=key).send(URL, {"decisions": [entry()]}, **KEY).status_code == 201

    def test_an_answer_that_another_process_kept_meanwhile_is_given_out(self, key, committed):
        """The other's record is not committed when ours looks, and is when ours writes."""
        api, account = Api(key=key), User.objects.get(is_service=True)
        fingerprint = _fingerprint(api, entry())
        with committed.connect("holdfast_app", autocommit=False) as other, ThreadPoolExecutor(1) as background:
            record = [[account.pk], ["k-1"], [fingerprint], [201], [b'{"by": "the other"}']]
            other.execute(idempotency.KEEP, record)
            ours = background.submit(_send_and_close, api, entry())
            _wait_for_a_blocked_session(committed)
            other.commit()

            answer = ours.result(timeout=10)

        assert answer.json() == {"by": "the other"}
        assert answer["Idempotent-Replayed"] == "true"
        assert Decision.objects.count() == 1  # the one that told us the fingerprint


def _send_and_close(api, body):
    try:
        return api.send(URL, body, **KEY)
    finally:
        connection.close()


def _fingerprint(api, body) -> bytes:
    """As it is kept for this very request."""
    assert api.send(URL, body, **{"Idempotency-Key": "other"}).status_code == 201
    [fingerprint] = IdempotencyRecord.objects.values_list("fingerprint", flat=True)
    return bytes(fingerprint)


def _wait_for_a_blocked_session(committed):
    with committed.connect("superuser") as admin:
        for _ in range(10_000):
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            if admin.execute(waiting).fetchone()[0]:
                return
    raise AssertionError("Nobody waited.")
