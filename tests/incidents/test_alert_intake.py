"""The door for alerts: who is let in, what is kept of those who are not, and what is known again."""

import gzip
import hashlib
import hmac
import json
import time
from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from incidents import alerts
from incidents.alerts import grouping, limits, reader
from incidents.alerts.grouping import key_of
from incidents.alerts.intake import find
from incidents.models import AlertDelivery, AlertGroup, AlertOverflow, AlertSource, Incident
from incidents.services import close
from tests.factories import AlertDeliveryFactory, incident
from tests.incidents.test_alert_adapters import EVENT, pager
from tests.incidents.test_alerts import ALERT, SAMPLE, firing, resolved

SECRET = "a secret of theirs"


@pytest.fixture
def connect(db, client):
    """A source of a kind, and a function that posts to it; headers by their names."""

    def make(kind="alertmanager", secret="", **facts):
        source, token = alerts.issue_source(f"Some {kind}", kind=kind, by="user:anna", **facts)
        if secret:
            alerts.add_secret(source, secret, by="user:anna")

        def post(body, content_type="application/json", **headers):
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            return client.post(f"/hooks/alerts/{token}/", body, content_type=content_type, headers=headers)

        post.source, post.url = source, f"/hooks/alerts/{token}/"
        return post

    return make


def signed(body, secret=SECRET):
    return {"X-PagerDuty-Signature": "v1=" + hmac.digest(secret.encode(), body, "sha256").hex()}


def latest():
    return AlertDelivery.objects.order_by("-pk").first()


# Signatures


def test_a_signed_delivery_is_taken_and_one_that_does_not_hold_is_kept_and_refused(connect):
    post = connect("pagerduty", SECRET)
    body = json.dumps(pager()).encode()

    good, bad, none = post(body, **signed(body)), post(body, **signed(body, "another secret")), post(body)

    assert (good.status_code, bad.status_code, none.status_code) == (202, 401, 401)
    outcomes = AlertDelivery.objects.order_by("pk").values_list("outcome", "signature")
    assert list(outcomes) == [("stored", "valid"), ("refused", "invalid"), ("refused", "invalid")]
    assert latest().reason == "The header X-PagerDuty-Signature is missing."
    assert bytes(latest().raw_body) == body


def test_what_is_refused_is_never_read(connect):
    connect("pagerduty", SECRET)(pager())

    assert alerts.read_stored() == 0
    assert not Incident.objects.exists()


def test_a_signature_is_checked_before_anything_is_parsed(connect):
    assert connect("pagerduty", SECRET)(b"\xff{" * 1000).status_code == 401


def test_a_source_that_should_sign_and_has_no_secret_lets_nobody_in(connect):
    response = connect("grafana")(firing(version="1"), **{"X-Grafana-Alerting-Signature": "0" * 64})

    assert response.status_code == 401
    assert "no secret yet" in response.json()["detail"]


def test_both_secrets_let_in_while_one_is_changed_for_the_other(connect):
    post = connect("pagerduty", SECRET)
    alerts.add_secret(post.source, "the next secret", by="user:anna")
    body = json.dumps(pager()).encode()

    answers = [post(body, **signed(body, secret)).status_code for secret in (SECRET, "the next secret")]
    alerts.retire_secret(post.source.secrets.order_by("pk").first(), by="user:anna")
    after = [post(body, **signed(body, secret)).status_code for secret in (SECRET, "the next secret")]

    assert (answers, after) == ([202, 202], [401, 202])


def test_only_telling_headers_are_kept(connect):
    post = connect("grafana", SECRET, timestamp_header="X-Sent-At")
    body, stamp = b"{}", str(int(time.time()))
    signature = hmac.digest(SECRET.encode(), f"{stamp}:".encode() + body, "sha256").hex()

    post(
        body,
        **{
            "X-Grafana-Alerting-Signature": signature,
            "X-Sent-At": stamp,
            "User-Agent": "Grafana",
            "Authorization": "Bearer secret",
            "Cookie": "session=1",
            "X-Forwarded-For": "192.0.2.1",
        },
    )

    assert set(latest().headers) == {"content-type", "x-grafana-alerting-signature", "x-sent-at", "user-agent"}


# Known again


def test_another_attempt_of_the_sender_is_counted_on_the_first(connect):
    post = connect("pagerduty", SECRET)
    body = json.dumps(pager()).encode()

    first, second = (post(body, **signed(body), **{"X-Webhook-Id": "w-1"}) for _ in range(2))

    assert first.json() == second.json()
    assert (AlertDelivery.objects.get().occurrence, AlertDelivery.objects.get().sender_event_id) == (2, "w-1")
    alerts.read_stored()
    assert post(body, **signed(body), **{"X-Webhook-Id": "w-1"}).json() == first.json()
    assert AlertDelivery.objects.get().occurrence == 3


