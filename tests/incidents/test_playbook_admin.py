"""Playbooks at the desk: a run from its tab, only with the buttons that fit, and versions written in the admin."""

import json

import pytest
from django.utils.html import escape

from consent.services import guard_level
from incidents import facts, roles
from incidents.models import Playbook, PlaybookRun, PlaybookVersion
from incidents.playbooks import hands, running
from incidents.playbooks.actions import REGISTRY
from incidents.playbooks.signals import SIGNALS
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
VERBS = ("start_playbook", "do_step", "confirm_step", "decide_step", "approve_step", "decline_step", "retry_step",
         "skip_step", "undo_run", "cancel_run")  # fmt: skip


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


def run_of(*steps, by, of=None):
    run, _ = hands.start(of or incident(), playbook(*steps), reason="It burns", by=by)
    running.run_due()
    return run


def test_a_button_is_there_for_who_may_press_it_now(client):
    anna, ben = UserFactory(role="Officer", username="anna"), UserFactory(role="Officer", username="ben")
    run = run_of(STEPS[0] | {"role": "legal"}, STEPS[2] | {"when": []}, by=anna)
    client.force_login(anna)
    assert offered(client, run.incident) == ["start_playbook", "cancel_run"]

    roles.assume(run.incident, anna, "legal", by=ben)
    assert offered(client, run.incident) == [
        "start_playbook",
        "confirm_step",
        "decline_step",
        "skip_step",
        "cancel_run",
    ]
    press(client, run.incident, "confirm_step", at=f"{run.pk}:look", reason="Looked")
    running.run_due()

    assert offered(client, run.incident) == ["start_playbook", "decline_step", "cancel_run"]
    client.force_login(ben)
    assert offered(client, run.incident) == [
        "start_playbook", "approve_step", "decline_step", "skip_step", "undo_run", "cancel_run"
    ]  # fmt: skip


def test_what_is_done_on_a_word_and_what_was_done_have_buttons_of_their_own(client):
    anna = UserFactory(role="Officer", username="anna")
    client.force_login(anna)
    run = run_of(STEPS[2] | {"when": [], "approval": False, "automatic": False}, STEPS[3], by=anna)
    assert "do_step" in offered(client, run.incident)
    assert "confirm_step" not in offered(client, run.incident)

    press(client, run.incident, "confirm_step", at=f"{run.pk}:guard", reason="Done by hand")
    running.run_due()
    assert guard_level() == "observe"
    press(client, run.incident, "do_step", at=f"{run.pk}:guard", reason="Do it")
    running.run_due()

    assert guard_level() == "protect"
    assert "confirm_step" in offered(client, run.incident)
    assert "do_step" not in offered(client, run.incident)


def test_a_restricted_incidents_runs_are_for_who_may_see_it(client):
    hidden = facts.restrict(incident("Leak of the list"), is_restricted=True, reason="Names", by="user:lea")
    run = run_of(STEPS[0], by="user:lea", of=hidden)
    page = f"/admin/incidents/playbookrun/{run.pk}/change/"

    client.force_login(UserFactory(role="Officer"))
    assert hidden.ref in client.get("/admin/incidents/playbookrun/").content.decode()
    assert client.get(page).status_code == 200
    client.force_login(UserFactory(role="Responder"))

    assert client.get(f"/admin/incidents/incident/{hidden.pk}/change/?tab=playbook").status_code != 200
    assert hidden.ref not in client.get("/admin/incidents/playbookrun/").content.decode()
    assert client.get(page).status_code != 200
    assert client.get(f"/admin/incidents/incident/{hidden.pk}/confirm_step/").status_code == 404


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
    written = client.get(add).content.decode()
    assert ">\nnull</textarea>" not in written
    assert all(escape(named.words) in written for named in (*REGISTRY.values(), *SIGNALS.values()))
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
    assert "60 min at most" in text
    assert "“Why?” was “We did it”" in text
    copied = client.get(f"{page}copy_it/", follow=True).content.decode()
    assert "Open the page." in copied


def test_a_playbook_is_reviewed_in_the_admin(client):
    client.force_login(UserFactory(role="Officer", username="anna"))
    made = Playbook.objects.get(slug="opt-out-surge")

    client.post(f"/admin/incidents/playbook/{made.pk}/review/", {"_form_submitted": "True", "reason": "Read it"})

    made.refresh_from_db()
    assert made.last_reviewed_by == "user:anna"
