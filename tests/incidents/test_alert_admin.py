"""Alerts at the desk: sources are connected, changed, silenced and tried out, payloads wiped, each by who may."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import alerts
from incidents.alerts.sources import secrets_of
from incidents.models import AlertDelivery, AlertSource, Incident
from tests.factories import AlarmFactory, UserFactory, incident
from tests.incidents.test_alerts import SAMPLE

pytestmark = pytest.mark.django_db


@pytest.fixture
def officer(client):
    client.force_login(UserFactory(role="Officer", username="anna"))


@pytest.fixture
def responder(client):
    client.force_login(UserFactory(role="Responder", username="rita"))


def pressed(client, source, name, **fields):
    page = f"/admin/incidents/alertsource/{source.pk}"
    answer = client.post(f"{page}/{name}/", {"_form_submitted": "True", **fields})
    assert answer.headers.get("HX-Redirect") == f"{page}/change/", answer.content.decode()[:2000]
    source.refresh_from_db()
    return client.get(f"{page}/change/").content.decode()


def test_a_responder_connects_a_source_and_reads_how(client, responder):
    for kind, word in (("grafana", "HMAC Signature"), ("alertmanager", "Alertmanager cannot sign")):
        page = client.post(
            "/admin/incidents/alertsource/add/", {"name": f"Our {kind}", "kind": kind}, follow=True
        ).content.decode()
        assert word in page
    assert "address only: whoever knows it can post" in page


def test_a_source_of_other_json_needs_to_know_what_belongs_together(client, responder):
    form = {"name": "Homemade", "kind": "generic"}

    refused = client.post("/admin/incidents/alertsource/add/", form).content.decode()
    client.post("/admin/incidents/alertsource/add/", {**form, "key": "/service"})

    assert "Other JSON needs a mapping" in refused
    assert AlertSource.objects.get().mapping == {"key": "/service"}


def test_a_secret_made_here_is_shown_once_and_retired_with_a_press(client, responder):
    source, _ = alerts.issue_source("Grafana", kind="grafana", by="user:anna")

    shown = pressed(client, source, "new_secret", secret="")
    text = shown.split("it is not shown again: ")[1].split("<")[0].strip()
    again = client.get(f"/admin/incidents/alertsource/{source.pk}/change/").content.decode()
    retired = pressed(client, source, "retire_secret", which=source.secrets.get().pk)

    assert secrets_of(source) == []
    assert "nobody: it has no secret yet" in retired
    assert "nobody: it has no secret yet" not in again
    assert len(text) > 40
    assert text not in again
    assert "by user:rita" in again
    assert "None yet: every delivery is refused" in retired


def test_a_secret_that_cannot_hold_is_refused_in_words(client, responder):
    source, _ = alerts.issue_source("Grafana", kind="grafana", by="user:anna")

    assert "8 to 500 characters" in pressed(client, source, "new_secret", secret="short")


def test_a_source_is_silenced_until_a_time_and_the_silence_is_ended(client, responder):
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")
    until = timezone.now() + timedelta(hours=2)

    silent = pressed(
        client, source, "silence", until_0=f"{until:%Y-%m-%d}", until_1=f"{until:%H:%M:%S}", reason="Relay replaced"
    )
    AlertDelivery.objects.create(source=source, raw_body=json.dumps(SAMPLE).encode(), body_digest=b"x")
    alerts.read_stored()
    assert "InstanceDown (last " in client.get(f"/admin/incidents/alertsource/{source.pk}/change/").content.decode()
    loud = pressed(client, source, "end_silence", reason="Done")

    assert "by user:rita: Relay replaced" in silent
    assert "not silenced" in loud


def test_a_test_says_what_was_understood(client, responder):
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")

    page = pressed(client, source, "test")

    assert "watched only. A test, which opens nothing. It was understood as: Test from Holdfast" in page


def test_a_source_is_changed_with_a_reason_and_its_mapping_is_checked(client, responder):
    source, _ = alerts.issue_source("Homemade", kind="generic", mapping={"key": "/a"}, by="user:anna")
    page = f"/admin/incidents/alertsource/{source.pk}/change/"
    form = {
        "name": "Homemade",
        "mode": "monitor",
        "signature": "none",
        "tolerance": "00:05:00",
        "mapping": '{"key": "a"}',
        "severity_map": "{}",
        "rate_limit": 60,
        "heartbeat_timeout": "00:10:00",
        "reason": "On trial",
    }

    refused = client.post(page, form).content.decode()
    client.post(page, {**form, "mapping": '{"key": "/b"}'})

    assert "is no JSON pointer" in refused
    source.refresh_from_db()
    assert (source.mode, source.mapping, source.rate_limit) == ("monitor", {"key": "/b"}, 60)
    assert source.heartbeat_timeout == timedelta(minutes=10)
    version = source.history.first()
    assert (version.history_change_reason, version.history_user_id) == ("On trial", "user:rita")


def test_an_officer_wipes_a_payload_and_a_responder_does_not(client, officer):
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")
    delivery = AlertDelivery.objects.create(source=source, raw_body=json.dumps(SAMPLE).encode(), body_digest=b"x")
    alerts.read_stored()
    page = f"/admin/incidents/alertdelivery/{delivery.pk}"

    client.post(f"{page}/wipe/", {"_form_submitted": "True"})
    html = client.get(f"{page}/change/").content.decode()
    client.force_login(UserFactory(role="Responder"))

    assert "Wiped. Its digest is kept." in html
    assert "localhost:8081" not in html
    assert client.post(f"{page}/wipe/", {"_form_submitted": "True"}).status_code == 403


@pytest.mark.parametrize(("visibility", "shown"), [("open", True), ("restricted", False)])
def test_a_restricted_incident_s_title_is_not_told_in_the_list_of_deliveries(client, responder, visibility, shown):
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")
    AlertDelivery.objects.create(source=source, raw_body=json.dumps(SAMPLE).encode(), body_digest=b"x")
    alerts.read_stored()
    Incident.objects.update(title="Records were taken", visibility=visibility)

    html = client.get("/admin/incidents/alertdelivery/").content.decode()

    assert Incident.objects.get().ref in html
    assert ("Records were taken" in html) is shown


@pytest.mark.parametrize(("visibility", "shown"), [("open", True), ("restricted", False)])
def test_what_was_posted_about_a_restricted_incident_is_not_shown(client, responder, visibility, shown):
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")
    headers = {"x-webhook-subscription": "leak-watch"}
    delivery = AlertDelivery.objects.create(
        source=source, raw_body=json.dumps(SAMPLE).encode(), body_digest=b"x", headers=headers
    )
    alerts.read_stored()
    Incident.objects.update(visibility=visibility)
    page = f"/admin/incidents/alertdelivery/{delivery.pk}/change/"

    html = client.get(page).content.decode()
    client.force_login(UserFactory(role="Officer"))

    assert ("localhost:8081" in html, "leak-watch" in html, "restricted incident" in html) == (shown, shown, not shown)
    assert "localhost:8081" in client.get(page).content.decode()


def test_nor_is_a_batch_that_tells_of_one_beside_another(client, responder):
    kind, media = "cloudevents", "application/cloudevents-batch+json"
    source, _ = alerts.issue_source("Events", kind=kind, by="user:anna")
    events = [{"specversion": "1.0", "id": f"E-{n}", "source": f"/relay/{n}", "type": "down"} for n in range(3)]
    delivery = AlertDelivery.objects.create(
        source=source, raw_body=json.dumps(events).encode(), body_digest=b"x", content_type=media
    )
    alerts.read_stored()
    Incident.objects.filter(ref="INC-3").update(visibility="restricted")

    html = client.get(f"/admin/incidents/alertdelivery/{delivery.pk}/change/").content.decode()

    assert Incident.objects.count() == 3
    assert "/relay/2" not in html


def test_alarms_of_a_restricted_incident_are_kept_by_it(client, responder):
    alarm = AlarmFactory(title="Records were taken", incident=incident())
    page = f"/admin/incidents/alarm/{alarm.pk}/change/"
    open_to_all = client.get(page).content.decode()
    Incident.objects.update(visibility="restricted")

    assert "Records were taken" in open_to_all
    assert "Records were taken" not in client.get("/admin/incidents/alarm/").content.decode()
    assert client.get(page).status_code == 302
    client.force_login(UserFactory(role="Officer"))
    assert "Records were taken" in client.get(page).content.decode()


def test_an_officer_silences_and_does_not_configure(client, officer):
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")
    page = f"/admin/incidents/alertsource/{source.pk}"

    assert client.get(f"{page}/change/").status_code == 200
    for name in ("renew_token", "new_secret", "retire_secret", "test"):
        assert client.post(f"{page}/{name}/", {"_form_submitted": "True", "reason": "x"}).status_code == 403
    assert client.get("/admin/incidents/alertsource/add/").status_code == 403
