"""A file as rows of text: encodings, delimiters, sheets and limits. Nothing in it is believed, nothing in it runs."""

import codecs
import csv
import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from django.core.exceptions import ValidationError

from consent.importing import spreadsheet_to_csv

MOST_BYTES = 64 * 2**20
MOST_UNPACKED = 512 * 2**20
MOST_ROWS = 1_000_000
MOST_COLUMNS = 500
LONGEST_READING = 120  # seconds for a spreadsheet
DELIMITERS = ",;\t|"
SAMPLE = 20  # rows that a delimiter is guessed from
ZIP, OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
PROGRAM = Path(spreadsheet_to_csv.__file__)


class FileRefused(ValidationError):
    """Nothing of the file was taken; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` is read once, and raises FileRefused where the file goes wrong; an empty row is an empty list.

    They come with their numbers as a spreadsheet counts them, from 1.
    """

    rows: Iterator[tuple[int, list[str]]]
    sheet: str = ""


def read(data: bytes, sheet: str = "") -> Table:
    """CSV in whichever of the usual encodings and delimiters, or XLSX: its first visible sheet, or the one named."""
    if not data.strip():
        raise FileRefused("The file is empty.")
    if len(data) > MOST_BYTES:
        raise FileRefused(f"The file is larger than {MOST_BYTES // 2**20} MB. Split it.")
    if data.startswith(OLD_EXCEL):
        raise FileRefused("This is an old or encrypted Excel file. Save it as .xlsx without a password, or as CSV.")
    if data.startswith(ZIP):
        name, text = _of_spreadsheet(data, sheet)
        return Table(_rows(text, ","), name)
    if sheet:
        raise FileRefused("Only a spreadsheet has sheets, and this file is none.")
    text = decoded(data)
    return Table(_rows(text, delimiter_of(text)))


def decoded(data: bytes) -> str:
    """By the mark at its head; else UTF-16 where every other byte is empty, UTF-8, or Windows-1252."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return _text(data, encoding)
    head = data[:400]
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if head[start::2].count(0) * 2 > len(head[start::2]) > 1:
            return _text(data, encoding)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _text(data, "cp1252")


def _text(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileRefused(
            "The text is neither UTF-8, UTF-16 nor Windows-1252. Save the file as CSV in UTF-8."
        ) from error


def delimiter_of(text: str) -> str:
    """The one that cuts all of the first rows into the same number of cells, and into the most."""

    def evenly(delimiter: str) -> tuple[bool, int]:
        try:
            sample = list(islice(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), SAMPLE))
        except csv.Error:
            return False, 0
        cells = len(sample[0]) if sample else 0
        return cells > 1 and all(len(row) == cells for row in sample), cells

    return max(DELIMITERS, key=evenly)


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    # Strictly: a quote that is never closed would swallow the rest of the file, and the opt-outs in it.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        for number, row in enumerate(reader, 1):
            if number > MOST_ROWS:
                raise FileRefused(f"The file has more than {MOST_ROWS:,} rows. Split it.")
            if len(row) > MOST_COLUMNS:
                raise FileRefused(f"Row {number} has more than {MOST_COLUMNS} cells.")
            yield number, row
    except csv.Error as error:
        raise FileRefused(
            f"Row {number + 1} cannot be read ({error}). Is a quotation mark there that is not closed?"
        ) from error


def _of_spreadsheet(data: bytes, sheet: str) -> tuple[str, str]:
    """Its sheet's name, and the sheet as CSV."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise FileRefused("The file cannot be opened: it is cut off or broken.") from error
    if "xl/workbook.xml" not in {part.filename for part in parts}:
        raise FileRefused("This is an archive and no .xlsx file. Unpack it, and give the CSV or the spreadsheet in it.")
    if sum(part.file_size for part in parts) > MOST_UNPACKED:
        raise FileRefused(f"The spreadsheet unpacks to more than {MOST_UNPACKED // 2**20} MB. Save it as CSV.")
    try:
        done = subprocess.run(  # noqa: S603, since the one argument from outside is a sheet's name, and no shell reads it
            [sys.executable, "-I", str(PROGRAM), sheet],
            input=data,
            capture_output=True,
            timeout=LONGEST_READING,
            env={},
        )
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise FileRefused("The spreadsheet cannot be read. Save the sheet as CSV in UTF-8.") from error
    said = done.stderr.decode(errors="replace")
    if done.returncode == spreadsheet_to_csv.NO_SUCH_SHEET:
        names = ", ".join(said.splitlines()) or "none that is shown"
        raise FileRefused(f"The file has no such sheet. Its sheets: {names}.")
    if done.returncode:
        raise FileRefused(
            "The spreadsheet cannot be read: it is broken, or far too large. Save the sheet as CSV in UTF-8."
        )
    return said[:100], done.stdout.decode()
