"""A playbook opens a drill: its own incident, beside the real one, once, and taken back while nobody is at it."""

import pytest

from incidents import lifecycle
from incidents.models import Incident
from incidents.playbooks import attaching, hands, running
from incidents.relations import related_to
from tests.factories import incident
from tests.incidents.test_playbooks import LOOK, started, states

pytestmark = pytest.mark.django_db
DRILL = {
    "key": "rehearse", "title": "Rehearse it", "kind": "action", "action": "open_drill",
    "args": {"title": "Can we do better next time?", "type": "bulk_resubscribe"},
}  # fmt: skip


def drills():
    return list(Incident.objects.filter(mode="drill").order_by("pk"))


def test_a_drill_is_opened_beside_the_incident_and_its_playbooks_are_suggested():
    run = started(DRILL)

    [drill] = drills()
    assert states(run) == ["succeeded"]
    assert (drill.status, drill.type, drill.title) == ("triage", "bulk_resubscribe", "Can we do better next time?")
    assert [other.pk for other, _ in related_to(run.incident)] == [drill.pk]
    assert "mass-re-subscribe" in [version.playbook.slug for version, _ in attaching.suggested(drill)]


def test_the_same_drill_is_opened_once_a_day():
    started(DRILL)
    started(DRILL, of=incident())

    assert len(drills()) == 1


def test_a_drill_opens_no_other():
    run = started(DRILL, of=incident(mode="drill"))

    assert states(run) == ["failed"]
    assert "a drill opens no other" in run.step_runs.get().reason


@pytest.mark.parametrize("taken_up", [False, True])
def test_taken_back_it_is_declined_unless_people_are_at_it(taken_up):
    run = started(DRILL, LOOK)
    [drill] = drills()
    if taken_up:
        lifecycle.accept(drill, reason="We do it now", by="user:anna")

    hands.undo(run, reason="Not today", by="user:ben")
    running.run_due()

    drill.refresh_from_db()
    assert drill.status == ("declared" if taken_up else "declined")
