"""Around an incident: clocks that people start, parts that they take, what is still to be done, and what it taught."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from incidents import (
    clocks,
    facts,
    follow_ups,
    lifecycle,
    narrative,
    rates,
    relations,
    review,
    roles,
)
from incidents.models import (
    FollowUp,
    Incident,
    IncidentClock,
    IncidentClockRule,
    IncidentRole,
    PostIncidentReview,
    SeverityPolicy,
)
from tests.factories import (
    FollowUpFactory,
    IncidentClockRuleFactory,
    UserFactory,
    incident,
)

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def rule(code="EU-ART33"):
    return IncidentClockRule.objects.get(code=code)


# Legal clocks


def test_every_rule_that_was_read_is_a_row_with_its_source_and_a_version():
    rules = {row.code: (row.citation, row.amount, row.unit) for row in IncidentClockRule.objects.all()}

    assert rules["EU-ART33"] == ("GDPR 33(1)", 72, "hours")
    assert {"EU-ART33-2", "EU-ART34", "US-CANSPAM-OUTAGE", "EU-1182-71-DAYS", "EU-1182-71-MONTHS"} <= set(rules)
    assert rule().history.get().history_change_reason == "Shipped with the product"


def test_72_hours_count_from_awareness_and_not_from_the_beginning():
    aware = timezone.now() - HOUR
    declared = incident(minutes_ago=600, detected_at=aware)

    clock = clocks.start_clock(declared, rule(), reason="Addresses leaked", by="user:lea")

    assert (clock.started_at, clock.due_at) == (aware, aware + 72 * HOUR)
    line = declared.timeline.get(kind="clock")
    assert "GDPR 33(1), 72 hours" in line.text
    assert "Addresses leaked" in line.text


def test_a_clock_without_its_moment_asks_for_it():
    declared = incident()

    with pytest.raises(ValidationError, match="when we became aware"):
        clocks.start_clock(declared, rule(), reason="x", by="user:lea")
    with pytest.raises(ValidationError, match="in the future"):
        clocks.start_clock(declared, rule(), reason="x", by="user:lea", started_at=timezone.now() + HOUR)
    with pytest.raises(ValidationError, match="Say why"):
        clocks.start_clock(declared, rule(), reason=" ", by="user:lea", started_at=timezone.now())


def test_a_rule_without_a_number_counts_nothing_unless_one_is_given():
    declared = incident(detected_at=timezone.now())

    undue = clocks.start_clock(declared, rule("EU-ART34"), reason="High risk", by="user:lea")
    contract = clocks.start_clock(declared, rule("EU-ART33-2"), reason="Contract § 9", by="user:lea", amount=24)

    assert (undue.due_at, undue.term) == (None, "without undue delay")
    assert contract.due_at == contract.started_at + 24 * HOUR
    with pytest.raises(ValidationError, match="Leave this empty"):
        clocks.start_clock(declared, rule(), reason="x", by="user:lea", amount=48)


def test_a_clock_runs_once_and_a_later_version_of_the_rule_changes_nothing():
    declared = incident(detected_at=timezone.now())
    clock = clocks.start_clock(declared, rule(), reason="Leak", by="user:lea")
    changed = rule()
    changed.amount, changed.citation = 48, "GDPR 33(1) n.F."
    changed.save_as("user:lea", "New text")

    with pytest.raises(ValidationError, match="running already"):
        clocks.start_clock(declared, rule(), reason="Leak", by="user:lea")
    clock.refresh_from_db()
    assert (clock.term, clock.citation) == ("72 hours", "GDPR 33(1)")


def test_an_overdue_clock_is_found_and_a_late_answer_says_so():
    declared = incident(minutes_ago=6000, detected_at=timezone.now() - 80 * HOUR)
    clock = clocks.start_clock(declared, rule(), reason="Leak", by="user:lea")

    assert list(IncidentClock.objects.overdue(timezone.now())) == [clock]
    assert Incident.objects.with_next_clock().get(pk=declared.pk).clock_due == clock.due_at
    met = clocks.meet_clock(clock, answer="Case 7; late because nobody knew", by="user:lea")

    assert met.was_late
    assert declared.timeline.filter(kind="clock").order_by("seq").last().text.startswith("EU-ART33 met. Late.")
    assert not IncidentClock.objects.overdue(timezone.now()).exists()
    with pytest.raises(ValidationError, match="answered already"):
        clocks.waive_clock(clock, reason="x", by="user:lea")


def test_learning_when_we_really_knew_moves_the_clock_and_keeps_the_old_one():
    declared = incident(minutes_ago=600, detected_at=timezone.now() - HOUR)
    clock = clocks.start_clock(declared, rule(), reason="Leak", by="user:lea")

    moved = clocks.move_clock(clock, timezone.now() - 5 * HOUR, reason="A mail of the morning", by="user:lea")

    assert moved.due_at - moved.started_at == 72 * HOUR
    assert moved.history.count() == 2


@pytest.mark.parametrize("columns", [{"state": "met"}, {"answered_by": "user:x"}, {"due_at": "2001-01-01T00:00Z"}])
def test_the_database_keeps_a_clock_honest(columns):
    clock = clocks.start_clock(incident(detected_at=timezone.now()), rule(), reason="Leak", by="user:lea")

    with pytest.raises(IntegrityError, match="incidentclock_"), transaction.atomic():
        IncidentClock.objects.filter(pk=clock.pk).update(**columns)


# Updates


def test_an_update_is_owed_by_the_severity_and_starts_the_clock_again():
    declared = incident(severity="sev1")
    first = declared.next_update_due
    Incident.objects.filter(pk=declared.pk).update(next_update_due=timezone.now() - HOUR)
    assert list(Incident.objects.update_overdue(timezone.now())) == [declared]

    clocks.post_update(declared, "Still burning", by="user:ben")

    declared.refresh_from_db()
    assert declared.next_update_due > first
    assert not Incident.objects.update_overdue(timezone.now()).exists()
    assert declared.timeline.get(kind="update").text == "Still burning"


def test_nobody_waits_for_what_is_told_afterwards_or_for_what_is_over():
    assert incident(mode="retrospective", severity="sev1").next_update_due is None
    assert incident(severity="sev4").next_update_due is None
    assert lifecycle.close(incident(), reason="Over", by="user:ben").next_update_due is None


def test_a_worse_severity_brings_the_next_word_nearer():
    declared = incident(severity="sev3")

    worse = facts.describe(declared, severity="sev1", reason="It spreads", by="user:ben")

    assert worse.next_update_due < declared.next_update_due


# People


def test_parts_are_taken_and_laid_down_and_the_past_is_kept():
    declared, anna, ben = incident(), UserFactory(username="anna"), UserFactory(username="ben")

    roles.assume(declared, anna, "commander", by="user:anna")
    roles.assume(declared, ben, "commander", by="user:ben")
    held = roles.assume(declared, anna, "scribe", by="user:ben")
    roles.renounce(held, by="user:anna")

    told = [(r.person.username, r.role, bool(r.renounced_at)) for r in declared.roles.order_by("pk")]
    assert told == [("anna", "commander", True), ("ben", "commander", False), ("anna", "scribe", True)]
    declared.refresh_from_db()
    assert declared.commander == ben
    with pytest.raises(ValidationError, match="already"):
        roles.renounce(held, by="user:anna")
    with pytest.raises(ValidationError, match="have this part already"):
        roles.assume(declared, roles.assume(declared, anna, "legal", by="user:ben").person, "legal", by="user:ben")
    with pytest.raises(ValidationError, match="account is active"):
        roles.assume(declared, UserFactory(service=True), "liaison", by="user:ben")


def test_one_commander_at_a_time_says_the_database_too():
    declared, anna, ben = incident(), UserFactory(), UserFactory()
    roles.assume(declared, anna, "commander", by="user:x")

    with pytest.raises(IntegrityError, match="incidentrole_one_commander"), transaction.atomic():
        IncidentRole.objects.create(incident=declared, person=ben, role="commander", assumed_by="user:x")


def test_a_restricted_incident_is_seen_by_its_people_and_by_officers_only():
    hidden = incident("Leak of the list")
    facts.restrict(hidden, is_restricted=True, reason="Named people", by="user:lea")
    officer, responder, observer = (
        UserFactory(role="Officer"), UserFactory(role="Responder"), UserFactory(role="Responder"),
    )  # fmt: skip
    part = roles.assume(hidden, observer, "observer", by="user:lea")

    seen = [Incident.objects.visible_to(user).exists() for user in (officer, responder, observer)]

    assert seen == [True, False, True]
    roles.renounce(part, by=observer)
    assert not Incident.objects.visible_to(observer).exists()
    assert rates.bands(timezone.now() - HOUR, timezone.now()) == []


# Facts


def test_a_type_brings_the_words_of_the_privacy_vocabulary():
    declared = facts.describe(incident(), type="bulk_resubscribe", reason="Import of 9:00", by="user:ben")

    assert declared.dpv_types == ["IntegrityIncident"]
    told = declared.timeline.get(kind="facts").text
    assert "type none → bulk_resubscribe" in told


def test_a_near_miss_says_what_stopped_it_and_is_in_the_register():
    declared = incident()

    with pytest.raises(ValidationError, match="what stopped it"):
        facts.describe(declared, is_near_miss=True, reason="Stopped", by="user:ben")
    facts.describe(declared, is_near_miss=True, near_miss_prevented_by="The guard", reason="Stopped", by="user:ben")

    assert list(Incident.objects.near_misses()) == [declared]


def test_a_time_is_put_right_within_the_order_of_times():
    declared = incident(minutes_ago=60)

    facts.set_moment(
        declared, "detected_at", timezone.now() - HOUR / 2, is_estimate=True, reason="Ticket", by="user:ben"
    )

    assert declared.moments.filter(kind="detected_at").first().is_estimate
    with pytest.raises(ValidationError, match="after it began"):
        facts.set_moment(declared, "detected_at", timezone.now() - 3 * HOUR, reason="x", by="user:ben")
    with pytest.raises(ValidationError, match="has not come to that"):
        facts.set_moment(declared, "contained_at", timezone.now(), reason="x", by="user:ben")


def test_legal_hold_and_counsels_review_are_told():
    held = facts.hold_for_law(incident(), is_held=True, attorney_review="requested", reason="A claim", by="user:lea")

    assert (held.legal_hold, held.attorney_review) == (True, "requested")
    with pytest.raises(ValidationError, match="like that already"):
        facts.hold_for_law(held, is_held=True, attorney_review="requested", reason="A claim", by="user:lea")


# Relations


def test_related_incidents_are_seen_from_both_sides_once():
    first, second = incident("First"), incident("Second")

    relations.relate(second, first, reason="Same relay", by="user:ben")

    assert relations.related_to(first) == [(second, "Same relay")]
    assert relations.related_to(second) == [(first, "Same relay")]
    with pytest.raises(ValidationError, match="related already"):
        relations.relate(first, second, reason="Again", by="user:ben")
    with pytest.raises(ValidationError, match="itself"):
        relations.relate(first, first, reason="Again", by="user:ben")


def test_a_change_set_is_named_by_a_reference_and_nothing_else():
    declared = relations.name_cause(incident(), "CS-12", reason="Deployed at nine", by="user:ben")

    assert declared.caused_by_change_set == "CS-12"
    with pytest.raises(ValidationError, match="A reference like"):
        relations.name_cause(declared, "the one <b>", reason="x", by="user:ben")


# Follow-ups


def test_a_follow_up_has_an_owner_and_a_day_and_ends_with_words():
    declared, anna = incident(), UserFactory(username="anna")
    soon = timezone.now().date() + timedelta(days=3)
    work = follow_ups.add_follow_up(
        declared, "Alert on the queue", kind="detective", owner=anna, due_on=soon, by="user:ben"
    )

    moved = follow_ups.reassign(work, owner=UserFactory(), due_on=soon, reason="Holidays", by="user:ben")
    done = follow_ups.finish(moved, outcome="Rule 7 alerts", by="user:anna")

    assert (done.state, done.settled_by, done.outcome) == ("done", "user:anna", "Rule 7 alerts")
    assert declared.timeline.filter(kind="follow_up").count() == 3
    with pytest.raises(ValidationError, match="done already"):
        follow_ups.drop(done, reason="x", by="user:ben")
    with pytest.raises(ValidationError, match="has passed"):
        follow_ups.add_follow_up(
            declared, "x", kind="detective", owner=anna, due_on=soon - timedelta(days=9), by="user:ben"
        )


def test_what_is_mine_and_what_is_late_is_found():
    anna, today = UserFactory(), timezone.now().date()
    late = FollowUpFactory(owner=anna, due_on=today - timedelta(days=1))
    FollowUpFactory(due_on=today)

    assert list(FollowUp.objects.of(anna)) == list(FollowUp.objects.overdue(today)) == [late]


# What it touched


def test_the_narrative_of_nothing_says_nothing_happened():
    assert "Nobody opted out" in narrative.tell(incident(), timezone.now())


# The review

SECTIONS = {"what_happened": "The relay died.", "causes": "Disk full.", "lessons": "Alert on disks."}


def test_a_review_is_written_submitted_and_approved_by_a_second_person():
    closed = lifecycle.close(incident(severity="sev1"), reason="Over", by="user:ben")
    anna, ben = UserFactory(username="anna"), UserFactory(username="ben")

    review.write(closed, **SECTIONS, reason="First words", by=ben)
    review.submit(closed, by=ben)
    with pytest.raises(ValidationError, match="A second person"):
        review.approve(closed, by=ben)
    done = review.approve(closed, by=anna)

    assert (done.state, done.submitted_by, done.approved_by) == ("approved", "user:ben", "user:anna")
    assert "Nobody opted out" in done.narrative
    assert done.history.count() == 4
    with pytest.raises(ValidationError, match="was approved"):
        review.write(closed, causes="Else", reason="x", by=ben)


def test_a_review_is_not_submitted_empty_or_while_it_burns():
    burning = incident()
    review.write(burning, **SECTIONS, reason="Early", by="user:ben")
    with pytest.raises(ValidationError, match="still open"):
        review.submit(burning, by="user:ben")
    closed = lifecycle.close(incident(severity="sev1"), reason="Over", by="user:ben")
    with pytest.raises(ValidationError, match="Still to be written: what happened, why it happened, what will change"):
        review.submit(closed, by="user:ben")


def test_a_submitted_review_that_is_written_on_goes_back():
    closed = lifecycle.close(incident(severity="sev1"), reason="Over", by="user:ben")
    review.write(closed, **SECTIONS, reason="First", by="user:ben")
    review.submit(closed, by="user:ben")

    review.write(closed, causes="Disk full, no alert.", reason="Better", by="user:anna")

    with pytest.raises(ValidationError, match="only a submitted review"):
        review.approve(closed, by="user:eve")


def test_one_person_cannot_approve_their_own_review_says_the_database_too():
    closed = lifecycle.close(incident(severity="sev1"), reason="Over", by="user:ben")
    now = timezone.now()

    with pytest.raises(IntegrityError, match="postincidentreview_approved_by_another"), transaction.atomic():
        PostIncidentReview.objects.filter(incident=closed).update(
            submitted_at=now, submitted_by="user:ben", approved_at=now, approved_by="user:ben"
        )


def test_the_policy_of_a_severity_sets_the_day_of_its_review():
    policy = SeverityPolicy.objects.get(severity="sev4")
    policy.needs_review, policy.review_days = True, 1
    policy.save_as("user:lea", "We learn from all")

    closed = lifecycle.close(incident(severity="sev4"), reason="Over", by="user:ben")

    days = (closed.review.due_at.date() - closed.closed_at.date()).days
    assert 1 <= days <= 3
    assert not closed.review.is_overdue(timezone.now())


def test_a_rule_that_is_off_is_not_offered():
    IncidentClockRuleFactory(is_active=False)

    assert IncidentClockRule.objects.filter(is_active=True).count() == 6
