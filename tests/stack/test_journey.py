"""The night itself: two thousand people opt out over HTTP at once while an incident runs, on the whole product."""

import json
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import policy
from email.parser import BytesHeaderParser

import psycopg
import pytest
from django.utils import timezone

from tests.stack.launcher import Stack, until

pytestmark = pytest.mark.stack

PEOPLE, CLIENTS = 2000, 12


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A stack of its own, so that every row found is of this night."""
    stack = Stack(tmp_path_factory.mktemp("night") / "var").start()
    yield stack
    stack.terminate()
    stack.command("stop")


def post(stack, path, body, **headers):
    request = urllib.request.Request(
        f"{stack.url}{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {stack.key}", **headers},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, json.load(answer)


def opt_out(stack, number):
    """One in four is sent again under its key, as a client does that was not sure the first time."""
    body = {
        "subject": {"email": f"person{number}@example.org"},
        "purpose": "marketing",
        "channel": "email",
        "choice": "opt_out",
        "cause": "subject_choice",
        "exit_path": "api",
    }
    sent = [
        post(stack, "/api/v1/decisions/", body, **{"Idempotency-Key": f"night-{number}"})
        for _ in range(1 if number % 4 else 2)
    ]
    return [status for status, _ in sent], {answer["id"] for _, answer in sent}


def envelopes(stack):
    return list(stack.inbox.glob("*.eml"))


def headers_of(envelope):
    return BytesHeaderParser(policy=policy.default).parsebytes(envelope.read_bytes())


def rows(stack, query, *values):
    exports = dict(
        line.removeprefix("export ").split("=", 1) for line in stack.command("env", "--role", "app").splitlines()
    )
    with psycopg.connect(exports["DATABASE_URL"].strip("'")) as connection:
        return connection.execute(query, values).fetchall()


def test_two_thousand_opt_outs_are_recorded_held_confirmed_and_tied_each_once(night):
    began = timezone.now() - timedelta(minutes=30)
    _, incident = post(
        night,
        "/api/v1/incidents/",
        {"title": "Wrong newsletter", "occurred_from": began.isoformat(), "severity": "sev2"},
    )

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda number: opt_out(night, number), range(PEOPLE)))
    until(
        lambda: len(envelopes(night)) >= PEOPLE, 240, lambda: f"{len(envelopes(night))} mails\n{night.said()[-3000:]}"
    )
    count = "SELECT count(*) FROM incidents_decisionlink"
    until(lambda: rows(night, count)[0][0] >= PEOPLE, 60, lambda: str(rows(night, count)))

    assert Counter(status for statuses, _ in answers for status in statuses) == {201: PEOPLE + PEOPLE // 4}
    decisions = {number for _, ids in answers for number in ids}
    assert len(decisions) == PEOPLE
    assert rows(night, "SELECT count(*), count(DISTINCT subject_id) FROM consent_decision") == [(PEOPLE, PEOPLE)]
    out = "SELECT count(*) FROM consent_consent WHERE state = 'opt_out' AND explicit"
    assert rows(night, out) == [(PEOPLE,)]
    assert rows(night, "SELECT count(*), count(DISTINCT id) FROM consent_historicalconsent") == [(PEOPLE, PEOPLE)]

    mails = [headers_of(envelope) for envelope in envelopes(night)]
    assert len(mails) == PEOPLE
    assert len({mail["Message-ID"] for mail in mails}) == PEOPLE
    assert {mail["To"] for mail in mails} == {f"person{n}@example.org" for n in range(PEOPLE)}
    states = rows(night, "SELECT state, count(*), count(DISTINCT decision_id) FROM messaging_message GROUP BY state")
    assert states == [("accepted", PEOPLE, PEOPLE)]

    tied = (
        "SELECT i.ref, count(*), count(DISTINCT l.decision_id) FROM incidents_decisionlink l "
        "JOIN incidents_incident i ON i.id = l.incident_id GROUP BY i.ref"
    )
    assert rows(night, tied) == [(incident["ref"], PEOPLE, PEOPLE)]
    rolled_up = (
        "SELECT sum(count), bool_and(exit_path = 'api' AND cause = 'subject_choice') FROM incidents_decisionrollup"
    )
    assert rows(night, rolled_up) == [(PEOPLE, True)]


def test_the_link_in_a_mail_of_that_night_stops_everything_at_one_press(night):
    mail = night.mails("person7@example.org")[0]
    headers = {name.lower(): value for name, value in mail["headers"]}
    link = headers["list-unsubscribe"].split(">")[0].lstrip("<")

    request = urllib.request.Request(link, b"List-Unsubscribe=One-Click", method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        status, landed = answer.status, answer.url

    assert headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert (status, landed) == (200, link)
    asked = f"{night.url}/api/v1/check/?email=person7@example.org&purpose=product_news&channel=email"
    check = urllib.request.Request(asked, headers={"Authorization": f"Bearer {night.key}"})
    with urllib.request.urlopen(check, timeout=30) as answer:
        assert json.load(answer)["allowed"] is False
