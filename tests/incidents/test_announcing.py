"""Services that asked to be told of incidents hear of each once: opened, made worse, over; of drills nothing."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from consent.services import record
from incidents import announcing, facts, lifecycle
from incidents.models import Incident
from messaging.models import WebhookDelivery
from messaging.propagation import endpoints, fanout, replaying, sending
from tests.factories import EndpointFactory, PurposeFactory, WebhookDeliveryFactory, incident, opt_out
from tests.messaging.hooks import receiver

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def pager(committed, settings):
    with receiver() as server:
        settings.WEBHOOK_ALLOWED_HOSTS = [server.place]
        _, server.secret = endpoints.create("pager", url=server.url, owner="SRE", about="incidents", by="user:anna")
        yield server


def heard(pager):
    announcing.announce()
    sending.tell_all()
    return [
        (call.event["type"], call.event["data"]["incident"], call.event["data"]["severity"]) for call in pager.calls
    ]


def made_worse(burning, severity):
    return facts.describe(burning, severity=severity, reason="It spreads", by="user:anna")


def test_an_incident_is_told_when_it_is_opened_made_worse_and_over_each_once(pager):
    incident("Before anybody looked")
    burning = incident("Relay down", severity="sev3", status="triage")
    assert heard(pager)[-1] == ("incident.opened", burning.ref, "sev3")
    lifecycle.accept(burning, reason="It is one", by="user:anna")
    made_worse(burning, "sev1")
    made_worse(burning, "sev2")
    lifecycle.close(burning, reason="Mended", by="user:anna")

    told = heard(pager)

    assert told[1:] == [
        ("incident.opened", burning.ref, "sev3"),
        ("incident.escalated", burning.ref, "sev1"),
        ("incident.closed", burning.ref, "sev2"),
    ]
    assert heard(pager) == told
    pager.calls[0].verify(pager.secret)
    data = pager.calls[2].event["data"]
    assert (data["title"], data["was"], data["status"]) == ("Relay down", "sev3", "declared")


def test_what_was_over_and_burns_again_is_told_as_opened(pager):
    burning = lifecycle.decline(incident(), reason="None", by="user:anna")
    lifecycle.reopen(burning, reason="It was one", by="user:anna")

    assert [kind for kind, *_ in heard(pager)] == ["incident.opened", "incident.closed", "incident.opened"]


def test_of_a_restricted_incident_no_more_is_told_than_that_it_is_one(pager):
    hidden = facts.restrict(incident("Leak of the list", type="other"), is_restricted=True, reason="x", by="user:lea")

    assert heard(pager) == [("incident.opened", hidden.ref, "sev3")]
    data = pager.calls[0].event["data"]
    assert set(data) == {"id", "incident", "severity", "status", "is_restricted", "was"}
    assert data["is_restricted"] is True


def test_drills_ring_nobody_up_and_a_service_hears_nothing_from_before_it_was_there(pager):
    incident("Exercise", mode="drill")
    incident("Looked at afterwards", mode="retrospective", status="declared")
    assert heard(pager) == []
    real = incident()
    EndpointFactory(name="later", about="incidents")

    announcing.announce()

    assert list(WebhookDelivery.objects.values_list("endpoint__name", "kind")) == [("pager", "incident.opened")]
    assert WebhookDelivery.objects.get().facts["incident"] == real.ref


def test_who_is_told_of_incidents_is_told_of_no_choice_and_the_other_way_round(pager):
    PurposeFactory(code="marketing")
    EndpointFactory(name="crm")
    record([opt_out("anna@example.org")])
    incident()

    fanout.owe_all()
    announcing.announce()

    told = WebhookDelivery.objects.order_by("kind").values_list("endpoint__name", "kind")
    assert list(told) == [("crm", "consent.changed"), ("pager", "incident.opened")]


def test_what_a_pager_lost_is_sent_again_under_its_first_id(pager):
    burning = incident()
    heard(pager)
    endpoint = WebhookDelivery.objects.get().endpoint

    replaying.replay_since(endpoint, burning.declared_at, reason="They lost it", by="user:anna")
    heard(pager)

    first, second = pager.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_purposes_and_user_ids_are_not_for_whoever_is_told_of_incidents():
    PurposeFactory(code="marketing")
    facts_ = {"url": "https://pager.example/", "owner": "SRE", "about": "incidents", "by": "user:anna"}

    with pytest.raises(ValidationError, match="told of choices"):
        endpoints.create("pager", **facts_, purposes=["marketing"])
    with pytest.raises(IntegrityError, match="endpoint_about_incidents_has_no_scope"), transaction.atomic():
        EndpointFactory(about="incidents", with_user_ids=True)
    with pytest.raises(IntegrityError, match="webhookdelivery_tells_of_something"), transaction.atomic():
        WebhookDeliveryFactory(kind="incident.opened", subject_id=None, facts=None)


def test_without_such_a_service_nothing_is_looked_at(django_assert_num_queries):
    incident()

    with django_assert_num_queries(1):
        assert announcing.announce() == 0
    assert Incident.objects.exists()
