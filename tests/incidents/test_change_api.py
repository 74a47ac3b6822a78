"""Change sets for services: written, planned, applied once people approved. What people answer, a service cannot."""

import pytest

from config.models import Scope
from incidents import facts
from incidents.changes import applying, deciding, running, undeclared
from incidents.models import ChangeSet, Incident, Rollback
from tests.api.conftest import Api
from tests.api.conftest import api as api
from tests.api.conftest import problem as problem
from tests.factories import PurposeFactory, SubjectFactory, incident
from tests.incidents.change_sets import (
    IN,
    LISTED,
    OUT,
    applied,
    begun,
    draft,
    imported,
    in_review,
    leaves,
    officer,
    states,
)

pytestmark = pytest.mark.django_db
ALL = "/api/v1/change-sets/"
BODY = {"title": "List of March", "reason": "Its columns were mixed up", "operations": [OUT], "selector": LISTED}


def test_a_service_brings_a_set_on_its_way_and_people_approve_it(api):
    people, burning = imported(3), incident("Wrong file")
    made = api.send(ALL, {**BODY, "incident": burning.ref, "batch_size": 2}).json()
    at = f"{ALL}{made['ref']}/"

    planned = api.send(f"{at}plan/", {}).json()
    submitted = api.send(f"{at}submit/", {}).json()
    change = ChangeSet.objects.get()
    assert change.created_by.startswith("service:")
    deciding.approve(change, by=officer(username="ben"), comment="Read it")
    begun = api.send(f"{at}apply/", {}).json()
    running.run_due()
    done = api.get(at).json()

    assert [one["state"] for one in (made, planned, submitted, begun, done)] == [
        "draft", "draft", "in_review", "applying", "applied",
    ]  # fmt: skip
    assert made["incident"] == burning.ref
    assert planned["in_words"] == [
        "Opt out whoever is selected, for what they were selected by.",
        "Everybody who has a choice for marketing by e-mail, but not by their own act.",
    ]
    assert (planned["change_count"], planned["protected_touched"]) == (3, 0)
    assert planned["matrix"] == [
        {"purpose": "marketing", "region": "DE", "before": "opted in", "after": "opted out", "count": 3}
    ]
    assert [(answer["given_by"], answer["counts"]) for answer in done["approvals"]] == [("user:ben", True)]
    assert [(batch["number"], batch["state"], batch["written_count"]) for batch in done["batches"]] == [
        (2, "passed", 1), (1, "passed", 2),
    ]  # fmt: skip
    assert states(*people) == ["opt_out"] * 3


def test_it_is_stopped_goes_on_and_is_taken_back(api):
    people = imported(3)
    change = in_review()
    deciding.approve(change, by=officer())
    at = f"{ALL}{change.ref}/"

    api.send(f"{at}apply/", {})
    paused = api.send(f"{at}pause/", {"reason": "Wait"}).json()
    resumed = api.send(f"{at}resume/", {"reason": "Go on"}).json()
    running.run_due()
    back = api.send(f"{at}roll-back/", {"reason": "Wrong file"}).json()
    assert (back["state"], back["rollbacks"][0]["state"]) == ("applied", "waiting")  # opt-outs: a person confirms it
    undeclared.confirm(Rollback.objects.get(), by=officer())
    running.run_due()
    done = api.get(at).json()

    assert [one["state"] for one in (paused, resumed, done)] == ["paused", "applying", "rolled_back"]
    assert paused["paused_reason"] == "Wait"
    assert [(row["voided_count"], row["weakened_count"]) for row in done["rollbacks"]] == [(3, 0)]
    assert states(*people) == ["opt_in"] * 3


def test_a_key_makes_a_write_safe_to_send_twice(api):
    imported(2)

    first, second = (api.send(ALL, BODY, **{"Idempotency-Key": "once"}) for _ in range(2))
    at = f"{ALL}{first.json()['ref']}/plan/"
    planned, again = (api.send(at, {}, **{"Idempotency-Key": "plan"}) for _ in range(2))

    assert second["Idempotent-Replayed"] == again["Idempotent-Replayed"] == "true"
    assert (first.json(), planned.json()) == (second.json(), again.json())
    assert ChangeSet.objects.count() == 1


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}])
def test_a_set_that_would_undo_peoples_own_opt_outs_is_refused_and_told_as_a_near_miss(api, problem, headers):
    first, *_ = imported(3)
    leaves(first)
    made = api.send(ALL, {**BODY, "operations": [IN], "selector": {"purpose": "marketing", "channel": "email"}}).json()
    api.send(f"{ALL}{made['ref']}/plan/", {})

    refused = problem(api.send(f"{ALL}{made['ref']}/submit/", {}, **headers), 400)

    assert "1 people opted out themselves" in refused["detail"]
    assert Incident.objects.get().is_near_miss


