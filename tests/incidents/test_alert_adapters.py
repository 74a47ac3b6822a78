"""What each sender's message is read as: bytes and headers in, notifications out, no database."""

import base64
import json

import pytest

from incidents.alerts.adapters import alertmanager, cloudevents, generic, grafana, pagerduty, standard_webhooks
from incidents.alerts.posted import headers_of
from incidents.alerts.reading import Rules, Unreadable, in_utf8, moment
from tests.incidents.test_alerts import SAMPLE

NONE = Rules()
STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}
EVENT = {
    "specversion": "1.0",
    "id": "E-1",
    "source": "/relays/eu",
    "type": "com.example.relay.failed",
    "subject": "relay-1",
    "time": "2026-03-01T02:14:00.123Z",
    "datacontenttype": "application/json",
    "data": {"service": "relay", "level": "red", "state": "open"},
}


def one(read, message, headers=None, rules=NONE):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    [said] = read(body, headers or {}, rules)
    return said


def why(read, message, headers=None, rules=NONE):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    with pytest.raises(Unreadable) as refused:
        read(body, headers or {}, rules)
    return str(refused.value)


# Alertmanager and Grafana


def test_what_vmalert_and_newer_alertmanagers_add_is_taken_without_a_word():
    added = {"notification_reason": "new alerts added", "routeLabels": {}, "receiver": "vmalert"}
    alert = {**SAMPLE["alerts"][0], "startsAt": "2026-03-01T10:14:00.5+08:00", "endsAt": "2026-03-01T10:20:00+08:00"}

    said = one(alertmanager.read, {**SAMPLE, **added, "alerts": [alert]})

    assert said.starts_at.isoformat() == "2026-03-01T02:14:00.500000+00:00"
    assert (said.is_firing, said.is_whole, said.severity) == (True, True, "sev2")


def test_a_sources_own_words_for_severity_are_known():
    labels = {"alertname": "X", "severity": "Violet"}

    assert one(alertmanager.read, {**SAMPLE, "commonLabels": labels, "alerts": []}).severity == "sev3"
    rules = Rules({}, {"violet": "sev1"})
    assert one(alertmanager.read, {**SAMPLE, "commonLabels": labels, "alerts": []}, rules=rules).severity == "sev1"


def test_grafana_speaks_version_one_and_brings_a_title():
    facts = {"version": "1", "orgId": 1, "title": "[FIRING:1] Queue grows", "state": "alerting", "message": "…"}
    alert = {**SAMPLE["alerts"][0], "values": {"B": 12.5}, "silenceURL": "https://grafana.example/silence"}
    message = {**SAMPLE, **facts, "groupLabels": {}, "commonLabels": {}, "alerts": [alert]}

    said = one(grafana.read, message)

    assert (said.title, said.group_key) == ("Queue grows", SAMPLE["groupKey"])
    assert 'version must be "1"' in why(grafana.read, SAMPLE)


def test_who_groups_by_nothing_in_grafana_is_told_apart_by_organisation_and_receiver():
    keys = {
        one(grafana.read, {**SAMPLE, "version": "1", "groupKey": "{}:{}", "orgId": org, "receiver": name}).group_key
        for org in (1, 2)
        for name in ("mail", "pager")
    }

    assert len(keys) == 4


# PagerDuty


def pager(kind="incident.triggered", **data):
    facts = {"id": "PHOLD1", "type": "incident", "status": "triggered", "title": "Opt-outs answer 500"}
    more = {"service": {"summary": "Preference API"}, "priority": {"summary": "P1"}, "urgency": "high"}
    event = {"id": "01HOLD", "event_type": kind, "occurred_at": "2026-03-01T02:14:00.458Z", "agent": None}
    return {"event": {**event, "client": None, "data": {**facts, **more, **data}}}


