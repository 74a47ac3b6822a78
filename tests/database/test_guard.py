"""The two steps back in, the guard's levels, and the facts that the database alone states."""

from datetime import timedelta

import psycopg
import pytest
from django.utils import timezone

from consent.models import Consent, Decision
from consent.services import (
    DecisionsRefused,
    confirm_reversal,
    guard_level,
    may_contact,
    record,
    request_reversal,
    set_guard,
)
from tests.database.conftest import NEW_DECISION
from tests.factories import opt_in, opt_out


def back_in(subject_id, purpose="marketing", channel="email"):
    reversal = request_reversal(subject_id, purpose, channel)
    return confirm_reversal(reversal.pk)


def test_two_steps_lift_the_opt_out_and_the_next_opt_out_takes_two_more(world):
    anna = world.ids["anna"]

    back_in(anna)
    assert may_contact(anna, "marketing", "email")

    record([opt_out(anna)])
    with pytest.raises(DecisionsRefused):
        record([opt_in(anna)])
    assert not may_contact(anna, "marketing", "email")


def test_a_request_from_before_an_opt_out_cannot_lift_it(world):
    anna = world.ids["anna"]
    reversal = request_reversal(anna, "marketing", "email")

    # A device whose clock is slow: decided before the request, as it says, but received after it.
    record([opt_out(anna, decided_at=timezone.now() - timedelta(minutes=3))])

    with pytest.raises(DecisionsRefused) as refused:
        confirm_reversal(reversal.pk)
    assert refused.value.problems[0].code == "reversal_needed"
    assert not may_contact(anna, "marketing", "email")


def test_a_request_lifts_its_own_key_only(world):
    anna = world.ids["anna"]
    record([opt_out(anna, channel="sms")])

    reversal = request_reversal(anna, "marketing", "sms")
    confirm_reversal(reversal.pk)
    with pytest.raises(DecisionsRefused):
        record([opt_in(anna, reversal_id=reversal.pk)])

    assert not may_contact(anna, "marketing", "email")
    assert may_contact(anna, "marketing", "sms")


def test_a_request_is_used_once(world):
    anna = world.ids["anna"]
    reversal = request_reversal(anna, "marketing", "email")
    confirm_reversal(reversal.pk)

    with pytest.raises(DecisionsRefused) as refused:
        record([opt_in(anna, reversal_id=reversal.pk)])

    assert refused.value.problems[0].code == "used"


def test_lifting_everything_lifts_what_was_said_about_everything_and_no_narrower_no(world):
    dora = world.ids["dora"]
    record([opt_out(dora, "marketing", "email")])

    back_in(dora, "*", "*")

    assert not may_contact(dora, "marketing", "email")
    assert may_contact(dora, "marketing", "sms")


def test_what_was_lifted_narrowly_may_be_said_again_in_one_step_and_nothing_more(world):
    dora = world.ids["dora"]
    back_in(dora)

    record([opt_in(dora)])
    with pytest.raises(DecisionsRefused):
        record([opt_in(dora, channel="sms")])

    assert may_contact(dora, "marketing", "email")
    assert not may_contact(dora, "marketing", "sms")


def test_two_of_the_staff_lift_with_evidence_and_one_does_not(world):
    reversal = world.ids["reversal"]

    with pytest.raises(DecisionsRefused):
        confirm_reversal(reversal, by="user:eve")
    confirm_reversal(reversal, by="user:mo")

    assert may_contact(world.ids["anna"], "marketing", "email")


def test_an_eight_days_old_request_is_too_old(world):
    """No login may date a request; the superuser shows what a week does."""
    with world.cluster.connect("superuser", autocommit=False) as superuser:
        superuser.execute("ALTER TABLE consent_reversal DISABLE TRIGGER refuse_change")
        superuser.execute("UPDATE consent_reversal SET requested_at = now() - interval '8 days'")
        superuser.execute("ALTER TABLE consent_reversal ENABLE ALWAYS TRIGGER refuse_change")

    with pytest.raises(DecisionsRefused) as refused:
        confirm_reversal(world.ids["reversal"], by="user:mo")

    assert refused.value.problems[0].code == "not_confirmable"


def test_an_opt_in_from_a_clock_that_is_ahead_does_not_outlive_the_opt_out_that_follows(world):
    erin = world.ids["erin"]

    [ahead] = record([opt_in(erin, decided_at=timezone.now() + timedelta(minutes=4))])
    record([opt_out(erin)])

    assert ahead.decided_at == ahead.received_at
    assert not may_contact(erin, "marketing", "email")


