"""Each invariant is broken for real, by somebody who may do anything, and seen broken; or says why it cannot tell."""

import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from config.models import IdempotencyRecord
from consent import spool
from consent.models import Consent, Decision, ExitPathMinute, FeedCursor
from consent.services import confirm_reversal, open_batch, record, request_reversal
from incidents import invariants, lifecycle, validation
from incidents.changes import applying, deciding, running
from incidents.invariants import HISTORIES, INVARIANTS, QUESTIONS, looking, questions
from incidents.models import Alarm, ChangeBatch, DecisionMinute, DetectionCursor, ExitPathProbe, Incident
from incidents.services import add_note, contain
from messaging import confirmations
from messaging.models import DeliveryAttempt, WebhookDelivery
from tests.api.conftest import Api
from tests.factories import (
    EndpointFactory,
    ExitPathFactory,
    ExitPathProbeFactory,
    InterruptedOptOutFactory,
    MessageFactory,
    PurposeFactory,
    ServiceKeyFactory,
    SubjectFactory,
    incident,
    opt_in,
    opt_out,
)
from tests.incidents.change_sets import IN, OUT, applied, imported, in_review, officer, responder
from tests.incidents.hands import HASHED, by_hand

COPY = """
    INSERT INTO consent_historicalconsent ({columns}) SELECT {values} FROM consent_historicalconsent
     ORDER BY history_id DESC LIMIT 1
"""
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def marketing(request):
    request.getfixturevalue("committed" if "committed" in request.fixturenames else "db")
    return PurposeFactory(code="marketing")


@pytest.fixture
def subject(marketing):
    return SubjectFactory()


def ask(code, look=None):
    with transaction.atomic():
        return INVARIANTS[code].ask(look or invariants.everything())


def forge(cluster, **values):
    """A version that the projection never wrote."""
    with cluster.connect("superuser") as connection:
        found = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'consent_historicalconsent'::regclass "
            "AND attnum > 0 AND NOT attisdropped AND attname <> 'history_id'"
        )
        columns = [name for (name,) in found]
    values = {"tx": "(pg_current_xact_id()::text)::bigint"} | values
    copy = COPY.format(columns=", ".join(columns), values=", ".join(values.get(n, n) for n in columns))
    by_hand(cluster, copy, HASHED)


def rules():
    return sorted(Alarm.objects.filter(detector="zero").values_list("inputs__rule", flat=True))


# What people do


def test_what_people_do_breaks_nothing(subject, committed):
    record([opt_in(subject)])
    record([opt_out(subject)])
    reversal = request_reversal(subject.pk, "marketing", "email")
    confirm_reversal(reversal.pk)
    confirmations.owe()
    incident()

    assert {code for code in INVARIANTS if ask(code).verdict == "breached"} == set()
    assert validation.look() == 0


# I1


def test_i1_an_opt_out_that_was_answered_and_is_not_in_the_log(committed):
    api = Api()
    body = {"subject": {"email": "a@example.org"}, "purpose": "marketing", "channel": "email", "choice": "opt_out",
            "cause": "subject_choice"}  # fmt: skip
    answer = api.send("/api/v1/decisions/", body, **{"Idempotency-Key": "k1"})
    many = api.send("/api/v1/decisions/", {"decisions": [body]}, **{"Idempotency-Key": "k2"})
    assert (answer.status_code, many.status_code) == (201, 201)
    assert ask("I1").verdict == "met"

    by_hand(committed, "DELETE FROM consent_decision")

    found = ask("I1")
    assert found.verdict == "breached"
    keys = {row.key.rpartition(":")[0] for row in found.rows}
    assert keys == {"I1:answered", "I1:gone"}
    assert found.count == 2 + Consent.history.count()


