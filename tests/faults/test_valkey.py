"""A Valkey that stops, freezes or forgets everything, with five hundred messages under way and people opting out."""

from functools import partial

import pytest

from config.models import Scope
from consent import subjects, tokens
from consent.tokens import Token
from tests.factories import email, service_key
from tests.faults.asking import ask, opt_out_of
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


def is_warm(url, key, pages):
    """Each part has answered in time once: what a process does at its first request is not what is asked about."""
    try:
        early = opt_out_of(url, key, ["early@example.org"], **{"Idempotency-Key": "early"}, seconds=LONGEST_REQUEST)
        return early == 201 and {ask(url, "GET", page, seconds=LONGEST_REQUEST) for page in pages} == {200}
    except OSError:
        return False


def test_a_frozen_valkey_keeps_nobody_from_opting_out_within_a_second_and_no_page_from_opening(stand):
    key = service_key(Scope.DECISIONS_WRITE)
    presses, *people = [f"person{number}@example.org" for number in range(PEOPLE - 1)]
    subject = subjects.find_or_make([email(presses)]).of(email(presses)[0])
    link = f"/u/{tokens.issue(Token(subject, 'newsletter', 'email'))}/"
    pages = [link, "/livez", "/readyz", "/metrics", "/admin/login/"]
    within = partial(ask, seconds=LONGEST_REQUEST)
    with stand.web() as url:
        until(lambda: is_warm(url, key, pages), 60, stand.said)

        stand.freeze_valkey()
        some = (people[start : start + 10] for start in range(0, len(people), 10))
        statuses = {opt_out_of(url, key, ten, seconds=LONGEST_REQUEST) for ten in some}
        pressed = within(url, "POST", link, "List-Unsubscribe=One-Click")
        seen = {within(url, "GET", page) for page in pages}
        stand.pump_alone()

    assert (statuses, pressed, seen) == ({201}, 200, {200})
    assert stand.account()["accepted"] == PEOPLE
