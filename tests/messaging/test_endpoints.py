"""Endpoints over HTTP and in the admin; and whether both sides agree."""

import hashlib
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from config.health import COLLECTORS
from consent.services import merge, record
from messaging.models import Endpoint, EndpointSecret, Reconciliation, WebhookDelivery, WebhookReplay
from messaging.propagation import endpoints, reconciliation
from messaging.propagation.metrics import endpoint_metrics
from tests.api.conftest import Api
from tests.factories import (
    EndpointFactory,
    PurposeFactory,
    SubjectFactory,
    UserFactory,
    WebhookDeliveryFactory,
    opt_out,
)

pytestmark = pytest.mark.django_db
URL = "/api/v1/endpoints/"
NEW = {"name": "crm", "url": "https://crm.example.com/hooks", "owner": "CRM team"}


@pytest.fixture
def api(db):
    return Api()


@pytest.fixture
def officer(client):
    user = UserFactory(username="olga", role="Officer")
    client.force_login(user)
    return user


def digest_of(*lines):
    total = 0
    for line in lines:
        total ^= int.from_bytes(hashlib.sha256(line.encode()).digest())
    return f"{total:064x}"


def press(client, endpoint, button, **answers):
    name = f"admin:messaging_{endpoint._meta.model_name}_{button}"
    return client.post(reverse(name, args=[endpoint.pk]), {"_form_submitted": "on", **answers})


# Over HTTP


