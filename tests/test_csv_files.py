"""Every CSV that leaves the product is harmless to whoever opens it."""

import ast
import csv
import io
from datetime import UTC, datetime
from uuid import UUID

import pytest

from config.csv_files import FORMULA, cell, download, lines
from tests.test_architecture import MODULES, name, tree


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\n=1", '=HYPERLINK("http://x","y")'])
def test_no_cell_is_taken_for_a_formula(text):
    [line] = lines([["harmless", text]])

    [row] = csv.reader(io.StringIO(line, newline=""))
    assert row == ["harmless", f"'{text}"]
    assert not row[1].startswith(FORMULA)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (-5, "-5"),
        (0.5, "0.5"),
        (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01T00:00:00+00:00"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        ("a=b", "a=b"),
        ("'=1", "'=1"),
    ],
)
def test_a_value_is_written_as_it_is_read(value, text):
    assert cell(value) == text


def test_a_download_is_kept_by_no_cache():
    answer = download("rows.csv", [["a"], ["=b"]])

    assert b"".join(answer.streaming_content) == b"a\r\n'=b\r\n"
    assert answer["Content-Disposition"] == 'attachment; filename="rows.csv"'
    assert answer["Cache-Control"] == "no-store"


def test_there_is_one_writer_of_csv():
    """The program that reads spreadsheets writes for the reader beside it, and for nobody's desk."""
    writing = {
        name(path)
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and node.attr in ("writer", "DictWriter")
        and isinstance(node.value, ast.Name)
        and node.value.id == "csv"
    }

    assert writing == {"config/csv_files.py", "consent/importing/spreadsheet_to_csv.py"}
