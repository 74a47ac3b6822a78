"""How well the detectors do, on the weeks that a fixed seed draws: the same figures on every machine."""

import json
from contextlib import suppress
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from incidents.detection.detectors import Settings
from incidents.detection.scenarios import simulate_others
from incidents.detection.simulation import simulate


@pytest.fixture(scope="module")
def quick():
    return simulate(8, 2)


def test_false_alarms_stay_within_their_budget(quick):
    together = [row for row in quick.rows if row.detector == "D1+D2"]

    assert len(together) == 3
    assert all(row.false_alarms_per_week <= 0.5 for row in together), together


def test_every_threefold_surge_is_found_as_soon_as_d2_finds_it(quick):
    rows = {(row.mean, row.detector): row for row in quick.rows}

    for mean in (0.3, 1.0, 4.0):
        share, delay = rows[mean, "D1+D2"].found[3.0]
        assert share == 1.0
        assert delay <= rows[mean, "D2"].found[3.0][1]


def test_the_rule_of_most_dashboards_speaks_far_more_often_for_nothing(quick):
    rows = {(row.mean, row.detector): row for row in quick.rows}

    for mean in (0.3, 1.0, 4.0):
        naive, ours = rows[mean, "mean+3sd"], rows[mean, "D1+D2"]
        assert naive.false_alarms_per_week > 20 * max(ours.false_alarms_per_week, 0.5)


def test_a_newsletter_is_an_alarm_where_it_is_not_expected_and_rarely_where_it_is(quick):
    for send in quick.sends:
        assert send.false_without > 0.5
        assert send.false_with <= 0.075
        assert send.burst_with[0] == 1.0


def test_an_end_of_leaving_and_a_gateway_are_found_and_seldom_where_there_is_none():
    rows = {row.detector: row for row in simulate_others(3, 1, means=(1.0,))}

    assert list(rows) == ["D3", "D4", "EARS"]
    slump, shift = rows["D3"], rows["D4"]
    assert slump.found[0.0][0] == shift.found[60.0][0] == 1.0
    assert slump.found[0.0][1] < slump.found[0.5][1]  # what stops wholly is found sooner
    assert shift.found[120.0][1] <= 15
    assert slump.false_alarms_per_week <= 1
    assert shift.false_alarms_per_week <= 1
    assert rows["EARS"].false_alarms_per_week <= 2
    assert rows["EARS"].found[6.0][0] == 1.0
    assert simulate_others(1, 1, means=(1.0,)) == simulate_others(1, 1, means=(1.0,))


def test_the_same_seed_gives_the_same_figures():
    assert simulate(1, 1, means=(0.3,)).as_json() == simulate(1, 1, means=(0.3,)).as_json()


def test_a_missed_goal_is_said_and_ends_the_command_with_an_error():
    told = StringIO()

    with pytest.raises(CommandError, match=r"false alarms a week, at most 0\.5"):
        call_command("simulate_rates", replicas=2, weeks=1, h=2.0, stdout=told)

    assert "D1+D2" in told.getvalue()
    assert "Every goal is met" not in told.getvalue()


def test_the_figures_come_as_json_too():
    told = StringIO()

    with suppress(CommandError):  # one replica is no measure
        call_command("simulate_rates", replicas=1, weeks=1, json="-", stdout=told)

    figures = json.loads(told.getvalue())
    assert figures["settings"]["h"] == Settings().h
    assert {row["detector"] for row in figures["others"]} == {"D3", "D4", "EARS"}