def test_an_incident_of_pagerduty_fires_until_it_is_resolved():
    said = one(pagerduty.read, pager(conference_bridge={"conference_number": 1000}))

    assert (said.group_key, said.title) == ("PHOLD1", "Preference API: Opt-outs answer 500")
    assert (said.is_firing, said.severity, said.event_id) == (True, "sev1", "01HOLD")
    assert said.told_at.isoformat() == "2026-03-01T02:14:00.458000+00:00"
    assert one(pagerduty.read, pager("incident.acknowledged", status="acknowledged")).is_firing
    assert not one(pagerduty.read, pager("incident.resolved", status="resolved")).is_firing


def test_an_acknowledgement_at_pagerduty_is_news():
    assert one(pagerduty.read, pager("incident.acknowledged")).note == "acknowledged at PagerDuty"
    assert one(pagerduty.read, pager()).note == ""


def test_urgency_stands_in_for_a_priority_that_is_not_set():
    assert one(pagerduty.read, pager(priority=None, urgency="high")).severity == "sev2"
    assert one(pagerduty.read, pager(priority=None, urgency="low")).severity == "sev4"


def test_an_event_about_something_of_an_incident_says_nothing_of_its_state():
    event = {"id": "01NOTE", "event_type": "incident.annotated", "occurred_at": "2026-03-01T02:15:00Z"}
    note = {"type": "incident_note", "incident": {"id": "PHOLD1", "summary": "Opt-outs answer 500"}, "content": "Hi"}

    said = one(pagerduty.read, {"event": {**event, "data": note}})

    assert (said.group_key, said.alerts, said.note) == ("PHOLD1", (), "a note was added at PagerDuty")


def test_an_event_about_no_incident_is_read_as_nothing():
    ping = {"event": {"id": "1", "event_type": "pagey.ping", "data": {"type": "ping", "message": "Hello"}}}

    assert pagerduty.read(json.dumps(ping).encode(), {}, NONE) == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({}, "event.event_type is missing"),
        ({"event": []}, "event.event_type is missing"),
        ({"event": "x"}, "event must be an object"),
        (pager(status=None), "status is missing"),
        (pager(status=7), "status is missing"),
        ({"event": {**pager()["event"], "occurred_at": "now"}}, "occurred_at is not a time"),
        (pager(id=7), "id is missing"),
    ],
)
def test_what_pagerduty_would_not_send_is_said(message, reason):
    assert reason in why(pagerduty.read, message)


# CloudEvents


def test_a_structured_event_is_one_alert_of_its_source_type_and_subject():
    said = one(cloudevents.read, EVENT, STRUCTURED)

    assert said.group_key == "/relays/eu · com.example.relay.failed · relay-1"
    assert (said.title, said.event_id) == ("com.example.relay.failed: relay-1", "/relays/eu E-1")
    assert (said.is_firing, said.is_whole) == (True, False)
    assert said.told_at.isoformat() == "2026-03-01T02:14:00.123000+00:00"


@pytest.mark.parametrize(
    "change",
    [
        {"subject": None},
        {"data": None, "data_base64": "AQIDBA=="},
        {"datacontenttype": "application/xml", "data": '<much wow="xml"/>'},
        {"data": "a bare string"},
        {"data": 7},
        {"comexampleextension1": "value", "comexampleothervalue": 5},
    ],
)
def test_events_with_data_of_any_kind_and_extensions_are_read(change):
    assert one(cloudevents.read, {**EVENT, **change}, STRUCTURED).is_firing


def test_a_batch_is_several_and_may_be_empty():
    events = [{**EVENT, "id": f"E-{n}", "subject": f"relay-{n}"} for n in range(3)]

    said = cloudevents.read(json.dumps(events).encode(), BATCHED, NONE)

    assert [one.event_id for one in said] == [f"/relays/eu E-{n}" for n in range(3)]
    assert cloudevents.read(b"[]", BATCHED, NONE) == []


