"""The title of a restricted incident stays with who may see it: elsewhere it is a number."""

import json

import pytest
from django.urls import reverse

from config.models import Scope
from incidents import alerts, facts, lifecycle, roles
from incidents.models import AlertDelivery, AlertGroup, Incident
from messaging.cohorts import COHORTS
from tests.api.conftest import Api
from tests.factories import MessageFactory, NoticeFactory, PurposeFactory, UserFactory, incident
from tests.incidents.test_alerts import SAMPLE
from tests.messaging.test_batches import started
from tests.messaging.test_notices import people

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


def test_a_notice_about_it_is_seen_by_who_may_see_it_only(client, hidden):
    PurposeFactory(code="newsletter")
    notice = started(people("anna").values(), incident_id=hidden.pk)
    NoticeFactory(title="About the policy")
    page = reverse("admin:messaging_notice_changelist")
    its = reverse("admin:messaging_notice_change", args=[notice.pk])

    for role in ("Support", "Auditor", "Responder"):
        shown = reads(client, role, page)
        assert (notice.title in shown, "About the policy" in shown) == (False, True)
        assert client.get(f"{its}?tab=recipients").status_code == 302  # there is none for them
        assert (
            client.post(reverse("admin:messaging_notice_report", args=[notice.pk]), {"reason": "x"}).status_code == 404
        )
    client.post(reverse("admin:messaging_notice_pause", args=[notice.pk]), {"_form_submitted": "on", "reason": "x"})
    notice.refresh_from_db()
    assert notice.state == "sending"
    assert notice.title in reads(client, "Officer", page)
    assert client.get(f"{its}?tab=recipients").status_code == 200


def test_who_has_a_part_in_it_sees_its_notice(client, hidden):
    NoticeFactory(incident_id=hidden.pk, title="About the leak")
    helper = UserFactory(role="Responder")
    roles.assume(hidden, helper, "scribe", by="user:lea")
    client.force_login(helper)

    assert "About the leak" in client.get(reverse("admin:messaging_notice_changelist")).content.decode()


def test_a_notice_about_it_takes_the_scope_for_it(hidden):
    notice = NoticeFactory(ref="NTC-77", incident_id=hidden.pk)
    url = f"/api/v1/notices/{notice.ref}/"

    plain, more = Api(Scope.MESSAGES_READ), Api(Scope.MESSAGES_READ, Scope.INCIDENTS_RESTRICTED)

    assert plain.get("/api/v1/notices/").json()["results"] == []
    assert [plain.get(at).status_code for at in (url, f"{url}recipients/")] == [404, 404]
    assert [row["ref"] for row in more.get("/api/v1/notices/").json()["results"]] == ["NTC-77"]
    assert [more.get(at).status_code for at in (url, f"{url}recipients/")] == [200, 200]


def test_a_notice_names_it_by_its_number(hidden):
    assert COHORTS["incident"].choices() == [(hidden.pk, hidden.ref)]
    assert Incident.objects.get().public_name == hidden.ref
