"""A run asks everything, keeps every answer, and is told where it changed something; its age is seen by who looks."""

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from consent.models import Consent
from consent.services import record
from incidents import validation
from incidents.dashboard import dashboard
from incidents.invariants import INVARIANTS
from incidents.invariants.found import unmeasured
from incidents.models import DetectionCursor, ValidationRun
from incidents.services import contain
from incidents.validation import running
from tests.factories import (
    DriftRepairFactory,
    PurposeFactory,
    SubjectFactory,
    UserFactory,
    ValidationRunFactory,
    incident,
    opt_out,
)
from tests.incidents.hands import HASHED, by_hand

PASS, FAIL, INCONCLUSIVE = ValidationRun.Verdict


@pytest.fixture(autouse=True)
def marketing(request):
    request.getfixturevalue("committed" if "committed" in request.fixturenames else "db")
    return PurposeFactory(code="marketing")


@pytest.fixture
def bent(committed):
    """An opt-out in whose history a version is missing."""
    [row] = record([opt_out(SubjectFactory())])
    by_hand(
        committed, "UPDATE consent_historicalconsent SET version = 2", "UPDATE consent_consent SET version = 2", HASHED
    )
    return Consent.objects.get(subject_id=row.subject_id)


def answers(made):
    return dict(made.checks.values_list("invariant", "verdict"))


def test_a_run_answers_for_each_invariant_and_says_why_it_could_not_tell():
    made = validation.run()

    found = answers(made)
    assert list(found) == list(INVARIANTS)
    assert set(found.values()) == {"met", "unmeasured"}
    assert made.verdict == INCONCLUSIVE  # the state was not compared with the whole log yet
    assert not made.checks.filter(verdict="unmeasured", words="").exists()


def test_a_day_on_which_nothing_happened_is_no_doubt():
    made = validation.run(is_full=True)

    assert made.unmeasured == ["I7", "I8", "I11"]  # nobody went, nobody came, nobody trained
    assert made.verdict == PASS


def test_one_that_cannot_be_asked_is_unmeasured_and_keeps_no_other_from_being_asked(committed):
    with committed.connect("superuser") as session:
        session.execute("ALTER TABLE incidents_decisionminute RENAME TO mislaid")

    made = validation.run(is_full=True)

    check = made.checks.get(invariant="I8")
    assert (check.verdict, "could not be asked" in check.words) == ("unmeasured", True)
    assert made.verdict == FAIL  # a table that was shipped is gone
    assert answers(made)["I12"] == "met"


def test_a_breach_is_told_on_open_incidents_where_the_verdict_changes_and_not_each_time(bent):
    other = incident("Relay down")

    first = validation.run()
    validation.run()

    assert first.broken == ["I5"]
    assert first.incident.dedup_key == "zero:I5"
    lines = other.timeline.filter(kind="detector", actor="system:validation")
    assert [line.text for line in lines] == ["Validation: broken: I5."]
    assert lines[0].evidence == f"validation run {first.pk}"
    contain(first.incident, reason="Nobody knows more", by="user:anna")
    validation.run(is_full=True)
    assert lines.order_by("seq").last().text == "Validation: nothing broken. Before: broken: I5."


def test_offenders_are_twenty_at_most_and_a_digest_of_all(committed):
    record([opt_out(f"person{n}@example.org") for n in range(30)])
    by_hand(
        committed, "UPDATE consent_historicalconsent SET version = 2", "UPDATE consent_consent SET version = 2", HASHED
    )

    check = validation.run().checks.get(invariant="I5")

    assert (check.count, len(check.offenders), len(check.offenders_digest)) == (30, 20, 32)


@pytest.mark.parametrize("model", ["validationrun", "validationcheck", "driftrepair"])
def test_what_was_answered_is_never_changed(bent, committed, model):
    made = validation.run()
    made.scope = "nothing"

    with pytest.raises(PermissionDenied):
        made.save()
    with committed.connect("holdfast_auditor") as auditor:
        assert auditor.execute(f"SELECT count(*) FROM incidents_{model}".encode()).fetchone()[0] >= 0


def test_it_is_time_every_five_minutes_and_every_half_while_something_burns():
    assert validation.keep() == 1
    assert validation.keep() == 0
    DetectionCursor.objects.filter(name=running.CLAIM).update(moment=timezone.now() - timedelta(seconds=40))
    assert validation.keep() == 0
    incident("Practice", mode="drill")
    assert validation.keep() == 0

    incident("Relay down")

    assert validation.keep() == 1
    assert list(ValidationRun.objects.order_by("started_at").values_list("trigger", flat=True)) == [
        "periodic", "incident",
    ]  # fmt: skip


# About the keys of a change


def test_a_change_is_judged_by_its_own_keys(bent):
    [other] = record([opt_out(SubjectFactory())])
    good = Consent.objects.get(subject_id=other.subject_id)

    fine = validation.of_keys([good.pk], scope="CS-12 batch 1")
    broken = validation.of_keys([good.pk, bent.pk], scope="CS-12 batch 2")

    assert (fine.verdict, broken.verdict, broken.broken) == (PASS, FAIL, ["I5"])
    assert list(answers(fine)) == ["I2", "I4", "I5", "I10"]
    assert broken.incident is None
    assert not ValidationRun.objects.of_everything().exists()


def test_a_flipped_opt_out_among_them_breaks_i2_and_i4(committed):
    record([opt_out(SubjectFactory())])
    by_hand(committed, "UPDATE consent_consent SET state = 'opt_in', explicit = false")

    made = validation.of_keys([Consent.objects.get().pk], scope="CS-12 batch 3")

    assert made.broken == ["I2", "I4"]
    assert Consent.objects.get().state == "opt_in"  # taking it back is the change's