def test_i1_what_the_spool_could_not_record_is_lost_until_somebody_takes_it_away(settings, tmp_path):
    settings.SPOOL_DIR = str(tmp_path)
    (tmp_path / "refused.jsonl").write_bytes(b'{"v": 1, "key": "spool:7", "sealed": ""}\nno json\n')

    found = ask("I1")

    assert (found.verdict, found.count) == ("breached", 2)
    assert [row.words for row in found.rows] == ["I1: call spool:7", "I1: call that cannot be read"]
    (tmp_path / "refused.jsonl").unlink()
    assert ask("I1").verdict == "met"


def test_i1_what_waits_on_disk_longer_than_a_minute_is_late(settings, tmp_path):
    settings.SPOOL_DIR = str(tmp_path)
    (tmp_path / "journal.jsonl").write_bytes(b"{}\n")
    soon, later = (invariants.Look("news", now=timezone.now() + timedelta(seconds=s)) for s in (30, 90))

    assert spool.waiting() == 1
    assert ask("I1", soon).verdict == "met"
    assert "waited on disk" in ask("I1", later).words


def test_i1_an_opt_out_that_failed_and_whose_way_out_works_again():
    row = InterruptedOptOutFactory(state="open", path_works_at=timezone.now() - HOUR)

    found = ask("I1")

    assert (found.verdict, list(found.offenders)) == ("breached", [f"interrupted:{row.pk}"])


# I2


def test_i2_an_opt_out_that_was_reversed_by_nobody_opens_a_sev1_at_once(subject, committed):
    record([opt_out(subject)])
    forge(committed, version="version + 1", state="'opt_in'", previous="'opt_out'", explicit="false")

    assert validation.look() >= 1

    assert "I2" in rules()
    opened = Incident.objects.get(dedup_key="zero:I2")
    assert (opened.severity, opened.type) == ("sev1", "bulk_resubscribe")
    assert validation.look() == 0


def test_i2_a_reversal_that_nobody_asked_for_is_none(subject, committed):
    record([opt_out(subject)])
    with committed.connect("superuser") as session:
        [number] = session.execute(
            "INSERT INTO consent_reversal (id, subject_id, purpose, channel, kind, reason, evidence, requested_by) "
            "VALUES (gen_random_uuid(), %s, 'marketing', 'email', 'subject', '', '', 'subject') RETURNING id",
            [subject.pk],
        ).fetchone()
    by_hand(
        committed,
        "INSERT INTO consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor, "
        "reversal_id) VALUES "
        f"('{subject.pk}', 'marketing', 'email', 'opt_in', true, 'support', now(), 'x', '{number}')",
    )
    newest = Decision.objects.order_by("-pk").first()
    forge(committed, version="version + 1", state="'opt_in'", previous="'opt_out'", decision_id=str(newest.pk))

    assert ask("I2").verdict == "breached"


def test_i2_stays_broken_until_its_incident_is_contained(subject, committed):
    record([opt_out(subject)])
    forge(committed, version="version + 1", state="'opt_in'", previous="'opt_out'", explicit="false")
    validation.look()

    assert ask("I2", invariants.news()).verdict == "breached"
    assert ask("I2").count == 1
    contain(Incident.objects.get(dedup_key="zero:I2"), reason="Told everybody", by="user:anna")

    assert ask("I2").verdict == "met"  # found by the sweep for ever, and dealt with
    assert validation.look() == 0


# I4


def test_i4_is_unmeasured_until_all_was_compared_and_when_that_is_long_ago(subject):
    record([opt_out(subject)])
    assert "not compared" in ask("I4").words

    validation.run(is_full=True)
    assert ask("I4").verdict == "met"
    DetectionCursor.objects.filter(name="sweep:drift:round").update(moment=timezone.now() - HOUR)

    found = ask("I4")
    assert (found.verdict, "last compared" in found.words) == ("unmeasured", True)


