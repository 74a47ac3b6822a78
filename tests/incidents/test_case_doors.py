"""The record of an incident at its doors: only the buttons that may be pressed, and the same verbs for services."""

import hashlib
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from config.models import Scope
from incidents import facts, lifecycle, services
from incidents.models import FollowUp, Incident, IncidentClock, IncidentRole, PostIncidentReview
from tests.api.conftest import Api
from tests.api.conftest import api as api
from tests.api.conftest import problem as problem
from tests.factories import UserFactory, incident
from tests.incidents.test_admin import press, url

pytestmark = pytest.mark.django_db
ALL = "/api/v1/incidents/"


@pytest.fixture
def officer(client):
    user = UserFactory(role="Officer", username="anna")
    client.force_login(user)
    return user


def offered(client, declared, tab="timeline"):
    html = client.get(url(declared, tab)).content.decode()
    verbs = ("accept", "contain", "begin_recovery", "close", "reopen", "start_clock", "seal", "merge")
    return {verb for verb in verbs if f"/{declared.pk}/{verb}/" in html}


def test_only_what_may_be_done_now_has_a_button(client, officer):
    triaged = incident(status="triage")

    assert offered(client, triaged) == {"accept", "contain", "close", "merge"}
    lifecycle.contain(triaged, reason="x", by="user:ben")
    assert offered(client, triaged) == {"begin_recovery", "close", "reopen", "merge"}
    lifecycle.close(triaged, reason="x", by="user:ben")
    assert offered(client, triaged) == {"reopen"}
    assert offered(client, triaged, "clocks") == {"reopen", "start_clock"}


def test_the_desk_works_through_an_incident(client, officer):
    declared = incident(detected_at=timezone.now())
    other = incident("Other")
    soon = timezone.now().date() + timedelta(days=4)

    press(client, declared, "describe", title="Relay down", severity="sev1", priority="p1", type="drift", reason="Seen")
    press(client, declared, "assume_role", person=officer.pk, role="legal")
    press(client, declared, "start_clock", rule="EU-ART33", reason="Leak")
    press(client, declared, "post_update", text="We are at it")
    press(client, declared, "add_follow_up", title="Alert", kind="detective", owner=officer.pk, due_on=f"{soon}")
    press(client, declared, "relate", other=other.pk, reason="Same relay")
    press(client, declared, "seal", reason="For the file")
    press(client, declared, "restrict", reason="Named people")
    press(client, declared, "close", reason="Over")
    assert Incident.objects.get(pk=declared.pk).status == "declared"  # its clock runs
    press(client, declared, "meet_clock", clock=declared.clocks.get().pk, answer="Case 7")
    press(client, declared, "finish_follow_up", work=declared.follow_ups.get().pk, outcome="Done")
    press(client, declared, "renounce_role", held=declared.roles.get().pk)
    press(client, declared, "close", reason="Over")

    assert (declared.status, declared.severity, declared.visibility) == ("closed", "sev1", "restricted")
    assert IncidentClock.objects.get().answer == "Case 7"
    assert FollowUp.objects.get().state == "done"
    assert IncidentRole.objects.get().renounced_by == "user:anna"
    assert PostIncidentReview.objects.get().state == "due"
    for tab in ("facts", "timeline", "decisions", "mails", "people", "clocks", "followups", "review", "related"):
        assert client.get(url(declared, tab)).status_code == 200


def test_a_review_is_written_on_a_page_and_approved_by_another(client, officer):
    closed = lifecycle.close(incident(severity="sev1"), reason="Over", by="user:ben")
    sections = {"what_happened": "It died.", "causes": "Disk.", "lessons": "Alert."}

    client.post(f"/admin/incidents/incident/{closed.pk}/write_review/", {**sections, "reason": "First words"})
    press(client, closed, "submit_review")
    press(client, closed, "approve_review")
    assert "A second person approves it" in client.get(url(closed, "review")).content.decode()
    client.force_login(UserFactory(role="Officer"))
    press(client, closed, "approve_review")

    assert PostIncidentReview.objects.get().state == "approved"
    assert "Nobody opted out" in client.get(url(closed, "review")).content.decode()


@pytest.mark.parametrize("format", ["json", "csv", "pdf"])
def test_a_file_is_handed_out_at_the_desk(client, officer, format):
    declared = incident()
    address = f"/admin/incidents/incident/{declared.pk}/export_{format}/"

    asked = client.get(address)
    assert f"Download as {format.upper()}" in asked.content.decode()
    assert not declared.timeline.filter(kind="export").exists()
    response = client.post(address)

    assert response["Content-Disposition"].startswith("attachment")
    assert bytes(declared.timeline.get(kind="export").evidence_digest) == hashlib.sha256(response.content).digest()