def test_a_forged_delivery_does_not_take_the_place_of_the_real_one(connect):
    post = connect("pagerduty", SECRET)
    body = json.dumps(pager()).encode()

    post(body, **signed(body, "forged secret"), **{"X-Webhook-Id": "w-1"})

    assert post(body, **signed(body), **{"X-Webhook-Id": "w-1"}).status_code == 202
    assert latest().outcome == "stored"


def test_the_same_event_in_another_clothing_is_one(connect):
    post = connect("cloudevents")
    binary = {"ce-specversion": "1.0", "ce-id": "E-1", "ce-source": "/relays/eu", "ce-type": "t"}

    post(b"{}", **binary)
    post(EVENT, "application/cloudevents+json")
    alerts.read_stored()

    assert [one.outcome for one in AlertDelivery.objects.order_by("pk")] == ["accepted", "duplicate"]
    assert latest().reason.startswith("The same event as delivery #")


def test_a_batch_opens_one_incident_for_each_cause_and_is_known_again(connect):
    post = connect("cloudevents")
    events = [{**EVENT, "id": f"E-{n}", "subject": f"relay-{n % 2}"} for n in range(4)]

    for _ in range(2):
        assert post(events, "application/cloudevents-batch+json").status_code == 202
    assert post([], "application/cloudevents-batch+json").status_code == 202
    alerts.read_stored()

    assert Incident.objects.count() == 2
    batch, again, empty = AlertDelivery.objects.order_by("pk")
    assert batch.reason == "4 events: 2 accepted, 2 duplicate. INC-1 INC-2"
    assert (batch.outcome, again.outcome, empty.outcome) == ("accepted", "duplicate", "empty")


def test_an_older_event_that_comes_late_does_not_open_again_what_is_over(connect):
    post = connect("pagerduty", SECRET)

    def send(event_type, status, minute):
        event = pager(event_type, status=status)
        event["event"] |= {"occurred_at": f"2026-03-01T02:{minute}:00Z", "id": f"e{minute}"}
        body = json.dumps(event).encode()
        post(body, **signed(body))

    send("incident.triggered", "triggered", 10)
    send("incident.resolved", "resolved", 30)
    send("incident.acknowledged", "acknowledged", 20)
    alerts.read_stored()

    assert latest().reason == "Older than what was heard of it before."
    assert AlertGroup.objects.get().state == "resolved"


def test_a_clock_that_ran_ahead_once_does_not_silence_its_cause(connect):
    post = connect("cloudevents")

    post({**EVENT, "id": "E-1", "time": "2999-01-01T00:00:00Z"}, "application/cloudevents+json")
    post({**EVENT, "id": "E-2", "time": timezone.now().isoformat()}, "application/cloudevents+json")
    alerts.read_stored()

    second = AlertDelivery.objects.latest("pk")
    assert second.reason != "Older than what was heard of it before."
    assert AlertGroup.objects.get().told_at <= second.received_at


def test_news_beside_the_state_is_told_where_the_incident_goes_on(connect):
    post = connect("pagerduty", SECRET)
    for event in (pager(), pager("incident.acknowledged", status="acknowledged")):
        event["event"]["id"] = event["event"]["event_type"]
        body = json.dumps(event).encode()
        post(body, **signed(body))
    alerts.read_stored()

    texts = Incident.objects.get().timeline.order_by("seq").values_list("text", flat=True)
    assert texts[2] == "Preference API: Opt-outs answer 500: acknowledged at PagerDuty"


# CloudEvents' own manners


def test_a_sender_of_events_that_asks_first_is_allowed(connect, client):
    post = connect("cloudevents", rate_limit=120)

    answer = client.options(post.url, headers={"WebHook-Request-Origin": "events.example"})

    assert (answer.status_code, answer["Allow"]) == (200, "POST, OPTIONS")
    assert (answer["WebHook-Allowed-Origin"], answer["WebHook-Allowed-Rate"]) == ("events.example", "120")


def test_the_handshake_is_for_who_has_the_address_of_a_source_of_events(connect, client):
    origin = {"WebHook-Request-Origin": "events.example"}

    assert client.options("/hooks/alerts/no-such-token/", headers=origin).status_code == 404
    assert "WebHook-Allowed-Origin" not in client.options(connect("alertmanager").url, headers=origin)
    assert "WebHook-Allowed-Origin" not in client.options(connect("cloudevents").url)


