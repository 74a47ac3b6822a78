"""The database is away: deliveries are taken to disk, and stored with their first moment once it is back."""

import hmac
import json
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from consent import journal
from consent import spool as opt_outs
from incidents import alerts
from incidents.alerts import spool
from incidents.models import AlertDelivery, Incident
from tests.incidents.test_alert_adapters import pager
from tests.incidents.test_alerts import SAMPLE

SECRET = "a secret of theirs"


@pytest.fixture(autouse=True)
def folder(settings, tmp_path, monkeypatch):
    settings.SPOOL_DIR = str(tmp_path / "spool")
    monkeypatch.setattr(opt_outs._watch, "away_until", 0.0)
    return tmp_path / "spool" / "alerts"


def post(token, body=SAMPLE, content_type="application/json", **headers):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client().post(f"/hooks/alerts/{token}/", body, content_type=content_type, headers=headers)


class TestAway:
    @pytest.fixture
    def issued(self, committed):
        return alerts.issue_source("Alertmanager", by="user:anna")

    @pytest.fixture
    def away(self, issued, committed):
        """Post while the database is away; then it is there again."""

        def send(*deliveries):
            with committed.away():
                answers = [post(*one) for one in deliveries]
                connection.close()
            return answers

        return send

    def test_deliveries_are_taken_at_once_and_read_when_it_is_back(self, away, issued):
        before = timezone.now()
        answers = away((issued[1],), (issued[1],))
        after = timezone.now()

        assert [answer.status_code for answer in answers] == [202, 202]
        assert "on disk" in answers[0].json()["note"]
        assert (alerts.replay(), alerts.replay()) == (2, 0)
        alerts.read_stored()
        first, second = AlertDelivery.objects.order_by("pk")
        assert before < first.received_at < second.received_at < after
        assert (first.outcome, second.outcome, first.was_spooled) == ("accepted", "duplicate", True)
        assert Incident.objects.count() == 1

    def test_a_stranger_is_found_out_at_replay_and_nothing_that_was_in_it_is_kept(self, away, committed):
        [answer] = away(("no-such-token",))
        alerts.replay()

        delivery = AlertDelivery.objects.get()
        assert answer.status_code == 202
        assert (delivery.outcome, delivery.source, bytes(delivery.raw_body)) == ("refused", None, b"")
        assert (delivery.size, bool(delivery.body_digest)) == (len(json.dumps(SAMPLE)), True)
        assert "no source that is on has its token" in delivery.reason

    def test_a_database_that_only_reads_is_away_for_deliveries(self, issued, folder):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")  # as one that failed over to its standby
            answer = post(issued[1])
            transaction.set_rollback(True)

        assert (answer.status_code, alerts.replay()) == (202, 1)
        assert AlertDelivery.objects.get().was_spooled

    def test_what_is_too_large_is_refused_at_once(self, away, issued, folder):
        [answer] = away((issued[1], b"x" * (256 * 1024 + 1)))

        assert answer.status_code == 413
        assert not folder.exists()


@pytest.fixture
def issued(db, monkeypatch):
    """As within the second after the database was found away."""
    source = alerts.issue_source("Alertmanager", by="user:anna")
    monkeypatch.setattr(opt_outs._watch, "away_until", time.monotonic() + 60)
    return source


def test_a_signature_is_checked_at_replay_against_the_moment_it_came(issued):
    source, token = alerts.issue_source("Grafana", kind="grafana", by="user:anna", timestamp_header="X-Sent-At")
    alerts.add_secret(source, SECRET, by="user:anna")
    stamp, body = str(int(time.time())), b"{}"
    signature = hmac.digest(SECRET.encode(), f"{stamp}:".encode() + body, "sha256").hex()

    for value in (signature, "0" * 64):
        post(token, body, **{"X-Sent-At": stamp, "X-Grafana-Alerting-Signature": value})
    alerts.replay()

    outcomes = AlertDelivery.objects.order_by("pk").values_list("outcome", "signature")
    assert list(outcomes) == [("stored", "valid"), ("refused", "invalid")]