def test_another_site_hands_out_no_file(officer):
    declared, browser = incident(), Client(enforce_csrf_checks=True)
    browser.force_login(officer)

    assert browser.post(f"/admin/incidents/incident/{declared.pk}/export_json/").status_code == 403
    assert not declared.timeline.filter(kind="export").exists()


def test_a_restricted_incident_is_nowhere_for_whoever_has_no_part_in_it(client):
    hidden = facts.restrict(incident("Leak of the list"), is_restricted=True, reason="Names", by="user:lea")
    client.force_login(UserFactory(role="Responder"))
    base = f"/admin/incidents/incident/{hidden.pk}"

    assert client.get(url(hidden)).status_code == 302
    for path in ("close/", "contain/", "set_window/", "export_json/"):
        assert client.get(f"{base}/{path}").status_code in (403, 404)
    assert client.post(f"{base}/note/", {"text": "x"}).status_code == 404
    for page in ("/admin/", "/admin/incidents/incident/", f"{base}/history/"):
        assert "Leak of the list" not in client.get(page, follow=True).content.decode()


def test_lists_find_near_misses_and_what_is_overdue(client, officer):
    late, missed = incident("Late one"), incident("Missed one")
    Incident.objects.filter(pk=late.pk).update(next_update_due=timezone.now() - timedelta(hours=1))
    facts.describe(missed, is_near_miss=True, near_miss_prevented_by="The guard", reason="x", by="user:ben")

    near = client.get("/admin/incidents/incident/?register=near_misses").content.decode()
    overdue = client.get("/admin/incidents/incident/?overdue=update").content.decode()

    assert "Missed one" in near
    assert "Late one" not in near
    assert "Late one" in overdue
    assert "Missed one" not in overdue
    for name in ("clock", "review"):
        assert client.get(f"/admin/incidents/incident/?overdue={name}").status_code == 200
    for name in ("mine", "overdue", "mine_overdue"):
        assert client.get(f"/admin/incidents/followup/?whose={name}").status_code == 200


# Services


def test_a_service_takes_an_incident_through_its_life(api):
    incident(status="triage", detected_at=timezone.now())
    UserFactory(username="anna")
    one = f"{ALL}INC-1/"
    soon = (timezone.now().date() + timedelta(days=4)).isoformat()

    assert api.send(f"{one}accept/", {"reason": "Real"}).json()["dpv_status"] == "IncidentOngoing"
    described = api.patch(one, {"type": "drift", "reason": "Scan"}, content_type="application/json").json()
    people = api.send(f"{one}people/", {"person": "anna", "role": "commander"}).json()
    clock = api.send(f"{one}clocks/", {"rule": "EU-ART33", "reason": "Leak"})
    update = api.send(f"{one}updates/", {"text": "At it"}).json()
    work = api.send(f"{one}follow-ups/", {"title": "x", "kind": "detective", "owner": "anna", "due_on": soon}).json()
    answer = {"state": "met", "answer": "Case 7"}
    met = api.patch(f"{one}clocks/EU-ART33/", answer, content_type="application/json").json()
    settled = api.patch(
        f"{one}follow-ups/{work['id']}/", {"state": "dropped", "outcome": "No"}, content_type="application/json"
    ).json()
    sealed = api.send(f"{one}affected/", {"reason": "File"}).json()
    closed = api.send(f"{one}close/", {"reason": "Over", "needs_review": True}).json()
    written = api.patch(f"{one}review/", {"causes": "Disk", "reason": "x"}, content_type="application/json").json()

    assert described["dpv_types"] == ["IntegrityIncident"]
    assert people["roles"][0]["person"] == "anna"
    assert (clock.status_code, clock.json()["term"], met["state"]) == (201, "72 hours", "met")
    assert update["next_update_due"]
    assert (work["owner"], settled["state"]) == ("anna", "dropped")
    assert sealed["seals"][0]["decisions_sha256"] == hashlib.sha256(b"").hexdigest()
    assert (closed["status"], written["causes"]) == ("closed", "Disk")


