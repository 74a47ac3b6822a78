"""A storm of alerts over HTTP on the whole product, while people opt out: one incident a cause, and nothing lost."""

import json
import random
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.incidents.test_alerts import ALERT, CANARY, firing, resolved
from tests.stack.launcher import until
from tests.stack.test_journey import post, rows

pytestmark = pytest.mark.stack

DELIVERIES, KEYS, PEOPLE = 1500, 6, 150
ISSUE = """
from incidents import alerts
print(alerts.issue_source("Storm", by="user:tests")[1])
"""


@pytest.fixture(scope="module")
def token(stack):
    return stack.command("shell", "--no-imports", "-c", ISSUE, **stack.environment).split()[-1]


def bodies():
    """Six causes at once from a pair that sends everything twice, out of order, some of it cut off."""
    dice, sent = random.Random(7), []
    for number in range(DELIVERIES // 2):
        changes = {"groupKey": f"storm-{number % KEYS}", "truncatedAlerts": 300 if number % 30 == 0 else 0}
        alerts = dice.choice([[ALERT], [ALERT, CANARY], [CANARY]])
        make = resolved if number >= KEYS and dice.random() < 0.3 else firing
        sent += [json.dumps(make(*alerts, **changes)).encode()] * 2
    late = sent[2 * KEYS :]
    dice.shuffle(late)
    return sent[: 2 * KEYS] + late


def deliver(stack, token, body):
    request = urllib.request.Request(
        f"{stack.url}/hooks/alerts/{token}/", body, {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)["delivery"]
    except urllib.error.HTTPError as error:
        return error.code, None


def opt_out(stack, number):
    choice = {"purpose": "marketing", "channel": "email", "choice": "opt_out", "cause": "subject_choice"}
    return post(stack, "/api/v1/decisions/", {"subject": {"email": f"storm{number}@example.org"}, **choice})[0]


def test_a_storm_leaves_one_incident_a_cause_and_no_opt_out_waits_in_vain(stack, token):
    with ThreadPoolExecutor(10) as senders, ThreadPoolExecutor(3) as people:
        answers = senders.map(lambda body: deliver(stack, token, body), bodies())
        choices = people.map(lambda number: opt_out(stack, number), range(PEOPLE))
        answers, choices = list(answers), list(choices)

    of_storm = (
        "FROM incidents_alertdelivery d JOIN incidents_alertsource s ON s.id = d.source_id WHERE s.name = 'Storm'"
    )
    left = f"SELECT count(*) {of_storm} AND outcome = 'stored'"
    until(lambda: rows(stack, left) == [(0,)], 90, lambda: str(rows(stack, left)) + stack.said()[-3000:])

    assert Counter(status for status, _ in answers) == {202: DELIVERIES}
    assert Counter(choices) == {201: PEOPLE}
    assert len({number for _, number in answers}) == DELIVERIES
    fates = dict(rows(stack, f"SELECT outcome, count(*) {of_storm} GROUP BY outcome"))
    assert sum(fates.values()) == DELIVERIES
    assert set(fates) <= {"accepted", "duplicate"}
    causes = rows(
        stack,
        "SELECT g.group_key, count(*), count(DISTINCT i.id), sum(g.delivery_count) FROM incidents_alertgroup g "
        "JOIN incidents_incident i ON i.id = g.incident_id WHERE starts_with(g.group_key, %s) GROUP BY 1 ORDER BY 1",
        "storm-",
    )
    assert [(key, groups, incidents) for key, groups, incidents, _ in causes] == [
        (f"storm-{number}", 1, 1) for number in range(KEYS)
    ]
    resolved_unheard = rows(stack, f"SELECT count(*) {of_storm} AND d.group_id IS NULL")[0][0]
    assert sum(count for *_, count in causes) + resolved_unheard == DELIVERIES


def test_the_timelines_of_the_storm_have_no_gap(stack, token):
    gaps = rows(
        stack,
        "SELECT i.ref, count(*), max(e.seq) FROM incidents_timelineentry e JOIN incidents_incident i "
        "ON i.id = e.incident_id GROUP BY i.ref HAVING count(*) <> max(e.seq)",
    )

    assert gaps == []
