"""A mail server that refuses, stalls, changes its mind and goes silent, while five hundred confirmations are owed."""

import pytest

from tests.faults.sink import DROP, HANG, every
from tests.faults.stand import PEOPLE
from tests.stack.launcher import until

pytestmark = pytest.mark.faults

EACH = PEOPLE // 25  # people whom one fault is for
LATER = [
    ("rcpt", "421 4.3.2 closing"),
    ("rcpt", "450 4.2.0 greylisted"),
    ("data", "421 4.3.2 closing"),
    ("data", DROP),
    ("dot", "421 4.3.2 closing"),
    ("dot", "450 4.2.0 try again"),
    ("dot", "550 5.7.1 relaying denied"),  # about us: it keeps its chance
]
NEVER = [("rcpt", "550 5.1.1 no such user"), ("dot", "554 5.7.1 message refused as spam")]
DOUBT = [("dot", DROP)]


@pytest.mark.parametrize(
    ("faults", "state"),
    [
        pytest.param(LATER, "retry_wait", id="refused-for-now"),
        pytest.param(NEVER, "rejected", id="refused-for-good"),
        pytest.param(DOUBT, "in_doubt", id="silent-after-the-dot"),
    ],
)
def test_what_the_server_does_to_some_is_told_of_each_and_stops_nobody_else(stand, faults, state):
    for rest, (phase, answer) in enumerate(faults):
        stand.sink.fault(phase, answer, every(25, rest))
    hurt = EACH * len(faults)
    stand.start_sending()

    stand.until_states(lambda states: states == {"accepted": PEOPLE - hurt, state: hurt}, nudged=True)
    assert stand.account(at_rest=False)[state] == hurt
    stand.sink.heal()

    if state == "in_doubt":
        assert stand.sink.taken.total() == PEOPLE  # it had them all, and said nothing
        stand.doubts_age()
    if state == "rejected":  # a refusal for good is for people to look at, and not tried again
        assert stand.until_sent("rejected", nudged=True)["rejected"] == hurt
        assert stand.sink.taken.total() == PEOPLE - hurt
    else:
        assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
        assert stand.sink.taken.total() == PEOPLE + (hurt if state == "in_doubt" else 0)


def test_a_server_that_hangs_up_in_the_middle_of_the_text_has_nothing_and_gets_it_once(stand):
    stand.sink.fault("body", DROP, every(25))
    stand.start_sending()

    # Where the whole text was on its way before the end was noticed, nobody here can know that it was not read.
    ended = {"accepted", "retry_wait", "in_doubt"}
    stand.until_states(lambda states: states["accepted"] == PEOPLE - EACH and set(states) <= ended, nudged=True)
    stand.account(at_rest=False)
    stand.sink.heal()
    stand.until_sent("in_doubt", nudged=True)
    stand.doubts_age()

    assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
    assert stand.sink.taken.total() == PEOPLE


def failures(stand):
    """What the relay refused or broke off; not what was given back untried."""
    query = "SELECT count(*) FROM messaging_deliveryattempt WHERE outcome = 'retry_wait' AND reply_text NOT LIKE %s"
    return stand.database.execute(query, ["Not tried%"]).fetchone()[0]


def test_a_server_that_is_gone_for_a_while_gets_the_rest_when_it_is_back(stand):
    hold = stand.sink.hold("rcpt", lambda number: number >= 40)
    stand.start_sending(processes=1)  # another one may be past its dot when the server goes, which is a doubt
    hold.until_reached()

    stand.sink.close()
    until(lambda: failures(stand) >= 5, 30, stand.said)
    before = stand.account(at_rest=False)
    stand.sink.open()

    assert 0 < before["accepted"] < PEOPLE  # it went in the middle
    assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
    assert stand.sink.taken.total() == PEOPLE


def test_a_server_that_turns_everybody_away_at_the_door_is_left_alone_until_it_does_not(stand):
    stand.sink.fault("greeting", "421 4.7.0 too many connections")
    stand.start_sending()

    until(lambda: failures(stand) >= 5, 30, stand.said)
    assert stand.account(at_rest=False)["accepted"] == 0
    stand.sink.heal()

    assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
    assert stand.sink.taken.total() == PEOPLE


def test_a_server_that_never_answers_about_some_is_given_up_and_told_by_where_it_fell_silent(stand):
    stand.sink.fault("rcpt", HANG, lambda number: number == 40)
    stand.sink.fault("dot", HANG, lambda number: number == 80)
    stand.environment["MAIL_TRANSPORTS"] = f"relay=smtp://127.0.0.1:{stand.sink.port}?command=5&dot=5"
    stand.start_sending()

    stand.until_states(lambda states: states == {"accepted": PEOPLE - 2, "retry_wait": 1, "in_doubt": 1}, nudged=True)
    stand.account(at_rest=False)
    stand.sink.heal()
    stand.doubts_age()

    assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
    assert stand.sink.taken.total() == PEOPLE + 1  # it had the one whose end it did not answer


@pytest.mark.parametrize(("phase", "state"), [("rcpt", "retry_wait"), ("dot", "in_doubt")])
def test_a_server_that_stalls_in_one_dialogue_keeps_nobody_else_waiting(stand, phase, state):
    hold = stand.sink.hold(phase, lambda number: number >= 40)
    stand.start_sending()
    hold.until_reached()

    stand.until_states(lambda states: states == {"accepted": PEOPLE - 1, "sending": 1}, nudged=True)
    hold.let_go(DROP)

    stand.until_states(lambda states: states == {"accepted": PEOPLE - 1, state: 1})
    rest = [state] if state == "in_doubt" else []
    stand.until_sent(*rest, nudged=True)
    assert stand.sink.taken.total() == PEOPLE