def test_i4_a_reader_that_is_a_minute_behind(subject):
    record([opt_out(subject)])
    FeedCursor.objects.create(reader="confirmations")
    FeedCursor.objects.create(reader="changes:webhooks")
    validation.run(is_full=True)

    later = invariants.Look("news", now=timezone.now() + timedelta(seconds=90))
    found = ask("I4", later)

    assert ask("I4", invariants.news()).verdict == "met"
    assert set(found.offenders) == {"reader:confirmations", "reader:changes:webhooks"}


def test_i4_a_service_that_was_not_told():
    endpoint = EndpointFactory(name="shop")
    WebhookDelivery.objects.create(endpoint=endpoint, kind="webhook.test", occurred_at=timezone.now() - HOUR)

    found = ask("I4")

    assert (found.verdict, "shop behind by 1" in found.words) == ("breached", True)


# I5


def test_i5_a_gap_in_the_history(subject, committed):
    record([opt_out(subject)])
    forge(committed, version="version + 2")

    validation.look()

    assert set(rules()) == {"I5"}
    assert {"I5:gap", "I5:forged"} == {key.rpartition(":")[0] for key in Alarm.objects.values_list("key", flat=True)}


def test_i5_a_version_that_was_rewritten_comes_round(subject, committed):
    record([opt_out(subject)])
    validation.look()

    by_hand(committed, "UPDATE consent_historicalconsent SET state = 'opt_in'", HASHED)

    assert validation.look() == 0  # it is no news
    found = looking.sweep(HISTORIES, 1000)
    assert [row.key.rpartition(":")[0] for row in found] == ["I5:forged"]


def test_i5_a_state_without_its_history(subject, committed):
    record([opt_out(subject)])
    by_hand(committed, "DELETE FROM consent_historicalconsent")

    found = ask("I5")

    assert [row.key.rpartition(":")[0] for row in found.rows] == ["I5:untold"]


def test_i5_a_row_that_was_deleted_and_made_anew_by_its_person(subject, committed):
    record([opt_in(subject)])
    by_hand(committed, "DELETE FROM consent_consent")
    record([opt_out(subject)])

    found = ask("I5")

    assert [row.key.rpartition(":")[0] for row in found.rows] == ["I5:orphan"]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE incidents_timelineentry SET text = 'All is well' WHERE seq = 2", "was changed"),
        ("UPDATE incidents_timelineentry SET prev_digest = decode(repeat('00', 32), 'hex') WHERE seq = 2", "changed"),
    ],
)
def test_i5_a_line_of_a_timeline_that_was_changed_is_found_unasked(committed, statement, told):
    declared = incident()
    add_note(declared, "12 people", by="user:ben")
    assert validation.look() == 0

    by_hand(committed, statement)
    validation.look()

    [alarm] = Alarm.objects.all()
    assert alarm.key.startswith("I5:chain:")
    assert told in alarm.inputs["words"]


# I6


def test_i6_an_opt_out_without_its_confirmation(subject):
    [first] = record([opt_out(subject)])
    assert ask("I6").verdict == "met"  # its reader has not come to it yet

    FeedCursor.objects.create(reader="confirmations", tx=2**62, decision=0)

    found = ask("I6")
    assert [row.key for row in found.rows] == [f"I6:owed:{first.id}"]


@pytest.mark.parametrize(("is_marked", "verdict"), [(False, "breached"), (True, "met")])
def test_i6_a_message_that_was_accepted_twice(is_marked, verdict):
    message = MessageFactory(state="accepted", possible_duplicate=is_marked)
    for number in (1, 2):
        DeliveryAttempt.objects.create(
            message=message, number=number, transport="relay", lease=message.pk, outcome="accepted", phase="replied",
            ended_at=timezone.now() + timedelta(seconds=1),
        )  # fmt: skip

    assert ask("I6").verdict == verdict


# I7 and I8


def used(path, **outcomes):
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=2)
    for outcome, count in outcomes.items():
        ExitPathMinute.objects.create(exit_path=path, minute=minute, outcome=outcome, count=count)
    return minute


