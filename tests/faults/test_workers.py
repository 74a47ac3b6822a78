"""Workers that are killed or fall asleep at each point of a delivery, workers that meet, and nobody who nudges them."""

import signal
from contextlib import closing, contextmanager

import pytest

from tests.faults.stand import PEOPLE
from tests.stack.launcher import until

pytestmark = pytest.mark.faults

PHASES = {"before": "data", "between": "data", "after": "dot"}


SYNCHRONOUS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE %s"


@contextmanager
def nobody_acknowledges(stand):
    """Whoever commits stands still between the commit and its acknowledgement: with the point of no return on disk, and
    the dot not sent. Gives a function that waits until somebody does.
    """

    def waiting(query):
        return stand.database.execute(SYNCHRONOUS, [query]).fetchone()[0]

    stand.database.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    stand.database.execute("SELECT pg_reload_conf()")
    try:
        with closing(stand.cluster.connect("superuser")) as probe:
            until(lambda: waiting("%probe%") or commit_unasked(probe), 30)
            yield lambda: until(lambda: waiting("%messaging_pass_%"), 30, stand.said)
    finally:
        stand.database.execute("ALTER SYSTEM RESET synchronous_standby_names")
        stand.database.execute("SELECT pg_reload_conf()")
        until(lambda: not waiting("%"), 30)


def commit_unasked(probe):
    """Write something, and do not wait for it to be acknowledged; unless the last one still waits."""
    probe.pgconn.consume_input()
    if not probe.pgconn.is_busy():
        while probe.pgconn.get_result():
            continue
        probe.pgconn.send_query(b"SELECT pg_logical_emit_message(true, 'probe', '')")


def at(stand, running, moment, act):
    """Act upon the process that is at that moment of a delivery, some forty messages into the night. Gives the hold."""
    hold = stand.sink.hold(PHASES[moment], lambda number: number >= 40).until_reached()
    process = running.talking_from(hold.port)
    if moment == "between":
        with nobody_acknowledges(stand) as somebody_waits:
            hold.let_go()
            somebody_waits()
            act(process)
    else:
        act(process)
        hold.let_go()
    return hold


@pytest.mark.parametrize(
    ("moment", "victim", "doubts"),
    [
        ("before", "worker", 0),
        ("before", "child", 0),
        ("between", "worker", 1),
        ("between", "child", 1),
        ("between", "pump", 1),
        ("after", "worker", 1),
        ("after", "child", 1),
    ],
)
def test_killed_it_leaves_nothing_lost_and_nothing_sent_twice(stand, moment, victim, doubts):
    stand.owe()
    stand.beat_once()
    running = stand.pump() if victim == "pump" else stand.worker()

    hold = at(stand, running, moment, lambda child: child.kill() if victim == "child" else running.kill())
    assert hold.ended.wait(10)
    if victim == "child":  # its worker gets another one, and goes on with the rest
        stand.until_states(lambda states: states["accepted"] + states["sending"] == PEOPLE, nudged=True)
    assert stand.account(at_rest=False)["sending"] >= 1
    stand.leases_end()
    if victim != "child":
        stand.pump()
    states = stand.until_sent("in_doubt", nudged=victim == "child")

    assert doubts <= states["in_doubt"] <= 2  # a worker's other process may have been past that point too
    stand.doubts_age()
    assert stand.until_sent(nudged=victim == "child")["accepted"] == PEOPLE
    marked = stand.database.execute("SELECT count(*) FROM messaging_message WHERE possible_duplicate").fetchone()
    assert marked == (states["in_doubt"],)


def test_a_worker_that_wakes_up_while_another_has_its_message_sends_no_dot(stand):
    sleeper = stand.start_sending(processes=1)
    asleep = at(stand, sleeper, "before", lambda _: sleeper.send(signal.SIGSTOP))
    awake = stand.sink.hold("data", lambda number: number == asleep.number)

    stand.leases_end()
    stand.pump()
    until(lambda: stand.pauses_end() or awake.reached.is_set(), 30, stand.said)
    sleeper.send(signal.SIGCONT)

    assert asleep.ended.wait(30), stand.said()  # it gave the connection up
    awake.let_go()
    assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
    assert stand.sink.taken.total() == PEOPLE


def test_a_worker_that_wakes_up_after_its_lease_sends_no_dot_even_if_nobody_else_has_noticed(stand):
    sleeper = stand.start_sending(processes=1)
    hold = at(stand, sleeper, "before", lambda _: sleeper.send(signal.SIGSTOP))

    stand.leases_end()
    sleeper.send(signal.SIGCONT)

    assert hold.ended.wait(30), stand.said()
    assert stand.account(at_rest=False)["sending"] >= 1
    assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
    assert stand.sink.taken.total() == PEOPLE


def test_a_worker_that_sleeps_past_the_point_of_no_return_leaves_a_doubt_that_its_late_answer_settles(stand):
    sleeper = stand.start_sending(processes=1)

    at(stand, sleeper, "between", lambda _: sleeper.send(signal.SIGSTOP))
    stand.leases_end()
    stand.pump()
    assert stand.until_sent("in_doubt")["in_doubt"] == 1
    sleeper.send(signal.SIGCONT)

    assert stand.until_sent()["accepted"] == PEOPLE
    assert stand.sink.taken.total() == PEOPLE


def test_two_workers_and_a_pump_at_once_send_each_message_once(stand):
    stand.owe()
    stand.sink.meet(3)
    for _ in range(4):
        stand.beat_once()

    for start in (stand.worker, stand.worker, stand.pump):
        start()

    assert stand.until_sent(nudged=True)["accepted"] == PEOPLE
    assert len(stand.sink.ports) >= 3
    assert "duplicate key" not in stand.said()  # nor did two of them take the same row, and one fall over it
    assert stand.sink.taken.total() == PEOPLE


def test_with_no_beat_no_nudge_and_no_broker_the_pump_does_it_all(stand):
    stand.owe()

    stand.pump_alone()

    assert stand.account()["accepted"] == PEOPLE
