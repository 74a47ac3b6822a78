"""The timeline: no gap, no change, one order, and minutes instead of people."""

import json
from datetime import timedelta
from threading import Thread

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection
from django.utils import timezone

from incidents import exports
from incidents.chain import verify
from incidents.models import DecisionRollup, TimelineEntry
from incidents.services import add_note, correct_note
from incidents.timeline import Kind, NewLine, Place, Source, append_many, story
from tests.factories import incident

MINUTE = timedelta(minutes=1)


def test_numbers_have_no_gap_when_many_write_at_once(committed):
    declared = incident()

    def write(name):
        for n in range(5):
            add_note(declared, f"{name} {n}", by=f"user:{name}")
        connection.close()

    threads = [Thread(target=write, args=[f"writer{n}"]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(declared.timeline.order_by("seq").values_list("seq", flat=True)) == list(range(1, 32))


@pytest.mark.django_db
def test_a_line_is_never_changed():
    note = add_note(incident(), "As I saw it", by="user:ben")
    note.text = "As I wish it"

    with pytest.raises(PermissionDenied, match="append-only"):
        note.save()
    with pytest.raises(DatabaseError, match=r"permission denied|is kept"):
        TimelineEntry.objects.filter(pk=note.pk).update(text="As I wish it")


@pytest.mark.django_db
def test_the_story_is_told_in_the_order_of_what_happened_not_of_what_was_written():
    declared = incident(minutes_ago=30)
    add_note(declared, "second", by="user:ben", occurred_at=timezone.now() - 10 * MINUTE)
    add_note(declared, "first", by="user:ben", occurred_at=timezone.now() - 20 * MINUTE)

    texts = [line.text for line in story(declared, newest_first=False).lines]

    assert texts[:2] == ["first", "second"]


@pytest.mark.django_db
def test_minutes_are_woven_in_and_pages_neither_repeat_nor_skip():
    declared = incident()
    minute = timezone.now().replace(second=0, microsecond=0)
    for n in range(30):
        DecisionRollup.objects.create(
            incident=declared, minute=minute - n * MINUTE, choice="opt_out", cause="complaint", count=n + 1
        )
        add_note(declared, f"note {n}", by="user:ben", occurred_at=minute - n * MINUTE)

    pages, place = [], None
    while page := story(declared, place, size=7):
        pages.append(page)
        if len(pages) == 1:
            add_note(declared, "Somebody writes while we read.", by="user:ben")
        if (place := page.next) is None:
            break

    lines = [line for page in pages for line in page.lines]
    assert [line.place for line in lines] == sorted((line.place for line in lines), reverse=True)
    assert len({line.place for line in lines}) == len(lines) == 61
    assert any(line.text == "1 opt-out, way out not named: spam complaint" for line in lines)
    assert any(line.text == "2 opt-outs, way out not named: spam complaint" for line in lines)
    assert all(len(page.lines) == 7 for page in pages[:-1])


@pytest.mark.django_db
def test_a_page_of_the_story_takes_three_queries(django_assert_num_queries):
    declared = incident()
    for n in range(40):
        add_note(declared, f"note {n}", by="user:ben")

    with django_assert_num_queries(3):
        assert len(story(declared).lines) == 25


@pytest.mark.django_db
def test_a_corrected_line_is_told_as_such():
    declared = incident()
    note = add_note(declared, "12 people", by="user:ben")
    correct_note(note, "120 people", by="user:ben")

    told = {line.text: line.is_superseded for line in story(declared).lines}

    assert (told["12 people"], told["120 people"]) == (True, False)


@pytest.mark.django_db
def test_a_place_is_read_back_as_it_was_written():
    line = story(incident()).lines[0]

    assert Place.read(str(line.place)) == line.place


@pytest.mark.parametrize(
    "text", ["", "x", "1-2-3", "1-2-3-x", "9" * 40 + "-1-1-1", "1-9999999-1-1", "99999999999999-1-1-1"]
)
def test_a_crafted_place_is_refused(text):
    with pytest.raises(ValueError, match="No such place"):
        Place.read(text)


def test_lines_that_a_storm_adds_at_once_are_chained_like_any_other(db):
    first, second = incident("One"), incident("Two")
    now = timezone.now()
    news = [NewLine(one.pk, Kind.ALERT, f"Line {n}", now) for n in range(3) for one in (first, second)]

    append_many(news, source=Source.ALERT, actor="alert:storm")

    assert [verify(one) for one in (first, second)] == [[], []]
    assert [entry.seq for entry in first.timeline.order_by("seq")] == [1, 2, 3, 4]


def test_nobody_waits_while_a_file_is_written(committed, monkeypatch):
    """A transaction that has an id would keep every reader of the log, and the incident's lock whoever ties to it."""
    declared, open_ids, content_type = incident(), [], "application/json"

    def slowly(header, lines):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id_if_assigned()::text")
            open_ids.extend(cursor.fetchone())
        add_note(declared, "Meanwhile", by="user:ben")
        return exports._json(header, lines)

    monkeypatch.setitem(exports.FORMATS, "json", (content_type, slowly, None))

    made = exports.export(declared, "json", by="user:anna")

    assert open_ids == [None]
    assert [line["kind"] for line in json.loads(made.body)["lines"]] == ["declared"]
    assert [entry.kind for entry in declared.timeline.order_by("seq")] == ["declared", "note", "export"]
