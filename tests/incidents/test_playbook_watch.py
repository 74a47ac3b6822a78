"""Who watches: calls to services, the auditor with its heartbeat, and messaging's trouble that becomes an incident."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from incidents import lifecycle, trouble
from incidents.models import AuditorBeat, Incident, PlaybookRun, Trouble
from incidents.playbooks import auditing, hands, running
from messaging.models import TemplateFault, TransportHealth
from messaging.propagation import endpoints
from tests.factories import TemplateFaultFactory, TransportHealthFactory, incident, playbook
from tests.messaging.hooks import receiver

pytestmark = pytest.mark.django_db
CALL = {
    "key": "call", "title": "Call", "kind": "notify", "action": "call_webhook",
    "args": {"endpoint": "pager", "note": "Look"}, "retries": 1, "retry_after": 0,
}  # fmt: skip
LOOK = {"key": "look", "title": "Look", "kind": "check"}


@pytest.fixture
def service(settings):
    with receiver() as server:
        settings.WEBHOOK_ALLOWED_HOSTS = [server.place]
        yield server


def run_of(*steps, **facts):
    run, _ = hands.start(incident(), playbook(*steps), reason="It burns", by="user:anna")
    running.run_due()
    if facts:
        PlaybookRun.objects.filter(pk=run.pk).update(**facts)
    return PlaybookRun.objects.get(pk=run.pk)


# Calls


def test_a_service_is_called_once_signed_and_under_the_same_id_at_each_attempt(service):
    _, secret = endpoints.create("pager", url=service.url, owner="SRE", by="user:anna")
    service.answers = [503]

    run = run_of(CALL)
    if run.is_open:  # the second attempt is due at once, by the database's clock
        running.run_due()
        run.refresh_from_db()

    assert run.state == "succeeded"
    first, second = service.calls
    second.verify(secret)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"playbook-{run.pk}-call"
    assert second.event["data"]["incident"] == run.incident.ref
    assert second.event["data"]["note"] == "Look"


def test_a_service_that_nobody_registered_fails_the_step_in_words(service):
    run = run_of(CALL | {"retries": 0})

    assert run.state == "stopped"
    assert "no active endpoint pager" in run.step_runs.get().reason


# The auditor


def beat():
    AuditorBeat.objects.update(beaten_at=timezone.now() - timedelta(minutes=1))
    return auditing.audit()


def test_while_every_open_run_is_looked_after_the_heartbeat_outside_is_beaten(service, settings):
    settings.HEARTBEAT_URL, settings.HEARTBEAT_METHOD = service.url, "POST"
    run = run_of(LOOK)

    assert beat() == 0

    assert [call.body for call in service.calls] == [b""]
    assert AuditorBeat.objects.get().was_heard is True
    run.refresh_from_db()
    assert (run.audit_result, run.audited_at is not None) == ("", True)
    assert auditing.detail()["heard"] is True


def test_a_run_that_nobody_came_for_is_told_once_and_the_heartbeat_stays_away(service, settings):
    settings.HEARTBEAT_URL, settings.HEARTBEAT_METHOD = service.url, "POST"
    run = run_of(LOOK, next_at=timezone.now() - timedelta(minutes=10))

    assert (beat(), beat()) == (1, 0)

    assert service.calls == []
    assert AuditorBeat.objects.get().was_heard is False
    assert run.incident.timeline.filter(text__contains="Nobody has come for it since").count() == 1
    assert auditing.overdue(timezone.now()) == 1


def test_a_run_that_somebody_still_holds_is_not_said_to_be_left_alone():
    run = run_of(LOOK, next_at=timezone.now() - timedelta(minutes=2), lease=uuid4(),
                 lease_until=timezone.now() + timedelta(minutes=1))  # fmt: skip

    beat()

    run.refresh_from_db()
    assert run.audit_result.startswith("Whoever works on it has said nothing since")
    assert auditing.overdue(timezone.now()) == 0


def test_runs_that_nobody_comes_for_are_an_incident_until_somebody_comes():
    run = run_of(LOOK, next_at=timezone.now() - timedelta(minutes=10))
    beat()

    trouble.watch()

    opened = Incident.objects.get(dedup_key="playbooks-left-alone")
    running.run_due()
    beat()
    trouble.watch()
    run.refresh_from_db()
    assert run.audit_result == ""
    assert "No longer so" in opened.timeline.order_by("-seq").first().text


def test_a_next_look_that_is_later_than_the_step_allows_is_found():
    run = run_of(LOOK, next_at=timezone.now() + timedelta(days=2))

    beat()

    run.refresh_from_db()
    assert "later than its step allows" in run.audit_result


def test_a_stopped_run_that_nobody_decides_about_is_told_once_and_the_heartbeat_goes_on(service, settings):
    settings.HEARTBEAT_URL, settings.HEARTBEAT_METHOD = service.url, "POST"
    run = run_of(CALL | {"retries": 0})
    stopped = timezone.now() - timedelta(minutes=20)
    for next_at in (timezone.now() - timedelta(seconds=1), timezone.now() - timedelta(seconds=1)):
        PlaybookRun.objects.filter(pk=run.pk).update(next_at=next_at, stopped_at=stopped)
        beat()
        beat()

    run.refresh_from_db()
    assert run.audit_result == f"It waits for a decision since {stopped:%Y-%m-%d %H:%M} UTC."
    assert run.next_at > timezone.now()
    assert run.incident.timeline.filter(text__contains="waits for a decision").count() == 1
    assert len(service.calls) == 4


def test_a_heartbeat_that_does_not_answer_is_written_down_and_is_no_error(settings):
    settings.HEARTBEAT_URL = "http://127.0.0.1:1/"

    beat()

    assert AuditorBeat.objects.get().was_heard is False
    assert "No answer" in AuditorBeat.objects.get().answer


def test_the_auditors_own_beat_is_seen_by_probes_and_prometheus(client):
    assert client.get("/readyz").json()["playbook_auditor"] == {"last_beat": None, "heard": None}
    run_of(LOOK)

    beat()

    assert client.get("/readyz").json()["playbook_auditor"]["seconds_ago"] < 60
    text = client.get("/metrics").content.decode()
    assert "holdfast_playbook_auditor_age_seconds" in text
    assert 'holdfast_playbook_runs_open{state="running"} 1.0' in text


# Trouble with messages


def failing(**facts):
    return TransportHealthFactory(transport="relay", failures_in_a_row=9, failing_since=timezone.now(), **facts)


def test_a_relay_that_is_down_opens_one_incident_and_one_line_while_it_lasts():
    failing()

    assert (trouble.watch(), trouble.watch(), trouble.watch()) == (1, 0, 0)

    opened = Incident.objects.get(dedup_key="transport-relay")
    assert (opened.status, opened.severity) == ("triage", "sev2")
    assert opened.timeline.filter(kind="detector").count() == 1


def test_its_end_is_told_and_the_next_time_joins_while_the_incident_is_open():
    failing()
    trouble.watch()

    TransportHealth.objects.update(failures_in_a_row=0, failing_since=None)
    assert trouble.watch() == 1
    opened = Incident.objects.get(dedup_key="transport-relay")
    assert "No longer so" in opened.timeline.order_by("-seq").first().text
    assert opened.is_open

    TransportHealth.objects.update(failures_in_a_row=9, failing_since=timezone.now())
    trouble.watch()
    assert Incident.objects.filter(dedup_key="transport-relay").count() == 1
    assert Trouble.objects.count() == 2


def test_closed_while_it_lasts_it_is_opened_anew_and_declined_it_is_not():
    failing()
    trouble.watch()
    lifecycle.close(Incident.objects.get(dedup_key="transport-relay"), reason="Over", by="user:anna")
    assert trouble.watch() == 1
    again = Incident.objects.filter(dedup_key="transport-relay").order_by("-pk").first()

    lifecycle.decline(again, reason="Known", by="user:anna")

    assert trouble.watch() == 0
    assert Incident.objects.filter(dedup_key="transport-relay").count() == 2


def test_through_two_merges_its_end_is_told_where_the_incident_goes_on():
    failing()
    trouble.watch()
    opened, second, third = Incident.objects.get(dedup_key="transport-relay"), incident("Second"), incident("Third")
    lifecycle.merge_into(opened, second, reason="Same", by="user:anna")
    lifecycle.merge_into(second, third, reason="Same", by="user:anna")

    TransportHealth.objects.update(failures_in_a_row=0, failing_since=None)
    trouble.watch()

    assert "No longer so" in third.timeline.order_by("-seq").first().text
    assert not second.timeline.filter(text__contains="No longer so").exists()


def test_a_text_that_fails_is_an_incident_until_it_is_mended():
    fault = TemplateFaultFactory()

    trouble.watch()

    opened = Incident.objects.get(dedup_key=f"template-{fault.version.template_id}")
    TemplateFault.objects.update(mended_at=timezone.now(), mended_by="user:anna", mended_reason="New version")
    trouble.watch()
    assert "No longer so" in opened.timeline.order_by("-seq").first().text


def test_there_is_one_open_trouble_of_a_key():
    failing()
    trouble.watch()
    told = Trouble.objects.get()

    with pytest.raises(IntegrityError), transaction.atomic():
        Trouble.objects.create(
            key=told.key, title="x", incident=told.incident, since=timezone.now(), seen_at=timezone.now()
        )