def test_facts_that_the_owner_names_are_overruled(world):
    with world.cluster.connect("owner") as owner:
        forged = owner.execute(
            "INSERT INTO consent_decision (subject_id, purpose, channel, choice, cause, decided_at, actor, "
            "received_at, tx, db_user) "
            "VALUES (%s, 'news', 'sms', 'opt_out', 'support', '2020-01-01', 'x', '2020-01-01', 1, 'anna') "
            "RETURNING received_at > now() - interval '1 minute', tx > 1, db_user",
            [world.ids["erin"]],
        ).fetchone()

    assert forged == (True, True, "holdfast_owner")


@pytest.mark.parametrize("level", ["observe", "protect", "freeze"])
def test_an_opt_out_is_taken_at_every_level_from_everybody_who_may_write(world, level):
    set_guard(level, reason="Exercise", by="user:anna")
    explicit = f"{NEW_DECISION} VALUES (%(ben)s, {{}}, 'opt_out', true, 'support', now(), 'x')"
    other = explicit.replace(" explicit,", "").replace(" true,", "")

    for role, statement in [("holdfast_app", explicit), ("holdfast_app", other), ("holdfast_oncall", other),
                            ("owner", explicit), ("owner", other)]:  # fmt: skip
        for scope in ("'news', 'email'", "'*', '*'"):
            world.run(role, statement.format(scope))

    assert Decision.objects.filter(subject=world.ids["ben"], choice="opt_out").count() == 10
    assert Consent.objects.explicitly_opted_out().filter(subject=world.ids["ben"]).count() == 2


def test_on_call_raises_the_guard_and_does_not_lower_it(world):
    change = "INSERT INTO consent_guardchange (level, reason, changed_by) VALUES ('{}', 'Fire', 'oncall')"

    world.run("holdfast_oncall", change.format("protect"))
    world.run("holdfast_oncall", change.format("freeze"))
    for lower in ("protect", "observe"):
        with pytest.raises(psycopg.Error) as refused:
            world.run("holdfast_oncall", change.format(lower))
        assert refused.value.sqlstate == "HF012"
    set_guard("observe", reason="Over", by="user:anna")

    assert guard_level() == "observe"


def test_the_number_of_a_guard_change_is_the_database_s(world):
    """The newest change rules: a number from the far end would rule for good."""
    world.run(
        "owner",
        "INSERT INTO consent_guardchange (id, level, reason, changed_by, changed_at) "
        "VALUES (9223372036854775807, 'protect', 'x', 'x', '2099-01-01')",
    )
    set_guard("freeze", reason="Fire", by="user:anna")

    with pytest.raises(DecisionsRefused) as refused:
        record([opt_in(world.ids["erin"], explicit=False, cause="import", batch_id=world.ids["batch"])])
    assert refused.value.problems[0].code == "guard"


def test_protect_wants_a_batch_that_exists(world):
    set_guard("protect", reason="Fire", by="user:anna")
    erin, made_up = world.ids["erin"], "00000000-0000-0000-0000-000000000009"

    for batch in (None, made_up):
        with pytest.raises(DecisionsRefused):
            record([opt_in(erin, explicit=False, cause="import", batch_id=batch)])
    record([opt_in(erin, explicit=False, cause="import", batch_id=world.ids["batch"])])

    assert may_contact(erin, "marketing", "email")


def test_on_call_opts_in_only_what_one_batch_can_undo(world):
    columns = "(subject_id, purpose, channel, choice, cause, decided_at, actor, batch_id)"
    values = "VALUES (%(erin)s, 'marketing', 'email', 'opt_in', 'repair', now(), 'oncall', {})"

    with pytest.raises(psycopg.Error) as refused:
        world.run("holdfast_oncall", f"INSERT INTO consent_decision {columns} {values.format('NULL')}")
    world.run("holdfast_oncall", f"INSERT INTO consent_decision {columns} {values.format('%(batch)s')}")

    assert refused.value.sqlstate == "HF003"
    assert Decision.objects.latest("id").explicit is False


def test_on_call_voids_a_bad_opt_in_and_not_an_opt_out(world):
    erin, void = (
        world.ids["erin"],
        "INSERT INTO consent_decisionvoid (decision_id, reason, voided_by) VALUES ({}, 'x', 'x')",
    )
    [bad] = record([opt_in(erin, explicit=False, cause="import")])

    world.run("holdfast_oncall", void.format(bad.id))
    with pytest.raises(psycopg.Error) as refused:
        world.run("holdfast_oncall", void.format(world.ids["imported"]))

    assert refused.value.sqlstate == "HF006"
    assert Consent.objects.get(subject=erin).state is None
