"""A file becomes rows that wait: read once, whom they name sealed, planned at once. Nothing of it is a choice yet."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.db import connection, transaction
from django.utils import timezone

from config.keys import Seal
from config.models import User
from config.text import CONTROL
from consent.importing import planning
from consent.importing.files import FileRefused, read
from consent.importing.rows import CHANNEL_WORDS, Candidate, Refusal, Wanted, read_rows
from consent.models import ANY, Import, Purpose

SEAL = Seal("import-row")
AT_ONCE = 5000
COPY = """
    COPY consent_importrow (import_id, number, kind, digest, sealed, purpose, channel, choice, decided_at, why, effect)
    FROM STDIN
"""
NULL = "\\N"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file, and what whoever brings it says about it.

    `purpose` and `channel`: for rows that name none. `sender`: whose columns they are, where they do not tell by
    themselves. `dated`: of when the list is, for rows that say no moment. `opt_outs_only`: opt-ins are left out.
    """

    name: str
    data: bytes
    purpose: str = ANY
    channel: str = "email"
    sender: str = ""
    sheet: str = ""
    dated: datetime | None = None
    opt_outs_only: bool = False


@transaction.atomic
def take(upload: Upload, *, by: User | str) -> Import:
    """Read a file and plan it; changes nobody's choice. Raises FileRefused, and then keeps nothing."""
    now = timezone.now()
    wanted = _wanted(upload, now)
    table = read(upload.data, upload.sheet)
    found = read_rows(table, wanted)
    digest = hashlib.sha256(upload.data).digest()
    imported = Import.objects.create(
        file_name=CONTROL.sub("", upload.name)[:200] or "a file without a name",
        digest=digest,
        size=len(upload.data),
        sender=found.sender,
        sheet=table.sheet,
        columns=[CONTROL.sub(" ", name)[:100] for name in found.columns],
        purpose=upload.purpose,
        channel=wanted.channel,
        opt_outs_only=upload.opt_outs_only,
        moment=upload.dated or _moment_of_file(digest) or now,
        is_dated=upload.dated is not None,
        rows=0,
        created_at=now,
        created_by=by if isinstance(by, str) else by.actor,
    )
    imported.rows = _stage(imported, found.rows)
    if not imported.rows:
        raise FileRefused("The file has no rows below its first.")
    imported.save(update_fields=["rows"])
    planning.plan(imported)
    return imported


def earlier(imported: Import) -> list[Import]:
    """The same file, taken before: newest first."""
    same = Import.objects.of_file(bytes(imported.digest)).exclude(pk=imported.pk)
    return list(same.filter(pk__lt=imported.pk).order_by("-pk")[:10])


def _wanted(upload: Upload, now: datetime) -> Wanted:
    channel = CHANNEL_WORDS.get(upload.channel)
    if channel is None:
        raise FileRefused(f"No such channel: {upload.channel}.")
    purposes = frozenset([ANY, *Purpose.objects.values_list("code", flat=True)])
    if upload.purpose not in purposes:
        raise FileRefused(f"No such purpose: {upload.purpose}. Register it first, or use * for all.")
    if upload.dated is not None and upload.dated > now:
        raise FileRefused("The list's date lies in the future.")
    return Wanted(
        purpose=upload.purpose,
        channel=channel,
        purposes=purposes,
        now=now,
        sender=upload.sender,
        dated=upload.dated,
        opt_outs_only=upload.opt_outs_only,
    )


def _moment_of_file(digest: bytes) -> datetime | None:
    """What says no moment counts from when this very file was first applied: a second time changes nothing. Once it was
    undone, it starts anew.
    """
    return (
        Import.objects.of_file(digest)
        .filter(portions__isnull=False, undone_at=None)
        .order_by("pk")
        .values_list("moment", flat=True)
        .first()
    )


def _stage(imported: Import, rows: Iterator[Candidate | Refusal]) -> int:
    """Returns the number of the last row."""
    last = 0
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        while some := list(islice(rows, AT_ONCE)):
            copy.write("".join([_line(imported.pk, row) for row in some]))
            last = some[-1].number
    return last


def _line(pk: int, row: Candidate | Refusal) -> str:
    """A line of COPY. Codes, digests and our own words: nothing in it can be taken for a tab or a backslash."""
    if isinstance(row, Refusal):
        sealed = SEAL.close(row.text, f"{pk}:{row.number}").hex()
        why = row.why.replace("\\", "\\\\").replace("\t", " ").replace("\n", " ").replace("\r", " ")
        return f"{pk}\t{row.number}\t\t{NULL}\t\\\\x{sealed}\t\t\t\t{NULL}\t{why}\trefused\n"
    number, identity, purpose, channel, choice, decided_at, why = row
    return (
        f"{pk}\t{number}\t{identity.kind}\t\\\\x{identity.digest.hex()}\t\\\\x{identity.seal().hex()}\t{purpose}\t"
        f"{channel}\t{choice}\t{NULL if decided_at is None else decided_at.isoformat()}\t{why}\tchanges\n"
    )
