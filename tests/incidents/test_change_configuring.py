"""Texts, transports and ways out as change sets: planned, approved, applied, at work in a real mail, and taken back."""

from datetime import timedelta
from email import message_from_bytes
from email.policy import SMTP

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from consent.models import Decision, ExitPath
from consent.services import record
from incidents.changes import applying, deciding, planning, rolling_back, running
from incidents.models import ChangeSet
from messaging import publishing
from messaging.confirmations import confirmations_of
from messaging.delivery import deliver_due
from messaging.holding import hold_sending
from messaging.models import DeliveryAttempt, SendHold, TemplateVersion
from messaging.services import enqueue
from tests.factories import ExitPathFactory, PurposeFactory, TemplateFactory, incident, opt_out
from tests.incidents.change_sets import applied, approved, draft, fresh, officer, planned
from tests.messaging.smtp import inbox

pytestmark = pytest.mark.django_db
State = ChangeSet.State
TEXT = "opt_out_confirmation"
NEW = "You are out, said anew"


@pytest.fixture
def relays(sending_by):
    """Two inboxes: what the first transport takes, and what the second one does."""
    PurposeFactory(code="marketing")
    with inbox() as relay, inbox() as backup:
        sending_by(*(f"{name}=smtp://127.0.0.1:{box.port}" for name, box in (("relay", relay), ("backup", backup))))
        yield relay, backup


def leaves(address):
    """They opt out, and the confirmation that they are owed is sent."""
    [recorded] = record([opt_out(address)])
    enqueue(confirmations_of(Decision.objects.filter(pk=recorded.id)))
    deliver_due()


def subjects(box):
    return [str(message_from_bytes(mail.content, policy=SMTP)["Subject"]) for mail in box.mails]


def used():
    return TemplateVersion.objects.published(TEXT).first()


def approved_text(subject=NEW, *, publish=False):
    """A new version of the confirmation, read by a colleague of its author."""
    version = publishing.draft_from(used(), by="user:anna")
    version.bodies.filter(locale="en").update(subject=subject)
    publishing.check(version, by="user:anna")
    version = publishing.approve(version, reason="Read it", by="user:bela")
    return publishing.publish(version, reason="Out", by="user:bela") if publish else version


def publish(version):
    return {"operation": "publish_template", "args": {"template": version.template_id, "version": version.number}}


def transport(verb, name="relay"):
    return {"operation": f"{verb}_transport", "args": {"transport": name}}


def taken_back(change):
    rolling_back.roll_back(change, reason="It does harm.", by=officer())
    running.run_due()
    change = fresh(change)
    assert change.state == State.ROLLED_BACK
    return " ".join(word for batch in change.batches.all() for word in batch.words)


def test_a_text_goes_out_by_a_set_that_another_person_approved_and_comes_back(relays):
    first, version = used(), approved_text()
    leaves("anna@example.org")
    change = deciding.submit(planned(publish(version), selector={}), by="user:anna")
    with pytest.raises(ValidationError, match="cannot be done"):
        applying.apply(change, by="user:anna")
    change = applying.apply(deciding.approve(change, by=officer()), by="user:anna")
    assert used() == first  # nothing is published before a worker comes
    running.run_due()

    assert (fresh(change).state, used()) == (State.APPLIED, version)
    assert used().published_by == f"system:{change.ref}"
    leaves("ben@example.org")

    assert taken_back(fresh(change)) == f"What was set stands. {version} is retired; v{first.number} is used."
    version.refresh_from_db()
    assert (version.state, version.retired_by, used()) == ("retired", f"system:{change.ref}", first)
    leaves("cleo@example.org")
    before, meanwhile, after = subjects(relays[0])
    assert (meanwhile, after) == (NEW, before)
    assert before != NEW


def test_a_text_that_was_published_since_stays_when_the_set_before_it_is_taken_back():
    change = applied(publish(approved_text()), selector={})
    newer = approved_text("Newer still", publish=True)

    said = taken_back(change)

    assert used() == newer
    assert f"v{newer.number} is used" in said


def test_a_text_that_somebody_retired_since_is_left_as_it_is():
    version = approved_text()
    change = applied(publish(version), selector={})
    publishing.retire(version, reason="Wrong", by="user:bela")

    assert "is retired already" in taken_back(change)


def test_the_first_text_of_its_name_cannot_be_taken_back_and_people_are_told():
    fire = incident()
    version = first_of_its_name()
    change = applied(publish(version), selector={}, incident=fire)

    said = taken_back(change)

    assert "only published version" in said
    assert "by hand" in said
    assert fire.timeline.filter(text__contains="by hand").exists()
    version.refresh_from_db()
    assert version.state == "published"


