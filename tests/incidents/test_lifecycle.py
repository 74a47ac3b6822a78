"""From first signal to the end: which step may follow which, what each asks for, and one open incident per cause."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from incidents import alerts, facts, lifecycle, services
from incidents.clocks import meet_clock, start_clock
from incidents.lifecycle import NEXT
from incidents.models import AlertDelivery, AlertGroup, Incident, IncidentClockRule, PostIncidentReview
from tests.factories import AlertSourceFactory, PurposeFactory, UserFactory, incident

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
STEPS = {
    "declared": lifecycle.accept,
    "declined": lifecycle.decline,
    "contained": lifecycle.contain,
    "recovering": lifecycle.begin_recovery,
    "monitoring": lifecycle.begin_monitoring,
    "closed": lifecycle.close,
}
PATHS = {
    "triage": [],
    "declared": ["declared"],
    "contained": ["declared", "contained"],
    "recovering": ["declared", "contained", "recovering"],
    "monitoring": ["declared", "contained", "recovering", "monitoring"],
    "closed": ["declared", "closed"],
    "declined": ["declined"],
}


def walked(status):
    going = incident(status="triage")
    for step in PATHS[status]:
        going = STEPS[step](going, reason="Next", by="user:ben")
    return going


def opened(key="surge:one-click", title="People leave", **facts):
    now = timezone.now()
    facts = {"occurred_from": now - 5 * MINUTE, "detected_at": now, "by": "system:detector", **facts}
    return services.open_or_join(key, title, **facts)


def test_what_is_heard_again_makes_an_incident_in_triage_worse_earlier_and_wider():
    for code in ("marketing", "analytics"):
        PurposeFactory(code=code)
    first, _ = opened(purposes=["marketing"])
    began = first.occurred_from - 20 * MINUTE

    again, is_new = opened(severity="sev1", occurred_from=began, purposes=["analytics"])

    assert (again.pk, is_new) == (first.pk, False)
    again.refresh_from_db()
    assert (again.severity, again.occurred_from, again.purposes) == ("sev1", began, ["analytics", "marketing"])
    told = again.timeline.last().text
    assert told.startswith("People leave. Now SEV1: people's choices are being broken now; it began earlier, ")
    assert told.endswith("it is also about analytics.")
    assert again.backfills.filter(reason="widened").exists()
    opened(severity="sev4", purposes=["marketing"])
    assert again.timeline.last().text == "People leave"


def test_what_people_have_judged_is_told_otherwise_and_stays():
    PurposeFactory(code="marketing")
    PurposeFactory(code="analytics")
    first, _ = opened(purposes=["marketing"])
    lifecycle.accept(first, reason="It burns", by="user:ben")

    opened(severity="sev1", occurred_from=first.occurred_from - 20 * MINUTE, purposes=["analytics"])

    judged = Incident.objects.get(pk=first.pk)
    assert (judged.severity, judged.occurred_from, judged.purposes) == ("sev3", first.occurred_from, ["marketing"])
    told = "People leave. Reported as SEV1: people's choices are being broken now; reported for analytics."
    assert judged.timeline.last().text == told


def test_what_is_about_everything_stays_so():
    PurposeFactory(code="marketing")
    opened()

    again, _ = opened(purposes=["marketing"])

    assert again.purposes == []


@pytest.mark.parametrize("status", PATHS)
@pytest.mark.parametrize("to", STEPS)
def test_a_step_is_taken_only_from_where_the_table_says(status, to):
    going = walked(status)
    is_allowed = to in NEXT[status] and (to != "declared" or status == "triage")

    if is_allowed:
        assert STEPS[to](going, reason="Next", by="user:ben").status == to
    else:
        with pytest.raises(ValidationError, match=r"already|next it may be"):
            STEPS[to](going, reason="Next", by="user:ben")
        assert Incident.objects.get(pk=going.pk).status == status


def test_every_step_is_told_from_old_to_new_with_its_reason():
    going = walked("monitoring")
    closed = lifecycle.close(going, reason="Quiet for a day", by="user:ben")

    told = list(closed.timeline.filter(kind="status").order_by("seq").values_list("old", "new"))
    assert told == [
        ("triage", "declared"), ("declared", "contained"), ("contained", "recovering"),
        ("recovering", "monitoring"), ("monitoring", "closed"),
    ]  # fmt: skip
    assert closed.recovered_by == "user:ben"
    assert closed.history.first().history_change_reason == "Quiet for a day"


def test_times_that_a_person_sets_are_kept_with_who_and_whether_they_guessed():
    going = incident(minutes_ago=30, detected_at=timezone.now() - 20 * MINUTE, estimated=["occurred_from"])

    lifecycle.contain(going, reason="Relay replaced", by="user:ben", at=timezone.now() - MINUTE, is_estimate=True)

    set_ = {row.kind: (row.is_estimate, row.recorded_by) for row in going.moments.all()}
    assert set_ == {
        "occurred_from": (True, "user:anna"), "detected_at": (False, "user:anna"),
        "declared_at": (False, "user:anna"), "contained_at": (True, "user:ben"),
    }  # fmt: skip


def test_nothing_is_acknowledged_before_it_was_noticed_or_mended_before_it_was_contained():
    going = incident(minutes_ago=30, detected_at=timezone.now() - 20 * MINUTE)

    with pytest.raises(ValidationError, match="before it was noticed"):
        lifecycle.acknowledge(going, by="user:ben", at=timezone.now() - 25 * MINUTE)
    lifecycle.acknowledge(going, by="user:ben", at=timezone.now() - 15 * MINUTE)
    with pytest.raises(ValidationError, match="acknowledged by user:ben already"):
        lifecycle.acknowledge(going, by="user:eve")
    lifecycle.contain(going, reason="Fixed", by="user:ben", at=timezone.now() - 5 * MINUTE)
    with pytest.raises(ValidationError, match="before it was contained"):
        lifecycle.begin_monitoring(going, reason="Calm", by="user:ben", at=timezone.now() - 6 * MINUTE)


@pytest.mark.parametrize(
    ("constraint", "columns"),
    [
        ("incident_detected_after_it_began", {"detected_at": -60}),
        ("incident_closed_with_its_time", {"status": "closed"}),
        ("incident_past_containment_says_since_when", {"status": "recovering"}),
        ("incident_merged_into_another", {"status": "merged"}),
        ("incident_open_key_is_of_an_open_one", {"is_open_key": True}),
        ("incident_near_miss_says_what_stopped_it", {"is_near_miss": True}),
        ("incident_recovered_at_with_recovered_by", {"recovered_by": "user:ben"}),
    ],
)
def test_the_database_refuses_what_the_steps_would_never_do(constraint, columns):
    going = incident(minutes_ago=10)
    columns = {
        name: timezone.now() + value * MINUTE if name.endswith("_at") else value for name, value in columns.items()
    }

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Incident.objects.filter(pk=going.pk).update(**columns)


@pytest.mark.parametrize(
    "end",
    [
        lifecycle.close,
        lifecycle.decline,
        lambda going, **why: lifecycle.merge_into(going, incident("The same"), **why),
    ],
    ids=["close", "decline", "merge"],
)
def test_it_does_not_end_while_a_legal_clock_runs(end):
    going = incident(detected_at=timezone.now())
    clock = start_clock(going, IncidentClockRule.objects.get(code="EU-ART33"), reason="Personal data", by="user:ben")

    with pytest.raises(ValidationError, match="EU-ART33"):
        end(going, reason="Over", by="user:ben")
    meet_clock(clock, answer="Form 7, case 123", by="user:ben")

    assert not end(going, reason="Over", by="user:ben").is_open


@pytest.mark.parametrize(
    ("severity", "said", "state"),
    [("sev1", None, "due"), ("sev4", None, "waived"), ("sev1", False, "waived"), ("sev4", True, "due")],
)
def test_closing_decides_whether_it_is_reviewed(severity, said, state):
    closed = lifecycle.close(incident(severity=severity), reason="Over", by="user:ben", needs_review=said)

    review = PostIncidentReview.objects.get(incident=closed)
    assert (review.state, bool(review.due_at)) == (state, state == "due")


def test_opening_it_again_takes_the_later_times_back_and_looks_at_decisions_again():
    closed = walked("closed")

    again = lifecycle.reopen(closed, reason="It burns", by="user:eve")

    assert (again.status, again.occurred_to, again.closed_at, again.closed_by) == ("declared", None, None, "")
    assert again.moments.filter(kind="closed_at").first().moment is None
    assert again.backfills.filter(reason="reopened").exists()
    assert again.next_update_due is not None


def test_a_merged_incident_gives_its_alerts_its_scope_and_its_cause_to_the_one_that_goes_on():
    PurposeFactory(code="marketing")
    PurposeFactory(code="product_news")
    first, _ = opened(purposes=["marketing"])
    aware_since = first.detected_at
    twin = incident("The same", minutes_ago=60, purposes=["product_news"])
    group = AlertGroup.objects.create(
        source=AlertSourceFactory(), key=b"k", group_key="k", title="t", incident=first,
        first_at=timezone.now(), last_at=timezone.now(),
    )  # fmt: skip

    merged = lifecycle.merge_into(first, twin, reason="One fire", by="user:ben")

    twin.refresh_from_db()
    group.refresh_from_db()
    assert (merged.status, merged.duplicate_of) == ("merged", twin)
    assert (group.incident, group.is_open) == (twin, True)
    assert twin.purposes == ["marketing", "product_news"]
    assert twin.occurred_from < first.occurred_from
    assert twin.detected_at == aware_since
    assert opened() == (twin, False)
    assert merged.ref in twin.timeline.get(kind="relation").text


def test_a_merged_incident_hands_on_its_legal_hold_and_its_alerts_are_still_kept():
    held = facts.hold_for_law(incident(), is_held=True, attorney_review="", reason="Letter", by="user:lea")
    twin = incident("The same")
    source, long_ago = AlertSourceFactory(), timezone.now() - timedelta(days=100)
    group = AlertGroup.objects.create(
        source=source, key=b"k", group_key="k", title="t", incident=held, first_at=long_ago, last_at=long_ago
    )
    delivery = AlertDelivery.objects.create(
        source=source, raw_body=b"{}", body_digest=b"x", outcome="accepted", group=group, received_at=long_ago
    )

    lifecycle.merge_into(held, twin, reason="One fire", by="user:ben")

    twin.refresh_from_db()
    assert twin.legal_hold
    assert "Under legal hold from now on" in twin.timeline.get(kind="relation").text
    assert alerts.forget() == 0
    with pytest.raises(ValidationError, match="under legal hold"):
        alerts.wipe(delivery, by="user:lea")
    assert not facts.hold_for_law(twin, is_held=False, attorney_review="", reason="Over", by="user:lea").legal_hold


def test_what_was_merged_is_put_under_legal_hold_where_it_went_on():
    merged, twin = incident(), incident("The same")
    lifecycle.merge_into(merged, twin, reason="One fire", by="user:ben")

    with pytest.raises(ValidationError, match=f"put {twin.ref} under legal hold"):
        facts.hold_for_law(merged, is_held=True, attorney_review="", reason="Letter", by="user:lea")


@pytest.mark.parametrize(
    ("arrange", "refusal"),
    [
        (lambda a: (a, a), "into itself"),
        (
            lambda a: (facts.restrict(a, is_restricted=True, reason="Names", by="user:lea"), incident()),
            "restrict INC-2 first",
        ),
        (lambda a: (a, incident("Practice", mode="drill")), "kept apart"),
        (lambda a: (a, lifecycle.decline(incident("No"), reason="No", by="user:x")), "merge into another one"),
        (lambda a: (lifecycle.close(a, reason="Over", by="user:x"), incident()), "closed already"),
    ],
)
def test_what_cannot_be_merged_is_refused(arrange, refusal):
    one, other = arrange(incident())

    with pytest.raises(ValidationError, match=refusal):
        lifecycle.merge_into(one, other, reason="Same", by="user:ben")


def test_a_cause_that_is_found_again_joins_the_incident_that_is_open():
    first, is_new = opened(text="40 a minute")
    again, is_new_again = opened(text="60 a minute")

    assert (is_new, is_new_again, again) == (True, False, first)
    assert first.status == "triage"
    assert first.detected_at is not None
    assert list(first.timeline.filter(kind="detector").order_by("seq").values_list("text", flat=True)) == [
        "40 a minute", "60 a minute",
    ]  # fmt: skip


@pytest.mark.parametrize("end", [lifecycle.close, lifecycle.decline])
def test_a_cause_that_comes_back_after_the_end_opens_a_new_one(end):
    first, _ = opened()
    end(first, reason="Over", by="user:ben")

    second, is_new = opened()

    assert (is_new, second.pk == first.pk) == (True, False)
    if end is lifecycle.close:
        with pytest.raises(ValidationError, match="merge the two"):
            lifecycle.reopen(first, reason="Not over", by="user:ben")


def test_a_drill_never_joins_the_real_thing():
    real, _ = opened()
    drill, is_new = opened(mode="drill")

    assert (is_new, drill.mode, real.mode) == (True, "drill", "real")


def test_the_database_lets_one_be_open_per_cause():
    opened()
    other = incident()

    with pytest.raises(IntegrityError, match="incident_one_open_per_key"), transaction.atomic():
        Incident.objects.filter(pk=other.pk).update(dedup_key="surge:one-click", is_open_key=True)


def test_a_commander_takes_it_out_of_triage_and_starts_the_clock_of_updates():
    first, _ = opened()
    assert first.next_update_due is None

    taken = services.assign_commander(first, UserFactory(username="anna"), by="user:anna")

    assert (taken.status, taken.acknowledged_by) == ("declared", "user:anna")
    assert taken.next_update_due > timezone.now()