def test_i7_is_unmeasured_where_nobody_went_out():
    assert ask("I7").verdict == "unmeasured"
    assert ask("I7").is_idle


@pytest.mark.parametrize(("failed", "verdict"), [(1, "met"), (2, "breached")])
def test_i7_one_failure_in_a_thousand_is_borne(failed, verdict):
    used(ExitPathFactory(code="one-click"), completed=1000 - failed, failed=failed)

    assert ask("I7").verdict == verdict


@pytest.mark.parametrize(("step", "verdict"), [(2500, "met"), (10_000, "breached")])
def test_i7_an_answer_within_five_seconds(step, verdict):
    path = ExitPathFactory(code="one-click")
    path.latencies.create(
        minute=used(path, completed=5), up_to_ms=step, count=5, total_ms=step * 5, slowest_ms=float(step)
    )

    found = ask("I7")

    assert found.verdict == verdict


def test_i7_a_way_out_that_broke_when_it_was_last_tried():
    ExitPathProbeFactory(verdict=ExitPathProbe.Verdict.BREACHED, exit_path=ExitPathFactory(code="gpc"))

    assert list(ask("I7").offenders) == ["exit-path:gpc"]


@pytest.mark.parametrize(
    ("count", "unexplained", "verdict"), [(0, 0, "unmeasured"), (100, 1, "met"), (100, 2, "breached")]
)
def test_i8_one_cause_in_a_hundred_may_be_unknown(count, unexplained, verdict):
    if count:
        minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=2)
        DecisionMinute.objects.create(
            minute=minute, choice="opt_out", cause="subject_choice", count=count, unexplained=unexplained
        )

    assert ask("I8").verdict == verdict


# I9 to I12


def test_i9_two_open_incidents_for_one_cause(committed):
    incident("Drift", dedup_key="drift")
    assert ask("I9").verdict == "met"

    with committed.connect("superuser") as session:
        session.execute("DROP INDEX incident_one_open_per_key")
    again = incident("Drift again")
    Incident.objects.filter(pk=again.pk).update(dedup_key="drift", is_open_key=True)

    found = ask("I9")
    assert (found.verdict, list(found.offenders)) == ("breached", ["drift"])


def test_i10_a_choice_written_round_the_product(subject, committed):
    with committed.connect("superuser") as connection:
        connection.execute(
            "INSERT INTO consent_decision (subject_id, purpose, channel, choice, cause, decided_at, actor) "
            "VALUES (%s, 'marketing', 'email', 'opt_out', 'support', now(), 'by hand')",
            [subject.pk],
        )

    validation.look()

    assert rules() == ["I10"]


ONCALL = """
    INSERT INTO consent_decision (subject_id, purpose, channel, choice, cause, decided_at, actor, batch_id)
    SELECT id, 'marketing', 'email', '{choice}', 'support', now(), 'user:rosa at 2 a.m.', '{batch}' FROM consent_subject
"""


def on_call(cluster, choice):
    batch = open_batch("fix", reason="2 a.m.", by="user:rosa")
    with cluster.connect("holdfast_oncall") as connection:
        connection.execute(ONCALL.format(choice=choice, batch=batch.pk))
    return Decision.objects.latest("pk").tx


def test_i10_a_session_that_opts_people_in_and_declared_nothing(committed):
    imported(3, "opt_out")

    tx = on_call(committed, "opt_in")

    assert validation.look() == 1
    assert validation.look() == 0
    found = Incident.objects.get()
    assert (found.dedup_key, found.severity, found.type) == ("zero:I10.session", "sev3", "drift")
    told = f"transaction {tx} of holdfast_oncall wrote 3 decisions, 3 of them opt-ins"
    assert told in found.timeline.latest("seq").text
    assert ask("I10", invariants.news()).verdict == "breached"
    contain(found, reason="Taken back", by="user:anna")
    assert ask("I10", invariants.news()).verdict == "met"