def binary(**changes):
    headers = {
        "HTTP_CE_SPECVERSION": "1.0",
        "HTTP_CE_ID": "E-1",
        "HTTP_CE_SOURCE": "/relays/eu",
        "HTTP_CE_TYPE": "com.example.relay.failed",
        "HTTP_CE_SUBJECT": "Euro%20%E2%82%AC%20%F0%9F%98%80",
        "CONTENT_TYPE": "application/json",
    }
    return headers_of({name: value for name, value in {**headers, **changes}.items() if value is not None})


def test_a_binary_event_has_its_attributes_in_percent_encoded_headers():
    rules = Rules({"key": ["/subject", "/data/service"], "status": "/data/state", "resolved": "closed"})

    said = one(cloudevents.read, b'{"service": "relay", "state": "closed"}', binary(), rules)

    assert said.group_key == "Euro € \U0001f600 · relay"
    assert not said.is_firing
    assert cloudevents.event_id(binary()) == said.event_id == "/relays/eu E-1"


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("%2525", "%25"),  # decoded once, not until nothing changes
        ('"quoted"', "quoted"),
        ("Euro \u00e2\u0082\u00ac", "Euro €"),  # sent in the raw; WSGI shows its bytes one by one
        ("%e2%82%ac", "€"),
    ],
)
def test_a_header_is_decoded_once(value, meant):
    assert cloudevents.decoded(value) == meant


@pytest.mark.parametrize("value", ["%C0%A0", "%F0%82%82%AC", "%FF", "%ED%A0%80"])
def test_over_long_and_broken_sequences_are_refused(value):
    assert "percent-encoded UTF-8" in why(cloudevents.read, b"", binary(HTTP_CE_SUBJECT=value))


@pytest.mark.parametrize(
    ("message", "headers", "reason"),
    [
        ({**EVENT, "specversion": "0.3"}, STRUCTURED, 'specversion must be "1.0"'),
        ({**EVENT, "id": ""}, STRUCTURED, "id is missing"),
        ({**EVENT, "source": None}, STRUCTURED, "source is missing"),
        ({**EVENT, "type": 5}, STRUCTURED, "type is missing"),
        ({**EVENT, "subject": 5}, STRUCTURED, "subject must be text"),
        ({**EVENT, "time": "noon"}, STRUCTURED, "time is not a time"),
        ({**EVENT, "data_base64": "not base64!"}, STRUCTURED, "data_base64 is not base64"),
        ([EVENT], STRUCTURED, "must be a JSON object"),
        (EVENT, BATCHED, "A batch is a JSON array"),
        ([EVENT, {**EVENT, "id": None}], BATCHED, "[1].id is missing"),
        (EVENT, {"content-type": "application/json"}, "no CloudEvent"),
        (b"{", binary(), "not JSON"),
        (b"", binary(HTTP_CE_ID=None), "id is missing"),
    ],
)
def test_what_is_no_event_is_said(message, headers, reason):
    assert reason in why(cloudevents.read, message, headers)


def test_an_id_that_is_too_long_for_a_column_is_known_by_its_digest():
    said = one(cloudevents.read, {**EVENT, "id": "x" * 3000}, STRUCTURED)

    assert len(said.event_id) == 64


# Standard Webhooks and anything else


def test_standard_webhooks_without_a_mapping_are_one_cause_a_type():
    said = one(standard_webhooks.read, {"type": "invoice.stuck", "timestamp": "2026-03-01T02:14:00Z", "data": {}})

    assert (said.group_key, said.title, said.is_firing) == ("invoice.stuck", "invoice.stuck", True)
    assert standard_webhooks.event_id({"webhook-id": "msg_1"}) == "msg_1"
    assert "names no key" in why(standard_webhooks.read, {"test": 2432232314})