def test_a_service_takes_every_step_there_and_back(api, problem):
    incident(status="triage", detected_at=timezone.now())
    incident("Nothing", status="triage", detected_at=timezone.now())
    UserFactory(username="anna")
    one, why = f"{ALL}INC-1/", {"reason": "Seen"}
    earlier = (timezone.now() - timedelta(minutes=5)).isoformat()

    api.send(f"{one}acknowledge/", {})
    api.send(f"{one}accept/", why)
    api.send(f"{one}contain/", why)
    went = [api.send(f"{one}{step}/", why).json()["status"] for step in ("recover", "monitor", "close", "reopen")]
    api.send(f"{one}moments/", why | {"kind": "detected_at", "moment": earlier, "is_estimate": True})
    held = api.send(f"{one}people/", {"person": "anna", "role": "commander"}).json()["roles"][0]["id"]
    laid_down = api.send(f"{one}people/{held}/renounce/", {}).json()

    now = api.get(one).json()
    assert went == ["recovering", "monitoring", "closed", "declared"]
    assert (now["acknowledged_at"] is not None, now["detected_at"][:19]) == (True, earlier[:19])
    assert (laid_down["person"], laid_down["renounced_at"] is not None) == ("anna", True)
    assert api.send(f"{ALL}INC-2/decline/", why).json()["status"] == "declined"
    problem(api.send(f"{one}accept/", why), 400)
    problem(api.send(f"{one}people/0/renounce/", {}), 404)


def test_a_service_merges_and_relates(api):
    incident("First")
    incident("Second")
    incident("Third")

    related = api.send(f"{ALL}INC-1/related/", {"other": "INC-2", "reason": "Relay"}).json()
    merged = api.send(f"{ALL}INC-3/merge/", {"other": "INC-1", "reason": "Same"}).json()

    assert [(row["ref"], row["how"]) for row in related] == [("INC-2", "related")]
    assert (merged["status"], merged["duplicate_of"]) == ("merged", "INC-1")
    assert api.get(f"{ALL}INC-1/related/").json()[1]["how"] == "merged_into_this"


def test_a_restricted_incident_takes_a_scope_of_its_own(api, problem):
    facts.restrict(incident("Leak"), is_restricted=True, reason="Names", by="user:lea")
    reader = Api(Scope.INCIDENTS_READ)

    problem(reader.get(f"{ALL}INC-1/"), 404)
    problem(reader.send(f"{ALL}INC-1/timeline/export/", {}), 404)
    assert reader.get(ALL).json()["results"] == []
    assert reader.get("/api/v1/telemetry/").json()["incidents"] == []
    assert api.get(f"{ALL}INC-1/").json()["visibility"] == "restricted"


@pytest.mark.parametrize(
    ("format", "content_type"),
    [("json", "application/json"), ("csv", "text/csv"), ("pdf", "application/pdf")],
)
def test_a_file_is_handed_out_to_a_service_with_its_digest(api, format, content_type):
    declared = incident()

    response = api.send(f"{ALL}INC-1/timeline/export/", {"format": format}, Accept="image/png")

    assert response["Content-Type"].startswith(content_type)
    assert response["Digest"] == f"sha-256={hashlib.sha256(response.content).hexdigest()}"
    assert declared.timeline.get(kind="export").source == "api"


def test_reading_hands_nothing_out(api, problem):
    declared = incident()

    problem(api.get(f"{ALL}INC-1/timeline/export/"), 405)

    assert not declared.timeline.filter(kind="export").exists()


def test_a_format_and_a_kind_that_do_not_exist_are_pointed_at(api, problem):
    incident()

    problem(api.send(f"{ALL}INC-1/timeline/export/", {"format": "docx"}), 400)
    problem(api.get(f"{ALL}INC-1/timeline/?kind=gossip"), 400)


def test_a_note_may_name_its_evidence_and_the_story_be_narrowed(api):
    incident()

    note = {"text": "Log kept", "evidence": "s3://logs/7", "evidence_sha256": "ab" * 32, "skew_ms": 120}
    api.send(f"{ALL}INC-1/timeline/", note)
    lines = api.get(f"{ALL}INC-1/timeline/?kind=note&kind=pin").json()["results"]

    assert [(line["evidence"], line["evidence_sha256"], line["skew_ms"]) for line in lines] == [
        ("s3://logs/7", "ab" * 32, 120)
    ]


def test_pages_of_some_kinds_go_on_with_those_kinds(api):
    declared = incident()
    for n in range(101):
        services.add_note(declared, f"note {n}", by="user:ben")

    first = api.get(f"{ALL}INC-1/timeline/?kind=note").json()
    second = api.get(first["next"]).json()

    assert (len(first["results"]), len(second["results"]), second["next"]) == (100, 1, None)