def test_i10_a_session_that_opts_many_out_is_told_and_one_that_opts_few_out_is_not(committed, monkeypatch):
    imported(3)
    on_call(committed, "opt_out")
    assert validation.look() == 0
    monkeypatch.setattr(questions, "ALONE", 2)

    on_call(committed, "opt_out")

    assert validation.look() == 1


def test_i10_what_was_approved_or_bypassed_by_two_is_let_through():
    imported(1)
    applied(OUT)
    bypassed = in_review(IN, incident=incident())
    ben = officer()
    bypassed = deciding.bypass(bypassed, reason="It burns", second=ben, by=responder())
    applying.apply(deciding.second(bypassed, by=ben), by="user:anna")
    running.run_due()

    assert ChangeBatch.objects.count() == 2
    assert ask("I10").verdict == "met"


@pytest.mark.parametrize(
    "forged",
    [
        "UPDATE incidents_changeapproval SET given_by = 'user:anna'",
        "UPDATE incidents_changeapproval SET revision = revision + 1",
        "UPDATE incidents_changeapproval SET plan_digest = '\\x00'",
        "UPDATE incidents_changeapproval SET verdict = 'decline', comment = 'No'",
        "DELETE FROM incidents_changeapproval",
        "DELETE FROM incidents_changeapproval; UPDATE incidents_changeset SET seconded_at = now(), seconded_by = 'me'",
    ],
)
def test_i10_a_set_that_was_applied_without_its_approvals(committed, forged):
    imported(1)
    applied(OUT)

    by_hand(committed, forged)

    assert validation.look() == 1
    assert rules() == ["I10"]
    assert ask("I10", invariants.news()).words == f"Not contained yet: {Incident.objects.get().ref}."


def test_i11_is_unmeasured_where_there_was_no_drill():
    found = ask("I11")

    assert (found.verdict, found.words) == ("unmeasured", "There was no drill yet.")


@pytest.mark.parametrize("outcome", ["accepted", "in_doubt"])
def test_i11_a_drill_that_writes_to_somebody_real_is_told_once_and_dealt_with(committed, outcome):
    drill = incident(mode="drill")
    attempt_of(MessageFactory(incident_id=drill.pk, subject_id=SubjectFactory(is_canary=True).pk), "accepted")
    attempt_of(MessageFactory(incident_id=drill.pk, subject_id=SubjectFactory().pk), "rejected")
    assert ask("I11").verdict == "met"

    attempt_of(MessageFactory(incident_id=drill.pk, subject_id=SubjectFactory().pk), outcome)
    assert validation.look() == 1
    assert validation.look() == 0

    assert ask("I11", invariants.news()).verdict == "breached"
    contain(Incident.objects.get(dedup_key="zero:I11"), reason="They were told", by="user:anna")
    assert ask("I11", invariants.news()).verdict == "met"


def attempt_of(message, outcome):
    ended = timezone.now() + timedelta(minutes=2)
    message.attempts.create(
        number=1, transport="relay", lease=message.pk, outcome=outcome, phase="replied", ended_at=ended
    )


def test_i11_a_drill_that_changes_the_choice_of_somebody_real(subject):
    incident(mode="drill")
    record([opt_out(SubjectFactory(is_canary=True), actor="drill:relay-down")])
    assert ask("I11").verdict == "met"

    record([opt_out(subject, actor="drill:relay-down")])

    assert ask("I11").verdict == "breached"


def test_i12_a_line_that_is_missing(committed):
    declared = incident()
    for text in ("One", "Two"):
        add_note(declared, text, by="user:ben")
    assert ask("I12").verdict == "met"

    by_hand(committed, "DELETE FROM incidents_timelineentry WHERE seq = 2")

    assert [row.key.rpartition(":")[0] for row in ask("I12").rows] == ["I12:gap"]


