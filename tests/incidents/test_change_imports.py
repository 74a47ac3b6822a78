"""A file that would opt people in is written by a change set: planned with whom it must not touch, approved, undone."""

import pytest
from django.core.exceptions import ValidationError

from consent.bulk import Instruction
from consent.importing import staging
from consent.importing.staging import Upload
from consent.models import Identifier, Import
from consent.services import may_contact, record
from incidents.changes import applying, deciding, planning, running
from incidents.changes.staging import bring
from incidents.models import ChangeSet
from tests.factories import PurposeFactory, SubjectFactory, UserFactory, email, opt_out
from tests.incidents.change_sets import draft, fresh, officer, taken_back

pytestmark = pytest.mark.django_db
LINES = """email,choice,decided_at
anna@example.org,opt_in,2026-03-01 12:00
ben@example.org,opt_in,2026-03-01 12:00
cem@example.org,opt_out,
"""


@pytest.fixture(autouse=True)
def marketing():
    return PurposeFactory(code="marketing")


def brought(text=LINES, **facts):
    file = staging.take(Upload(data=text.encode(), purpose="marketing", name="list.csv"), by="user:anna")
    return draft({"operation": "import", "args": {"file": file.ref}}, selector={}, **facts)


def carried_through(change):
    change = deciding.submit(planning.plan(change, by="user:anna"), by="user:anna")
    for _ in range(change.required_approvals):
        change = deciding.approve(change, by=officer())
    applying.apply(change, by="user:anna")
    running.run_due()
    return fresh(change)


def may(*addresses):
    return [may_contact(email(address)[0], "marketing", "email") for address in addresses]


def test_a_file_that_opts_somebody_in_who_had_left_is_stopped_before_anything_is_written():
    record([opt_out("anna@example.org")])
    change = planning.plan(brought(), by="user:anna")

    with pytest.raises(ValidationError, match="opted out"):
        deciding.submit(change, by="user:anna")

    assert (change.protected_touched, change.change_count) == (1, 2)
    assert may("anna@example.org", "ben@example.org") == [False, False]


def test_whoever_had_left_stays_out_and_the_others_are_written_and_taken_back_as_one():
    record([opt_out("anna@example.org")])

    change = carried_through(brought(leaves_protected=True))
    assert change.state == ChangeSet.State.APPLIED
    assert may("anna@example.org", "ben@example.org", "cem@example.org") == [False, True, False]

    taken_back(change, "The list was an old one")
    running.run_due()
    assert fresh(change).state == ChangeSet.State.ROLLED_BACK
    assert may("anna@example.org", "ben@example.org", "cem@example.org") == [False, False, False]


def test_the_rows_of_a_set_that_names_a_file_are_those_of_the_file():
    change, stranger = brought(), SubjectFactory()
    row = Instruction(stranger.pk, "marketing", "email", "opt_in")

    with pytest.raises(ValidationError, match="Its rows are those of IM-"):
        bring(change, [row])
    with pytest.raises(ValidationError, match="There is no IM-999: bring the file under Imports"):
        draft({"operation": "import", "args": {"file": "IM-999"}}, selector={})

    other = draft({"operation": "import"}, selector={})
    bring(other, [row])
    other = deciding.edit(other, by="user:ben", operations=change.operations)
    assert stranger.pk not in other.rows.values_list("subject_id", flat=True)
    assert other.rows.count() == 3


def test_an_edit_that_leaves_the_file_as_it_is_leaves_its_rows():
    change = brought()
    before = set(change.rows.values_list("pk", flat=True))

    change = deciding.edit(change, by="user:anna", title="Said better")

    assert set(change.rows.values_list("pk", flat=True)) == before


def test_strangers_of_the_file_are_made_known_once(client):
    first, second = brought(), brought(title="The same list again")

    assert Identifier.objects.count() == 3
    assert first.rows.count() == second.rows.count() == 3


def test_a_file_is_chosen_in_the_form_and_its_rows_come_with_the_set(client):
    client.force_login(UserFactory(role="Officer", username="anna"))
    file = staging.take(Upload(data=LINES.encode(), purpose="marketing", name="list.csv"), by="user:anna")

    client.post(
        "/admin/incidents/changeset/add/?operation=import",
        {
            "title": "List of March", "reason": "It came from the shop", "file": file.ref, "batch_size": 500,
            "interval_s": 0, "looks": 1, "failure_limit": 0, "inconclusive": "pause",
        },
    )  # fmt: skip

    change = ChangeSet.objects.get()
    assert (change.kind, change.operations[0]["args"], change.rows.count()) == ("import", {"file": file.ref}, 3)


def test_a_file_says_which_set_took_it(client):
    change = brought()
    file = Import.objects.get()
    client.force_login(UserFactory(role="Officer"))

    page = client.get(f"/admin/consent/import/{file.pk}/change/").content.decode()
    form = client.get("/admin/incidents/changeset/add/?operation=import").content.decode()

    assert f"in {change.ref}: see there" in page
    assert f"It is written by {change.ref}." in page
    assert "nothing changed yet" not in page
    assert f"{file} (in {change.ref})" in form