@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_other_methods_are_told_what_is_offered(connect, client, method):
    answer = getattr(client, method)(connect().url)

    assert (answer.status_code, answer["Allow"]) == (405, "POST, OPTIONS")


def test_a_source_of_events_takes_events_only(connect):
    post = connect("cloudevents")

    assert post(EVENT).status_code == 415
    assert "application/cloudevents+json" in latest().reason


def test_a_packed_body_is_refused_with_its_cure(connect):
    post = connect()
    packed = gzip.compress(json.dumps(firing()).encode())

    assert post(packed, **{"Content-Encoding": "gzip"}).status_code == 415
    assert "Content-Encoding" in latest().reason
    assert latest().headers["content-encoding"] == "gzip"
    assert post(firing(), **{"Content-Encoding": "identity"}).status_code == 202


def test_a_body_in_another_charset_is_read_by_its_name(connect, client):
    post = connect()
    body = json.dumps(SAMPLE | {"groupLabels": {"alertname": "Überlauf"}}, ensure_ascii=False).encode("latin-1")

    client.generic("POST", post.url, body, content_type="application/json; charset=ISO-8859-1")
    alerts.read_stored()

    assert "Überlauf" in Incident.objects.get().title


def test_an_older_sender_of_webhooks_repeats_itself_once(connect):
    post = connect("standard_webhooks", signature="none")

    for _ in range(2):
        post({"type": "relay.failed", "data": {}}, **{"svix-id": "msg_1"})

    assert AlertDelivery.objects.get().occurrence == 2


# How fast


