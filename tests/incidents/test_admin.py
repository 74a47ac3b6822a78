"""Incidents at the desk: every verb has a button, every tab a bound, and only those who may press."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consent.services import record
from incidents import alerts
from incidents.models import AlertDelivery, AlertSource, DecisionLink, Incident
from incidents.services import add_note
from tests.factories import (
    ExitPathFactory,
    MessageFactory,
    PurposeFactory,
    SubjectFactory,
    UserFactory,
    incident,
    opt_out,
)
from tests.incidents.test_alerts import SAMPLE

pytestmark = pytest.mark.django_db
LIST = "/admin/incidents/incident/"


@pytest.fixture
def officer(client):
    user = UserFactory(role="Officer", username="anna")
    client.force_login(user)
    return user


def url(declared, tab=""):
    return f"{LIST}{declared.pk}/change/{f'?tab={tab}' if tab else ''}"


def press(client, declared, verb, **facts):
    """Open the dialog of a button, fill it in, send it."""
    address = f"{LIST}{declared.pk}/{verb}/"
    assert client.get(address).status_code == 200
    response = client.post(address, {"_form_submitted": "True", **facts})
    declared.refresh_from_db()
    return response


def texts(declared):
    return list(declared.timeline.order_by("seq").values_list("text", flat=True))


def tie(declared, count):
    """Ties as the reader makes them, without the log's wait for a commit."""
    subjects = [SubjectFactory() for _ in range(count)]
    for recorded in record([opt_out(subject) for subject in subjects]):
        DecisionLink.objects.create(incident=declared, decision_id=recorded.id, subject_id=recorded.subject_id)
        MessageFactory(decision_id=recorded.id, subject_id=recorded.subject_id, state="accepted")


def test_an_incident_is_declared_with_a_start_in_the_past_and_a_scope(client, officer):
    PurposeFactory(code="marketing")
    ExitPathFactory(code="footer-link")
    began = timezone.now().replace(microsecond=0) - timedelta(hours=2)

    response = client.post(
        f"{LIST}add/",
        {
            "title": "One-click answers 500",
            "severity": "sev1",
            "mode": "real",
            "occurred_from_0": f"{began:%Y-%m-%d}",
            "occurred_from_1": f"{began:%H:%M:%S}",
            "purposes": ["marketing"],
            "exit_paths": ["footer-link"],
        },
    )

    declared = Incident.objects.get()
    assert response["Location"] == url(declared, "timeline")
    assert (declared.occurred_from, declared.declared_by) == (began, "user:anna")
    assert (declared.purposes, declared.exit_paths) == (["marketing"], ["footer-link"])


def test_a_start_in_the_future_is_refused_beside_its_field(client, officer):
    response = client.post(
        f"{LIST}add/",
        {
            "title": "x",
            "severity": "sev1",
            "mode": "real",
            "occurred_from_0": "2999-01-01",
            "occurred_from_1": "00:00:00",
        },
    )

    assert "This lies in the future" in response.content.decode()
    assert not Incident.objects.exists()


def test_the_buttons_do_what_they_say(client, officer):
    PurposeFactory(code="marketing")
    declared = incident()
    earlier = timezone.now() - timedelta(hours=3)

    press(client, declared, "assign_commander", commander=officer.pk)
    press(
        client, declared, "set_window",
        occurred_from_0=f"{earlier:%Y-%m-%d}", occurred_from_1=f"{earlier:%H:%M:%S}", reason="Log found",
    )  # fmt: skip
    press(client, declared, "change_scope", purposes=["marketing"], reason="Only letters")
    press(client, declared, "contain", reason="Relay replaced")
    press(client, declared, "close", reason="Over")

    assert (declared.status, declared.commander, declared.purposes) == ("closed", officer, ["marketing"])
    assert declared.occurred_from == earlier.replace(microsecond=0)
    assert [text.split(":")[0].split(" ")[0] for text in texts(declared)] == [
        "Declared", "anna", "Window", "Scope", "Contained", "Closed",
    ]  # fmt: skip


def test_a_refusal_is_said_in_words_and_changes_nothing(client, officer):
    declared = incident()
    press(client, declared, "close", reason="Over")

    press(client, declared, "contain", reason="Again")

    assert "INC-1 is closed already." in client.get(url(declared)).content.decode()


def test_a_note_is_kept_with_the_time_it_is_about(client, officer):
    declared = incident()

    client.post(
        f"{LIST}{declared.pk}/note/",
        {"text": "Relay rebooted\r\nby hand", "occurred_at_0": "2026-01-01", "occurred_at_1": "10:00:00"},
    )

    note = declared.timeline.get(kind="note")
    assert (note.text, note.actor, note.occurred_at.year) == ("Relay rebooted\nby hand", "user:anna", 2026)


@pytest.mark.parametrize("facts", [{"text": ""}, {"text": "x", "occurred_at_0": "2999-01-01", "occurred_at_1": "1:00"}])
def test_a_bad_note_is_refused_in_words(client, officer, facts):
    declared = incident()

    response = client.post(f"{LIST}{declared.pk}/note/", facts, follow=True)

    assert response.status_code == 200
    assert declared.timeline.count() == 1


