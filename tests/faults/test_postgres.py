"""PostgreSQL goes away while five hundred messages are being sent: in order, in a crash, and as an answer arrives."""

import signal

import pytest

from consent import journal
from tests.faults.stand import PEOPLE
from tests.stack.launcher import until

pytestmark = pytest.mark.faults


@pytest.fixture(autouse=True)
def postgres_is_back(cluster):
    """For whoever comes next, however a test ended."""
    yield
    cluster.server.start({}) if cluster.server.postmaster() is None else None


def the_rest_is_sent(stand):
    """By the worker that lived through it; what it had lost sight of is free once the lease has ended."""
    stand.until_states(
        lambda states: states["accepted"] + states["sending"] + states["in_doubt"] == PEOPLE, nudged=True
    )
    stand.account(at_rest=False)
    stand.leases_end()
    return stand.until_sent("in_doubt", nudged=True)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_restarted_while_a_server_answers_it_hears_the_answer(stand, how):
    hold = stand.sink.hold("dot", lambda number: number >= 40)
    stand.start_sending(processes=1)
    hold.until_reached()

    stand.stop_postgres(how)
    stand.start_postgres()
    hold.let_go()

    assert the_rest_is_sent(stand)["accepted"] == PEOPLE
    assert stand.sink.taken.total() == PEOPLE


def test_away_when_the_answer_arrives_nothing_is_lost_and_nothing_sent_twice(stand):
    hold = stand.sink.hold("dot", lambda number: number >= 40)
    stand.start_sending(processes=1)
    hold.until_reached()

    stand.stop_postgres()
    said = stand.said()
    hold.let_go()
    until(lambda: stand.said() != said, 30)
    stand.start_postgres()

    assert the_rest_is_sent(stand)["in_doubt"] <= 1
    assert stand.sink.taken.total() == PEOPLE


def test_an_answer_that_lay_on_disk_when_its_worker_died_is_written_down_by_the_next_that_merely_starts(stand):
    hold = stand.sink.hold("dot", lambda number: number >= 40)
    running = stand.start_sending(processes=1)
    hold.until_reached()

    stand.stop_postgres()
    hold.let_go()
    until(lambda: journal.waiting(stand.folder / "spool" / "outcomes"), 30, stand.said)
    running.kill()
    stand.start_postgres()
    stand.flush_valkey()  # nobody asks the next one for anything, and its lease has minutes to go
    assert stand.states()["accepted"] == stand.sink.taken.total() - 1
    stand.worker(processes=1)

    stand.until_states(lambda states: states["accepted"] == stand.sink.taken.total())
    assert stand.account(at_rest=False)["in_doubt"] == 0
    stand.leases_end()
    assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
    assert stand.sink.taken.total() == PEOPLE


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_restarted_under_two_processes_and_a_pump_it_costs_no_message(stand, how):
    hold = stand.sink.hold("data", lambda number: number >= 40)
    stand.start_sending()
    stand.pump()
    hold.until_reached()

    stand.stop_postgres(how)
    stand.start_postgres()
    hold.let_go()

    assert the_rest_is_sent(stand)["in_doubt"] <= 3  # one for each who sends
    stand.doubts_age()
    assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
    assert stand.sink.taken.total() <= PEOPLE + 3
