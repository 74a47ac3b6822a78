"""Alerts: kept as they came, read in order, one incident per cause. The sample is Alertmanager's own shape."""

import copy
import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.db import DatabaseError, DataError, connection, transaction
from django.utils import timezone

from incidents import alerts
from incidents.alerts import reader
from incidents.clocks import start_clock
from incidents.facts import describe
from incidents.lifecycle import accept
from incidents.models import AlertDelivery, AlertGroup, AlertSource, Incident, IncidentClockRule, PlaybookRun
from incidents.playbooks import attaching
from incidents.playbooks.signals import Asked
from incidents.services import close
from tests.factories import UserFactory

GROUP_KEY = '{}:{alertname="InstanceDown"}'
ALERT = {
    "status": "firing",
    "labels": {
        "job": "node",
        "group": "production",
        "instance": "localhost:8081",
        "severity": "critical",
        "alertname": "InstanceDown",
    },
    "annotations": {"title": "Instance localhost:8081 down"},
    "startsAt": "2023-06-12T08:24:38.326Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "",
    "fingerprint": "f404ecabc8dd5cd7",
}
CANARY = {
    **ALERT,
    "labels": {**ALERT["labels"], "group": "canary", "instance": "localhost:8082"},
    "fingerprint": "f8f08d4e32c61a9d",
}
SAMPLE = {
    "receiver": "combo",
    "status": "firing",
    "version": "4",
    "groupKey": GROUP_KEY,
    "truncatedAlerts": 0,
    "externalURL": "",
    "groupLabels": {"alertname": "InstanceDown"},
    "commonLabels": {"job": "node", "severity": "critical", "alertname": "InstanceDown"},
    "commonAnnotations": {},
    "alerts": [ALERT],
}


def firing(*alerts, **changes):
    return {**copy.deepcopy(SAMPLE), "alerts": [copy.deepcopy(a) for a in alerts or [ALERT]], **changes}


def over(alert):
    return {**alert, "status": "resolved", "endsAt": "2023-06-12T09:00:00Z"}


def resolved(*alerts, **changes):
    return firing(*[over(a) for a in alerts or [ALERT]], status="resolved", **changes)


@pytest.fixture
def issued(db):
    return alerts.issue_source("Alertmanager", by="user:anna")


@pytest.fixture
def source(issued):
    return issued[0]


@pytest.fixture
def hear(source):
    """Deliver a payload, or bytes, and read it."""

    def deliver(payload):
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        delivery = AlertDelivery.objects.create(source=source, raw_body=body, body_digest=b"")
        alerts.read_stored()
        delivery.refresh_from_db()
        return delivery

    return deliver


@pytest.fixture
def post(client, issued):
    def send(body, token=issued[1], content_type="application/json"):
        body = body if isinstance(body, bytes) else json.dumps(body)
        return client.post(f"/hooks/alerts/{token}/", body, content_type=content_type)

    return send


# The door


def test_a_delivery_is_kept_as_it_came_and_answered_before_it_is_read(post):
    body = b'  {"version": "4"}  '

    response = post(body)

    assert response.status_code == 202
    kept = AlertDelivery.objects.get(pk=response.json()["delivery"])
    assert (bytes(kept.raw_body), kept.outcome) == (body, "stored")


def test_an_unknown_token_and_one_switched_off_get_the_same_answer(post, source):
    unknown = post(SAMPLE, token="no-such-token")
    AlertSource.objects.update(mode="off")
    switched_off = post(SAMPLE)

    assert unknown.status_code == switched_off.status_code == 404
    assert unknown.content == switched_off.content
    assert not AlertDelivery.objects.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status", "kept"),
    [
        (b"x" * (256 * 1024 + 1), "application/json", 413, b""),
        (b"a=b", "application/x-www-form-urlencoded", 415, b"a=b"),
    ],
)
def test_what_is_too_large_or_of_another_kind_is_refused_and_kept_with_the_reason(
    post, body, content_type, status, kept
):
    response = post(body, content_type=content_type)

    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    delivery = AlertDelivery.objects.get()
    assert (delivery.outcome, bytes(delivery.raw_body), delivery.size) == ("refused", kept, len(body))
    assert bytes(delivery.body_digest) == hashlib.sha256(body).digest()
    assert response.json()["detail"] == delivery.reason


