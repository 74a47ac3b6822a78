"""The title of a restricted incident stays with who may see it: elsewhere it is a number."""

import json

import pytest

from config.models import Scope
from incidents import alerts, facts, lifecycle
from incidents.models import AlertDelivery, AlertGroup, Incident
from messaging.cohorts import COHORTS
from tests.api.conftest import Api
from tests.factories import MessageFactory, UserFactory, incident
from tests.incidents.test_alerts import SAMPLE

pytestmark = pytest.mark.django_db
TITLE = "Leak of the list"


@pytest.fixture
def hidden():
    return facts.restrict(incident(TITLE), is_restricted=True, reason="Names", by="user:lea")


def reads(client, role, page):
    client.force_login(UserFactory(role=role))
    return client.get(page).content.decode()


def test_alerts_of_it_take_the_scope_for_it(hidden):
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")
    AlertDelivery.objects.create(source=source, raw_body=json.dumps(SAMPLE).encode(), body_digest=b"x")
    alerts.read_stored()
    AlertGroup.objects.update(incident=hidden)

    assert Api(Scope.INCIDENTS_READ).get("/api/v1/alerts/").json()["results"] == []
    [row] = Api(Scope.INCIDENTS_READ, Scope.INCIDENTS_RESTRICTED).get("/api/v1/alerts/").json()["results"]
    assert row["incident"] == hidden.ref


@pytest.mark.parametrize("scopes", [[], [Scope.INCIDENTS_RESTRICTED]])
def test_telemetry_marks_what_it_draws_as_a_band(hidden, scopes):
    told = Api(Scope.INCIDENTS_READ, *scopes).get("/api/v1/telemetry/").json()

    bands, marks = [band["ref"] for band in told["incidents"]], [mark["text"] for mark in told["marks"]]
    assert bands == ([hidden.ref] if scopes else [])
    assert marks == ([f"{hidden} declared"] if scopes else [])


def test_a_merge_does_not_tell_it_to_the_other_ones_readers(hidden):
    survivor = facts.restrict(incident("Relay down"), is_restricted=True, reason="Names", by="user:lea")

    lifecycle.merge_into(hidden, survivor, reason="Same", by="user:ben")

    told = survivor.timeline.get(kind="relation").text
    assert told == f"{hidden.ref} is the same: merged into this one. Same"


def test_the_outbox_offers_and_finds_it_for_who_may_see_it_only(client, hidden):
    message = MessageFactory(incident_id=hidden.pk)
    page = f"/admin/messaging/message/?incident={hidden.ref}"
    row = f"/admin/messaging/message/{message.pk}/change/"

    for_support, for_officer = reads(client, "Support", page), reads(client, "Officer", page)

    assert (TITLE in for_support, row in for_support) == (False, False)
    assert (TITLE in for_officer, row in for_officer) == (True, True)


def test_a_notice_names_it_by_its_number(hidden):
    assert COHORTS["incident"].choices() == [(hidden.pk, hidden.ref)]
    assert Incident.objects.get().public_name == hidden.ref
