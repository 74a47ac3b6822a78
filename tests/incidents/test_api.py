"""Incidents over HTTP: declared, followed, told, contained and closed by services."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from config.models import Scope
from consent import exit_paths, flow
from consent.services import record
from consent.story import tell
from incidents import alerts, linking
from incidents.models import DecisionMinute, Incident
from tests.api.conftest import Api
from tests.api.conftest import api as api
from tests.api.conftest import problem as problem
from tests.factories import (
    AlertDeliveryFactory,
    AlertSourceFactory,
    ExitPathFactory,
    PurposeFactory,
    SubjectFactory,
    incident,
    opt_out,
)
from tests.incidents.test_alerts import ALERT, CANARY, firing, resolved

ALL = "/api/v1/incidents/"


def moment(minutes_ago):
    return (timezone.now() - timedelta(minutes=minutes_ago)).isoformat()


def patch(api, path, body):
    return api.patch(path, body, content_type="application/json")


def test_a_service_declares_an_incident_that_began_before(api):
    PurposeFactory(code="marketing")
    ExitPathFactory(code="footer-link")

    response = api.send(
        ALL,
        {
            "title": "Relay down",
            "occurred_from": moment(90),
            "purposes": ["marketing"],
            "exit_paths": ["footer-link"],
            "severity": "sev2",
        },
    )

    assert response.status_code == 201, response.content
    shown = response.json()
    assert (shown["ref"], shown["status"], shown["severity"]) == ("INC-1", "declared", "sev2")
    assert shown["declared_by"].startswith("service:")
    assert api.get(f"{ALL}INC-1/").json() == shown


def test_the_same_idempotency_key_declares_once(api):
    body = {"title": "Relay down", "occurred_from": moment(5)}

    first, second = (api.send(ALL, body, **{"Idempotency-Key": "k1"}) for _ in range(2))

    assert first.json() == second.json()
    assert second["Idempotent-Replayed"] == "true"
    assert Incident.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"title": ""}, "/title"),
        ({"title": "a\0b"}, "/title"),
        ({"title": None}, "/title"),
        ({"occurred_from": moment(-60)}, "/occurred_from"),
        ({"occurred_from": "2026-03-01T12:00:00"}, "/occurred_from"),
        ({"occurred_from": "0130-01-22T04:23:29-22:09"}, "/occurred_from"),
        ({"occurred_to": moment(600)}, "/occurred_to"),
        ({"purposes": ["nobody-registered"]}, "/purposes"),
        ({"purposes": ["a\0b"]}, "/purposes/0"),
        ({"exit_paths": "footer-link"}, "/exit_paths"),
        ({"severity": "sev9"}, "/severity"),
        ({"mode": "joke"}, "/mode"),
        ({"occured_to": moment(5)}, "/occured_to"),
    ],
)
def test_what_is_wrong_is_pointed_at_and_nothing_is_stored(api, problem, change, pointer):
    body = problem(api.send(ALL, {"title": "x", "occurred_from": moment(5), **change}), 400, "invalid")

    assert [error["pointer"] for error in body["errors"]] == [pointer]
    assert not Incident.objects.exists()


@pytest.mark.parametrize("body", ["", "[]", "null", '"x"', "{", "[" * 10_000])
def test_what_is_no_object_is_a_problem(api, problem, body):
    problem(api.send(ALL, body), 400)


@pytest.mark.parametrize("ref", ["INC-99", "nothing", "INC-1%00", "INC-99999999999999999999", "%F0%9F%94%A5"])
@pytest.mark.parametrize("below", ["", "timeline/", "decisions/"])
def test_an_unknown_ref_is_not_found(api, problem, ref, below):
    problem(api.get(f"{ALL}{ref}/{below}"), 404, "not_found")


def test_window_and_scope_change_with_a_reason(api, problem):
    PurposeFactory(code="marketing")
    declared = incident()

    problem(patch(api, f"{ALL}INC-1/window/", {"occurred_from": moment(60)}), 400)
    moved = patch(api, f"{ALL}INC-1/window/", {"occurred_from": moment(60), "reason": "Log found"})
    scoped = patch(api, f"{ALL}INC-1/scope/", {"purposes": ["marketing"], "reason": "Only letters"})

    assert moved.json()["occurred_from"] < declared.occurred_from.isoformat()
    assert scoped.json()["purposes"] == ["marketing"]
    assert declared.backfills.count() == 3


def test_contained_then_closed_and_not_twice(api, problem):
    incident()

    contained = api.send(f"{ALL}INC-1/contain/", {"reason": "Relay replaced", "at": moment(1)})
    closed = api.send(f"{ALL}INC-1/close/", {"reason": "Over"})

    assert (contained.json()["status"], closed.json()["status"]) == ("contained", "closed")
    assert closed.json()["occurred_to"] == closed.json()["closed_at"]
    problem(api.send(f"{ALL}INC-1/close/", {"reason": "Over"}), 400, "invalid")


def test_notes_and_minutes_are_told_in_pages(api):
    declared = incident()
    for n in range(120):
        declared.rollups.create(
            minute=timezone.now() - timedelta(minutes=n), exit_path="", choice="opt_out", cause="complaint", count=2
        )

    noted = api.send(f"{ALL}INC-1/timeline/", {"text": "Relay rebooted", "occurred_at": moment(3)})
    first = api.get(f"{ALL}INC-1/timeline/").json()
    second = api.get(first["next"]).json()

    assert (noted.status_code, noted.json()["seq"]) == (201, 2)
    lines = first["results"] + second["results"]
    assert (len(first["results"]), len(lines), second["next"]) == (100, 122, None)
    assert [line["occurred_at"] for line in lines] == sorted((line["occurred_at"] for line in lines), reverse=True)
    assert {line["count"] for line in lines if line["kind"] == "decisions"} == {2}
    assert any(line["text"] == "Relay rebooted" and line["source"] == "api" for line in lines)


@pytest.mark.parametrize("cursor", ["", "x", "1-2-3", "%00"])
def test_a_crafted_cursor_is_not_found(api, problem, cursor):
    incident()

    problem(api.get(f"{ALL}INC-1/timeline/?cursor={cursor}"), 404)


def test_tied_decisions_are_paged_and_told_in_the_persons_story(committed):
    PurposeFactory(code="marketing")
    api = Api()
    declared = incident()
    subject = SubjectFactory()
    [told] = record([opt_out(subject)])
    record([opt_out(f"person{n}@example.org") for n in range(6)])
    linking.read_log()

    first = api.get(f"{ALL}INC-1/decisions/?page_size=4").json()
    second = api.get(first["next"]).json()

    ids = [row["id"] for row in first["results"] + second["results"]]
    assert ids == sorted(ids, key=int, reverse=True)
    assert (len(ids), second["next"]) == (7, None)
    [entry] = [entry for entry in tell([subject.pk]) if entry.kind == "incident"]
    assert (entry.decision, entry.text) == (told.id, f"tied to {declared}")


def test_telemetry_tells_minutes_and_incidents(api, problem):
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=5)
    DecisionMinute.objects.create(minute=minute, choice="opt_out", exit_path="", cause="complaint", count=3)
    DecisionMinute.objects.create(minute=minute, choice="opt_in", exit_path="", cause="import", count=9)
    incident("Practice", mode="drill")

    body = api.get("/api/v1/telemetry/").json()

    assert [(row["cause"], row["count"]) for row in body["opt_outs"]] == [("complaint", 3)]
    assert [(row["ref"], row["mode"]) for row in body["incidents"]] == [("INC-1", "drill")]
    assert api.get("/api/v1/telemetry/?minutes=2").json()["opt_outs"] == []
    for minutes in ("0", "1441", "x", "-5", "%00"):
        problem(api.get(f"/api/v1/telemetry/?minutes={minutes}"), 400)


def test_telemetry_is_grouped_and_narrowed_as_asked(api, problem):
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=5)
    for purpose, channel, cause, drill, count in (
        ("marketing", "email", "complaint", False, 3),
        ("marketing", "sms", "keyword", False, 2),
        ("*", "*", "keyword", False, 1),
        ("marketing", "email", "keyword", True, 9),
    ):
        DecisionMinute.objects.create(
            minute=minute, choice="opt_out", purpose=purpose, channel=channel, cause=cause, is_drill=drill, count=count
        )

    def rows(query):
        return [{k: v for k, v in row.items() if k not in ("minute", "unexplained")} for row in told(query)["opt_outs"]]

    def told(query):
        return api.get(f"/api/v1/telemetry/?{query}").json()

    assert rows("group_by=cause") == [{"cause": "complaint", "count": 3}, {"cause": "keyword", "count": 3}]
    assert rows("group_by=channel&purpose=marketing&channel=sms") == [
        {"channel": "*", "count": 1},
        {"channel": "sms", "count": 2},
    ]
    assert rows("group_by=&mode=drill") == [{"count": 9}]
    assert rows("group_by=&mode=all&cause=keyword") == [{"count": 12}]
    assert told("")["unexplained_share"] == 0
    for query in ("group_by=subject", "mode=none", "cause=x", "channel=pigeon", "purpose=%00", "exit_path=A'--"):
        problem(api.get(f"/api/v1/telemetry/?{query}"), 400)


def test_telemetry_tells_how_the_ways_out_do_and_what_happened(api):
    exit_paths.count_use("one-click", "failed", "error")
    flow.took("one-click", 0.02)
    flow.flush()
    incident("Relay down")

    body = api.get("/api/v1/telemetry/").json()

    [way] = body["flow"]
    assert (way["exit_path"], way["failed"], way["completed"], way["p99_ms"]) == ("one-click", 1, 0, 20.0)
    assert [(mark["kind"], mark["text"]) for mark in body["marks"]] == [("incident", "INC-1 Relay down declared")]
    assert body["unexplained_share"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", ALL), ("get", f"{ALL}INC-1/"), ("get", f"{ALL}INC-1/timeline/"), ("get", "/api/v1/telemetry/")],
)
def test_reading_takes_the_scope_for_it(db, problem, method, path):
    incident()

    problem(getattr(Api(Scope.CHECK), method)(path), 403, "missing_scope")
    assert getattr(Api(Scope.INCIDENTS_READ), method)(path).status_code == 200


@pytest.mark.parametrize("path", [ALL, f"{ALL}INC-1/timeline/", f"{ALL}INC-1/contain/", f"{ALL}INC-1/close/"])
def test_writing_takes_the_scope_for_it(db, problem, path):
    incident()

    problem(Api(Scope.INCIDENTS_READ).send(path, {}), 403, "missing_scope")


def test_a_list_is_filtered_and_bounded(api, django_assert_max_num_queries):
    for n in range(5):
        incident(f"Fire {n}", mode="drill" if n % 2 else "real")

    with django_assert_max_num_queries(4):
        body = api.get(f"{ALL}?mode=drill&page_size=50").json()

    assert [row["mode"] for row in body["results"]] == ["drill", "drill"]


def test_groups_of_alerts_are_listed_with_their_state_and_incident(api, django_assert_max_num_queries):
    source = AlertSourceFactory(name="Alertmanager")
    for key in ("first", "second"):
        AlertDeliveryFactory(source=source, raw_body=json.dumps(firing(ALERT, CANARY, groupKey=key)).encode())
    AlertDeliveryFactory(source=source, raw_body=json.dumps(resolved(ALERT, CANARY, groupKey="first")).encode())
    alerts.read_stored()
    api.get("/api/v1/alerts/")

    with django_assert_max_num_queries(3):
        newest, oldest = api.get("/api/v1/alerts/").json()["results"]

    assert (newest["state"], newest["firing"], newest["resolved"]) == ("firing", 2, 0)
    assert (oldest["state"], oldest["firing"], oldest["resolved"]) == ("resolved", 0, 2)
    assert (oldest["source"], oldest["incident"], oldest["delivery_count"]) == ("Alertmanager", "INC-1", 2)
    assert len(api.get("/api/v1/alerts/?state=firing").json()["results"]) == 1


def test_alerts_are_for_who_may_read_incidents(api, problem):
    problem(Api(Scope.CHECK).get("/api/v1/alerts/"), 403, "missing_scope")
