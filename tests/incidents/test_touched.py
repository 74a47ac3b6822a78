"""What is tied, sealed and chained, once it is committed: whom an incident touched, and what was changed beside us."""

import hashlib
from datetime import timedelta
from threading import Thread

import pytest
from django.db import connection
from django.utils import timezone

from consent.services import record
from consent.story import tell
from incidents import affected, chain, facts, lifecycle, linking, narrative, services
from incidents.models import DecisionRollup, Incident
from incidents.services import add_note
from messaging.models import Message
from tests.factories import MessageFactory, PurposeFactory, SubjectFactory, incident, opt_in, opt_out
from tests.incidents.test_lifecycle import opened


def test_ties_of_a_merged_incident_are_taken_over_once_and_new_ones_do_not_find_it(committed):
    PurposeFactory(code="marketing")
    first, twin = incident("First"), incident("Twin")
    record([opt_out(f"person{n}@example.org") for n in range(4)])
    linking.read_log()
    services.set_window(twin, timezone.now() - timedelta(microseconds=1), None, reason="Later", by="user:ben")
    fresh = incident("Survivor", minutes_ago=0)

    lifecycle.merge_into(first, fresh, reason="Same", by="user:ben")
    record([opt_out("late@example.org")])
    linking.read_log()
    while linking.backfill():
        pass

    assert (fresh.links.count(), first.links.count()) == (5, 4)
    fresh.refresh_from_db()
    assert fresh.linked_count == 5
    assert sum(DecisionRollup.objects.filter(incident=fresh).values_list("count", flat=True)) == 5


def test_two_detectors_at_once_open_one_incident(committed):
    answers = []

    def detect():
        answers.append(opened())
        connection.close()

    threads = [Thread(target=detect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Incident.objects.count() == 1
    assert sorted(is_new for _, is_new in answers) == [False] * 7 + [True]


def test_a_line_that_somebody_forged_is_found(cluster, committed):
    declared = incident()
    add_note(declared, "As it was", by="user:ben")
    add_note(declared, "And then", by="user:ben")

    with cluster.connect("superuser") as superuser:
        superuser.execute("ALTER TABLE incidents_timelineentry DISABLE TRIGGER ALL")
        superuser.execute("UPDATE incidents_timelineentry SET text = 'As I wish it' WHERE seq = 2")

    assert chain.verify(declared) == ["Line 2 was not written by this product, or was changed."]


def test_a_line_that_somebody_removed_is_found(cluster, committed):
    declared = incident()
    add_note(declared, "As it was", by="user:ben")
    add_note(declared, "And then", by="user:ben")

    with cluster.connect("superuser") as superuser:
        superuser.execute("ALTER TABLE incidents_timelineentry DISABLE TRIGGER ALL")
        superuser.execute("DELETE FROM incidents_timelineentry WHERE seq = 2")

    assert chain.verify(declared) == ["Line 2 is missing: 3 follows.", "Line 3 does not follow the line before it."]


def test_a_persons_story_names_a_restricted_incident_by_its_number_alone(committed):
    PurposeFactory(code="marketing")
    hidden = incident("Leak of the list")
    facts.restrict(hidden, is_restricted=True, reason="Named people", by="user:lea")
    subject = SubjectFactory()
    record([opt_out(subject)])
    linking.read_log()

    [entry] = [entry for entry in tell([subject.pk]) if entry.kind == "incident"]

    assert entry.text == "tied to INC-1"


@pytest.fixture
def left(committed):
    """Two people left during an incident, one of them twice; one was in before."""
    for code in ("marketing", "product_news"):
        PurposeFactory(code=code)
    one, two = SubjectFactory(), SubjectFactory()
    record([opt_in(one)])
    declared = incident(minutes_ago=0, severity="sev1")
    record([opt_out(one), opt_out(two, cause="complaint"), opt_out(two, purpose="product_news", cause="complaint")])
    linking.read_log()
    for link, state in zip(declared.links.order_by("decision_id"), ("accepted", "in_doubt", "failed"), strict=True):
        MessageFactory(decision_id=link.decision_id, subject_id=link.subject_id, state=state)
    MessageFactory(incident_id=declared.pk, state="accepted")
    return declared


def test_a_seal_can_be_made_again_by_whoever_has_the_ids(left):
    sealed = affected.seal_and_tell(left, reason="For the authority", by="user:lea")

    decisions = sorted(left.links.values_list("decision_id", flat=True))
    people = sorted({str(pk) for pk in left.links.values_list("subject_id", flat=True)})
    mails = sorted(str(pk) for pk in Message.objects.values_list("pk", flat=True))
    assert (sealed.decisions, sealed.subjects, sealed.messages) == (3, 2, 4)
    for ids, digest in (
        (map(str, decisions), sealed.decisions_digest),
        (people, sealed.subjects_digest),
        (mails, sealed.messages_digest),
    ):
        assert hashlib.sha256("\n".join(ids).encode()).digest() == bytes(digest)
    assert bytes(left.timeline.get(kind="decisions").evidence_digest) == bytes(sealed.decisions_digest)


def test_a_seal_still_holds_when_more_is_tied_and_not_when_a_tie_was_removed(left, cluster):
    sealed = affected.seal(left, reason="Now", by="user:lea")
    record([opt_out("late@example.org")])
    linking.read_log()

    assert affected.is_still(sealed)
    with cluster.connect("superuser") as superuser:
        superuser.execute("ALTER TABLE incidents_decisionlink DISABLE TRIGGER ALL")
        superuser.execute("DELETE FROM incidents_decisionlink WHERE id = (SELECT min(id) FROM incidents_decisionlink)")
    assert not affected.is_still(sealed)


def test_effects_are_told_as_before_and_after_by_cause(left):
    told = {(e.before, e.after, e.cause): e.count for e in affected.effects(left)}

    assert told == {
        ("opt_in", "opt_out", "subject_choice"): 1,
        ("never_asked", "opt_out", "complaint"): 2,
    }


def test_the_narrative_counts_and_says_what_is_not_known(left):
    text = narrative.tell(left, timezone.now())

    assert "3 opt-outs are tied to it; 2 people made a choice that is." in text
    assert "spam complaint 2, the person's choice 1" in text
    assert "By way out: not named 3." in text
    assert "opted in → opted out, the person's choice: 1" in text
    assert "1 taken by a relay" in text
    assert "1 in doubt, 1 not sent" in text
    assert "Notices: owed to 1 people, taken by a relay for 1." in text
    assert "still being looked at" in text
    while linking.backfill():
        pass
    assert "still being looked at" not in narrative.tell(left, timezone.now())