def test_a_stranger_learns_nothing_and_leaves_nothing(post):
    large = post(b"x" * (256 * 1024 + 1), token="no-such-token")
    odd = post(b"a=b", token="no-such-token", content_type="text/plain")

    assert large.status_code == odd.status_code == 404
    assert not AlertDelivery.objects.exists()


def test_a_body_at_the_limit_is_taken(post):
    assert post(b"x" * 256 * 1024).status_code == 202


def test_reading_the_address_does_nothing(client, issued):
    assert client.get(f"/hooks/alerts/{issued[1]}/").status_code == 405


def test_trouble_of_ours_is_never_a_4xx_which_would_lose_the_alert(post):
    with connection.cursor() as cursor, suppress(DataError):
        cursor.execute("SELECT 1 / 0")  # from here on the session takes nothing, for a reason of its own

    response = post(SAMPLE)

    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0


def test_only_a_digest_of_the_token_is_kept(issued):
    source, token = issued

    assert bytes(source.token_digest) == alerts.digest_of(token)
    assert token not in repr([vars(source), *source.history.values()])


def test_a_renewed_token_ends_the_old_address_at_once(post, issued):
    source, old = issued
    new = alerts.renew_token(source, reason="Leaked", by="user:anna")

    assert post(SAMPLE, token=old).status_code == 404
    assert post(SAMPLE, token=new).status_code == 202


def test_bytes_and_fate_of_a_delivery_are_written_once(hear):
    delivery = hear(SAMPLE)

    for change in ({"raw_body": b"{}"}, {"outcome": "stored"}, {"reason": "Other"}):
        with pytest.raises(DatabaseError, match="is kept"), transaction.atomic():
            AlertDelivery.objects.filter(pk=delivery.pk).update(**change)


# Opening and joining


def test_the_first_alert_of_a_group_opens_an_incident(hear):
    delivery = hear(SAMPLE)

    incident = Incident.objects.get()
    assert delivery.outcome == "accepted"
    assert delivery.group.incident == incident
    assert (incident.ref, incident.status, incident.severity) == ("INC-1", "triage", "sev2")
    assert (incident.title, incident.declared_by) == ("InstanceDown", "alert:Alertmanager")
    assert incident.detected_at == delivery.received_at
    assert (incident.purposes, incident.exit_paths) == ([], [])
    assert [entry.kind for entry in incident.timeline.order_by("seq")] == ["declared", "alert"]


def test_an_alert_of_a_source_with_a_type_starts_the_playbook_that_is_shipped_for_it(hear, source):
    alerts.change(source, type="mechanism_unavailable", reason="All of them are", by="user:anna")
    alerts.change(source, mapping={"type": "/commonLabels/incident_type"}, reason="Some say", by="user:anna")
    labels = {**SAMPLE["commonLabels"], "incident_type": "bulk_resubscribe"}

    incident = hear(firing(commonLabels=labels)).group.incident
    attaching.start_by_signals()

    assert (incident.type, incident.dpv_types) == ("bulk_resubscribe", ["IntegrityIncident"])
    assert PlaybookRun.objects.get().playbook.slug == "mass-re-subscribe"


@pytest.mark.parametrize("word", [None, "fire", 7, ["surge"]])
def test_a_word_that_is_no_type_of_ours_leaves_that_of_the_source(hear, source, word):
    alerts.change(source, type="mechanism_unavailable", mapping={"type": "/kind"}, reason="So", by="user:anna")

    assert hear(firing(kind=word)).group.incident.type == "mechanism_unavailable"


def test_a_playbook_asks_for_source_title_and_labels_of_an_alert(hear):
    incident = hear(SAMPLE).group.incident

    asked = Asked(incident)

    assert asked.answer("alert_source") == ["Alertmanager"]
    assert asked.answer("alert_title") == ["InstanceDown"]
    assert asked.answer("alert_label") == ["alertname=InstanceDown", "job=node", "severity=critical"]
    assert asked.holds({"signal": "alert_label", "op": "has", "value": "job=node"})


def test_a_legal_clock_of_it_counts_from_the_delivery(hear):
    delivery = hear(SAMPLE)

    clock = start_clock(
        delivery.group.incident, IncidentClockRule.objects.get(code="EU-ART33"), reason="Names were seen", by="user:lea"
    )

    assert clock.started_at == delivery.received_at


