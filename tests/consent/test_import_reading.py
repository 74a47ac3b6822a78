"""Files as they come: encodings, delimiters, sheets, limits; nothing but one kind of refusal ever comes out."""

import codecs
import csv
import io
import zipfile
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.importing import files
from consent.importing.files import FileRefused, delimiter_of, read
from consent.importing.moments import moment_of
from tests.consent.spreadsheets import xlsx

WORDS = [["email", "name"], ["anna@example.org", "Zoë"], ["ben@example.org", "Ĺ, “B”\nsecond line"]]


def table(data, sheet=""):
    return [row for _, row in read(data, sheet).rows]


def text(delimiter=",", rows=WORDS):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_the_same_rows_come_out_of_every_encoding_and_delimiter(encoding, delimiter):
    assert table(text(delimiter).encode(encoding)) == WORDS


def test_utf_16_with_the_other_mark_is_read():
    assert table(codecs.BOM_UTF16_BE + text().encode("utf-16-be")) == WORDS


def test_what_is_no_utf_8_is_read_as_windows_1252():
    assert table("email,name\r\nanna@example.org,Zoë “x”\r\n".encode("cp1252"))[1] == [
        "anna@example.org",
        "Zoë “x”",
    ]


def test_a_delimiter_in_quotes_is_no_delimiter():
    assert delimiter_of('email;name\r\na@b.c;"one, two, three"\r\n') == ";"
    assert delimiter_of("email\r\na@b.c\r\n") == ","


def test_rows_keep_their_numbers_over_empty_ones():
    assert list(read(b"email\n\n\na@b.c\n").rows)[-1] == (4, ["a@b.c"])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (b"\xff\xfea\x00b", "neither UTF-8, UTF-16 nor Windows-1252"),
        (b"email\n\x81\x8d@example.org\n", "neither UTF-8, UTF-16 nor Windows-1252"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old or encrypted Excel"),
        (b"PK\x03\x04 and nothing else", "cut off or broken"),
        (b'email,name\na@b.c,"never closed\nb@b.c,x\n', "quotation mark"),
        (b"x" * 200_000, "quotation mark"),
        (b"," * 600, "more than 500 cells"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(data, says):
    with pytest.raises(FileRefused, match=says):
        table(data)


def test_a_file_that_is_too_large_or_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 2**20)
    monkeypatch.setattr(files, "MOST_ROWS", 2)

    with pytest.raises(FileRefused, match="larger than 1 MB"):
        read(b"x" * (2**20 + 1))
    with pytest.raises(FileRefused, match="more than 2 rows"):
        table(b"a\nb\nc\n")


@given(st.binary(max_size=400))
def test_whatever_bytes_come_nothing_but_its_own_refusal_is_raised(data):
    with suppress(FileRefused):
        table(data)


@given(st.text(max_size=200), st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "cp1252"]))
def test_whatever_text_comes_nothing_but_its_own_refusal_is_raised(written, encoding):
    with suppress(FileRefused):
        table(written.encode(encoding, errors="replace"))


CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=2, max_size=6))
def test_what_a_program_writes_comes_back_as_it_was(rows):
    rows = [["email", "name"], *rows]

    assert table(text(rows=rows).encode("utf-8-sig")) == rows


# Spreadsheets


def test_a_sheet_is_read_with_numbers_dates_and_formulas_as_they_stand():
    data = xlsx(
        {
            "People": [
                ["phone", "when", "yes", "said"],
                [491701234567, datetime(2026, 3, 1, 12, 30), True, "=HYPERLINK(1)"],
                [None, None, None, ("1+1", 2)],
            ]
        }
    )

    assert table(data) == [
        ["phone", "when", "yes", "said"],
        ["491701234567", "2026-03-01T12:30:00", "true", "=HYPERLINK(1)"],
        ["", "", "", "2"],
    ]
    assert read(data).sheet == "People"


def test_a_sheet_is_named_and_another_name_is_refused_with_those_there_are():
    data = xlsx({"First": [["a"]], "Second": [["b"]]})

    assert table(data, "Second") == [["b"]]
    with pytest.raises(FileRefused, match="First, Second"):
        read(data, "Third")
    with pytest.raises(FileRefused, match="Only a spreadsheet has sheets"):
        read(b"email\n", "First")


def test_rows_of_a_sheet_that_begins_further_down_keep_their_numbers():
    data = xlsx({"S": [[None], [None], ["email"], ["a@b.c"]]})

    assert list(read(data).rows)[2:] == [(3, ["email"]), (4, ["a@b.c"])]


def test_a_sheet_that_claims_to_end_at_the_last_cell_there_can_be_takes_nothing_down():
    data = xlsx(
        {"S": []}, cells='<row r="1"><c r="A1"><v>1</v></c></row><row r="9"><c r="XFD1048576"><v>1</v></c></row>'
    )

    assert len(data) < 3000
    with pytest.raises(FileRefused, match="far too large"):
        read(data)


def test_an_archive_that_is_no_spreadsheet_or_unpacks_too_far_is_refused(monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("subscribed.csv", "email")
    with pytest.raises(FileRefused, match="Unpack it"):
        read(packed.getvalue())

    monkeypatch.setattr(files, "MOST_UNPACKED", 100)
    with pytest.raises(FileRefused, match="unpacks to more"):
        read(xlsx({"S": [["email"]]}))


def test_a_broken_sheet_is_refused():
    with pytest.raises(FileRefused, match="cannot be read"):
        read(xlsx({"S": []}, cells="<row"))


# Moments


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-03-01 12:00:05", datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T12:00:00.000Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01 12:00:00 UTC", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("1772366400", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("1772366400000", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("1.3.2026", datetime(2026, 3, 1, tzinfo=UTC)),
        ("01.03.2026 12:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("31/03/2026", datetime(2026, 3, 31, tzinfo=UTC)),
        ("3/31/2026 1:05 PM", datetime(2026, 3, 31, 13, 5, tzinfo=UTC)),
        ("5/5/2026", datetime(2026, 5, 5, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_as_senders_write_it(written, moment):
    assert moment_of(written) == moment


@pytest.mark.parametrize("written", ["03/04/2026", "yesterday", "45000", "", "31.02.2026", "2026-13-01", "9" * 30])
def test_a_moment_that_is_none_or_could_be_two_is_refused(written):
    with pytest.raises(ValueError, match="the time can"):
        moment_of(written)


@given(st.text(max_size=30))
def test_no_text_breaks_the_reading_of_moments(written):
    with suppress(ValueError):
        assert moment_of(written).tzinfo is not None
