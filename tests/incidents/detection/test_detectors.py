"""The arithmetic of detection, held against figures worked out by hand or by another way of counting."""

import math
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.detection import cold, composition, simulation
from incidents.detection.baseline import BUCKET, HOURS, Bucket, Effect, bucket_of, delay_of, learn, rate_of
from incidents.detection.detectors import Settings, Sums, ears, judge, log_ratio, rise_limit, tail

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def weeks(count, of, *, start=MONDAY):
    return [Bucket(at, of(at)) for at in (start + BUCKET * n for n in range(count * 2016))]


@pytest.mark.parametrize(
    ("count", "mu", "phi", "chance"),
    [
        (0, 1.0, 1.0, 1.0),
        (1, 1.0, 1.0, 1 - math.exp(-1)),
        (2, 0.5, 1.0, 1 - 1.5 * math.exp(-0.5)),
        # Negative binomial of size 1 is geometric: P(Y ≥ k) = (μ / (1 + μ))^k, where φ = 1 + μ.
        (3, 2.0, 3.0, (2 / 3) ** 3),
        (1, 2.0, 3.0, 2 / 3),
        (40, 4.0, 5.0, (4 / 5) ** 40),
    ],
)
def test_the_tail_is_what_the_formula_says(count, mu, phi, chance):
    assert tail(count, mu, phi) == pytest.approx(chance, rel=1e-9)


@given(st.integers(0, 200), st.floats(1e-4, 100), st.floats(1, 10))
def test_more_is_never_likelier_than_less(count, mu, phi):
    assert 0 <= tail(count + 1, mu, phi) <= tail(count, mu, phi) + 1e-12 <= 1 + 1e-9


def test_the_ratio_is_that_of_the_two_likelihoods():
    poisson = 5 * math.log(2) - 3 * (2 - 1)
    # Negative binomial, μ = 2 and κ = 2 with φ = 3: sizes 1 and 2; P(4) = q^4 p against 5 q^4 p², p = 1/3.
    negative_binomial = math.log(5 / 3)

    assert log_ratio(5, 3.0, 1.0, 2.0) == pytest.approx(poisson)
    assert log_ratio(4, 2.0, 3.0, 2.0) == pytest.approx(negative_binomial)


@given(st.integers(0, 20), st.floats(0.5, 20))
def test_scatter_a_little_above_poisson_is_nearly_poisson(count, mu):
    assert log_ratio(count, mu, 1.0015, 2.0) == pytest.approx(log_ratio(count, mu, 1.0, 2.0), abs=0.05 * (1 + count))


def test_a_jump_needs_four_and_a_chance_below_one_in_twenty_thousand():
    three, four, usual = (judge(n, mu, 1.0, Sums(), Settings()) for n, mu in ((3, 0.01), (4, 0.01), (8, 4.0)))

    assert (three.is_jump, four.is_jump, usual.is_jump) == (False, True, False)


def test_a_rise_gathers_bucket_by_bucket_and_begins_again_after_its_alarm():
    sums, numbers = Sums(), []
    for number in range(1, 30):
        verdict = judge(4, 2.0, 1.0, sums, Settings())
        sums = verdict.sums
        if verdict.is_rise:
            numbers.append((number, sums.up))

    # Each bucket adds 4 ln 2 − 2 = 0.7726; ten of them pass 7 + ln(3)/2 = 7.549.
    assert numbers == [(10, 0.0), (20, 0.0)]


def test_a_busy_series_needs_a_greater_sum_than_a_quiet_one():
    assert rise_limit(0.001, Settings()) == pytest.approx(7.0, abs=0.01)
    assert rise_limit(7.0, Settings()) == pytest.approx(8.04, abs=0.01)


def test_as_usual_the_sums_stay_at_nothing():
    sums = Sums()
    for _ in range(500):
        sums = judge(2, 2.0, 1.0, sums, Settings()).sums

    assert sums == Sums()


