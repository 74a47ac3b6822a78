"""Change sets among others: who goes round the guards, who chooses while a set is taken back, who dies in between."""

from contextlib import contextmanager
from threading import Thread

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from consent.models import Consent, DecisionVoid
from incidents.changes import applying, judging, rolling_back, running
from incidents.models import ChangeSet, Incident
from tests.factories import SubjectFactory
from tests.incidents.change_sets import (
    IN,
    OUT,
    applied,
    approved,
    begun,
    drifted,
    fresh,
    imported,
    leaves,
    officer,
    one_step,
    states,
    taken_back,
)

State = ChangeSet.State
LISTED_OUT = {"purpose": "marketing", "explicit": False}


@contextmanager
def by_force(cluster, table="consent_consent"):
    """A superuser for whom no trigger of the table holds."""
    with cluster.connect("superuser") as superuser:
        superuser.execute("SET lock_timeout = '5s'")
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        yield superuser
        superuser.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER".encode())


def test_staged_rows_that_somebody_wrote_into_are_not_applied(committed):
    imported(2)
    change = approved(OUT)
    with by_force(committed, "incidents_plannedwrite") as superuser:
        superuser.execute("UPDATE incidents_plannedwrite SET choice = 'opt_in'")

    with pytest.raises(ValidationError, match="not those that were approved"):
        applying.apply(change, by="user:anna")


def test_a_bad_batch_stops_the_set_and_everything_is_taken_back(committed):
    people = imported(4, choice="opt_out")
    own = SubjectFactory().pk
    leaves(own)
    change = begun(IN, selector=LISTED_OUT, batch_size=2)
    one_step()  # the first batch is written
    one_step()  # and passes
    one_step()  # the second is written, and then somebody goes round every guard
    with by_force(committed) as superuser:
        superuser.execute(
            "UPDATE consent_consent SET state = NULL, decision_id = NULL WHERE subject_id = %s", [people[3]]
        )

    running.run_due()
    running.run_due()

    change = fresh(change)
    assert change.state == State.ROLLED_BACK
    assert [batch.state for batch in change.batches.all()] == ["passed", "failed"]
    assert "I4" in " ".join(change.batches.last().words)
    assert states(*people, own) == ["opt_out"] * 5
    assert drifted() == 0
    told = Incident.objects.get(caused_by_change_set=change.ref)
    assert (told.severity, told.type) == ("sev1", "bulk_resubscribe")
    assert "A second run changed 0 keys" in " ".join(told.timeline.values_list("text", flat=True))


def test_an_opt_out_that_somebody_reversed_by_force_is_a_breach_of_i2(committed):
    leaver, _ = imported(2, choice="opt_out")
    change = approved(IN, selector=LISTED_OUT)
    leaves(leaver)
    change = applying.apply(change, by="user:anna")
    one_step()
    with by_force(committed) as superuser:
        superuser.execute(
            "UPDATE consent_consent SET state = 'opt_in', explicit = false WHERE subject_id = %s", [leaver]
        )

    verdict = judging.verdict(fresh(change), judging.of_batch(change.batches.get()))

    assert verdict.verdict == judging.BREACHED
    assert "I2: 1 opt-outs were reversed" in " ".join(verdict.words)
    assert len(verdict.words) == len(judging.CHECKS)


def test_a_set_is_taken_back_while_people_choose_and_their_choices_stand(committed):
    """They choose before their portion is voided, and while others are: nobody's choice is lost, nobody waits."""
    people = imported(40, choice="opt_out")
    change = applied(IN, selector=LISTED_OUT, batch_size=10)
    assert set(states(*people)) == {"opt_in"}
    rolling_back.PORTION, before = 5, rolling_back.PORTION
    try:
        made = rolling_back.roll_back(change, reason="The wrong list.", by=officer())
        leaves(people[35])  # before anything of it is done
        one_step(running.ROLLBACKS)
        leaves(people[0])
        leaving = Thread(target=lambda: [leaves(person) for person in people[10:30]] and connection.close())
        leaving.start()
        running.run_due()
        leaving.join()
        running.run_due()
    finally:
        rolling_back.PORTION = before

    made = fresh(made)
    assert fresh(change).state == State.ROLLED_BACK
    assert set(states(*people)) == {"opt_out"}
    own = [people[0], people[35], *people[10:30]]
    assert Consent.objects.explicitly_opted_out().filter(subject__in=own).count() == len(own)
    assert (made.voided_count, made.rewritten_again, made.weakened_count) == (40, 0, 0)
    assert drifted() == 0


def test_a_rollback_that_was_killed_goes_on_and_a_second_one_changes_nothing(committed):
    people = imported(6)
    change = applied(OUT, batch_size=3)
    rolling_back.PORTION, before = 2, rolling_back.PORTION
    try:
        made = taken_back(change, "The wrong list.")
        one_step(running.ROLLBACKS)
        assert DecisionVoid.objects.count() == 2
        running.run_due()
    finally:
        rolling_back.PORTION = before

    assert states(*people) == ["opt_in"] * 6
    assert DecisionVoid.objects.count() == 6
    versions = sum(Consent.objects.values_list("version", flat=True))
    with pytest.raises(ValidationError, match="cannot be done"):
        rolling_back.roll_back(fresh(change), reason="Again.", by=officer())
    with connection.cursor() as cursor:
        cursor.execute("SELECT consent_reproject(array(SELECT id FROM consent_consent))")
        assert cursor.fetchone()[0] == 0
    assert sum(Consent.objects.values_list("version", flat=True)) == versions
    assert fresh(made).rewritten_again == 0