def test_what_is_above_the_limit_is_told_when_to_come_back_and_counted(connect):
    post = connect(rate_limit=2)

    answers = [post(SAMPLE) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [202, 202, 429, 429, 429]
    assert int(answers[2]["Retry-After"]) > 0
    assert AlertOverflow.objects.get().count == 3
    refused = AlertDelivery.objects.get(outcome="refused")
    assert (bytes(refused.raw_body), refused.size) == (b"", len(json.dumps(SAMPLE)))


def test_the_limit_is_of_one_source_and_of_the_last_minute(connect):
    post, other = connect(rate_limit=2), connect("cloudevents")
    AlertDeliveryFactory.create_batch(2, source=post.source, received_at=timezone.now() - timedelta(seconds=61))

    assert [post(SAMPLE).status_code for _ in range(3)] == [202, 202, 429]
    assert other(EVENT, "application/cloudevents+json").status_code == 202


def test_bad_signatures_count_too_so_that_nobody_fills_the_table(connect):
    post = connect("pagerduty", SECRET, rate_limit=2)

    assert [post(pager()).status_code for _ in range(4)] == [401, 401, 429, 429]


def test_a_quarter_of_an_hour_is_one_window():
    moment = timezone.now().replace(minute=44, second=59)

    assert limits.window_of(moment).minute == 30


# Modes, silence, drills


def heard(post, payload):
    post(payload)
    alerts.read_stored()
    return latest()


def test_a_source_that_is_only_watched_says_what_it_would_have_done(connect):
    post = connect(mode="monitor")
    delivery = heard(post, SAMPLE)

    assert (delivery.outcome, delivery.group.title, delivery.group.incident) == ("monitored", "InstanceDown", None)
    assert delivery.reason == "Only watched; it would have opened an incident."
    assert (heard(post, SAMPLE).outcome, alerts.watch()) == ("monitored", 0)
    assert not Incident.objects.exists()


def test_what_fired_once_in_a_silence_and_goes_on_opens_its_incident_at_the_end(connect):
    post = connect()
    alerts.silence(post.source, until=timezone.now() + timedelta(hours=1), reason="Work", by="user:anna")
    began_at = (timezone.now() - timedelta(minutes=9)).isoformat()
    once = heard(post, firing({**ALERT, "startsAt": began_at}))
    heard(post, firing(groupKey="over"))
    heard(post, resolved(groupKey="over"))

    assert alerts.watch() == 0
    AlertSource.objects.update(silenced_until=timezone.now())
    assert (alerts.watch(), alerts.watch()) == (1, 0)

    [incident] = Incident.objects.all()
    assert (incident.title, incident.severity, incident.status) == ("InstanceDown", "sev2", "triage")
    assert (incident.occurred_from.isoformat(), incident.detected_at) == (began_at, once.received_at)
    assert "heard while it was silenced" in incident.timeline.order_by("seq").last().text
    assert heard(post, firing({**ALERT, "startsAt": began_at})).group.incident == incident


def test_switching_on_what_was_watched_opens_what_fired_in_the_last_day_only(connect):
    post = connect(mode="monitor")
    heard(post, SAMPLE)
    heard(post, firing(groupKey="stale"))
    AlertGroup.objects.filter(group_key="stale").update(last_at=timezone.now() - timedelta(days=2))

    alerts.change(post.source, mode="active", reason="Trusted", by="user:anna")

    assert alerts.watch() == 1
    assert Incident.objects.get().alert_groups.get().group_key == SAMPLE["groupKey"]


def test_a_silenced_source_keeps_its_deliveries_and_opens_nothing_until_the_silence_ends(connect):
    post = connect()
    alerts.silence(post.source, until=timezone.now() + timedelta(hours=1), reason="Work", by="user:anna")

    assert heard(post, SAMPLE).outcome == "silenced"
    assert not Incident.objects.exists()
    alerts.end_silence(post.source, reason="Done", by="user:anna")
    assert heard(post, SAMPLE).outcome == "accepted"


def test_a_silence_does_not_hide_that_an_open_cause_is_over(connect):
    post = connect()
    heard(post, SAMPLE)
    alerts.silence(post.source, until=timezone.now() + timedelta(hours=1), reason="Work", by="user:anna")

    assert heard(post, resolved()).group.state == "resolved"


def test_what_a_source_for_drills_opens_is_a_drill(connect):
    heard(connect(is_drill=True), SAMPLE)

    assert Incident.objects.get().mode == "drill"


# Reading many


def test_a_hundred_repeats_cost_little_more_than_one(connect):
    post = connect()
    heard(post, SAMPLE)
    body = json.dumps(SAMPLE).encode()

    def queries(count):
        AlertDeliveryFactory.create_batch(count, source=post.source, raw_body=body)
        with CaptureQueriesContext(connection) as asked:
            assert alerts.read_stored() == count
        return len(asked)

    assert queries(100) <= queries(1) + 2


def test_one_that_cannot_be_used_is_put_aside_and_the_rest_of_its_hundred_is_read(connect, monkeypatch):
    post = connect()
    for name in ("first", "cursed", "last"):
        post(firing(groupKey=name, groupLabels={"alertname": name}))
    declare = grouping.declare

    def refuse_one(title, **facts):
        if title == "cursed":
            raise ValueError("no such thing")
        return declare(title, **facts)

    monkeypatch.setattr(grouping, "declare", refuse_one)
    alerts.read_stored()

    fates = dict(AlertDelivery.objects.values_list("outcome", "reason"))
    assert AlertDelivery.objects.filter(outcome="accepted").count() == 2
    assert fates["rejected"] == "It could not be used: no such thing"


def test_a_storm_of_causes_lets_whoever_declares_an_incident_in_between(connect):
    post = connect()
    for number in range(25):
        post(firing(groupKey=f"cause-{number}"))
    waiting = list(AlertDelivery.objects.order_by("pk"))

    with transaction.atomic():
        first = reader.read(post.source, waiting)
    declared = incident("Somebody saw it too")
    alerts.read_stored()

    assert first == grouping.MOST_OPENED < len(waiting)
    assert declared.ref == f"INC-{grouping.MOST_OPENED + 1}"
    assert not AlertDelivery.objects.filter(outcome="stored").exists()
    refs = Incident.objects.order_by("pk").values_list("ref", flat=True)
    assert list(refs) == [f"INC-{number}" for number in range(1, 27)]


# Records


def test_a_wiped_payload_is_gone_and_the_record_stays(connect):
    delivery = heard(connect(), SAMPLE)
    digest = hashlib.sha256(json.dumps(SAMPLE).encode()).digest()

    wiped = alerts.wipe(delivery, by="user:anna")

    wiped.refresh_from_db()
    assert (bytes(wiped.raw_body), wiped.headers, wiped.wiped_by) == (b"", {}, "user:anna")
    assert (bytes(wiped.body_digest), wiped.outcome, wiped.group) == (digest, "accepted", delivery.group)


def test_nothing_that_the_sender_wrote_is_left_beside_a_wiped_payload(connect):
    post = connect()
    delivery = heard(post, SAMPLE)
    broken = heard(post, {**SAMPLE, "version": "localhost:8081"})

    alerts.wipe(delivery, by="user:anna")
    alerts.wipe(broken, by="user:anna")

    left = [*AlertGroup.objects.values(), *AlertDelivery.objects.values()]
    assert not [word for word in ("InstanceDown", "localhost") if word in repr(left)]
    group = AlertGroup.objects.get()
    assert (group.title, group.is_open, bytes(group.key)) == ("Wiped", True, key_of(SAMPLE["groupKey"]))
    assert heard(post, SAMPLE).outcome == "accepted"  # its name is back with what it says now
    assert Incident.objects.count() == 1


def test_what_groups_say_is_forgotten_when_their_incident_is_long_over(connect):
    post = connect()
    going_on, over = heard(post, SAMPLE).group, heard(post, {**SAMPLE, "groupKey": "other"}).group
    close(over.incident, reason="Over", by="user:anna")

    alerts.forget(timezone.now() + timedelta(days=91))

    assert AlertGroup.objects.get(pk=going_on.pk).title == "InstanceDown"
    forgotten = AlertGroup.objects.get(pk=over.pk)
    assert (forgotten.title, forgotten.group_key, forgotten.labels, forgotten.fingerprints) == ("Wiped", "", {}, {})


def test_a_batch_is_kept_while_any_incident_that_it_told_of_is_under_legal_hold(connect):
    post = connect("cloudevents")
    events = [{"specversion": "1.0", "id": f"E-{n}", "source": f"/relay/{n}", "type": "down"} for n in range(2)]
    post(events, "application/cloudevents-batch+json")
    alerts.read_stored()
    Incident.objects.filter(ref="INC-2").update(legal_hold=True)

    assert alerts.forget(timezone.now() + timedelta(days=91)) == 0
    with pytest.raises(Exception, match="INC-2 is under legal hold"):
        alerts.wipe(latest(), by="user:anna")


def test_what_is_wiped_stays_wiped_and_what_waits_is_not_wiped_before_it_is_read(connect):
    post = connect()
    post(SAMPLE)
    with pytest.raises(Exception, match="not been read yet"):
        alerts.wipe(latest(), by="user:anna")
    alerts.read_stored()
    alerts.wipe(latest(), by="user:anna")

    with pytest.raises(Exception, match="wiped already"):
        alerts.wipe(latest(), by="user:anna")
    for change in ({"raw_body": b"{}"}, {"wiped_by": "user:ben"}, {"body_digest": b""}):
        with pytest.raises(DatabaseError, match=r"is kept|alertdelivery_"), transaction.atomic():
            AlertDelivery.objects.filter(pk=latest().pk).update(**change)


def test_a_payload_is_emptied_by_wiping_only(connect):
    delivery = heard(connect(), SAMPLE)

    for change in ({"raw_body": b""}, {"headers": {}}, {"occurrence": 0}, {"sender_event_id": "other"}):
        with pytest.raises(DatabaseError, match="is kept"), transaction.atomic():
            AlertDelivery.objects.filter(pk=delivery.pk).update(**change)
    AlertDelivery.objects.filter(pk=delivery.pk).update(occurrence=2)


def test_the_database_takes_nobodys_delivery_only_refused_and_empty(db):
    for facts in ({"outcome": "stored"}, {"outcome": "refused", "raw_body": b"x"}):
        with pytest.raises(IntegrityError, match="alertdelivery_of_nobody"), transaction.atomic():
            AlertDelivery.objects.create(body_digest=b"", **facts)


@pytest.mark.parametrize("kind", AlertSource.Kind.values)
def test_a_test_of_each_kind_is_understood_and_opens_nothing(connect, kind):
    mapping = {"key": ["/data/service"], "title": "/data/summary", "status": "/data/state", "resolved": "ok"}
    post = connect(kind, mapping={} if kind in ("alertmanager", "grafana", "pagerduty") else mapping)
    if post.source.signature != "none":
        alerts.add_secret(post.source, by="user:anna")

    delivery = alerts.send_test(post.source)
    alerts.read_stored()

    delivery.refresh_from_db()
    assert delivery.outcome == "monitored"
    assert "Test from Holdfast" in delivery.reason
    assert not Incident.objects.exists()
    assert AlertSource.objects.get().last_seen_at is None


@pytest.mark.parametrize("signature", ["hmac", "slack"])
def test_a_test_is_signed_as_the_source_signs(connect, signature):
    post = connect("cloudevents", SECRET, signature=signature)

    assert alerts.send_test(post.source).signature == "valid"


def test_a_test_of_a_source_without_its_secret_says_what_is_missing(connect):
    with pytest.raises(Exception, match="The test was refused"):
        alerts.send_test(connect("grafana").source)


def test_nobody_finds_a_source_that_is_off(connect):
    post = connect()
    alerts.change(post.source, reason="Moved", by="user:anna", mode="off")

    assert find(bytes(post.source.token_digest)) is None
