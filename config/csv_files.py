"""Every CSV that leaves the product: one writer, so that no cell of it is ever taken for a formula.

What people wrote comes back in exports, and a spreadsheet runs what begins like a formula on the desk of whoever opens
it (OWASP, "CSV Injection"): such a text gets an apostrophe, which spreadsheets do not show.
"""

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.http import StreamingHttpResponse

MARK = "\ufeff"  # at the head of the file: without it spreadsheets take UTF-8 for something else
CONTENT_TYPE = "text/csv; charset=utf-8"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class _Echo:
    """What csv.writer writes to: the line itself."""

    def write(self, line: str) -> str:
        return line


def cell(value: Any) -> str:
    """A value as text: nothing for None, yes or no, ISO 8601; a number stays one, also below zero."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def lines(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """The lines of a CSV file, each with its end."""
    writer = csv.writer(_Echo())
    for row in rows:
        yield writer.writerow([cell(value) for value in row])


def download(name: str, rows: Iterable[Iterable[Any]]) -> StreamingHttpResponse:
    """The file as an answer, streamed, and kept by no cache. `name`: with its ending, in plain letters."""
    return StreamingHttpResponse(
        lines(rows),
        content_type=CONTENT_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )
