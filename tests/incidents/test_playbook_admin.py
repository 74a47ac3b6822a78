"""Playbooks at the desk: a run from its tab, only with the buttons that fit, and versions written in the admin."""

import json

import pytest

from consent.services import guard_level
from incidents.models import Playbook, PlaybookRun, PlaybookVersion
from incidents.playbooks import running
from tests.factories import PlaybookFactory, UserFactory, incident, playbook
from tests.incidents.test_admin import press

pytestmark = pytest.mark.django_db
STEPS = [
    {"key": "look", "title": "Look", "kind": "check", "text": "Open the page.", "csf_id": "DE.AE-02"},
    {"key": "why", "title": "Why?", "kind": "decision",
     "choices": [{"value": "us", "title": "We did it"}, {"value": "them", "title": "Others did"}]},
    {"key": "guard", "title": "Protect", "kind": "action", "action": "set_guard", "args": {"level": "protect"},
     "approval": True, "when": [{"signal": "decision", "step": "why", "op": "eq", "value": "us"}]},
    {"key": "over", "title": "Over", "kind": "check"},
]  # fmt: skip
VERBS = ("start_playbook", "confirm_step", "decide_step", "approve_step", "decline_step", "retry_step", "skip_step",
         "undo_run", "cancel_run")  # fmt: skip


def tab(client, declared):
    return client.get(f"/admin/incidents/incident/{declared.pk}/change/?tab=playbook").content.decode()


def offered(client, declared):
    text = tab(client, declared)
    return [verb for verb in VERBS if f"/{verb}/" in text]


def test_a_run_is_started_answered_and_approved_by_two_people_at_the_desk(client):
    anna, ben = UserFactory(role="Responder", username="anna"), UserFactory(role="Officer", username="ben")
    plan, burning = playbook(*STEPS, title="Surge of the shop"), incident()
    client.force_login(anna)
    assert "No playbook was started" in tab(client, burning)
    assert offered(client, burning) == ["start_playbook"]

    press(client, burning, "start_playbook", playbook=plan.pk, reason="It burns")
    press(client, burning, "start_playbook", playbook=plan.pk, reason="It burns")
    run = PlaybookRun.objects.get()
    running.run_due()
    assert "confirm_step" in offered(client, burning)
    press(client, burning, "confirm_step", at=f"{run.pk}:look", reason="Looked")
    running.run_due()
    press(client, burning, "decide_step", at=f"{run.pk}:why:us", reason="Our mail")
    running.run_due()
    press(client, burning, "approve_step", at=f"{run.pk}:guard", reason="My own")
    assert guard_level() == "observe"

    client.force_login(ben)
    press(client, burning, "approve_step", at=f"{run.pk}:guard", reason="Agreed")
    running.run_due()
    assert guard_level() == "protect"
    text = tab(client, burning)
    assert "Surge of the shop" in text
    assert "let through" in text
    assert "user:ben" in text
    press(client, burning, "undo_run", at=f"{run.pk}:", reason="A mistake")
    running.run_due()
    run.refresh_from_db()
    assert (run.state, guard_level()) == ("undone", "observe")


def test_a_dialog_that_was_opened_before_the_step_moved_changes_nothing(client):
    client.force_login(UserFactory(role="Officer"))
    plan, burning = playbook(*STEPS), incident()
    press(client, burning, "start_playbook", playbook=plan.pk, reason="It burns")
    run = PlaybookRun.objects.get()
    running.run_due()
    press(client, burning, "confirm_step", at=f"{run.pk}:look", reason="Looked")
    running.run_due()

    press(client, burning, "skip_step", at=f"{run.pk}:look", reason="Again")

    assert run.step_runs.get(key="why").state == "waiting"


def test_support_may_look_and_press_nothing(client):
    client.force_login(UserFactory(role="Support"))

    assert offered(client, incident()) == []


def test_signals_suggest_on_the_page(client):
    client.force_login(UserFactory(role="Officer"))

    text = tab(client, incident(dedup_key="transport-relay"))

    assert "A mail relay is down" in text
    assert "incident key begins with transport-" in text


def test_a_version_is_written_approved_by_another_and_published_in_the_admin(client):
    anna, ben = UserFactory(role="Officer", username="anna"), UserFactory(role="Responder", username="ben")
    made = PlaybookFactory()
    client.force_login(anna)
    add = "/admin/incidents/playbookversion/add/"
    refused = client.post(add, {"playbook": made.pk, "steps": '[{"key": "a"}]', "attached": "{}"})
    assert "is a required property" in refused.content.decode()

    client.post(add, {"playbook": made.pk, "steps": json.dumps(STEPS), "attached": ""})
    version = PlaybookVersion.objects.get(playbook=made)
    page = f"/admin/incidents/playbookversion/{version.pk}/"
    client.post(f"{page}approve/", {"_form_submitted": "True"})
    version.refresh_from_db()
    assert version.state == "draft"

    client.force_login(ben)
    for verb in ("approve", "publish"):
        client.post(f"{page}{verb}/", {"_form_submitted": "True"})
    version.refresh_from_db()
    assert (version.state, version.approved_by) == ("published", "user:ben")
    text = client.get(f"{page}change/").content.decode()
    assert "Only if" in text
    assert "Set the guard: protect" in text
    assert "“Why?” was “We did it”" in text
    copied = client.get(f"{page}copy_it/", follow=True).content.decode()
    assert "Open the page." in copied


def test_a_playbook_is_reviewed_in_the_admin(client):
    client.force_login(UserFactory(role="Officer", username="anna"))
    made = Playbook.objects.get(slug="opt-out-surge")

    client.post(f"/admin/incidents/playbook/{made.pk}/review/", {"_form_submitted": "True", "reason": "Read it"})

    made.refresh_from_db()
    assert made.last_reviewed_by == "user:anna"
