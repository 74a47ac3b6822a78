"""What sends teach: each opt-out counts for one of them, however many are felt at once, and the usual stays apart."""

from datetime import timedelta
from random import Random

import pytest

from incidents.detection import simulation
from incidents.detection.baseline import BUCKET, RATE, Bucket, Effect, learn
from incidents.detection.effects import Sent, _History, learn_beside
from incidents.detection.simulation import MONDAY

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DELAY = 10_800.0


def past_of(sent, rates, *, mean=2.0, weeks=4, seed=1):
    """Counts as people leave who are usual at their hour, and as these sends lead to."""
    random, means = Random(seed), [simulation.rate(mean, MONDAY + BUCKET * n) for n in range(weeks * 2016)]
    for send in sent:
        effect = Effect(send.at, send.size, rates[send.family], DELAY)
        first = max(0, (send.at - MONDAY) // BUCKET)
        for number in range(first, min(len(means), first + 290)):
            means[number] += effect.expected(MONDAY + BUCKET * number)
    return [Bucket(MONDAY + BUCKET * n, simulation.draw(random, m)) for n, m in enumerate(means)]


def sends(moments, size=20_000, family=""):
    return [Sent(MONDAY + at, size, family) for at in moments]


def taught(sent, rate, **facts):
    _, told = learn_beside(sent, past_of(sent, {"": rate}, **facts), RATE)
    return told[""][0]


@pytest.mark.parametrize("rate", [0.002, 0.006])
def test_three_sends_eight_hours_apart_share_what_they_lead_to(rate):
    sent = sends([10 * DAY + 10 * HOUR + 8 * HOUR * n for n in range(3)])

    assert taught(sent, rate) == pytest.approx(rate, rel=0.3)


@pytest.mark.parametrize("rate", [0.002, 0.006])
def test_sends_that_leave_no_hour_in_peace_share_it_too(rate):
    random = Random(3)
    sent = sends(DAY * day + HOUR * random.uniform(0, 24) for day in range(28) for _ in range(4))

    usual, told = learn_beside(sent, past_of(sent, {"": rate}), RATE)

    assert told[""][0] == pytest.approx(rate, rel=0.3)
    assert sum(usual.hours) / len(usual.hours) == pytest.approx(2.0, rel=0.3)


def test_what_comes_each_day_at_the_same_hours_is_believed_to_lead_to_what_was_assumed():
    sent = sends(DAY * day + 6 * HOUR * part for day in range(28) for part in range(4))

    assert taught(sent, RATE) == pytest.approx(RATE, rel=0.3)


@pytest.mark.parametrize("rate", [0.002, 0.006])
def test_a_newsletter_of_each_tuesday_is_not_what_is_usual_on_tuesdays(rate):
    sent = sends(DAY * day + 10 * HOUR for day in range(1, 28, 7))

    usual, told = learn_beside(sent, past_of(sent, {"": rate}), RATE)

    assert told[""][0] == pytest.approx(rate, rel=0.3)
    tuesday, thursday = usual.usual(MONDAY + DAY + 11 * HOUR), usual.usual(MONDAY + 3 * DAY + 11 * HOUR)
    assert tuesday == pytest.approx(thursday, rel=0.3)


def test_families_that_are_felt_at_once_are_told_apart():
    random = Random(5)
    sent = [
        Sent(MONDAY + DAY * day + HOUR * random.uniform(0, 24), 20_000, "ab"[day % 2])
        for day in range(28)
        for _ in range(2)
    ]

    _, told = learn_beside(sent, past_of(sent, {"a": 0.001, "b": 0.004}), RATE)

    assert told["a"][0] == pytest.approx(0.001, rel=0.4)
    assert told["b"][0] == pytest.approx(0.004, rel=0.3)
    assert told["a"][0] < told[""][0] < told["b"][0]


def test_what_machines_do_is_no_send_of_ours_until_it_shows():
    sent = sends(DAY * day + 10 * HOUR for day in range(1, 28, 7))

    _, told = learn_beside(sent, past_of(sent, {"": 0.0}, mean=0.3), 0.0)

    assert told[""][0] < 0.0005


def test_where_nobody_counted_a_send_teaches_by_the_part_that_was_seen():
    """An alarm's time teaches nothing: neither that the send led to much, nor that it led to little."""
    sent = sends([10 * DAY + 10 * HOUR + 2 * DAY * n for n in range(4)], size=50_000)
    past = past_of(sent, {"": 0.006})
    gone = [(send.at + HOUR, send.at + 3 * HOUR) for send in sent]
    seen = [bucket for bucket in past if not any(begin <= bucket.start < end for begin, end in gone)]

    _, told = learn_beside(sent, seen, RATE)

    assert told[""][0] == pytest.approx(0.006, rel=0.3)


def test_without_sends_only_the_usual_is_learnt():
    past = past_of([], {})

    assert learn_beside([], past, RATE) == (learn(past), {"": [RATE, DELAY]})
    assert learn_beside(sends([HOUR]), [], RATE)[1] == {"": [RATE, DELAY]}


@pytest.mark.parametrize("delay", [1_800.0, 10_800.0, 43_200.0])
def test_what_is_felt_of_many_sends_is_the_sum_of_what_is_felt_of_each(delay):
    """Also where some began before the past did, or end after it, and a day after the last of them."""
    random = Random(2)
    past = [Bucket(MONDAY + BUCKET * n, 0) for n in range(2016)]
    sent = [Sent(MONDAY + HOUR * random.uniform(-20, 160), random.randint(1, 10_000), "") for _ in range(30)]
    sent = [send for send in sent if not 3 * DAY < send.at - MONDAY < 5 * DAY]

    felt = {n: messages for n, messages, _ in _History(sent, past).felt({"": [RATE, delay]})[""]}

    for number in range(len(past)):
        each = sum(Effect(s.at, s.size, 1.0, delay).expected(past[number].start) for s in sent)
        assert felt.get(number, 0.0) == pytest.approx(each, abs=1e-6)