def test_a_service_registers_itself_and_sees_its_secret_once(api):
    made = api.send(URL, NEW)

    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    assert endpoints.secrets_of(Endpoint.objects.get()) == [made.json()["secret"]]
    assert "secret" not in api.get(f"{URL}crm/").json()
    assert api.get(URL).json()["results"][0]["name"] == "crm"
    assert Endpoint.objects.get().created_by.startswith("service:")


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"url": "http://crm.example.com/"}, "/url"),
        ({"url": "https://10.0.0.1/"}, "/url"),
        ({"purposes": ["nonsense"]}, "/purposes"),
        ({"channels": ["pigeon"]}, "/channels/0"),
        ({"name": "Über uns"}, "/name"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(api, wrong, pointer):
    refused = api.send(URL, NEW | wrong)

    assert refused.status_code == 400
    assert refused["Content-Type"] == "application/problem+json"
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert not Endpoint.objects.exists()


def test_a_service_is_told_of_incidents_for_good_where_it_asks_for_that(api):
    made = api.send(URL, NEW | {"about": "incidents"})
    scoped = api.send(URL, NEW | {"name": "scoped", "about": "incidents", "channels": ["email"]})
    changed = api.patch(f"{URL}crm/", {"reason": "x", "about": "choices"}, content_type="application/json")

    assert (made.status_code, made.json()["about"]) == (201, "incidents")
    assert scoped.status_code == 400
    assert "are for services that are told of choices" in scoped.content.decode()
    assert (changed.status_code, Endpoint.objects.get().about) == (400, "incidents")


def test_a_name_is_taken_once(api):
    api.send(URL, NEW)

    assert api.send(URL, NEW).status_code == 400


@pytest.mark.parametrize("path", ["", "crm/", "crm/deliveries/", "crm/reconciliation/"])
def test_each_door_asks_for_its_scope(path):
    EndpointFactory(name="crm")

    assert Api("check").get(URL + path).status_code == 403
    assert Api("endpoints:read").get(URL + path).status_code == 200
    assert Api("endpoints:read").send(URL + path, {}).status_code in (403, 405)


def test_it_is_changed_paused_resumed_and_given_a_new_secret(api):
    first = api.send(URL, NEW).json()["secret"]
    why = {"reason": "Moved"}

    changed = api.patch(f"{URL}crm/", {**why, "url": "https://new.example.com/"}, content_type="application/json")
    paused = api.send(f"{URL}crm/pause/", why)
    twice = api.send(f"{URL}crm/pause/", why)
    resumed = api.send(f"{URL}crm/resume/", why)
    rotated = api.send(f"{URL}crm/rotate/", why)

    assert changed.json()["url"] == "https://new.example.com/"
    assert (paused.json()["state"], twice.status_code, resumed.json()["state"]) == ("paused", 400, "active")
    assert endpoints.secrets_of(Endpoint.objects.get()) == [rotated.json()["secret"], first]
    assert Endpoint.objects.get().history.filter(history_change_reason="Moved").count() == 3
    assert api.send(f"{URL}nobody/pause/", why).status_code == 404
    assert api.send(f"{URL}crm/pause/", {}).status_code == 400


def test_deliveries_are_listed_with_their_calls_and_replayed(api):
    endpoint = EndpointFactory(name="crm")
    WebhookDeliveryFactory(endpoint=endpoint, state="failed")
    WebhookDeliveryFactory()

    [delivery] = api.get(f"{URL}crm/deliveries/?state=failed").json()["results"]
    replayed = api.send(f"{URL}crm/replay/", {"reason": "We are back"})

    assert delivery["id"].startswith("msg_")
    assert delivery["attempts"] == []
    assert (replayed.status_code, replayed.json()["count"]) == (201, 1)
    assert WebhookDelivery.objects.get(endpoint=endpoint).state == "due"
    assert WebhookReplay.objects.get().requested_by.startswith("service:")


# Do both sides agree?


def test_a_service_that_holds_the_same_is_in_step(api):
    PurposeFactory(code="marketing")
    EndpointFactory(name="crm")
    record([opt_out(subject := SubjectFactory().pk), opt_out(other := SubjectFactory().pk)])

    held = api.get(f"{URL}crm/reconciliation/").json()["held"]
    told = api.send(f"{URL}crm/reconciliation/", {"held": held})

    lines = [f"{person}|marketing|email|opt_out" for person in (other, subject)]
    assert held == [
        {"purpose": "marketing", "channel": "email", "opted_out": 2, "opted_in": 0, "digest": digest_of(*lines)}
    ]
    assert (told.json()["outcome"], told.json()["findings"]) == ("in_step", [])


def differing(api, **wrong):
    PurposeFactory(code="marketing")
    record([opt_out(SubjectFactory().pk)])
    held = api.get(f"{URL}crm/reconciliation/").json()["held"]
    return api.send(f"{URL}crm/reconciliation/", {"held": [held[0] | wrong]}).json()


def test_a_difference_of_one_person_is_found_where_the_counts_agree(api, monkeypatch):
    monkeypatch.setattr(reconciliation, "unread", lambda: 0)  # this test's own transaction is not read yet
    EndpointFactory(name="crm")

    result = differing(api, digest="0" * 64)

    assert result["outcome"] == "differs"
    [finding] = result["findings"]
    assert (finding["purpose"], finding["channel"], finding["theirs"]["digest"]) == ("marketing", "email", "0" * 64)
    assert Reconciliation.objects.get().outcome == "differs"
    assert reconciliation.standing_of(Endpoint.objects.get()).in_words() == "differs"


def test_while_a_service_is_behind_a_difference_proves_nothing(api, monkeypatch):
    monkeypatch.setattr(reconciliation, "unread", lambda: 0)
    WebhookDeliveryFactory(endpoint=EndpointFactory(name="crm"))

    result = differing(api, opted_out=0)

    assert (result["outcome"], result["behind"]) == ("unmeasured", 1)


def test_what_the_reader_of_the_log_has_not_seen_counts_as_behind(api):
    EndpointFactory(name="crm")

    assert differing(api, opted_out=0)["outcome"] == "unmeasured"


def test_records_that_were_merged_and_scopes_that_are_not_told_are_left_out():
    for code in ("marketing", "news"):
        PurposeFactory(code=code)
    endpoint = EndpointFactory(purposes=["marketing"])
    anna, anne = SubjectFactory().pk, SubjectFactory().pk
    record([opt_out(anna), opt_out(anne), opt_out(anne, "news")])
    merge(anna, anne, reason="One customer", by="user:olga")

    [held] = reconciliation.digests(endpoint)

    assert (held.purpose, held.opted_out, held.digest) == (
        "marketing", 1, digest_of(f"{anne}|marketing|email|opt_out"),
    )  # fmt: skip


def test_how_far_behind_each_endpoint_is():
    behind, in_step = EndpointFactory(), EndpointFactory()
    oldest = WebhookDeliveryFactory(endpoint=behind).occurred_at
    WebhookDeliveryFactory(endpoint=behind, state="retry_wait")
    WebhookDeliveryFactory(endpoint=behind, state="failed")
    WebhookDeliveryFactory(endpoint=in_step, state="delivered")

    found = reconciliation.standings([behind.pk, in_step.pk])

    assert found[behind.pk] == reconciliation.Standing(2, oldest, 1)
    assert found[behind.pk].in_words() == "behind by 2, 1 given up"
    assert found[in_step.pk].in_words() == "in step"
    samples = {
        (family.name, sample.labels["endpoint"]): sample.value
        for family in endpoint_metrics()
        for sample in family.samples
    }
    assert samples["holdfast_endpoint_behind", behind.name] == 2
    assert samples["holdfast_endpoint_given_up", behind.name] == 1
    assert samples["holdfast_endpoint_oldest_seconds", in_step.name] == 0
    assert endpoint_metrics in COLLECTORS


# In the admin


def test_an_officer_adds_an_endpoint_and_copies_its_secret(client, officer):
    facts = {**NEW, "channels": ["email"]}

    page = client.post(reverse("admin:messaging_endpoint_add"), facts, follow=True)

    assert endpoints.secrets_of(Endpoint.objects.get())[0] in page.content.decode().replace("&#x3D;", "=")
    assert Endpoint.objects.get().channels == ["email"]
    again = client.get(reverse("admin:messaging_endpoint_change", args=[Endpoint.objects.get().pk]))
    assert "whsec_" not in again.content.decode()


def test_an_endpoint_about_incidents_is_added_and_its_deliveries_say_which(client, officer):
    client.post(reverse("admin:messaging_endpoint_add"), {**NEW, "about": "incidents"})
    endpoint = Endpoint.objects.get()
    facts = {"incident": "INC-7", "severity": "sev1", "status": "triage", "is_restricted": True, "was": None}
    WebhookDeliveryFactory(endpoint=endpoint, kind="incident.opened", subject_id=None, purpose="", facts=facts)

    page = client.get(reverse("admin:messaging_endpoint_change", args=[endpoint.pk])).content.decode()
    listed = client.get(reverse("admin:messaging_webhookdelivery_changelist")).content.decode()

    assert "incidents: opened, made worse, over" in page
    assert "INC-7" in listed


def test_a_private_address_is_refused_beside_its_field(client, officer):
    page = client.post(reverse("admin:messaging_endpoint_add"), {**NEW, "url": "https://127.0.0.1/"})

    assert "not on the public internet" in page.content.decode()
    assert not Endpoint.objects.exists()


def test_the_buttons_do_what_they_say_and_keep_who_and_why(client, officer):
    PurposeFactory(code="news")
    endpoint, _ = endpoints.create(**NEW, by=officer)
    why = {"reason": "Their upgrade"}

    press(client, endpoint, "test", **why)
    press(client, endpoint, "edit", **why, url="https://b.example/", owner="Desk", purposes=["news"])
    press(client, endpoint, "rotate", **why, overlap_hours=0)
    press(client, endpoint, "pause", **why)
    press(client, endpoint, "resume", **why)
    press(client, endpoint, "replay", **why, since="2026-01-01 00:00")
    press(client, endpoint, "retire", **why)

    endpoint.refresh_from_db()
    assert (endpoint.url, endpoint.purposes, endpoint.state) == ("https://b.example/", ["news"], "retired")
    assert EndpointSecret.objects.filter(ends_at=None).count() == 1
    assert [replay.what for replay in WebhookReplay.objects.order_by("pk")] == ["test", "since"]
    assert {version.history_user_id for version in endpoint.history.all()} == {"user:olga"}
    assert endpoint.history.filter(history_change_reason="Their upgrade").count() == 4


def test_a_delivery_is_sent_again_by_a_button_that_is_there_only_where_it_leads_somewhere(client, officer):
    delivery = WebhookDeliveryFactory(state="delivered")
    url = reverse("admin:messaging_webhookdelivery_change", args=[delivery.pk])
    assert "Send again" in client.get(url).content.decode()

    press(client, delivery, "replay", reason="They lost it")

    delivery.refresh_from_db()
    assert delivery.state == "due"
    assert "Send again" not in client.get(url).content.decode()


@pytest.mark.parametrize("role", ["Support", "Auditor"])
def test_who_may_only_look_presses_nothing(client, role):
    endpoint = EndpointFactory()
    client.force_login(UserFactory(role=role))

    assert press(client, endpoint, "pause", reason="Because").status_code == 403
    endpoint.refresh_from_db()
    assert endpoint.state == "active"


def test_the_list_says_who_is_in_step_behind_and_failing(client, officer):
    WebhookDeliveryFactory(endpoint=EndpointFactory(name="late"))
    EndpointFactory(name="fine")
    EndpointFactory(name="down", health__failures_in_a_row=3, health__last_error="HTTP 500")

    text = client.get(reverse("admin:messaging_endpoint_changelist")).content.decode()

    assert "behind by 1" in text
    assert "in step" in text
    assert "3 in a row: HTTP 500" in text


# The database's own rules


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: EndpointFactory(state="paused"), "endpoint_stops_for_a_reason"),
        (lambda: WebhookDeliveryFactory(state="sending"), "webhookdelivery_sending_under_a_lease"),
        (lambda: WebhookDeliveryFactory(source_id=None), "webhookdelivery_tells_of_something"),
        (
            lambda: WebhookReplay.objects.create(endpoint=EndpointFactory(), what="failed", count=0, requested_by="x"),
            "webhookreplay_has_a_reason",
        ),
        (
            lambda: [WebhookDeliveryFactory(endpoint=e, source_id=7) for e in [EndpointFactory()] * 2],
            "webhookdelivery_owed_once",
        ),
        (
            lambda: [
                EndpointSecret.objects.create(endpoint=e, sealed=b"x", created_by="x") for e in [EndpointFactory()] * 2
            ],
            "endpointsecret_one_without_an_end",
        ),
    ],
)
def test_the_database_says_it_again_to_whoever_forgot_to_ask(make, rule):
    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        make()


def test_an_id_stays_a_plain_word():
    delivery = WebhookDeliveryFactory(id=UUID(int=1), occurred_at=timezone.now())

    assert delivery.webhook_id == "msg_00000000000000000000000000000001"
