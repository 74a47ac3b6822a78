"""States that somebody bent with the triggers off are found, put right and told; what people do meanwhile stays."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import DatabaseError, connection, connections

from consent import drift
from consent.models import Consent, Decision, GuardChange, Purpose, Subject
from consent.services import Query, check, guard_level, open_batch, record, void_batch
from incidents import validation
from incidents.models import DetectionCursor, DriftRepair, Incident, LookCursor
from incidents.services import contain
from incidents.validation import drifting
from messaging.models import SendHold
from tests.database.conftest import drift as not_as_the_log_says
from tests.database.conftest import gaps
from tests.factories import PurposeFactory, SubjectFactory, opt_in, opt_out
from tests.incidents.hands import by_hand

pytestmark = pytest.mark.usefixtures("marketing")


@pytest.fixture
def marketing(committed):
    PurposeFactory(code="marketing")
    Purpose.objects.update(regime="opt_out")  # silence is a yes: whatever hides an opt-out changes an answer


@pytest.fixture
def look(committed):
    with committed.connect("superuser") as session:
        yield session


def people(count):
    return [row.subject_id for row in record([opt_out(f"person{n}@example.org") for n in range(count)])]


def sweep_once():
    """A whole round of the running sweep, as workers go through it."""
    while validation.keep_states() or not DetectionCursor.objects.filter(
        name="sweep:drift:round", moment__isnull=False
    ):
        pass


def days_later():
    """All was compared, and what happened since does not lie at the end of the log."""
    sweep_once()
    DetectionCursor.objects.filter(name="sweep:drift:round").update(moment=None)


def allowed(ids):
    return [answer.allowed for answer in check([Query(i, "marketing", "email") for i in ids])]


def test_a_thousand_flipped_opt_outs_are_put_right_by_one_round_and_told(committed, look):
    ids = people(1000)
    days_later()
    by_hand(committed, "UPDATE consent_consent SET state = 'opt_in', explicit = false")
    assert any(allowed(ids))

    sweep_once()

    assert not any(allowed(ids))
    assert (not_as_the_log_says(look), gaps(look)) == ([], [])
    [repair] = DriftRepair.objects.all()
    assert (repair.count, repair.repaired, repair.reversed_count, repair.left) == (1000, 1000, 1000, [])
    assert (len(repair.sample), repair.found_by) == (20, "sweep")
    opened = Incident.objects.get()
    assert (opened.severity, opened.dedup_key, opened.type) == ("sev1", "drift", "bulk_resubscribe")
    told = " ".join(opened.timeline.values_list("text", flat=True))
    assert "1,000 states not as the log says" in told
    assert "1,000 put right" in told
    assert guard_level() == "freeze"
    assert set(SendHold.objects.values_list("value", flat=True)) == {"operational", "consent_update"}


def test_a_deleted_choice_comes_back_where_its_history_ended(committed, look):
    [subject] = people(1)
    before = Consent.objects.get()
    by_hand(committed, "DELETE FROM consent_consent")
    assert allowed([subject]) == [True]

    sweep_once()

    after = Consent.objects.get()
    assert (after.pk, after.version, after.decision_id) == (before.pk, before.version + 1, before.decision_id)
    assert allowed([subject]) == [False]
    assert gaps(look) == []
    assert DriftRepair.objects.get().kinds == {"missing": 1}


def test_a_choice_whose_projection_was_switched_off_is_made_up_for_at_once(committed):
    with committed.connect("superuser") as session:
        session.execute("ALTER TABLE consent_decision DISABLE TRIGGER b_project")
    subject = SubjectFactory()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor) "
            "VALUES (%s, 'marketing', 'email', 'opt_out', true, 'support', now(), 'x')",
            [subject.pk],
        )

    assert drifting.mend_news() == 1

    assert allowed([subject.pk]) == [False]
    assert DriftRepair.objects.get().found_by == "changes"


def test_where_row_and_decision_are_gone_the_history_is_believed_and_people_are_told(committed):
    [subject] = people(1)
    by_hand(committed, "DELETE FROM consent_consent", "DELETE FROM consent_decision")

    sweep_once()
    sweep_once()

    assert allowed([subject]) == [False]
    repair = DriftRepair.objects.get()  # told once
    assert (repair.kinds, repair.left) == ({"missing": 1}, [f"{subject}/marketing/email"])


def test_an_opt_out_whose_decision_was_deleted_is_not_projected_away(committed):
    [subject] = people(1)
    by_hand(committed, "DELETE FROM consent_decision")

    sweep_once()
    validation.keep_states()

    assert allowed([subject]) == [False]
    repair = DriftRepair.objects.get()
    assert (repair.kinds, repair.repaired, len(repair.left)) == ({"lost": 1}, 0, 1)
    found = validation.run()
    assert found.broken == ["I1", "I4"]


REWRITTEN = {
    "into an opt-in": "choice = 'opt_in'",
    "into nobody's choice": "explicit = false",
    "into nobody's opt-in": "choice = 'opt_in', explicit = false",
    "into another person's": "subject_id = (SELECT max(id::text)::uuid FROM consent_subject)",
    "into one about something else": "purpose = 'news'",
    "into an old one": "decided_at = '2001-01-01'",
}


@pytest.mark.parametrize("facts", REWRITTEN.values(), ids=REWRITTEN)
def test_a_decision_that_was_rewritten_is_carried_out_by_no_repair(committed, facts):
    PurposeFactory(code="news")
    Subject(pk="ffffffff-ffff-ffff-ffff-ffffffffffff").save()
    [subject] = people(1)
    before = Consent.objects.get()
    by_hand(committed, f"UPDATE consent_decision SET {facts}")

    sweep_once()
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="an explicit opt-out stands"):
        cursor.execute("SELECT consent_reproject(%s)", [[before.pk]])

    after = Consent.objects.get(pk=before.pk)
    assert (after.state, after.explicit, after.decided_at) == ("opt_out", True, before.decided_at)
    assert DriftRepair.objects.get(kinds__has_key="lost").left == [f"{subject}/marketing/email"]
    assert "I1" in validation.run().broken


def test_an_opt_out_that_decision_and_state_were_rewritten_about_is_recorded_again_from_its_history(committed, look):
    ids = people(3)
    days_later()
    by_hand(
        committed,
        "UPDATE consent_decision SET choice = 'opt_in'",
        "UPDATE consent_consent SET state = 'opt_in'",
    )
    assert allowed(ids) == [True, True, True]

    sweep_once()

    assert allowed(ids) == [False, False, False]
    assert not_as_the_log_says(look) == []
    repair = DriftRepair.objects.get()
    assert (repair.kinds, repair.repaired, repair.reversed_count, repair.left) == ({"lost": 3}, 3, 3, [])
    again = Decision.objects.filter(actor="system:drift")
    assert set(again.values_list("choice", "explicit", "cause")) == {("opt_out", True, "repair")}
    assert guard_level() == "freeze"


def test_one_opt_out_that_cannot_be_recorded_again_keeps_no_other_waiting(committed):
    ids = people(2)
    by_hand(
        committed,
        "UPDATE consent_decision SET choice = 'opt_in'",
        f"UPDATE consent_consent SET state = 'opt_in', purpose = CASE subject_id WHEN '{ids[0]}' THEN 'gone' "
        "ELSE purpose END",
        f"UPDATE consent_historicalconsent SET purpose = 'gone' WHERE subject_id = '{ids[0]}'",
    )

    sweep_once()

    assert allowed(ids)[1] is False
    assert f"{ids[0]}/gone/email" in {name for repair in DriftRepair.objects.all() for name in repair.left}


def test_choices_that_nobody_made_are_restored_as_the_log_says_too(committed, look):
    batch = open_batch("import", reason="Old list", by="user:ben")
    anna, ben = SubjectFactory().pk, SubjectFactory().pk
    record([opt_in(anna, explicit=False, cause="import", batch_id=batch.pk), opt_in(ben)])
    void_batch(batch, reason="Wrong list", by="user:ben")
    by_hand(committed, "UPDATE consent_consent SET state = 'opt_in', explicit = true, decision_id = "
                       "(SELECT max(id) FROM consent_decision)")  # fmt: skip

    sweep_once()

    assert not_as_the_log_says(look) == []
    assert Consent.objects.get(subject=anna).state is None
    assert Incident.objects.get().type == "drift"
    assert guard_level() == "protect"
    assert not SendHold.objects.exists()  # no opt-out was touched


def test_what_people_do_is_never_drift(committed):
    ids = people(50)
    record([opt_out(i, "*", "*") for i in ids[:20]])
    record([opt_in(SubjectFactory().pk) for _ in range(20)])

    sweep_once()
    drifting.mend_everything()

    assert not DriftRepair.objects.exists()
    assert not Incident.objects.exists()


def test_everything_at_once_finds_what_the_round_would(committed, look):
    people(30)
    by_hand(
        committed,
        "UPDATE consent_consent SET state = 'opt_in' WHERE id % 3 = 0",
        "DELETE FROM consent_consent WHERE id % 3 = 1",
    )

    found = drifting.mend_everything()

    assert found == sum(DriftRepair.objects.values_list("count", flat=True)) == 20
    assert not_as_the_log_says(look) == []
    assert Consent.objects.filter(state="opt_out").count() == 30


def test_one_that_the_database_refuses_keeps_no_other_waiting(committed):
    ids = people(3)
    taken = Consent.objects.get(subject=ids[0])
    by_hand(
        committed,
        f"DELETE FROM consent_consent WHERE id = {taken.pk}",
        f"UPDATE consent_consent SET id = {taken.pk} WHERE subject_id = '{ids[1]}'",
        f"UPDATE consent_consent SET state = 'opt_in' WHERE subject_id = '{ids[2]}'",
    )

    sweep_once()

    assert allowed(ids)[2] is False
    assert ids[0] in {one.subject_id for one in drift.closer([(ids[0], "marketing", "email")])}
    assert f"{ids[0]}/marketing/email" in {name for repair in DriftRepair.objects.all() for name in repair.left}


def test_opt_outs_that_arrive_while_it_is_put_right_stand(committed, look):
    ids = people(200)
    others = [SubjectFactory().pk for _ in range(100)]
    by_hand(committed, "UPDATE consent_consent SET state = 'opt_in', explicit = false")
    ready = threading.Barrier(3)

    def choose(mine):
        try:
            ready.wait()
            for subject in mine:
                record([opt_out(subject), opt_out(ids[mine.index(subject)], "*", "sms")])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(choose, others[start::2]) for start in range(2)]
        ready.wait()
        sweep_once()
        for one in done:
            one.result()

    assert (not_as_the_log_says(look), gaps(look)) == ([], [])
    assert not any(allowed(ids + others))


def test_a_slice_costs_what_is_in_it_and_a_rest_costs_nothing(committed):
    people(60)
    sweep_once()

    assert drifting.STATES.slice(drift.SLICE) is None  # it rests
    DetectionCursor.objects.filter(name="sweep:drift:round").update(moment=None)
    assert drifting.STATES.slice(25) == 0
    place = LookCursor.objects.get(name="sweep:drift:position")
    assert place.last_id == Consent.objects.order_by("pk")[24].pk


@pytest.mark.parametrize("role", ["holdfast_oncall", "holdfast_auditor"])
def test_nobody_but_the_site_restores(committed, role):
    with committed.connect(role) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("SELECT consent_restore('{}', '{}', '{}')")


def test_restoring_what_is_there_changes_nothing(committed):
    [subject] = people(1)
    before = Consent.history.count()
    with connection.cursor() as cursor:
        cursor.execute("SELECT consent_restore(%s::uuid[], '{marketing}', '{email}')", [[subject]])
        assert cursor.fetchone() == (0,)

    assert Consent.history.count() == before


def test_the_incident_is_contained_and_the_next_flip_is_a_new_one(committed):
    people(2)
    by_hand(committed, "UPDATE consent_consent SET state = 'opt_in', explicit = false")
    sweep_once()
    contain(Incident.objects.get(), reason="The login is gone", by="user:anna")
    validation.keep()
    assert GuardChange.objects.order_by("-pk").first().level == "observe"
    assert not SendHold.objects.filter(released_at=None).exists()
    by_hand(committed, "UPDATE consent_consent SET state = 'opt_in', explicit = false")
    DetectionCursor.objects.filter(name="sweep:drift:round").update(moment=None)

    sweep_once()

    assert DriftRepair.objects.count() == 2