def test_a_repeat_without_change_is_a_duplicate_and_leaves_no_line(hear):
    hear(SAMPLE)

    again = hear(SAMPLE)

    assert (again.outcome, again.group.delivery_count) == ("duplicate", 2)
    assert Incident.objects.get().timeline.count() == 2


def test_more_alerts_of_the_group_join_it(hear):
    hear(SAMPLE)

    joined = hear(firing(ALERT, CANARY))

    assert joined.outcome == "accepted"
    assert Incident.objects.count() == 1
    assert joined.group.incident.timeline.order_by("seq").last().text == "InstanceDown: 2 firing, 0 resolved."


def mild(alert=ALERT):
    labels = {**alert["labels"], "severity": "warning"}
    return firing({**alert, "labels": labels}, commonLabels=labels)


def test_a_group_that_becomes_critical_makes_its_incident_worse_until_people_have_judged_it(hear):
    incident = hear(mild()).group.incident
    assert incident.severity == "sev3"

    worse = hear(SAMPLE)  # nothing else has changed
    incident.refresh_from_db()
    assert (worse.outcome, incident.severity) == ("accepted", "sev2")
    told = "InstanceDown: 1 firing, 0 resolved. Now SEV2: a promise is at risk."
    assert incident.timeline.order_by("seq").last().text == told
    hear(mild())
    incident.refresh_from_db()
    assert incident.severity == "sev2"

    accept(incident, reason="It burns", by="user:anna")
    describe(incident, severity="sev4", reason="A machine that nobody needs", by="user:anna")
    assert hear(SAMPLE).outcome == "duplicate"
    hear(firing(ALERT, CANARY))
    incident.refresh_from_db()
    assert incident.severity == "sev4"
    told = "InstanceDown: 2 firing, 0 resolved. Reported as SEV2: a promise is at risk."
    assert incident.timeline.order_by("seq").last().text == told


def test_an_alert_that_began_earlier_moves_the_begin_of_its_incident(hear):
    first, earlier = (timezone.now() - timedelta(minutes=ago) for ago in (20, 50))
    incident = hear(firing({**ALERT, "startsAt": first.isoformat()})).group.incident

    hear(firing({**ALERT, "startsAt": first.isoformat()}, {**CANARY, "startsAt": earlier.isoformat()}))

    incident.refresh_from_db()
    assert incident.occurred_from == earlier
    assert incident.backfills.filter(reason="widened").exists()


def test_another_group_is_another_incident(hear):
    hear(SAMPLE)
    hear(firing(groupKey='{}:{alertname="Other"}'))

    assert Incident.objects.count() == 2


def test_the_same_group_of_another_source_is_another_incident(hear):
    hear(SAMPLE)
    other, _ = alerts.issue_source("Second Alertmanager", by="user:anna")
    AlertDelivery.objects.create(source=other, raw_body=json.dumps(SAMPLE).encode(), body_digest=b"")
    alerts.read_stored()

    assert Incident.objects.count() == 2


def test_a_firing_group_with_some_alerts_resolved_goes_on_firing(hear):
    hear(firing(ALERT, CANARY))

    group = hear(firing(over(ALERT), CANARY)).group

    assert (group.state, group.is_open) == ("firing", True)
    assert {f: a["state"] for f, a in group.fingerprints.items()} == {
        "f404ecabc8dd5cd7": "resolved",
        "f8f08d4e32c61a9d": "firing",
    }


def test_resolved_without_alerts_resolves_nothing(hear):
    opened = hear(SAMPLE)

    empty = hear(firing(status="resolved", alerts=[]))

    assert empty.outcome == "empty"
    opened.group.refresh_from_db()
    assert (opened.group.state, opened.group.is_open) == ("firing", True)


def test_a_resolved_group_leaves_its_incident_to_people(hear):
    hear(SAMPLE)

    group = hear(resolved()).group

    assert (group.state, group.is_open) == ("resolved", None)
    assert group.incident.is_open
    assert "until somebody closes it" in group.incident.timeline.order_by("seq").last().text


def test_firing_again_joins_the_incident_while_it_is_open(hear):
    first = hear(SAMPLE).group
    hear(resolved())

    again = hear(firing({**ALERT, "startsAt": "2023-06-12T10:00:00Z"})).group

    assert (again, again.is_open) == (first, True)
    assert Incident.objects.count() == 1


