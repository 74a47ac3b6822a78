"""The rows of a file that were left out, and why: for a page, and as a file to be mended."""

from collections.abc import Iterable, Iterator
from typing import Any

from cryptography.exceptions import InvalidTag
from django.db.models import QuerySet

from consent.identifiers import unseal
from consent.importing.planning import Effect
from consent.importing.staging import SEAL
from consent.models import Import, ImportRow

COLUMNS = ("row", "why it was left out", "choice", "purpose", "channel", "decided at", "the row")
LISTED = [*ImportRow.LEFT_OUT, Effect.OUTWEIGHED]


def left_out(imported: Import) -> QuerySet[ImportRow]:
    """With those who opted in themselves: there the list may know better."""
    return ImportRow.objects.filter(imported=imported, effect__in=LISTED).order_by("number")


def reason(row: ImportRow) -> str:
    return row.why if row.effect == Effect.REFUSED else str(row.get_effect_display())


def text(row: ImportRow) -> str:
    """What the file says there, or whom it names; empty once it was forgotten."""
    if row.sealed is None:
        return ""
    try:
        if row.effect == Effect.REFUSED:
            return SEAL.open(row.sealed, f"{row.imported_id}:{row.number}")
        return unseal(row.kind, bytes(row.sealed))
    except InvalidTag:
        return "cannot be opened: was PRIVACY_KEY changed?"


def lines(imported: Import) -> Iterator[Iterable[Any]]:
    """The heading first. For whoever may see whom they are about."""
    yield COLUMNS
    for row in left_out(imported).iterator(chunk_size=2000):
        yield row.number, reason(row), row.choice, row.purpose, row.channel, row.decided_at, text(row)