def test_i12_a_step_without_a_line():
    declared = incident()
    declared.status, declared.contained_at, declared.contained_by = "contained", timezone.now(), "user:eve"

    declared.save_as("user:eve", "Behind its back")

    found = ask("I12")
    assert [row.words for row in found.rows] == [f"I12: {declared.ref} became contained"]


def test_i12_a_clock_that_is_ahead_is_marked_by_itself_and_found_where_it_is_not(committed):
    declared = incident()
    line = add_note(declared, "From a relay", by="service:relay", occurred_at=timezone.now() + timedelta(seconds=90))
    assert 80_000 < line.skew_ms <= 90_000
    assert ask("I12").verdict == "met"

    by_hand(committed, "UPDATE incidents_timelineentry SET skew_ms = NULL")

    assert [row.key for row in ask("I12").rows] == [f"I12:skew:{line.pk}"]


# How they are asked


def test_the_second_look_reads_only_what_is_new(subject, committed):
    record([opt_out(f"person{n}@example.org") for n in range(1200)])
    first = ask("I10", invariants.news())
    record([opt_out(subject)])

    second = ask("I10", invariants.news())

    assert first.looked_at == 2 * 1200  # by two questions
    assert second.looked_at == 2


def test_the_sweep_comes_round_to_everything_in_slices(subject, committed):
    record([opt_out(f"person{n}@example.org") for n in range(30)])
    validation.look()
    by_hand(
        committed, "UPDATE consent_decision SET db_user = 'postgres' WHERE id = (SELECT min(id) FROM consent_decision)"
    )

    found = [[row.key for row in looking.sweep(QUESTIONS, 10)] for _ in range(3)]

    assert [len(keys) for keys in found] == [1, 0, 0]
    assert [row.key for row in looking.sweep(QUESTIONS, 10)] == []  # the end of it
    assert [row.key for row in looking.sweep(QUESTIONS, 10)] == found[0]  # nobody told of it


def test_about_some_consents_alone(subject, committed):
    record([opt_out(subject)])
    [other] = record([opt_out(SubjectFactory())])
    mine, theirs = Consent.objects.order_by("pk")
    forge(committed, version="version + 1", state="'opt_in'", previous="'opt_out'", explicit="false")

    assert other.subject_id == theirs.subject_id
    assert ask("I2", invariants.of_consents([mine.pk])).verdict == "met"
    assert ask("I2", invariants.of_consents([theirs.pk])).verdict == "breached"
    assert ask("I10", invariants.of_consents([mine.pk, theirs.pk])).verdict == "met"


def test_an_answer_to_another_request_is_no_promise_of_an_opt_out():
    account = ServiceKeyFactory().account
    for number, body in enumerate(
        [{"ref": "R-7"}, [], {"choice": "opt_in", "id": "999"}, {"choice": "opt_out", "id": "spool:1"}]
    ):
        IdempotencyRecord.objects.create(
            account=account, key=str(number), fingerprint=b"", status=201, body=json.dumps(body).encode()
        )

    assert ask("I1").verdict == "met"


def test_every_way_that_an_incident_may_go_is_written_down(committed):
    first, second, third = (incident(f"Fire {n}") for n in range(3))
    triaged = incident("Smoke", status="triage")
    lifecycle.acknowledge(first, by="user:anna")
    lifecycle.contain(first, reason="Out", by="user:anna")
    lifecycle.begin_recovery(first, reason="Mending", by="user:anna")
    lifecycle.begin_monitoring(first, reason="Mended", by="user:anna")
    lifecycle.close(first, reason="Over", by="user:anna", needs_review=False)
    lifecycle.reopen(first, reason="Again", by="user:anna")
    lifecycle.merge_into(second, third, reason="The same", by="user:anna")
    lifecycle.accept(triaged, reason="It burns", by="user:anna")
    lifecycle.decline(triaged, reason="A candle", by="user:anna")

    assert ask("I12").verdict == "met"
    assert ask("I5").verdict == "met"