def test_what_the_slower_half_of_a_pair_says_late_opens_nothing_again(hear):
    hear(SAMPLE)
    hear(resolved())

    late = hear(SAMPLE)

    assert (late.outcome, late.group.state, late.group.is_open) == ("duplicate", "resolved", None)
    assert late.reason == "Late: that it is over was heard before."
    assert late.group.incident.timeline.filter(kind="alert").count() == 2


@pytest.mark.parametrize("closed", ["before the end was heard", "after the end was heard"])
def test_what_comes_late_of_a_closed_incident_opens_no_other(hear, closed):
    incident = hear(SAMPLE).group.incident
    if closed == "before the end was heard":
        close(incident, reason="Over", by="user:anna")
    hear(resolved())
    if closed == "after the end was heard":
        close(incident, reason="Over", by="user:anna")

    late = hear(SAMPLE)

    assert late.outcome == "duplicate"
    assert Incident.objects.count() == 1


def test_one_alert_that_comes_late_does_not_hide_that_another_fires(hear):
    hear(firing(ALERT, CANARY))
    hear(firing(over(ALERT), CANARY))
    hear(firing(CANARY))

    late = hear(firing(ALERT, CANARY))

    assert late.outcome == "duplicate"
    assert {f: a["state"] for f, a in late.group.fingerprints.items()} == {
        "f404ecabc8dd5cd7": "resolved",
        "f8f08d4e32c61a9d": "firing",
    }


def test_a_sender_that_insists_is_believed(hear, source):
    for payload in (SAMPLE, resolved()):
        body, ago = json.dumps(payload).encode(), timezone.now() - timedelta(minutes=6)
        AlertDelivery.objects.create(source=source, raw_body=body, body_digest=b"", received_at=ago)

    insisting = hear(SAMPLE)

    assert (insisting.outcome, insisting.group.state) == ("accepted", "firing")


def test_firing_on_after_the_incident_was_closed_opens_a_new_one(hear):
    opened = hear(SAMPLE)
    close(opened.group.incident, reason="Thought it was over", by="user:anna")

    again = hear(SAMPLE)

    assert again.group != opened.group
    assert list(Incident.objects.order_by("pk").values_list("ref", "status")) == [
        ("INC-1", "closed"),
        ("INC-2", "triage"),
    ]


def test_a_resolution_of_what_was_never_open_is_kept_and_opens_nothing(hear):
    delivery = hear(resolved())

    assert (delivery.outcome, delivery.group) == ("accepted", None)
    assert not Incident.objects.exists()


def test_what_is_not_shown_is_said_and_not_taken_as_resolved(hear):
    hear(firing(truncatedAlerts=300))

    group = hear(resolved(truncatedAlerts=300)).group

    assert (group.truncated_count, group.state) == (300, "firing")
    assert "300 not shown" in group.incident.timeline.order_by("seq").last().text


def test_the_window_begins_with_the_earliest_firing_alert(hear):
    now = timezone.now()
    early, late = (now - timedelta(minutes=minutes) for minutes in (30, 10))
    beijing = early.astimezone(timezone.get_fixed_timezone(480))

    incident = hear(
        firing({**ALERT, "startsAt": late.isoformat()}, {**CANARY, "startsAt": beijing.isoformat()})
    ).group.incident

    assert incident.occurred_from == early


@pytest.mark.parametrize(
    ("starts_at", "before"),
    [
        ("2023-06-12T08:24:38.326Z", timedelta(hours=24)),
        ("2099-01-01T00:00:00+08:00", timedelta(0)),
        ("0001-01-01T00:00:00Z", timedelta(0)),
    ],
)
def test_the_window_neither_lies_ahead_nor_reaches_back_more_than_a_day(hear, starts_at, before):
    delivery = hear(firing({**ALERT, "startsAt": starts_at}))

    assert delivery.group.incident.occurred_from == delivery.received_at - before


