"""Playbooks for services: started, followed and answered; what a person must approve, a service cannot."""

import pytest

from config.models import Scope
from incidents import facts
from incidents.models import PlaybookRun
from incidents.playbooks import hands, running
from tests.api.conftest import Api
from tests.api.conftest import api as api
from tests.api.conftest import problem as problem
from tests.factories import incident, playbook

pytestmark = pytest.mark.django_db
LOOK = {"key": "look", "title": "Look", "kind": "check"}
ALL = "/api/v1/incidents/"
AGREE = {"key": "agree", "title": "Agree", "kind": "approval"}


def test_a_service_starts_a_playbook_once_and_answers_its_steps(api, problem):
    burning, plan = incident(), playbook(LOOK, AGREE)
    at = f"{ALL}{burning.ref}/playbooks/"

    first = api.send(at, {"playbook": plan.slug, "reason": "It burns"})
    second = api.send(at, {"playbook": plan.slug, "reason": "It burns"})
    run = PlaybookRun.objects.get()
    running.run_due()
    looked = api.send(f"{at}{run.pk}/", {"verb": "confirm", "step": "look", "reason": "Looked"})
    running.run_due()
    refused = api.send(f"{at}{run.pk}/", {"verb": "approve", "reason": "Fine"})

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["id"] == first.json()["id"]
    assert looked.json()["steps"][0]["state"] == "succeeded"
    assert "not a valid choice" in str(problem(refused, 400))
    assert api.get(at).json()["runs"][0]["steps"][1]["state"] == "waiting_approval"


def test_a_restricted_incidents_playbooks_take_the_scope_for_it(problem):
    hidden = facts.restrict(incident(), is_restricted=True, reason="Names", by="user:lea")
    run, _ = hands.start(hidden, playbook(LOOK), reason="x", by="user:lea")
    at = f"{ALL}{hidden.ref}/playbooks/"
    outside = Api(Scope.INCIDENTS_READ, Scope.INCIDENTS_WRITE)

    problem(outside.get(at), 404)
    problem(outside.send(f"{at}{run.pk}/", {"verb": "cancel", "reason": "x"}), 404)
    assert Api(Scope.INCIDENTS_READ, Scope.INCIDENTS_RESTRICTED).get(at).status_code == 200
    assert PlaybookRun.objects.get().is_open


def test_a_service_takes_nothing_back_that_took_two_people(api, problem):
    burning = incident()
    run, _ = hands.start(burning, playbook(AGREE), reason="x", by="user:lea")

    refused = api.send(f"{ALL}{burning.ref}/playbooks/{run.pk}/", {"verb": "undo", "reason": "x"})

    assert "This takes a person who may approve" in str(problem(refused, 400))


def test_what_does_not_exist_or_cannot_be_done_is_said(api, problem):
    burning, plan = incident(), playbook(LOOK)
    at = f"{ALL}{burning.ref}/playbooks/"

    problem(api.send(f"{at}999/", {"verb": "skip", "reason": "x"}), 404)
    assert "no such playbook" in str(problem(api.send(at, {"playbook": "nothing", "reason": "x"}), 400))
    run = api.send(at, {"playbook": plan.slug, "reason": "x"}).json()
    cancelled = api.send(f"{at}{run['id']}/", {"verb": "cancel", "reason": "Mistake"}).json()
    again = problem(api.send(f"{at}{run['id']}/", {"verb": "cancel", "reason": "Mistake"}), 400)

    assert cancelled["state"] == "cancelled"
    assert "cancelled already" in str(again)
