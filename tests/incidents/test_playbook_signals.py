"""What playbooks ask: each signal with a value, conditions that nobody answered, and what starts by itself."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consent.models import GuardChange
from consent.services import guard_level, record, set_guard
from incidents import linking
from incidents.models import DecisionMinute, Incident, Playbook, PlaybookRun
from incidents.playbooks import attaching, hands, running
from incidents.playbooks.signals import SIGNALS, Asked
from incidents.playbooks.wording import condition
from messaging.holding import hold_sending
from messaging.models import SendHold
from tests.factories import PurposeFactory, TemplateFaultFactory, TransportHealthFactory, incident, opt_out, playbook
from tests.incidents.test_playbooks import CHOOSE, GUARD, LOOK, POST, started, states

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(second=30, microsecond=0)


def minute(count, minutes_ago=1, choice="opt_out", cause="complaint", now=NOW, **facts):
    at = now.replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
    DecisionMinute.objects.create(minute=at, count=count, choice=choice, cause=cause, **facts)


def said(name, *, of=None):
    return Asked(of or incident(), now=NOW).answer(name)


# Each signal with a value


def test_what_an_incident_says_of_itself():
    burning = incident(minutes_ago=90, type="slump", severity="sev2", dedup_key="door-1")

    asked = {name: said(name, of=burning) for name in SIGNALS if name.startswith("incident_")}

    assert asked == {
        "incident_type": "slump", "incident_severity": "sev2", "incident_status": burning.status,
        "incident_key": "door-1", "incident_source": burning.timeline.get(seq=1).source,
    }  # fmt: skip
    assert asked["incident_status"]
    assert asked["incident_source"]
    assert Asked(burning, now=burning.occurred_from + timedelta(minutes=90)).answer("age_minutes") == 90


def test_decisions_tied_to_it():
    PurposeFactory(code="marketing")
    burning = incident(detected_at=timezone.now() - timedelta(minutes=5))
    record([opt_out("reader@example.org")])
    linking.read_log()
    while linking.backfill():
        pass

    assert said("tied_decisions", of=Incident.objects.get(pk=burning.pk)) == 1


def test_opt_outs_a_minute_are_those_of_the_last_five_whole_minutes():
    minute(1000, minutes_ago=0)
    minute(20, minutes_ago=1)
    minute(5, minutes_ago=5, cause="keyword")
    minute(1000, minutes_ago=6)
    minute(1000, minutes_ago=2, choice="opt_in")

    assert said("opt_outs_per_minute") == 5


def test_a_drill_counts_its_own_and_nobody_elses():
    minute(50)
    minute(10, is_drill=True)

    assert said("opt_outs_per_minute") == 10
    assert said("opt_outs_per_minute", of=incident(mode="drill")) == 2


def test_opt_ins_that_no_person_made():
    for cause in ("import", "default", "repair", "automated_script"):
        minute(5, choice="opt_in", cause=cause)
    minute(1000, choice="opt_in", cause="subject_choice")
    minute(1000, cause="import")

    assert said("opt_ins_without_a_person_per_minute") == 4


def test_the_part_that_machines_are_suspected_of():
    assert said("scanner_share") == 0
    minute(30, cause="scanner_suspected")
    minute(10)

    assert said("scanner_share") == 0.75


def test_trouble_with_sending_and_with_texts():
    TransportHealthFactory(transport="relay", failures_in_a_row=9, failing_since=NOW - timedelta(hours=1))
    TemplateFaultFactory()
    TemplateFaultFactory(mended_at=NOW, mended_by="user:anna", mended_reason="New version")

    assert "transport-relay" in said("sending_trouble")
    assert said("open_template_faults") == 1


def test_the_guard_and_what_is_held():
    set_guard("freeze", reason="Exercise", by="user:anna")
    hold_sending("template", "opt_out_confirmation", reason="Exercise", by="user:anna")

    assert said("guard") == "freeze"
    assert said("held") == ["template:opt_out_confirmation"]


# What nobody decided


@pytest.mark.parametrize("op", ["eq", "ne", "in"])
def test_a_decision_that_was_not_made_matches_nothing(op):
    value = ["yes", "no"] if op == "in" else "no"
    unasked = CHOOSE | {"when": [{"signal": "guard", "op": "eq", "value": "freeze"}]}

    run = started(unasked, GUARD | {"when": [{"signal": "decision", "step": "choose", "op": op, "value": value}]}, POST)

    assert states(run) == ["skipped", "skipped", "succeeded"]
    assert run.step_runs.get(key="guard").reason == "Not needed: “Choose” was not answered."


def test_what_was_decided_is_told_in_the_words_that_people_chose():
    wanted = {"signal": "decision", "step": "choose", "op": "eq", "value": "yes"}
    run = started(CHOOSE, GUARD | {"when": [wanted]}, LOOK | {"expect": [wanted | {"value": "no"}]})

    hands.decide(run, "no", reason="Clear", by="user:anna")
    running.run_due()

    assert run.step_runs.get(key="guard").reason == "Not needed: “Choose” was “No”."
    assert run.step_runs.get(key="look").output == {"choose": "no"}
    assert condition(wanted, run.steps) == "“Choose” was “Yes”"


# What starts by itself


def begun(incident):
    found = PlaybookRun.objects.filter(incident=incident, trigger="signal").order_by("playbook__slug")
    return [run.playbook.slug for run in found.select_related("playbook")]


def test_a_shipped_playbook_starts_by_its_signal_and_acts():
    burning = incident(dedup_key="zero:I2:marketing")

    attaching.start_by_signals()
    running.run_due()

    assert begun(burning) == ["mass-re-subscribe"]
    assert guard_level() == "freeze"
    assert SendHold.objects.active(timezone.now()).get().value == "bulk"


def test_two_that_one_incident_calls_for_start_at_once_and_a_third_does_not():
    for minutes_ago in range(1, 7):
        minute(60, minutes_ago, choice="opt_in", cause="import", now=timezone.now())
    drifted, other = incident(type="drift"), incident(type="slump")

    assert attaching.start_by_signals() == 2
    running.run_due()

    assert begun(drifted) == ["mass-re-subscribe", "stale-restore"]
    assert begun(other) == []
    assert GuardChange.objects.filter(level="freeze").count() == 1
    assert SendHold.objects.count() == 1
    assert "opt ins without a person per minute ≥ 50" in PlaybookRun.objects.order_by("pk")[0].reason


def test_a_playbook_that_is_switched_off_starts_for_nothing():
    Playbook.objects.update(is_active=False)
    incident(dedup_key="zero:I2:marketing")

    assert attaching.start_by_signals() == 0


@pytest.mark.parametrize(
    "wanted",
    [
        {"signal": "incident_type", "op": "eq", "value": "opt_out_late"},
        {"signal": "incident_type", "op": "in", "value": ["opt_out_late"]},
        {"signal": "incident_severity", "op": "ne", "value": "sev3"},
        {"signal": "incident_key", "op": "begins", "value": "door_"},  # `_` is any character in a pattern, and here not
        {"signal": "tied_decisions", "op": "gte", "value": 9},  # not known before it is asked of each of them
    ],
)
def test_a_storm_of_others_hides_no_incident_that_a_playbook_is_for(wanted):
    begins = playbook(LOOK, attached={"any": [[wanted]], "starts": True})
    burning = incident(type="opt_out_late", severity="sev1", dedup_key="door_1")
    Incident.objects.update(linked_count=9)
    Incident.objects.bulk_create(
        Incident(ref=f"INC-9{number}", title="Disk full", dedup_key=f"door-{number}",
                 occurred_from=NOW, declared_by="system:alerts")
        for number in range(120)
    )  # fmt: skip

    attaching.start_by_signals()

    run = PlaybookRun.objects.get(playbook=begins)
    assert run.incident == burning


def test_what_is_so_for_every_incident_is_asked_once_a_round(django_assert_max_num_queries):
    unmet = [[{"signal": "opt_outs_per_minute", "op": "gte", "value": 50}]]
    playbook(LOOK, attached={"any": unmet, "starts": True})
    for _ in range(30):
        incident()

    with django_assert_max_num_queries(15):
        assert attaching.start_by_signals() == 0