MAPPING = {
    "key": ["/labels/service", "/checks/0/id"],
    "title": "/summary",
    "status": "/state",
    "resolved": ["ok", "recovered"],
    "severity": "/level",
    "id": "/uid",
    "at": "/when",
}
DOCUMENT = {
    "labels": {"service": "preference~page"},
    "checks": [{"id": 17}],
    "summary": "The page\nanswers 500",
    "state": "ALERT",
    "level": "red",
    "uid": 12345,
    "when": "2026-03-01T02:14:00+01:00",
}


def test_a_mapping_finds_each_part_by_its_pointer():
    said = one(generic.read, DOCUMENT, rules=Rules(MAPPING, {"red": "sev1"}))

    assert said.group_key == "preference~page · 17"
    assert (said.title, said.severity, said.event_id) == ("The page answers 500", "sev1", "12345")
    assert said.is_firing
    assert said.starts_at.isoformat() == "2026-03-01T01:14:00+00:00"


@pytest.mark.parametrize(
    ("state", "fires"),
    [("OK", False), ("Recovered", False), ("burning", True), (None, True), ({}, True), (False, True)],
)
def test_only_the_words_that_end_it_end_it(state, fires):
    assert one(generic.read, {**DOCUMENT, "state": state}, rules=Rules(MAPPING)).is_firing is fires


@pytest.mark.parametrize(
    ("message", "mapping", "reason"),
    [
        ({}, MAPPING, "/labels/service holds no text or number"),
        ({**DOCUMENT, "checks": {}}, MAPPING, "/checks/0/id holds no text"),
        ({**DOCUMENT, "when": "noon"}, MAPPING, "/when is not a time"),
        ([], MAPPING, "holds no text"),
        (b"{", MAPPING, "not JSON"),
        (DOCUMENT, {"key": ""}, "The whole body holds no text"),
    ],
)
def test_a_message_without_what_the_key_is_made_of_is_not_put_into_one_heap(message, mapping, reason):
    assert reason in why(generic.read, message, rules=Rules(mapping))


def test_steps_of_a_pointer_are_unescaped():
    rules = Rules({"key": "/a~1b/m~0n"})

    assert one(generic.read, {"a/b": {"m~n": "found"}}, rules=rules).group_key == "found"


# What others send in the same outline


def test_an_alert_without_a_fingerprint_is_known_by_its_labels():
    entries = [{"status": "firing", "labels": {"alertname": "Disk", "host": host}} for host in ("a", "b", "a")]

    said = one(alertmanager.read, {**SAMPLE, "alerts": entries, "truncatedAlerts": None})

    assert [alert.fingerprint == said.alerts[0].fingerprint for alert in said.alerts] == [True, False, True]
    assert (said.truncated, said.is_firing, said.starts_at) == (0, True, None)


@pytest.mark.parametrize("nothing", [[], None])
def test_a_list_of_no_alerts_says_nothing_of_any(nothing):
    assert one(alertmanager.read, {**SAMPLE, "status": "resolved", "alerts": nothing}).alerts == ()
    assert "must be a list" in why(alertmanager.read, {key: SAMPLE[key] for key in SAMPLE if key != "alerts"})


def test_what_grafana_says_where_there_are_no_data_is_called_by_its_rule():
    named = {"alertname": "DatasourceNoData", "rulename": "Queue grows", "severity": "critical"}
    alert = {**SAMPLE["alerts"][0], "labels": named, "annotations": {"grafana_state_reason": "NoData"}, "values": None}
    message = {**SAMPLE, "version": "1", "groupLabels": {}, "commonLabels": named, "alerts": [alert]}

    said = one(grafana.read, message)

    assert (said.title, said.severity, said.is_firing) == ("DatasourceNoData: Queue grows", "sev2", True)