def test_hours_later_the_signed_time_still_holds(issued, monkeypatch):
    source, token = alerts.issue_source("Grafana", kind="grafana", by="user:anna", timestamp_header="X-Sent-At")
    alerts.add_secret(source, SECRET, by="user:anna")
    stamp = str(int(time.time()) - 3 * 3600)
    signature = hmac.digest(SECRET.encode(), f"{stamp}:".encode() + b"{}", "sha256").hex()
    then = timezone.now() - timedelta(hours=3)
    with monkeypatch.context() as patched:
        patched.setattr("incidents.webhooks.timezone.now", lambda: then)
        post(token, b"{}", **{"X-Sent-At": stamp, "X-Grafana-Alerting-Signature": signature})

    alerts.replay()

    assert (AlertDelivery.objects.get().outcome, AlertDelivery.objects.get().received_at) == ("stored", then)


def test_what_was_answered_is_stored_whatever_the_limit_says(issued):
    source, token = alerts.issue_source("Slow", by="user:anna", rate_limit=1)
    for _ in range(3):
        assert post(token).status_code == 202

    assert alerts.replay() == 3

    assert AlertDelivery.objects.filter(source=source, outcome="stored").count() == 3


def test_what_is_on_disk_gives_nothing_away(issued, folder):
    post(issued[1])

    text = (folder / journal.JOURNAL).read_text()
    assert "InstanceDown" not in text
    assert issued[1] not in text
    assert (folder / journal.JOURNAL).stat().st_mode & 0o077 == 0


def test_a_replay_that_was_cut_short_repeats_nothing(issued, folder):
    for _ in range(3):
        post(issued[1])
    with journal.alone(folder):
        [path] = journal.taken_over(folder)
    copy = path.read_bytes()
    alerts.replay()
    path.write_bytes(copy)

    alerts.replay()

    assert AlertDelivery.objects.count() == 3


def test_an_attempt_that_went_to_disk_and_one_that_did_not_are_one_event(issued, monkeypatch):
    source, token = alerts.issue_source("PagerDuty", kind="pagerduty", by="user:anna")
    alerts.add_secret(source, SECRET, by="user:anna")
    body = json.dumps(pager()).encode()
    headers = {"X-PagerDuty-Signature": "v1=" + hmac.digest(SECRET.encode(), body, "sha256").hex(), "X-Webhook-Id": "w"}
    post(token, body, **headers)
    monkeypatch.setattr(opt_outs._watch, "away_until", 0.0)
    post(token, body, **headers)

    alerts.replay()

    assert AlertDelivery.objects.get().occurrence == 2


def test_a_line_that_was_cut_off_or_does_not_open_stops_nothing(issued, folder):
    post(issued[1])
    with (folder / journal.JOURNAL).open("ab") as file:
        file.write(b'{"v": 1, "key": "spool:x", "sealed": "AAAA"}\n{"v": 1, "key')
    post(issued[1])

    assert alerts.replay() == 2

    assert len((folder / journal.REFUSED).read_bytes().splitlines()) == 2


def test_what_waits_is_seen_by_whoever_watches_the_numbers(issued, client):
    post(issued[1])
    before = client.get("/metrics").content.decode()
    alerts.replay()
    after = client.get("/metrics").content.decode()

    assert 'holdfast_alerts_waiting{for="database"} 1.0' in before
    assert 'holdfast_alerts_waiting{for="reader"} 1.0' in after
    assert "holdfast_alerts_over_limit_total 0.0" in after


def test_a_full_spool_answers_503_and_leaves_the_disk_to_opt_outs(issued, monkeypatch):
    monkeypatch.setattr(spool, "MOST_BYTES", 100)

    answers = [post(issued[1]).status_code for _ in range(2)]

    assert answers == [202, 503]


def test_a_disk_that_takes_nothing_answers_503(issued, settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    settings.SPOOL_DIR = str(tmp_path / "file")

    response = post(issued[1])

    assert (response.status_code, response["Content-Type"]) == (503, "application/problem+json")
    assert int(response["Retry-After"]) > 0
