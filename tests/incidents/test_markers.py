"""Sends and changes, reported by services."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents.models import Marker
from tests.api.conftest import api as api
from tests.factories import PurposeFactory

SEND = {"title": "May offers", "size": 20_000, "purpose": "marketing", "channel": "email", "key": "may"}


@pytest.fixture(autouse=True)
def marketing(db):
    PurposeFactory(code="marketing")


def now(**ahead):
    return (timezone.now() + timedelta(**ahead)).isoformat()


def test_a_send_that_is_reported_twice_is_one(api):
    body = {**SEND, "started_at": now(), "family": "monthly"}

    first, again = api.send("/api/v1/sends/", body), api.send("/api/v1/sends/", body)

    assert (first.status_code, again.status_code) == (201, 200), first.content
    assert first.json() == again.json()
    marker = Marker.objects.get()
    assert (marker.kind, marker.size, marker.family) == ("send", 20_000, "monthly")
    assert marker.source.startswith("service:")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"purpose": "unheard-of"}, "purpose"),
        ({"channel": "pigeon"}, "channel"),
        ({"size": 0}, "size"),
        ({"started_at": "2098-01-01T00:00:00Z"}, "started_at"),
        ({"sise": 5}, "sise"),
    ],
)
def test_a_send_that_makes_no_sense_is_refused_by_field(api, change, pointer):
    response = api.send("/api/v1/sends/", {**SEND, "started_at": now(), **change})

    assert response.status_code == 400, response.content
    assert [fault["pointer"] for fault in response.json()["errors"]] == [f"/{pointer}"]
    assert not Marker.objects.exists()


def test_a_deployment_is_reported_and_listed(api):
    made = api.send("/api/v1/markers/", {"kind": "deploy", "title": "shop 4.2", "at": now(), "key": "4.2"})

    assert made.status_code == 201, made.content
    assert [each["title"] for each in api.get("/api/v1/markers/?kind=deploy").json()["results"]] == ["shop 4.2"]


def test_a_key_stands_for_one_report(api):
    api.send("/api/v1/markers/", {"kind": "deploy", "title": "shop 4.2", "at": now(), "key": "may"})

    response = api.send("/api/v1/sends/", {**SEND, "started_at": now()})

    assert response.status_code == 400
    assert response.json()["errors"][0]["pointer"] == "/key"


def test_a_send_is_not_reported_as_a_marker_without_its_size(api):
    response = api.send("/api/v1/markers/", {"kind": "send", "title": "May", "at": now(), "key": "may"})

    assert response.status_code == 400