def test_silence_is_a_slump_once_eight_were_to_be_expected():
    sums, alarm = Sums(), None
    for number in range(1, 100):
        verdict = judge(0, 1.0, 1.0, sums, Settings(slump_h=2.0))
        sums = verdict.sums
        if verdict.is_slump:
            alarm = number
            break

    assert alarm == 8  # the sum of 0.5 a bucket passed 2 at the fifth


def test_nobody_at_night_is_no_slump():
    sums = Sums()
    for _ in range(100):
        verdict = judge(0, 0.01, 1.0, sums, Settings())
        sums = verdict.sums
        assert not verdict.is_slump


def test_the_usual_is_learnt_for_each_hour_of_the_week():
    learnt = learn(weeks(6, lambda at: 12 if (at.weekday(), at.hour) == (2, 10) else 6 if at.hour in (9, 11) else 2))

    assert learnt.usual(MONDAY + timedelta(days=1, hours=3)) == pytest.approx(2, rel=0.1)
    assert learnt.usual(MONDAY + timedelta(days=2, hours=10)) > learnt.usual(MONDAY + timedelta(days=3, hours=10))
    assert (len(learnt.hours), learnt.buckets) == (HOURS, 6 * 2016)


@pytest.mark.parametrize(("zone", "is_quiet"), [("Europe/Berlin", True), ("UTC", False)])
def test_the_hours_of_the_week_follow_the_clocks_when_they_are_changed(zone, is_quiet):
    """Seven weeks of summer in Berlin taught it; the week after 25 October 2026 lies an hour later by UTC."""
    berlin, change = ZoneInfo("Europe/Berlin"), datetime(2026, 10, 25, 1, tzinfo=UTC)
    random = Random(6)

    def count(at):
        return simulation.draw(random, simulation.rate(4.0, at.astimezone(berlin)))

    learnt = learn(weeks(7, count, start=change - timedelta(weeks=7)), zone)
    sums, alarms = Sums(), 0
    for bucket in weeks(1, count, start=change):
        verdict = judge(bucket.count, learnt.usual(bucket.start), learnt.phi, sums, Settings())
        sums = verdict.sums
        alarms += verdict.is_rise or verdict.is_slump

    assert (alarms <= 1) is is_quiet


def test_scatter_is_learnt_from_the_counts():
    random = Random(4)
    calm = learn(weeks(4, lambda at: 3))
    wild = learn(weeks(4, lambda at: simulation.draw(random, 3.0, 2.5)))

    assert calm.phi == 1.0
    assert wild.phi == pytest.approx(2.5, abs=0.15)


def test_an_attack_that_nobody_noticed_does_not_become_the_usual():
    attacked = MONDAY + timedelta(days=9, hours=10)
    random = Random(5)

    def count(at):
        return simulation.draw(random, 1.0) + (60 if attacked <= at < attacked + timedelta(hours=1) else 0)

    learnt = learn(weeks(6, count))

    assert learnt.usual(attacked) < 3.5  # a plain mean says 11


def test_with_no_past_nothing_is_expected_and_nothing_fails():
    learnt = learn([])

    assert learnt.usual(MONDAY) > 0
    assert learnt.phi == 1.0


def test_a_send_is_expected_to_make_people_leave_in_the_hours_after_it():
    effect = Effect(MONDAY, 20_000, 0.002, 10_800.0)
    day = [effect.expected(MONDAY + BUCKET * n) for n in range(-12, 24 * 12)]

    assert sum(day[:12]) == 0
    assert day[12] == max(day)
    assert sum(day) == pytest.approx(40, rel=0.01)


def test_a_send_in_the_middle_of_a_bucket_counts_from_its_own_moment():
    effect = Effect(MONDAY + timedelta(minutes=4), 1000, 0.01, 3600.0)

    assert 0 < effect.expected(MONDAY) < effect.expected(MONDAY + BUCKET)


