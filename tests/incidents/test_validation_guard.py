"""Gate and guard follow what burns: closed and raised by themselves, opened and relaxed when it is contained."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent.models import GuardChange
from consent.services import DecisionsRefused, guard_level, may_contact, record, set_guard
from incidents import validation
from incidents.lifecycle import contain, merge_into, reopen
from incidents.models import Incident
from incidents.validation import closing, guarding
from messaging import confirmations, delivery
from messaging.holding import hold_sending, let_go
from messaging.models import Message, MessageClass, SendHold
from tests.factories import MessageFactory, PurposeFactory, SubjectFactory, UserFactory, incident, opt_in, opt_out
from tests.messaging.smtp import inbox


@pytest.fixture(autouse=True)
def marketing(request):
    request.getfixturevalue("committed" if "committed" in request.fixturenames else "db")
    return PurposeFactory(code="marketing")


def told(of, kind="guard"):
    return [line.text for line in of.timeline.filter(kind=kind).order_by("seq")]


@pytest.mark.parametrize(
    ("type_", "level"),
    [
        ("opt_out_lost", "protect"),
        ("drift", "protect"),
        ("bulk_resubscribe", "freeze"),
        ("surge", "observe"),
        ("", "observe"),
    ],
)
def test_the_guard_follows_an_incident_about_choices(type_, level):
    declared = incident(type=type_)

    guarding.follow()

    assert guard_level() == level
    if level != "observe":
        [line] = told(declared)
        assert line.startswith(f"The guard went from observe to {level}. Open and not contained: {declared.ref}.")
        assert GuardChange.objects.get().reason == f"Open and not contained: {declared.ref}"


def test_a_drill_raises_nothing():
    incident(type="bulk_resubscribe", mode="drill")

    assert guarding.follow() == 0


def test_it_is_relaxed_when_the_last_of_them_is_contained():
    first, second = incident(type="bulk_resubscribe"), incident(type="drift")
    guarding.follow()

    contain(first, reason="Job stopped", by="user:anna")
    guarding.follow()
    assert guard_level() == "protect"
    contain(second, reason="Put right", by="user:anna")
    assert guarding.follow() == 1

    assert guard_level() == "observe"
    assert guarding.follow() == 0
    assert told(first)[-1].startswith("The guard went from protect to observe. The last incident about choices")


def test_it_goes_back_to_what_a_person_had_set_before():
    set_guard("protect", reason="Migration weekend", by="user:anna")
    declared = incident(type="bulk_resubscribe")
    guarding.follow()
    assert guard_level() == "freeze"

    contain(declared, reason="Job stopped", by="user:anna")
    guarding.follow()

    assert guard_level() == "protect"


@pytest.mark.parametrize("level", ["observe", "protect", "freeze"])
def test_what_a_person_sets_meanwhile_stands(level):
    declared = incident(type="drift")
    guarding.follow()

    set_guard(level, reason="I know what I do", by="user:anna")

    assert guarding.follow() == 0
    contain(declared, reason="Put right", by="user:anna")
    assert guarding.follow() == 0
    assert guard_level() == level


@pytest.mark.parametrize("again", ["declared", "reopened"])
def test_what_burns_after_a_person_set_it_counts_again(again):
    declared = incident(type="drift")
    guarding.follow()
    set_guard("observe", reason="I know what I do", by="user:anna")
    contain(declared, reason="Put right", by="user:anna")

    incident(type="drift") if again == "declared" else reopen(declared, reason="It burns", by="user:anna")

    assert guarding.follow() == 1
    assert guard_level() == "protect"


def test_a_merged_incident_burns_where_it_goes_on():
    first, second = incident("One", type="drift"), incident("Two", type="drift")
    merge_into(first, second, reason="Same", by="user:anna")
    guarding.follow()
    assert guard_level() == "protect"

    contain(second, reason="Put right", by="user:anna")
    guarding.follow()

    assert guard_level() == "observe"


def test_what_a_playbook_raised_is_not_lowered():
    set_guard("freeze", reason="Playbook", by="system:playbooks")
    declared = incident(type="drift")
    guarding.follow()
    contain(declared, reason="Put right", by="user:anna")

    assert guarding.follow() == 0
    assert guard_level() == "freeze"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    types=st.lists(st.sampled_from(["drift", "bulk_resubscribe", "opt_out_lost", "surge"]), max_size=3),
    by_hand=st.sampled_from([None, "observe", "protect", "freeze"]),
    channel=st.sampled_from(["email", "sms", "*"]),
    explicit=st.booleans(),
)
def test_an_opt_out_is_accepted_whatever_the_guard_was_set_to(types, by_hand, channel, explicit):
    for type_ in types:
        incident(type=type_)
    if by_hand:
        set_guard(by_hand, reason="By hand", by="user:anna")
    guarding.follow()
    subject = SubjectFactory()

    record([opt_out(subject, "marketing", channel, explicit=explicit)])

    assert not may_contact(subject.pk, "marketing", "email" if channel == "*" else channel)


def test_frozen_means_that_nobody_is_opted_in_by_machine():
    incident(type="bulk_resubscribe")
    guarding.follow()

    with pytest.raises(DecisionsRefused):
        record([opt_in(SubjectFactory(), explicit=False, cause="import")])


# The gate


def test_a_broken_promise_closes_the_gate_for_what_an_opt_out_would_stop():
    declared = incident("Opt-outs are gone")

    assert closing.close(declared, "I2 is broken") == 2

    assert set(SendHold.objects.values_list("value", flat=True)) == {"consent_update", "operational"}
    [line] = told(declared, "send")
    assert "Held: consent update, operational." in line
    assert SendHold.objects.first().reason.startswith(declared.ref)


def test_confirmations_still_go_while_the_gate_is_closed(committed, sending_by):
    PurposeFactory(code="marketing")
    closing.close(incident("Opt-outs are gone"), "I2 is broken")
    record([opt_out("anna@example.org")])
    confirmations.owe()
    offer = MessageFactory(message_class=MessageClass.OPERATIONAL)

    with inbox() as box:
        sending_by(f"relay=smtp://127.0.0.1:{box.port}")
        for lane in Message.Lane.values:
            delivery.deliver_due(10, lane=lane)

    assert [mail.recipients for mail in box.mails] == [["anna@example.org"]]
    assert Message.objects.get(pk=offer.pk).state == "pending"


@pytest.mark.parametrize("minutes", [-60, 5, None])
def test_the_gate_is_closed_also_where_somebody_holds_for_a_while_and_theirs_stays_theirs(minutes):
    held_at = timezone.now() - timedelta(hours=2)
    until = timezone.now() + timedelta(minutes=minutes) if minutes else None
    theirs = SendHold.objects.create(
        scope="message_class", value="operational", reason="Relay", held_by="user:anna", held_at=held_at, until=until
    )
    declared = incident()

    assert closing.close(declared, "I3 is broken") == 2
    assert closing.close(declared, "I3 is broken once more") == 0

    let_go(theirs, reason="Mended", by="user:anna")
    assert SendHold.objects.active(timezone.now()).filter(value="operational", until=None).exists()


def test_what_somebody_else_holds_stays_held_when_the_gate_opens_and_is_told():
    closing.close(declared := incident(), "I3 is broken")
    hold_sending("message_class", "operational", reason="Relay", by="user:anna")

    assert closing.open_again() == 2

    assert SendHold.objects.get(released_at=None).held_by == "user:anna"
    assert "operational stays held back by user:anna." in told(declared, "send")[-1]


def test_the_gate_stays_closed_while_it_burns_and_opens_when_it_is_contained(committed):
    breach = found_i3()
    assert closing.open_again() == 0

    contain(breach, reason="The template is gone", by="user:anna")
    assert validation.keep() >= 1

    assert not SendHold.objects.filter(released_at=None).exists()
    assert told(breach, "send")[-1] == "The gate is open again: consent update, operational are sent."


def found_i3():
    """A message that was accepted two minutes after its person left."""
    subject = SubjectFactory()
    record([opt_out(subject)])
    message = MessageFactory(subject_id=subject.pk, message_class="operational", state="accepted")
    ended = timezone.now() + timedelta(minutes=2)
    message.attempts.create(
        number=1, transport="relay", lease=message.pk, outcome="accepted", phase="replied", ended_at=ended
    )
    validation.look()
    return Incident.objects.get(dedup_key="zero:I3")


def test_i3_closes_the_gate_by_itself_and_raises_the_guard(committed):
    breach = found_i3()
    validation.keep()

    assert set(SendHold.objects.values_list("value", flat=True)) == {"consent_update", "operational"}
    assert guard_level() == "protect"
    assert (breach.severity, breach.type) == ("sev1", "opt_out_not_honoured")


def test_a_person_who_lets_go_is_not_overruled_until_something_new_is_found(committed):
    found_i3()
    for hold in SendHold.objects.all():
        let_go(hold, reason="Checked by hand", by=UserFactory())

    validation.run()
    validation.keep()
    assert not SendHold.objects.filter(released_at=None).exists()

    found_i3()

    assert SendHold.objects.filter(released_at=None).count() == 2