def test_a_rule_of_an_older_grafana_fires_until_it_is_ok():
    rule = {"orgId": 1, "dashboardId": 4, "ruleId": 7, "ruleName": "Queue grows", "tags": {"severity": "critical"}}
    alerting, without_data, ok = (
        one(grafana.read, {**rule, "state": state, "evalMatches": None}) for state in ("alerting", "no_data", "ok")
    )

    assert [said.is_firing for said in (alerting, without_data, ok)] == [True, True, False]
    assert len({said.group_key for said in (alerting, without_data, ok)}) == 1
    assert (alerting.title, alerting.severity) == ("Queue grows", "sev2")
    assert one(grafana.read, {**rule, "ruleId": 8, "state": "ok"}).group_key != ok.group_key
    assert grafana.read(json.dumps({**rule, "state": "paused"}).encode(), {}, NONE) == []
    assert "state must be one of" in why(grafana.read, {**rule, "state": ["ok"]})


def test_roles_at_pagerduty_name_their_incident_each():
    reference = {"id": "PGR0VU2", "type": "incident_reference", "summary": "Mail is slow"}
    data = {"type": "incident_role_assignment", "incident_role_assignments": [{"id": "R", "incident": reference}]}
    event = {"id": "E", "event_type": "incident.role.assigned", "occurred_at": None, "data": data}

    said = one(pagerduty.read, {"event": event})

    assert (said.group_key, said.alerts, said.note) == ("PGR0VU2", (), "incident.role.assigned at PagerDuty")
    event["data"]["incident_role_assignments"] = [None]
    assert pagerduty.read(json.dumps({"event": event}).encode(), {}, NONE) == []


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.relay+json; charset=utf-8", "text/json"])
def test_json_that_an_event_carries_in_base64_is_read_like_its_data(kind):
    rules = Rules({"key": "/data/service", "status": "/data/state", "resolved": "closed"})
    packed = base64.b64encode(json.dumps({"service": "relay", "state": "closed"}).encode()).decode()
    event = {key: EVENT[key] for key in EVENT if key != "data"} | {"datacontenttype": kind, "data_base64": packed}

    said = one(cloudevents.read, event, STRUCTURED, rules)

    assert (said.group_key, said.is_firing) == ("relay", False)
    assert "holds no text" in why(cloudevents.read, event | {"datacontenttype": "text/xml"}, STRUCTURED, rules)


@pytest.mark.parametrize("charset", ["iso-8859-1", '"ISO-8859-15"', "windows-1252"])
def test_a_charset_that_a_sender_names_is_believed_where_the_bytes_are_no_utf_8(charset):
    body = '{"title": "Überlauf"}'

    assert in_utf8(body.encode("latin-1"), f"application/json; charset={charset}").decode() == body
    assert in_utf8(body.encode(), f"application/json; charset={charset}").decode() == body
    assert in_utf8(body.encode("latin-1"), "application/json; charset=klingon") == body.encode("latin-1")


# Times


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("2026-03-01t02:14:00z", "2026-03-01T02:14:00+00:00"),
        ("2026-03-01T02:14:00.123456789+02:00", "2026-03-01T00:14:00.123456+00:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59+00:00"),
        (1_772_331_240, "2026-03-01T02:14:00+00:00"),
        (1_772_331_240.5, "2026-03-01T02:14:00.500000+00:00"),
        ("1772331240", "2026-03-01T02:14:00+00:00"),
        (1_772_331_240_500, "2026-03-01T02:14:00.500000+00:00"),
        (1_772_331_240_000_000, "2026-03-01T02:14:00+00:00"),
        (1_772_331_240_000_000_000, "2026-03-01T02:14:00+00:00"),
    ],
)
def test_a_time_is_known_in_each_clothing_that_senders_give_it(told, meant):
    assert moment(told, "at").isoformat() == meant


@pytest.mark.parametrize("told", [True, 20260301, "20260301", -1, 1e30, "yesterday", "2026-03-01T02:14:00", [], {}])
def test_what_is_no_moment_is_said(told):
    with pytest.raises(Unreadable, match=r"at (is not a time|has no offset)"):
        moment(told, "at")