def test_a_list_comes_as_rows(api, problem):
    PurposeFactory(code="marketing")
    person = SubjectFactory()
    row = {"subject": str(person.pk), "purpose": "marketing", "channel": "email", "choice": "opt_out"}
    brought = {**BODY, "operations": [{"operation": "import"}], "selector": {}, "rows": [row]}

    made = api.send(ALL, brought)
    planned = api.send(f"{ALL}{made.json()['ref']}/plan/", {}).json()

    assert (made.status_code, planned["change_count"]) == (201, 1)
    assert "Only import and sync_segment read rows" in str(problem(api.send(ALL, {**BODY, "rows": [row]}), 400))
    of_file = [{"operation": "import", "args": {"file": "IM-1"}}]
    assert "bring the file under Imports" in str(problem(api.send(ALL, {**brought, "operations": of_file}), 400))
    odd = problem(api.send(ALL, {**brought, "rows": [{**row, "choice": "perhaps"}]}), 400)
    assert odd["errors"][0]["pointer"] == "/rows/0/choice"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"operations": []}, "a list of 1 to"),
        ({"operations": [{"operation": "nothing"}]}, "there is no nothing"),
        ({"operations": [{"operation": "rows"}], "selector": {}}, "Rows of a script come with the script"),
        ({"selector": {}}, "say to whom"),
        ({"selector": {"actor": "\x00"}}, "control characters"),
        ({"incident": "INC-99"}, "no such incident"),
        ({"validation_policy": {"count": -1}}, "validation_policy"),
        ({"titel": "x"}, "no such field"),
        ({"reason": " "}, "blank"),
    ],
)
def test_what_is_wrong_with_a_set_is_said(api, problem, changed, said):
    assert said in str(problem(api.send(ALL, {**BODY, **changed}), 400))
    assert not ChangeSet.objects.exists()


def test_what_cannot_be_done_now_and_what_does_not_exist_is_a_problem(api, problem):
    imported(2)
    change = draft()
    at = f"{ALL}{change.ref}/"

    assert "Plan it first" in problem(api.send(f"{at}submit/", {}), 400)["detail"]
    assert "is draft" in problem(api.send(f"{at}apply/", {}), 400)["detail"]
    assert "reason" in str(problem(api.send(f"{at}cancel/", {}), 400))
    assert api.send(f"{at}cancel/", {"reason": "Not needed"}).json()["ended_reason"] == "Not needed"
    for ref in ("CS-99", "99", "CS-1x"):
        problem(api.get(f"{ALL}{ref}/"), 404)
    problem(api.send(f"{ALL}CS-99/plan/", {}), 404)


@pytest.mark.parametrize("name", ["import", "sync_segment"])
def test_an_empty_list_is_nobody_and_not_everybody_else(api, problem, name):
    imported(2, choice="opt_out")
    args = {"purpose": "marketing", "channel": "email", "choice": "opt_out"} if name == "sync_segment" else {}
    made = api.send(ALL, {**BODY, "operations": [{"operation": name, "args": args}], "selector": {}, "rows": []}).json()

    assert "The list names nobody" in problem(api.send(f"{ALL}{made['ref']}/plan/", {}), 400)["detail"]


def test_what_waits_for_a_person_is_let_go_by_one(api, problem):
    imported(2)
    change = applying.pause(begun(OUT), reason="Nobody can tell.", by="system:change-sets")
    at = f"{ALL}{change.ref}/resume/"

    assert "A person answers for this" in problem(api.send(at, {"reason": "Go on"}), 400)["detail"]
    assert applying.resume(change, reason="I looked.", by=officer()).state == "applying"


def test_no_service_can_answer_for_people(api, problem):
    imported(2)
    change = in_review()

    for verb in ("approve", "decline", "second", "bypass", "review", "schedule"):
        problem(api.send(f"{ALL}{change.ref}/{verb}/", {"comment": "Fine"}), 404)


def test_reading_and_writing_take_scopes_of_their_own(problem):
    reader, other = Api(Scope.CHANGES_READ), Api(Scope.INCIDENTS_WRITE, Scope.INCIDENTS_READ)
    change = draft()

    assert reader.get(f"{ALL}{change.ref}/").status_code == 200
    problem(reader.send(f"{ALL}{change.ref}/plan/", {}), 403, "missing_scope")
    problem(reader.send(ALL, BODY), 403, "missing_scope")
    problem(other.get(ALL), 403, "missing_scope")
    problem(Api(Scope.CHANGES_WRITE).get(ALL), 403, "missing_scope")


def test_a_restricted_incident_is_a_number_and_only_who_may_read_it_can_name_it(problem):
    hidden = facts.restrict(incident("Leak of the list"), is_restricted=True, reason="Names", by="user:lea")
    draft(incident=hidden)
    some, all_ = Api(Scope.CHANGES_READ, Scope.CHANGES_WRITE), Api()

    assert "Leak" not in (text := some.get(ALL).content.decode())
    assert hidden.ref in text
    assert "no such incident" in str(problem(some.send(ALL, {**BODY, "incident": hidden.ref}), 400))
    assert all_.send(ALL, {**BODY, "incident": hidden.ref}).status_code == 201


def test_the_list_has_pages_and_filters_in_a_bounded_number_of_queries(api, django_assert_max_num_queries):
    for number in range(12):
        draft(title=f"Set {number}", incident=incident() if number == 3 else None)

    with django_assert_max_num_queries(4):
        first = api.get(f"{ALL}?page_size=10").json()
    second = api.get(first["next"]).json()

    assert [len(page["results"]) for page in (first, second)] == [10, 2]
    assert first["results"][0]["title"] == "Set 11"
    imported(1)
    change = applied()
    assert [row["ref"] for row in api.get(f"{ALL}?state=applied").json()["results"]] == [change.ref]