def test_a_note_is_corrected_from_the_page(client, officer):
    declared = incident()
    note = add_note(declared, "12 people", by="user:ben")

    press(client, declared, "correct_note", entry=note.pk, text="120 people")

    html = client.get(url(declared, "timeline")).content.decode()
    assert "<s>12 people</s>" in html
    assert "120 people" in html


@pytest.mark.parametrize("tab", ["facts", "timeline", "decisions", "mails", "alerts", "bogus"])
@pytest.mark.parametrize("role", ["Officer", "Support", "Responder", "Auditor"])
def test_every_tab_opens_for_every_role(client, role, tab):
    client.force_login(UserFactory(role=role))
    declared = incident()
    tie(declared, 2)

    assert client.get(url(declared, tab)).status_code == 200


@pytest.mark.parametrize("tab", ["timeline", "decisions", "mails", "alerts"])
def test_a_tab_takes_as_many_queries_for_thirty_rows_as_for_three(client, officer, tab):
    few, many = incident("Few"), incident("Many")
    for declared, count in ((few, 3), (many, 30)):
        tie(declared, count)
        for n in range(count):
            add_note(declared, f"note {n}", by="user:ben")

    def queries(declared):
        with CaptureQueriesContext(connection) as asked:
            assert client.get(url(declared, tab)).status_code == 200
        return len(asked)

    queries(few)
    assert queries(many) == queries(few) <= 18


@pytest.mark.parametrize(("tab", "marks"), [("decisions", 'datetime="'), ("mails", 'datetime="')])
def test_a_list_of_a_tab_has_pages_of_25_that_follow_each_other(client, officer, tab, marks):
    declared = incident()
    tie(declared, 30)

    first = client.get(url(declared, tab)).content.decode()
    link = next(part.split('"')[0] for part in first.split('href="') if part.startswith(f"?tab={tab}&amp;before"))
    second = client.get(url(declared) + link.replace("&amp;", "&")).content.decode()

    assert (first.count(marks), second.count(marks)) == (25, 5)
    assert ">Older<" not in second


@pytest.mark.parametrize("where", ["tab=timeline&after=x", "tab=decisions&before=x", "tab=mails&before=1_x"])
def test_a_crafted_place_is_no_page(client, officer, where):
    assert client.get(f"{url(incident())}?{where}").status_code == 404


def test_support_sees_and_does_not_touch(client):
    client.force_login(UserFactory(role="Support"))
    declared = incident()

    for verb in ("contain", "close", "set_window", "change_scope", "assign_commander", "correct_note"):
        assert client.get(f"{LIST}{declared.pk}/{verb}/").status_code == 403, verb
    assert client.post(f"{LIST}{declared.pk}/note/", {"text": "x"}).status_code == 403
    assert client.get(f"{LIST}add/").status_code == 403
    assert "Keep the note" not in client.get(url(declared, "timeline")).content.decode()


def test_a_responder_contains_and_an_officer_closes(client):
    client.force_login(UserFactory(role="Responder"))
    declared = incident()

    press(client, declared, "contain", reason="Relay replaced")

    assert declared.status == "contained"
    assert client.get(f"{LIST}{declared.pk}/close/").status_code == 403


def test_an_address_for_alerts_is_shown_once(client):
    client.force_login(UserFactory(is_superuser=True))

    page = client.post(
        "/admin/incidents/alertsource/add/", {"name": "Alertmanager", "kind": "alertmanager"}, follow=True
    )

    source = AlertSource.objects.get()
    address = page.content.decode().split("it is not shown again: ")[1].split("<")[0].strip()
    token = address.rstrip("/").rpartition("/")[2]
    assert bytes(source.token_digest) == alerts.digest_of(token)
    assert token not in client.get(f"/admin/incidents/alertsource/{source.pk}/change/").content.decode()


def test_a_body_that_cannot_be_read_is_shown_as_text_and_never_as_markup(client, officer):
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")
    for body in (b'{"text": "<script>alert(1)</script>"}', b"\xff<b>", b'"\\ud800"'):
        AlertDelivery.objects.create(source=source, raw_body=body, body_digest=b"")
    alerts.read_stored()

    for delivery in AlertDelivery.objects.all():
        html = client.get(f"/admin/incidents/alertdelivery/{delivery.pk}/change/").content.decode()
        assert "<script>alert" not in html
        assert "could not be read" in html


def test_the_page_of_an_alert_says_what_fires_and_what_was_heard(client, officer):
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")
    AlertDelivery.objects.create(source=source, raw_body=json.dumps(SAMPLE).encode(), body_digest=b"")
    alerts.read_stored()

    html = client.get(url(Incident.objects.get(), "alerts")).content.decode()

    assert "InstanceDown: firing" in html
    assert "1 delivery" in html


def test_the_list_marks_what_is_not_real(client, officer):
    incident("Relay down")
    incident("Practice", mode="drill")

    html = client.get(LIST).content.decode()

    assert html.count("drill") >= 1
    assert "INC-1" in html


def test_mails_of_tied_decisions_are_counted_by_state(client, officer):
    declared = incident()
    tie(declared, 3)
    MessageFactory(decision_id=declared.links.first().decision_id, state="failed")
    MessageFactory(state="failed")

    html = client.get(url(declared, "mails")).content.decode()

    assert "accepted by the relay <b>3</b>" in html
    assert "failed <b>1</b>" in html
