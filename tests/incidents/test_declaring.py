"""What may be done with an incident, and what is refused in words."""

from datetime import timedelta
from threading import Thread

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from incidents.models import Incident, TimelineEntry
from incidents.services import (
    add_note,
    assign_commander,
    change_scope,
    close,
    contain,
    correct_note,
    declare,
    set_window,
)
from tests.factories import ExitPathFactory, PurposeFactory, UserFactory, incident

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def test_an_incident_is_declared_with_a_start_in_the_past_and_a_scope():
    PurposeFactory(code="marketing")
    ExitPathFactory(code="footer-link")

    declared = incident("Relay down", minutes_ago=90, purposes=["marketing"], exit_paths=["footer-link"])

    assert (declared.ref, declared.status) == ("INC-1", Incident.Status.DECLARED)
    assert declared.declared_at - declared.occurred_from > timedelta(minutes=89)
    assert declared.history.get().history_user_id == "user:anna"
    line = TimelineEntry.objects.get()
    assert (line.seq, line.kind, line.actor) == (1, "declared", "user:anna")
    assert "marketing; footer-link" in line.text


@pytest.mark.parametrize(
    ("field", "facts"),
    [
        ("occurred_from", {"minutes_ago": -2}),
        ("occurred_to", {"occurred_to": timezone.now() - timedelta(days=9)}),
        ("occurred_to", {"occurred_to": timezone.now() + timedelta(days=9)}),
        ("purposes", {"purposes": ["nobody-registered-this"]}),
        ("exit_paths", {"exit_paths": ["nor-this"]}),
        ("severity", {"severity": "sev9"}),
        ("mode", {"mode": "joke"}),
        ("summary", {"summary": "a\0b"}),
    ],
)
def test_what_cannot_be_is_refused_with_the_name_of_its_field(field, facts):
    with pytest.raises(ValidationError) as refused:
        incident(**facts)

    assert field in refused.value.message_dict
    assert not Incident.objects.exists()


def test_a_title_with_control_characters_is_refused():
    with pytest.raises(ValidationError, match="control characters"):
        incident("Relay\0down")


def test_two_people_may_declare_the_same_fire():
    first, second = incident("Relay down"), incident("Relay down")

    assert (first.ref, second.ref) == ("INC-1", "INC-2")


def test_a_declaration_that_is_rolled_back_leaves_no_hole_in_the_refs():
    with transaction.atomic():
        incident()
        transaction.set_rollback(True)

    assert incident().ref == "INC-1"


def test_declaring_at_once_gives_each_a_ref_of_its_own(committed):
    def declare_one():
        incident()
        connection.close()

    threads = [Thread(target=declare_one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    refs = Incident.objects.values_list("ref", flat=True)
    assert sorted(int(ref[4:]) for ref in refs) == list(range(1, 13))


def test_containing_says_when_and_by_whom():
    declared = incident()
    moment = timezone.now() - MINUTE

    contained = contain(declared, reason="Relay replaced", by="user:ben", at=moment)

    assert (contained.status, contained.contained_by, contained.contained_at) == ("contained", "user:ben", moment)
    line = declared.timeline.get(seq=2)
    assert (line.old, line.new, line.occurred_at) == ("declared", "contained", moment)
    assert line.recorded_at > line.occurred_at


def test_times_out_of_order_are_refused():
    declared = incident(minutes_ago=10)

    with pytest.raises(ValidationError, match="before it began"):
        contain(declared, reason="Fixed", by="user:ben", at=timezone.now() - 11 * MINUTE)
    contain(declared, reason="Fixed", by="user:ben", at=timezone.now() - 5 * MINUTE)
    with pytest.raises(ValidationError, match="after it was contained"):
        set_window(declared, timezone.now() - MINUTE, None, reason="Later", by="user:ben")


@pytest.mark.parametrize("verb", [contain, close])
def test_a_change_of_status_says_why(verb):
    with pytest.raises(ValidationError, match="Say why"):
        verb(incident(), reason=" ", by="user:ben")


def test_closing_ends_the_window_and_cannot_happen_twice():
    closed = close(incident(), reason="Over", by="user:ben")

    assert closed.occurred_to == closed.closed_at
    with pytest.raises(ValidationError, match="closed already"):
        close(closed, reason="Over", by="user:ben")
    with pytest.raises(ValidationError, match="closed already"):
        contain(closed, reason="Over", by="user:ben")
    with pytest.raises(ValidationError, match="say when"):
        set_window(closed, closed.occurred_from, None, reason="Reopen", by="user:ben")


def test_the_database_refuses_an_incident_that_ends_before_it_began(committed):
    declared = incident()

    with pytest.raises(IntegrityError, match="incident_ends_after_it_began"):
        Incident.objects.filter(pk=declared.pk).update(occurred_to=declared.occurred_from - MINUTE)


def test_window_and_scope_are_told_from_old_to_new():
    PurposeFactory(code="marketing")
    declared = incident()

    set_window(declared, declared.occurred_from - MINUTE, None, reason="Log found", by="user:ben")
    change_scope(declared, purposes=["marketing"], exit_paths=[], reason="Only letters", by="user:ben")

    texts = list(declared.timeline.order_by("seq").values_list("text", flat=True))
    assert "Log found" in texts[1]
    assert "from all purposes; all ways out to marketing; all ways out" in texts[2]
    assert [row.history_change_reason for row in declared.history.all()] == ["Only letters", "Log found", "Declared"]


def test_a_triaged_incident_is_declared_when_somebody_takes_it():
    triaged = incident(status=Incident.Status.TRIAGE)
    anna = UserFactory(username="anna")

    taken = assign_commander(triaged, anna, by=anna)

    assert (taken.status, taken.commander) == ("declared", anna)
    assert triaged.timeline.get(seq=2).new == "anna"


def test_notes_are_taken_after_the_end_too():
    closed = close(incident(), reason="Over", by="user:ben")

    note = add_note(closed, "The relay's owner called back.", by="user:ben")

    assert note.seq == 3


@pytest.mark.parametrize("text", ["", "  \n", "a\0b"])
def test_a_note_without_words_is_refused(text):
    with pytest.raises(ValidationError):
        add_note(incident(), text, by="user:ben")


def test_a_note_cannot_tell_of_what_lies_ahead():
    with pytest.raises(ValidationError, match="cannot lie ahead"):
        add_note(incident(), "It will be fixed.", by="user:ben", occurred_at=timezone.now() + 10 * MINUTE)


def test_a_note_is_corrected_once_by_a_line_that_supersedes_it():
    declared = incident()
    note = add_note(declared, "12 people", by="user:ben", occurred_at=timezone.now() - 3 * MINUTE)

    better = correct_note(note, "120 people", by="user:anna")

    assert (better.supersedes, better.occurred_at) == (note, note.occurred_at)
    with pytest.raises(ValidationError, match="correct the newer one"):
        correct_note(note, "1200 people", by="user:anna")
    assert correct_note(better, "1200 people", by="user:anna").supersedes == better


def test_only_notes_are_corrected():
    with pytest.raises(ValidationError, match="Only notes"):
        correct_note(incident().timeline.get(), "Never", by="user:anna")


def test_declaring_wants_an_offset():
    with pytest.raises(ValidationError, match="offset"):
        declare("x", occurred_from=timezone.now().replace(tzinfo=None), by="user:anna")
