"""Taking back what nobody declared, at the desk: counted first, done on the second press, confirmed by another."""

import pytest
from django.db import connection
from django.utils import timezone

from consent.models import Decision
from consent.services import open_batch
from incidents.changes import running
from incidents.changes.undeclared import look
from incidents.models import Incident, Rollback
from tests.factories import PurposeFactory, SubjectFactory, UserFactory, incident
from tests.incidents.change_sets import imported, leaves, states

pytestmark = pytest.mark.django_db
ADD = "/admin/incidents/rollback/add/"


@pytest.fixture
def anna(client):
    user = UserFactory(role="Officer", username="anna")
    client.force_login(user)
    return user


def batch_of(people):
    return str(Decision.objects.filter(subject__in=people, explicit=False).values_list("batch", flat=True)[0])


def fields(**given):
    return {"by": "batch", "db_user": "x", "reason": "Read from the wrong file", **given}


def press(client, rollback, verb, **given):
    address = f"/admin/incidents/rollback/{rollback.pk}/{verb}/"
    assert client.get(address).status_code == 200
    client.post(address, {"_form_submitted": "True", **given})
    rollback.refresh_from_db()


def page(client, rollback):
    return client.get(f"/admin/incidents/rollback/{rollback.pk}/change/").content.decode()


def test_the_first_press_only_counts_and_the_second_does_it(client, anna):
    people = imported(4)
    leaves(people[0])
    given = fields(batch=batch_of(people))

    counted = client.post(ADD, given).content.decode()

    assert '<p class="hf-value">4</p>' in counted
    assert "decisions of 4 people would be taken back; 0 of them are opt-outs that nobody chose" in counted
    assert "Take back 4 decisions" in counted
    assert not Rollback.objects.exists()
    done = client.post(ADD, {**given, "counted": "4/0", "take_back": "1"})
    made = Rollback.objects.get()
    assert done["Location"] == f"/admin/incidents/rollback/{made.pk}/change/"
    running.run_due()
    assert states(*people) == ["opt_out", None, None, None]
    text = page(client, made)
    assert "voided <b>4</b>" in text
    assert "what was written with the batch" in text
    assert made.incident.title == "Writes that nobody declared are taken back"


def test_other_numbers_than_were_read_are_read_again(client, anna):
    given = fields(batch=batch_of(imported(4)))

    again = client.post(ADD, {**given, "counted": "3/0", "take_back": "1"}).content.decode()

    assert "These are other numbers than you read before" in again
    assert not Rollback.objects.exists()


def test_opt_outs_that_nobody_chose_take_a_second_person(client, anna):
    people = imported(3, "opt_out")
    given = fields(batch=batch_of(people), incident=incident("Wrong file").pk)

    assert "A second person must confirm it" in client.post(ADD, given).content.decode()
    client.post(ADD, {**given, "counted": "3/3", "take_back": "1"})
    made = Rollback.objects.get()
    running.run_due()
    assert (made.state, states(*people)) == ("waiting", ["opt_out"] * 3)
    assert f"{made.pk}/confirm/" not in page(client, made)
    press(client, made, "confirm")
    assert made.state == "waiting"

    client.force_login(UserFactory(role="Responder", username="rosa"))
    assert f"{made.pk}/confirm/" in page(client, made)
    press(client, made, "confirm")
    assert (made.state, made.confirmed_by) == ("running", "user:rosa")
    part = client.get(f"/admin/incidents/rollback/{made.pk}/progress/").content.decode()
    assert 'data-busy="true"' in part
    running.run_due()
    assert states(*people) == [None] * 3
    of_incident = client.get(f"/admin/incidents/incident/{made.incident_id}/change/?tab=changes").content.decode()
    assert f"Rollback {made.pk} of undeclared writes" in of_incident


def test_what_waits_is_given_up_with_a_reason(client, anna):
    given = fields(batch=batch_of(imported(2, "opt_out")))
    client.post(ADD, {**given, "counted": "2/2", "take_back": "1"})
    made = Rollback.objects.get()

    press(client, made, "cancel", reason="It was right after all")

    assert made.state == "cancelled"
    assert f"{made.pk}/cancel/" not in page(client, made)


def test_a_session_is_found_by_its_login_and_interval_in_the_viewers_zone(client, anna):
    imported(3)
    with connection.cursor() as cursor:
        cursor.execute("SELECT db_user FROM consent_decision LIMIT 1")
        login = cursor.fetchone()[0]
    now = timezone.now()
    span = {"since_0": f"{now:%Y-%m-%d}", "since_1": "00:00:00", "until_0": "2099-01-01", "until_1": "00:00:00"}

    found = client.post(ADD, fields(by="session", db_user=login, **span)).content.decode()
    other = client.post(ADD, fields(by="session", db_user="nobody", **span)).content.decode()

    assert "Take back 3 decisions" in found
    assert "There is nothing to take back" in other
    assert "Take back 0" not in other


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"by": "tx"}, "Say this, to find them so."),
        ({"by": "session", "db_user": "x"}, "Say this, to find them so."),
        ({"by": "batch", "batch": "nonsense"}, "Enter a valid UUID."),
        ({"by": "tx", "tx": 5, "reason": ""}, "This field is required."),
        (
            {"by": "session", "db_user": "x", "since_0": "2026-01-02", "since_1": "00:00", "until_0": "2026-01-01",
             "until_1": "00:00"},
            "the earlier one first",
        ),
    ],
)  # fmt: skip
def test_what_does_not_say_which_writes_is_refused_beside_its_field(client, anna, given, said):
    answer = client.post(ADD, fields(**given))

    assert said in answer.content.decode()
    assert not Rollback.objects.exists()


@pytest.mark.parametrize("role", ["Support", "Auditor"])
def test_who_may_not_take_back_does_not_get_there(client, role):
    given = fields(batch=batch_of(imported(2, "opt_out")))
    made = Rollback.objects.create(predicate={"tx": 1}, reason="x", state="waiting", started_by="user:zoe")
    client.force_login(UserFactory(role=role))

    assert client.get(ADD).status_code == client.post(ADD, given).status_code == 403
    for verb in ("confirm", "cancel"):
        assert client.get(f"/admin/incidents/rollback/{made.pk}/{verb}/").status_code == 403


def test_a_look_counts_without_touching_anything():
    people = imported(3)
    batch = open_batch("import", reason="Another", by="user:anna")
    PurposeFactory(code="marketing")
    leaves(SubjectFactory())
    before = Decision.objects.count()

    met = look({"batch": batch_of(people)})

    assert (met.item_count, met.opt_out_count, met.people_count, met.explicit_count) == (3, 0, 3, 0)
    assert not met.needs_second
    assert look({"batch": str(batch.pk)}).item_count == 0
    assert look({"tx": 2**63 - 1}).item_count == 0
    assert (Decision.objects.count(), Incident.objects.count(), Rollback.objects.count()) == (before, 0, 0)
