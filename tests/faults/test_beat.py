"""Beat dies while people opt out: whoever leaves is told all the same, and what waits is seen and not lost."""

import pytest

from config.models import Scope
from config.stack.programs import beat
from tests.factories import service_key
from tests.faults.asking import opt_out_of, serves
from tests.faults.sink import every
from tests.faults.stand import PEOPLE
from tests.stack.launcher import until

pytestmark = pytest.mark.faults

MORE = 50
ALL = PEOPLE + MORE


def test_with_beat_dead_who_leaves_is_told_all_the_same_and_what_has_to_wait_is_the_pumps(stand):
    key = service_key(Scope.DECISIONS_WRITE)
    people = [f"person{number}@example.org" for number in range(PEOPLE, ALL)]
    stand.owe()
    beating = stand.start(*beat())
    stand.worker()
    with stand.web() as url:
        assert stand.until_sent()["accepted"] == PEOPLE  # nobody but beat has asked for it
        beating.kill()
        stand.flush_valkey()  # nor is a nudge of it left
        stand.sink.fault("rcpt", "450 4.2.0 greylisted", every(25))
        until(lambda: serves(url), 60, stand.said)

        assert {opt_out_of(url, key, people[start : start + 10]) for start in range(0, MORE, 10)} == {201}
        stand.until_states(lambda states: states == {"accepted": ALL - 2, "retry_wait": 2})
    assert stand.account(at_rest=False, owed=ALL)["retry_wait"] == 2
    stand.sink.heal()
    stand.pauses_end()
    stand.pump_alone()

    assert stand.account(owed=ALL)["accepted"] == ALL
    assert stand.sink.taken.total() == ALL