def test_what_sends_lead_to_is_learnt_from_sends_and_few_messages_say_little():
    assert rate_of(0, 0) == 0.002
    assert rate_of(1_000_000, 5_000) == pytest.approx(0.005, rel=0.02)
    assert rate_of(10, 5) == pytest.approx(0.002 + 5 / 5010, rel=0.05)
    assert delay_of(3, 1_800.0) == 10_800.0
    assert delay_of(100, 540_000.0) == 5400.0


def test_an_hour_that_was_seldom_seen_makes_its_day_no_lean_one():
    """Tuesdays were seen by night only, where few leave: what is usual by day is that of the other days."""
    past = [b for b in weeks(4, lambda at: 8 if at.hour >= 8 else 1) if b.start.weekday() != 1 or b.start.hour < 8]

    assert learn(past).usual(MONDAY + timedelta(days=1, hours=14)) == pytest.approx(8, rel=0.1)


def test_a_bucket_begins_on_the_five_minutes():
    assert bucket_of(MONDAY + timedelta(minutes=9, seconds=59)) == MONDAY + timedelta(minutes=5)


def test_ears_compares_with_the_days_before():
    calm = [10, 11, 9, 10, 12, 10, 9, 11, 10, 10, 9, 10]

    assert ears(calm[:11]) is None
    assert ears(calm).alarms == ()
    assert ears([*calm, 40]).alarms == ("C1", "C2", "C3")
    assert ears([0] * 13 + [1]).alarms == ()  # one press after a silent fortnight


def test_ears_sees_a_slow_rise_that_each_day_alone_would_hide():
    found = ears([10, 11, 9, 10, 12, 10, 9, 11, 10, 10, 17, 17, 17])

    assert "C3" in found.alarms


def test_one_domain_with_an_unlikely_share_is_found():
    before = {"domain": {"big": 500, "small": 20, "other": 480}}
    now = {"domain": {"big": 15, "small": 20, "other": 15}}

    (shift,) = composition.shifts(now, before)

    assert (shift.kind, shift.name, shift.count, shift.total) == ("domain", "small", 20, 50)
    assert shift.share == 0.02


def test_the_same_people_as_ever_are_no_shift_however_many():
    before = {"domain": {"big": 500, "small": 20}}

    assert composition.shifts({"domain": {"big": 500, "small": 20}}, before) == []
    assert composition.shifts({"domain": {"small": 12}}, before) == []  # fewer than twenty in all
    assert composition.shifts({"domain": {"small": 30}}, {}) == []  # nothing to compare with


def test_the_more_is_tested_the_unlikelier_a_find_must_be():
    before = {"domain": {f"d{n}": 100 for n in range(50)}}
    alone = {"domain": {"d0": 8, "d1": 4, "d2": 4, "d3": 4, "d4": 4}}
    among_many = {"domain": {"d0": 8, **{f"d{n}": 5 for n in range(1, 40)}}}

    assert [s.name for s in composition.shifts(alone, before, alpha=1e-6)] == ["d0"]
    assert composition.shifts(among_many, before, alpha=1e-6) == []


def test_the_binomial_tail_is_what_the_formula_says():
    assert composition.binomial_tail(2, 2, 0.5) == pytest.approx(0.25)
    assert composition.binomial_tail(1, 3, 0.2) == pytest.approx(1 - 0.8**3)


def test_a_morning_is_no_surge_once_a_day_is_known():
    day = [2] * 8 + [40] * 12 + [2] * 4
    morning = [*day[9:], *day[:8], 40]

    assert cold.alarm(morning, cold.HOUR) is None
    assert cold.alarm([*morning[:-1], 80], cold.HOUR).alarms
    assert cold.alarm(morning[-15:], cold.HOUR).alarms  # the first morning of all: nobody knows mornings yet
    assert cold.alarm(morning, cold.DAY).alarms