def first_of_its_name():
    version = approved_text()
    copy = TemplateVersion.objects.create(
        template=TemplateFactory(), number=1, context_schema=version.context_schema, samples=version.samples,
        created_by="user:anna",
    )  # fmt: skip
    for body in version.bodies.all():
        body.pk, body.version = None, copy
        body.save()
    publishing.check(copy, by="user:anna")
    return publishing.approve(copy, reason="Read it", by="user:bela")


def test_a_text_that_nobody_approved_cannot_be_planned():
    version = publishing.draft_from(used(), by="user:anna")

    with pytest.raises(ValidationError, match="checked and approved first"):
        planning.plan(draft(publish(version), selector={}), by="user:anna")


def test_a_text_older_than_the_one_in_use_cannot_be_planned_since_nobody_would_get_it():
    older = approved_text()
    newer = approved_text("Newer", publish=True)

    with pytest.raises(ValidationError, match=f"v{newer.number} is newer"):
        planning.plan(draft(publish(older), selector={}), by="user:anna")


def test_a_text_that_was_changed_after_the_set_was_approved_is_not_published():
    first, version = used(), approved_text()
    change = approved(publish(version), selector={})
    version.bodies.filter(locale="en").update(subject="Something else")

    applying.apply(change, by="user:anna")

    assert (fresh(change).state, used()) == (State.STALE, first)


def test_a_transport_is_passed_by_while_the_set_stands_and_used_again_when_it_is_taken_back(relays):
    relay, backup = relays
    change = applied(transport("hold"), selector={})
    leaves("anna@example.org")
    assert (len(relay.mails), len(backup.mails)) == (0, 1)

    assert "relay is let go" in taken_back(change)

    leaves("ben@example.org")
    assert (len(relay.mails), len(backup.mails)) == (1, 1)
    assert list(DeliveryAttempt.objects.order_by("pk").values_list("transport", flat=True)) == ["backup", "relay"]


def test_a_hold_that_somebody_let_go_since_is_left_as_it_is(relays):
    change = applied(transport("hold"), selector={})
    SendHold.objects.update(released_at=timezone.now(), released_by="user:bela", released_reason="Mended")

    assert "not held by this set any more" in taken_back(change)

    assert not SendHold.objects.filter(released_at=None).exists()


def test_a_transport_is_used_while_the_set_stands_and_held_as_before_when_it_is_taken_back(relays):
    relay, backup = relays
    until = timezone.now() + timedelta(hours=2)
    hold_sending("transport", "relay", reason="Blocklisted", by="user:bela", until=until)
    change = applied(transport("release"), selector={})
    leaves("anna@example.org")
    assert (len(relay.mails), len(backup.mails)) == (1, 0)

    assert "relay is held again" in taken_back(change)

    assert SendHold.objects.get(released_at=None).until == until
    leaves("ben@example.org")
    assert (len(relay.mails), len(backup.mails)) == (1, 1)


def test_a_hold_whose_time_is_over_is_not_made_again(relays):
    until = timezone.now() + timedelta(hours=2)
    hold_sending("transport", "relay", reason="Blocklisted", by="user:bela", until=until)
    change = applied(transport("release"), selector={})
    over = timezone.now() - timedelta(minutes=1)
    change.batches.update(undo={"was_held": True, "until": over.isoformat()})

    assert "that is over" in taken_back(change)

    assert not SendHold.objects.filter(released_at=None).exists()


def test_a_transport_that_is_not_there_cannot_be_planned(relays):
    with pytest.raises(ValidationError, match="no transport moon"):
        planning.plan(draft(transport("hold", "moon"), selector={}), by="user:anna")


def test_operations_are_taken_back_in_the_opposite_order_each_to_what_stood_before_it(relays):
    ExitPathFactory(code="footer", owner="Web team", url="https://shop.example/old/")
    path = {"code": "footer", "to": {"owner": "Mail team", "url": "https://shop.example/new/"}}
    version, first = approved_text(), used()
    change = applied({"operation": "set_exit_path", "args": path}, transport("hold"), publish(version), selector={})
    assert [batch.state for batch in change.batches.all()] == ["passed"] * 3
    assert (ExitPath.objects.get(pk="footer").owner, used()) == ("Mail team", version)

    taken_back(change)

    footer = ExitPath.objects.get(pk="footer")
    assert (footer.owner, footer.url) == ("Web team", "https://shop.example/old/")
    assert used() == first
    assert not SendHold.objects.filter(released_at=None).exists()
    ended = change.batches.order_by("rolled_back_at").values_list("number", flat=True)
    assert list(ended) == [3, 2, 1]
