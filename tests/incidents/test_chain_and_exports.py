"""What proves a timeline: its chain, and files that are the same as what was handed out."""

import csv
import hashlib
import io
import json
import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from incidents import chain, exports
from incidents.models import DecisionRollup, TimelineEntry
from incidents.services import add_note, correct_note, pin_line
from incidents.timeline import pinned, story, whole
from tests.factories import incident

pytestmark = pytest.mark.django_db


def test_a_timeline_that_was_written_here_is_whole():
    declared = incident()
    note = add_note(declared, "12 people", by="user:ben", evidence="ticket 7", evidence_digest=b"\1" * 32, skew_ms=-40)
    correct_note(note, "120 people", by="user:ben")

    assert chain.verify(declared) == []


def test_a_line_inserted_beside_the_product_is_found():
    declared = incident()
    TimelineEntry.objects.create(
        incident=declared, seq=2, kind="note", text="I was here", source="ui", actor="user:eve"
    )

    assert "was not written by this product" in " ".join(chain.verify(declared))


def test_the_story_is_narrowed_to_kinds():
    declared = incident()
    DecisionRollup.objects.create(
        incident=declared, minute=timezone.now(), choice="opt_out", cause="complaint", count=3
    )
    add_note(declared, "Relay rebooted", by="user:ben")

    assert [line.text for line in story(declared, kinds=["note"]).lines] == ["Relay rebooted"]
    assert [line.count for line in story(declared, kinds=["decisions"]).lines] == [3]
    assert len(story(declared, kinds=["note", "declared"]).lines) == 2
    with pytest.raises(ValueError, match="No such kind"):
        story(declared, kinds=["gossip"])


def test_a_line_is_kept_in_sight_until_it_is_let_go():
    declared = incident()
    note = add_note(declared, "The queue is at relay-2", by="user:ben")

    pin_line(note, by="user:ben")
    assert pinned(declared) == [note]
    pin_line(note, by="user:anna")

    assert pinned(declared) == []
    assert declared.timeline.filter(kind="pin").count() == 2
    with pytest.raises(ValidationError, match="kept in sight"):
        pin_line(declared.timeline.filter(kind="pin").first(), by="user:ben")


@pytest.fixture
def told():
    declared = incident("*Bold* #panic() $x$", minutes_ago=30)
    for n in range(620):
        DecisionRollup.objects.create(
            incident=declared,
            minute=timezone.now() - timedelta(minutes=n),
            choice="opt_out",
            cause="complaint",
            count=n + 1,
        )
    note = add_note(declared, '=HYPERLINK("http://x")\n#import "x"', by="user:ben")
    correct_note(note, "+49 30 901820", by="user:ben")
    return declared


def test_json_holds_every_line_in_order_once(told):
    body = json.loads(exports.export(told, "json", by="user:anna").body)

    moments = [line["occurred_at"] for line in body["lines"]]
    assert len(moments) == 623
    assert moments == sorted(moments)
    assert body["incident"]["chain"] == {"is_whole": True, "faults": []}
    assert [line["seq"] for line in body["lines"] if line["seq"]] == [1, 2, 3]


def test_csv_has_the_same_lines_and_no_formulas(told):
    body = exports.export(told, "csv", by="user:anna").body

    rows = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    texts = [row["text"] for row in rows if row["kind"] == "note"]
    assert len(rows) == 623
    assert texts[0].startswith("'=HYPERLINK")
    assert texts[1].startswith("'+49")


def test_pdf_is_paper_with_pages_and_takes_nothing_for_markup(told):
    made = exports.export(told, "pdf", by="user:anna")

    assert made.body.startswith(b"%PDF-")
    assert int(re.search(rb"/Type/Pages/Count (\d+)", made.body)[1]) > 5


def test_the_same_facts_make_the_same_paper(told):
    header = exports.header(told, exports.affected.seal(told, reason="x", by="user:anna"), timezone.now())
    lines = list(whole(told))

    assert exports._pdf(header, lines) == exports._pdf(header, lines)


@pytest.mark.parametrize("format", ["json", "csv", "pdf"])
def test_an_export_is_a_line_with_the_digest_of_its_bytes(format):
    declared = incident()

    made = exports.export(declared, format, by="user:anna")

    line = declared.timeline.get(kind="export")
    assert bytes(line.evidence_digest) == hashlib.sha256(made.body).digest()
    assert (line.evidence, line.actor) == (made.name, "user:anna")


def test_a_story_stands_as_it_was_when_it_was_asked_for(told):
    note = add_note(told, "12 people", by="user:ben")
    lines = whole(told)
    next(lines)

    correct_note(note, "120 people", by="user:ben")

    rest = {line.text: line.is_superseded for line in lines}
    assert rest["12 people"] is False
    assert "120 people" not in rest
    assert {line.text: line.is_superseded for line in whole(told)}["12 people"] is True


def test_the_order_of_a_long_story_is_read_from_an_index(told):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(
            "EXPLAIN SELECT * FROM incidents_timelineentry WHERE incident_id = %s AND occurred_at >= now() "
            "ORDER BY occurred_at, seq LIMIT 26",
            [told.pk],
        )
        plan = " ".join(row[0] for row in cursor.fetchall())

    assert "timelineentry_story" in plan


def test_a_story_too_long_for_paper_is_sent_to_a_table(told, monkeypatch):
    monkeypatch.setitem(exports.FORMATS, "pdf", (*exports.FORMATS["pdf"][:2], 100))

    with pytest.raises(ValidationError, match="too many for paper"):
        exports.export(told, "pdf", by="user:anna")
    with pytest.raises(ValidationError, match="Ask for one of"):
        exports.export(told, "docx", by="user:anna")
    assert not told.timeline.filter(kind="export").exists()
    assert not told.affected_sets.exists()
