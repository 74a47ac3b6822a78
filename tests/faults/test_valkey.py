"""A Valkey that stops, freezes or forgets everything, with five hundred messages under way and people opting out."""

import http.client
import json

import pytest

from config.models import Scope
from tests.factories import service_key
from tests.faults.stand import PEOPLE
from tests.stack.launcher import until

pytestmark = pytest.mark.faults

LONGEST_REQUEST = 1.0  # seconds, whatever the broker does
MORE = 50


def under_way(stand):
    """A worker with a message in its hands, and hundreds waiting."""
    hold = stand.sink.hold("dot", lambda number: number >= 40)
    stand.start_sending()
    return hold.until_reached()


def test_what_was_in_a_valkey_that_forgot_everything_is_sent_all_the_same(stand):
    hold = under_way(stand)

    stand.flush_valkey()
    hold.let_go()

    assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
    assert stand.sink.taken.total() == PEOPLE


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_without_valkey_the_pump_sends_the_rest_and_with_it_again_the_worker_goes_on(stand, how):
    hold = under_way(stand)

    stand.valkey.stop() if how == "stopped" else stand.freeze_valkey()
    hold.let_go()
    stand.pump_alone()
    stand.until_sent()  # what the worker had in its hands, too
    stand.valkey.start() if how == "stopped" else stand.thaw_valkey()
    stand.owe(MORE, first=PEOPLE)

    assert stand.until_sent(nudged=True, owed=PEOPLE + MORE)["accepted"] == PEOPLE + MORE
    assert stand.sink.taken.total() == PEOPLE + MORE


def post(url, key, people):
    """The status, within the time that a request may take."""
    about = {"purpose": "newsletter", "channel": "email", "choice": "opt_out", "cause": "subject_choice"}
    body = {"decisions": [{"subject": {"email": person}, **about} for person in people]}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    client = http.client.HTTPConnection(url.removeprefix("http://"), timeout=LONGEST_REQUEST)
    try:
        client.request("POST", "/api/v1/decisions/", json.dumps(body), headers)
        return client.getresponse().status
    finally:
        client.close()


def answers(url, key):
    try:
        return post(url, key, ["early@example.org"]) == 201
    except OSError:
        return False


def test_a_frozen_valkey_keeps_nobody_from_opting_out_within_a_second(stand):
    key = service_key(Scope.DECISIONS_WRITE)
    people = [f"person{number}@example.org" for number in range(PEOPLE - 1)]
    with stand.web() as url:
        until(lambda: answers(url, key), 30, stand.said)

        stand.freeze_valkey()
        statuses = {post(url, key, people[start : start + 10]) for start in range(0, len(people), 10)}
        stand.pump_alone()

    assert statuses == {201}
    assert stand.account()["accepted"] == PEOPLE
