"""What asks for somebody now: legal clocks that ran out are told once, and what burns can be paged on from outside."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import attention, clocks, lifecycle, trouble
from incidents.models import Incident, IncidentClockRule, PostIncidentReview, Trouble
from tests.factories import AlarmFactory, incident

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def running(burning, hours_ago, code="EU-ART33"):
    """GDPR 33: 72 hours."""
    rule, began = IncidentClockRule.objects.get(code=code), timezone.now() - hours_ago * HOUR
    return clocks.start_clock(burning, rule, reason="Addresses leaked", by="user:lea", started_at=began)


def told(burning):
    return list(burning.timeline.filter(actor=attention.WATCHER).values_list("text", flat=True))


def lines(client):
    return client.get("/metrics").content.decode().splitlines()


# Legal clocks


def test_a_clock_that_ran_out_is_told_once_in_the_story_of_its_incident():
    burning = incident(minutes_ago=6000)
    clock = running(burning, 73)
    running(incident("Another"), 0)

    assert (attention.watch(), attention.watch()) == (1, 0)
    trouble.watch()

    [line] = told(burning)
    assert f"EU-ART33 is overdue since {clock.due_at:%Y-%m-%d %H:%M}" in line
    assert "GDPR 33(1), 72 hours" in line
    assert clock.rule.notify in line
    assert attention.watch() == 0
    assert Incident.objects.count() == 2


def test_an_answer_ends_it_and_a_clock_that_is_moved_and_runs_out_again_is_told_again():
    burning = incident(minutes_ago=6000)
    clock = running(burning, 73)
    attention.watch()

    clocks.move_clock(clock, timezone.now() - HOUR, reason="We learned of it later", by="user:lea")
    assert (attention.watch(), Trouble.objects.filter(over_at=None).count()) == (0, 0)
    clocks.move_clock(clock, timezone.now() - 74 * HOUR, reason="No, before", by="user:lea")
    assert (attention.watch(), len(told(burning))) == (1, 2)

    clocks.meet_clock(clock, answer="Told, file 7; late, since nobody was there", by="user:lea")
    assert (attention.watch(), Trouble.objects.filter(over_at=None).count()) == (0, 0)
    assert len(told(burning)) == 2


# From outside


def test_metrics_tell_what_burns_by_severity_and_status_and_nothing_of_drills_and_of_what_is_over(client):
    incident(severity="sev1")
    incident(severity="sev1", mode="drill")
    lifecycle.contain(incident(severity="sev1"), reason="Stopped", by="user:anna")
    lifecycle.decline(incident(severity="sev1"), reason="None", by="user:anna")

    found = lines(client)

    assert 'holdfast_incidents_open{severity="sev1",status="declared"} 1.0' in found
    assert 'holdfast_incidents_open{severity="sev1",status="contained"} 1.0' in found
    assert 'holdfast_incidents_open{severity="sev2",status="triage"} 0.0' in found
    assert not [line for line in found if 'status="declined"' in line]


def test_metrics_tell_what_is_overdue_and_which_alarms_still_stand(client):
    burning = incident(minutes_ago=6000)
    running(burning, 73)
    Incident.objects.filter(pk=burning.pk).update(next_update_due=timezone.now() - HOUR)
    PostIncidentReview.objects.create(incident=incident(), due_at=timezone.now() - HOUR)
    AlarmFactory(detector="probe", incident=burning)
    over = lifecycle.decline(incident(), reason="None", by="user:anna")
    AlarmFactory(detector="probe", incident=over)

    found = lines(client)

    assert "holdfast_legal_clocks_overdue 1.0" in found
    assert "holdfast_incident_updates_overdue 1.0" in found
    assert "holdfast_incident_reviews_overdue 1.0" in found
    assert 'holdfast_alarms_open{detector="probe"} 1.0' in found
    assert 'holdfast_alarms_open{detector="D1"} 0.0' in found