def test_nanoseconds_are_read(hear):
    starts_at = (timezone.now() - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")

    incident = hear(firing({**ALERT, "startsAt": starts_at})).group.incident

    assert incident.occurred_from == datetime.fromisoformat(starts_at[:26] + "+00:00").astimezone(UTC)


@pytest.mark.parametrize(
    ("severity", "expected"), [("page", "sev2"), ("Warning", "sev3"), ("info", "sev4"), ("violet", "sev3")]
)
def test_severity_follows_the_labels(hear, severity, expected):
    labels = {"alertname": "X", "severity": severity}

    incident = hear(firing({**ALERT, "labels": labels}, commonLabels=labels)).group.incident

    assert incident.severity == expected


# What operators make of the payload


def without(name):
    payload = firing()
    del payload[name]
    return payload


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "JSON object"),
        ({"text": "InstanceDown is firing"}, "A changed payload"),
        (firing(version="1"), 'must be "4"'),
        (firing(status="burning"), "status must be"),
        (without("groupKey"), "groupKey is missing"),
        (firing(groupKey=""), "groupKey is missing"),
        (firing(groupKey=7), "groupKey is missing"),
        (firing(groupKey="a\0b"), "control characters"),
        (firing(groupKey="\ud800"), "control characters"),
        (firing(groupKey="k" * 5000), "longer than"),
        (without("alerts"), "alerts must be a list"),
        (firing(alerts=["InstanceDown"]), "alerts[0] must be an object"),
        (firing({**ALERT, "status": "unknown"}), "alerts[0].status"),
        (firing(ALERT, {**ALERT, "fingerprint": None}), "alerts[1].fingerprint"),
        (firing({**ALERT, "startsAt": "yesterday"}), "startsAt is not a time"),
        (firing({**ALERT, "startsAt": 16865582}), "startsAt is not a time"),
        (firing({**ALERT, "startsAt": "2023-06-12T08:24:38"}), "no offset"),
        (firing({**ALERT, "startsAt": "9999-12-31T23:59:59-08:00"}), "startsAt is not a time"),
        (firing(truncatedAlerts="many"), "truncatedAlerts"),
        (firing(truncatedAlerts=10**12), "truncatedAlerts"),
        (firing(commonLabels=["job"]), "commonLabels must be an object"),
    ],
)
def test_what_cannot_be_read_is_kept_with_a_reason_and_stops_nothing(hear, body, reason):
    refused = hear(body)

    assert refused.outcome == "rejected"
    assert reason in refused.reason
    assert not Incident.objects.exists()
    assert hear(SAMPLE).outcome == "accepted"


def test_labels_with_anything_in_them_are_taken(hear):
    labels = {"alertname": "Relay\0 down\n\ud83d\ude00", "severity": 5, "note": None}

    group = hear(firing({**ALERT, "labels": labels, "annotations": None}, groupLabels=labels, commonLabels=None)).group

    assert group.title == "Relay down \U0001f600"


# Races


@pytest.mark.parametrize("each", ["each its own", "all of them"])
def test_fifty_identical_deliveries_at_once_open_one_incident(committed, each):
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")
    body = json.dumps(SAMPLE).encode()
    deliveries = [AlertDelivery(source=source, raw_body=body, body_digest=b"") for _ in range(50)]
    AlertDelivery.objects.bulk_create(deliveries)
    together = Barrier(10)

    def read(mine):
        together.wait(20)
        for delivery in mine:
            # The first way skips the source's lock on purpose: only the constraint stands between two incidents.
            if each == "each its own":
                with transaction.atomic():
                    reader.read(source, [delivery])
            else:
                alerts.read_stored()
        connection.close()

    threads = [Thread(target=read, args=[deliveries[n::10]]) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alerts.read_stored()

    assert Incident.objects.values_list("ref", flat=True).get() == "INC-1"
    assert AlertGroup.objects.get().delivery_count == 50
    outcomes = list(AlertDelivery.objects.order_by("outcome").values_list("outcome", flat=True))
    assert outcomes == ["accepted"] + ["duplicate"] * 49


def test_deliveries_of_a_source_are_read_in_the_order_they_came(committed):
    source, _ = alerts.issue_source("Alertmanager", by=UserFactory())
    for n in range(6):
        alert = {**ALERT, "startsAt": f"2023-06-12T08:2{n // 2}:00Z"}
        body = json.dumps(firing(alert) if n % 2 == 0 else resolved(alert)).encode()
        AlertDelivery.objects.create(source=source, raw_body=body, body_digest=b"")

    def read():
        alerts.read_stored()
        connection.close()

    threads = [Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alerts.read_stored()

    assert AlertGroup.objects.get().state == "resolved"
    states = Incident.objects.get().timeline.filter(kind="alert").order_by("seq").values_list("new", flat=True)
    assert list(states) == ["firing", "resolved"] * 3
