"""The journal of opt-outs beside the database: sealed, in order, and not longer than a person is known."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from consent import journal, opt_out_journal
from consent.identifiers import Identity
from consent.models import FeedCursor, Subject
from consent.opt_out_journal import keep, keep_erasures, newest_opt_outs, opt_outs, rotate
from consent.services import erase, open_batch, record
from consent.upkeep import keep_up
from tests.factories import PurposeFactory, opt_in, opt_out

pytestmark = pytest.mark.usefixtures("committed", "kept")


@pytest.fixture
def kept(settings, committed, tmp_path):
    settings.OPT_OUT_JOURNAL_DAYS, settings.SPOOL_DIR = 7, str(tmp_path / "spool")
    PurposeFactory(code="marketing")


@pytest.fixture
def folder(settings):
    return Path(settings.SPOOL_DIR) / "opt-outs"


def bytes_of(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl")))


def test_every_opt_out_has_a_line_with_all_that_it_takes_to_say_it_again():
    batch = open_batch("import", reason="Old list", by="user:someone")
    rows = record(
        [
            opt_out("anna@example.org", locale="de", reasons=["called"], actor="service:shop"),
            opt_in("ben@example.org"),
            opt_out("cem@example.org", "*", "*", explicit=False, cause="import", batch_id=batch.pk),
        ]
    )

    assert keep() == 2

    anna, cem = opt_outs()
    assert (anna.id, anna.subject, anna.purpose, anna.channel) == (
        rows[0].id, str(rows[0].subject_id), "marketing", "email",
    )  # fmt: skip
    assert (anna.explicit, anna.cause, anna.reasons, anna.locale) == (True, "subject_choice", ("called",), "de")
    assert (datetime.fromisoformat(anna.decided_at), anna.actor) == (rows[0].decided_at, "service:shop")
    [address] = anna.addresses
    assert address.digest == Identity.of("email", "anna@example.org").digest.hex()
    assert (cem.purpose, cem.channel, cem.explicit) == ("*", "*", False)


def test_the_upkeep_keeps_it_and_says_zero_when_there_is_no_news():
    record([opt_out("anna@example.org")])

    assert keep_up() > 0
    assert len(list(opt_outs())) == 1
    assert keep_up() == 0


def test_what_is_on_disk_names_nobody_and_is_the_owners_alone(folder):
    record([opt_out("anna@example.org", evidence={"ticket": "anna called"})])
    keep()

    assert b"anna" not in bytes_of(folder)
    assert {path.stat().st_mode & 0o77 for path in folder.glob("*.jsonl")} == {0}


def test_a_line_that_was_moved_to_another_person_does_not_open(folder):
    first, second = record([opt_out("anna@example.org"), opt_out("ben@example.org")])
    keep()
    [path] = folder.glob("out-*.jsonl")
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    lines[0]["key"] = lines[1]["key"]
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    assert [line and line.id for line in opt_outs()] == [None, second.id]
    assert first.id != second.id


def test_canaries_are_nobody():
    [row] = record([opt_out("canary@example.org")])
    Subject.objects.filter(pk=row.subject_id).update(is_canary=True)

    assert keep() == 0


def test_a_disk_that_takes_nothing_costs_no_line(folder, settings):
    record([opt_out("anna@example.org")])
    keep_up()
    record([opt_out("ben@example.org")])
    place, settings.SPOOL_DIR = settings.SPOOL_DIR, "/proc/nowhere"

    assert keep() == 0

    settings.SPOOL_DIR = place
    assert keep() == 1


def test_each_folder_has_a_name_and_a_cursor_of_its_own(settings, tmp_path):
    record([opt_out("anna@example.org")])
    keep()
    first = opt_out_journal.name()
    settings.SPOOL_DIR = str(tmp_path / "another host")

    assert keep() == 1

    assert opt_out_journal.name() not in ("", first)
    assert FeedCursor.objects.filter(reader__startswith="journal:").count() == 2


def test_a_folder_that_is_new_begins_with_the_days_it_is_to_hold(settings):
    record([opt_out("anna@example.org")])
    settings.OPT_OUT_JOURNAL_DAYS = 7
    assert keep() == 1  # there before the journal was


def test_the_newest_lines_are_found_at_the_end_of_a_long_file(monkeypatch):
    rows = record([opt_out(f"reader{n}@example.org") for n in range(60)])
    keep()
    monkeypatch.setattr(opt_out_journal, "TAIL", 4096)

    found = [line.id for line in newest_opt_outs(100)]

    assert 0 < len(found) < 60
    assert found == [row.id for row in rows][-len(found) :]


def test_files_past_their_days_are_dropped_and_cursors_of_folders_that_are_gone(folder):
    record([opt_out("anna@example.org")])
    keep()
    old, young = ((timezone.now() - timedelta(days=days)).strftime("%Y-%m-%d") for days in (8, 6))
    for name in (f"out-{old}", f"erased-{old}", f"out-{young}"):
        (folder / f"{name}.jsonl").write_bytes(b"")
    long_ago = timezone.now() - timedelta(days=8)
    FeedCursor.objects.create(reader="journal:gone", advanced_at=long_ago)
    FeedCursor.objects.filter(reader="journal:" + opt_out_journal.name()).update(advanced_at=long_ago)

    assert rotate() == 2

    assert sorted(path.name for path in folder.glob("*.jsonl") if path.stat().st_size == 0) == [f"out-{young}.jsonl"]
    assert [c.reader for c in FeedCursor.objects.filter(reader__startswith="journal:")] == [
        "journal:" + opt_out_journal.name()
    ]


def test_an_erasure_is_a_line_and_empties_the_addresses_that_are_there():
    anna, ben = record([opt_out("anna@example.org"), opt_out("ben@example.org")])
    keep()
    erase(anna.subject_id, by="user:someone")

    assert keep_erasures() == 1
    assert keep_erasures() == 0

    assert opt_out_journal.erased() == [anna.subject_id]
    of_anna, of_ben = opt_outs()
    assert [address.sealed for address in of_anna.addresses] == [None]
    assert [address.sealed is None for address in of_ben.addresses] == [False]
    assert of_anna.addresses[0].digest == Identity.of("email", "anna@example.org").digest.hex()
    assert ben.subject_id not in opt_out_journal.erased()


def test_erasures_are_looked_for_once_a_minute(folder):
    [anna] = record([opt_out("anna@example.org")])
    keep()
    erase(anna.subject_id, by="user:someone")

    assert keep() == 0
    os.utime(folder / "erasures-looked-for", (0, 0))
    assert keep() == 1


def test_a_file_that_was_replaced_before_the_lock_is_read_again(tmp_path, monkeypatch):
    """Else the lines that another one wrote meanwhile would be gone."""
    path, lock, replaced = tmp_path / "lines.jsonl", journal.fcntl.flock, []
    journal.append(path, b"one\n")

    def late(*arguments):
        if not replaced:
            replaced.append(path.rename(tmp_path / "before"))
            path.write_bytes(b"one\ntwo\n")
        lock(*arguments)

    monkeypatch.setattr(journal.fcntl, "flock", late)
    journal.rewrite(path, bytes.upper)

    assert path.read_bytes() == b"ONE\nTWO\n"


def test_where_no_days_are_given_nothing_is_kept(settings, folder):
    settings.OPT_OUT_JOURNAL_DAYS = 0
    record([opt_out("anna@example.org")])

    assert keep() == 0
    assert not folder.exists()


def test_the_days_are_counted_in_utc(folder):
    record([opt_out("anna@example.org")])
    keep()

    [path] = folder.glob("out-*.jsonl")
    assert path.name in {f"out-{timezone.now().astimezone(UTC) - timedelta(hours=h):%Y-%m-%d}.jsonl" for h in (0, 1)}