def test_no_keys_are_no_answer_and_too_many_are_refused():
    assert validation.of_keys([], scope="CS-12 batch 4").verdict == INCONCLUSIVE
    with pytest.raises(ValidationError, match="10,000"):
        validation.of_keys(range(10_001), scope="CS-12")


# What operators see


def test_the_command_prints_all_and_ends_well_where_nothing_is_broken():
    told = StringIO()

    call_command("check_integrity", full=True, stdout=told)

    text = told.getvalue()
    assert len(text.splitlines()) == 13
    assert "I2   met" in text
    assert "I11  unmeasured  A drill stays in its cohort: There was no drill yet." in text


def test_the_command_ends_with_one_where_something_is_broken(bent):
    told = StringIO()

    with pytest.raises(CommandError, match="Broken: I5") as refused:
        call_command("check_integrity", json=True, stdout=told)

    assert refused.value.returncode == 1
    body = json.loads(told.getvalue())
    assert body["verdict"] == "fail"
    check = next(one for one in body["checks"] if one["invariant"] == "I5")
    assert (check["verdict"], check["count"]) == ("breached", 1)
    assert check["offenders"][0].startswith("I5:")


def test_the_command_ends_with_two_where_nobody_can_tell(monkeypatch):
    monkeypatch.setattr(running, "INVARIANTS", {"I4": replace(INVARIANTS["I4"], ask=lambda look: unmeasured("Away."))})

    with pytest.raises(CommandError, match="Nobody can tell: I4") as refused:
        call_command("check_integrity", stdout=StringIO())

    assert refused.value.returncode == 2


def test_readyz_says_when_it_last_was_and_what_is_broken(client):
    assert client.get("/readyz").json()["validation"]["verdict"] is None

    ValidationRunFactory(verdict="fail", broken=["I3"], unmeasured=["I11"])

    told = client.get("/readyz").json()["validation"]
    assert (told["verdict"], told["broken"], told["every_seconds"]) == ("fail", ["I3"], 300)
    assert told["seconds_ago"] in (0, 1)
    assert told["states_compared_seconds_ago"] is None


def test_prometheus_gets_no_number_for_what_is_unmeasured(client):
    validation.run(is_full=True)

    text = client.get("/metrics").content.decode()

    assert 'holdfast_invariant{id="I2"} 1.0' in text
    assert 'holdfast_invariant{id="I11"}' not in text
    assert "holdfast_validation_age_seconds 0" in text
    assert "holdfast_state_sweep_age_seconds" in text


def card(rf):
    request = rf.get("/admin/")
    request.user = UserFactory(is_superuser=True)
    return next(card for card in dashboard(request, {})["cards"] if card.title == "Promises")


def test_the_dashboard_says_what_is_broken_and_how_old_the_answer_is(rf):
    never = card(rf)
    ValidationRunFactory(unmeasured=["I11"])
    DetectionCursor.objects.create(name="sweep:drift:round", moment=timezone.now() - timedelta(seconds=30))
    kept = card(rf)
    ValidationRunFactory(verdict="fail", broken=["I2", "I5"])
    broken = card(rf)
    DetectionCursor.objects.update(moment=timezone.now() - timedelta(hours=1))

    assert (never.value, never.tone) == ("not asked yet", "warning")
    assert (kept.value, kept.tone, kept.notes[2]) == ("kept", "", "nobody can tell: A drill stays in its cohort")
    assert (broken.value, broken.tone) == ("I2, I5 broken", "danger")
    assert "I5 is broken: History is whole" in broken.notes
    assert "states compared 60 min ago" in card(rf).notes


def test_a_run_has_a_page_with_every_answer(client):
    client.force_login(UserFactory(role="Auditor"))
    empty = client.get("/admin/incidents/validationrun/").content.decode()
    made = validation.run(is_full=True)

    page = client.get(f"/admin/incidents/validationrun/{made.pk}/change/").content.decode()
    listed = client.get("/admin/incidents/validationrun/").content.decode()

    assert "Nothing was asked yet" in empty
    assert "not yet compared with the whole log" in empty
    assert all(one.title.replace("'", "&#x27;") in page for one in INVARIANTS.values())
    assert "There was no drill yet." in page
    assert "The invariants are asked every 300 seconds." in listed


def test_the_list_says_that_nobody_came(client):
    client.force_login(UserFactory(role="Auditor"))
    then = timezone.now() - timedelta(hours=2)
    ValidationRunFactory(started_at=then, ended_at=then)

    assert "Nobody came for it in time" in client.get("/admin/incidents/validationrun/").content.decode()


def test_what_a_run_costs_does_not_grow_with_the_log(committed, django_assert_max_num_queries):
    record([opt_out(f"person{n}@example.org") for n in range(1500)])
    validation.run(is_full=True)
    validation.run()

    looked = {check.invariant: check.looked_at for check in validation.run().checks.all()}

    assert max(looked[code] for code in ("I2", "I10")) <= 1000
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM consent_decision")
        assert cursor.fetchone()[0] == 1500


def test_a_repair_says_in_words_what_was_found_and_what_is_left_to_people(client):
    client.force_login(UserFactory(role="Officer"))
    repair = DriftRepairFactory(
        kinds={"missing": 2, "lost": 1}, count=3, repaired=2, reversed_count=2, left=["7/marketing/email"]
    )

    page = client.get(f"/admin/incidents/driftrepair/{repair.pk}/change/").content.decode()
    listed = client.get("/admin/incidents/driftrepair/").content.decode()

    assert "1 × a state whose decision is gone from the log, or was rewritten; 2 × a choice whose row is gone" in page
    assert "<code>7/marketing/email</code>" in page
    assert "2 × a choice whose row is gone" in listed
