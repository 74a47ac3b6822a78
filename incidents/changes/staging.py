"""Rows that somebody brings for a set: given one by one, or selected from a table that holds them already."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from consent.bulk import Instruction, Selected
from consent.importing.applying import choices
from consent.models import ANY, Channel, Choice, Import
from incidents.models import ChangeRow, ChangeSet

AT_ONCE = 5_000
SKEW = timedelta(minutes=5)

BRING = """
    INSERT INTO incidents_changerow (change_set_id, subject_id, purpose, channel, choice, decided_at)
    SELECT %s, r.* FROM ({select}) AS r(subject_id, purpose, channel, choice, decided_at)
"""
ODD = """
    SELECT count(*) FILTER (WHERE s.id IS NULL),
           count(*) FILTER (WHERE r.purpose <> '*' AND p.code IS NULL),
           count(*) FILTER (WHERE r.channel <> ALL (%(channels)s)),
           count(*) FILTER (WHERE r.choice <> ALL (%(choices)s)),
           count(*) FILTER (WHERE r.decided_at < '2000-01-01T00:00:00Z' OR r.decided_at > %(latest)s)
      FROM incidents_changerow r LEFT JOIN consent_subject s ON s.id = r.subject_id
      LEFT JOIN consent_purpose p ON p.code = r.purpose
     WHERE r.change_set_id = %(change)s
"""
WORDS = (
    "name people who are not known: register them first",
    "name a purpose that is not registered",
    "name no channel that is known",
    "say neither opt_in nor opt_out",
    "were decided before the year 2000, or in the future",
)


def file_of(change: ChangeSet) -> str:
    """The import that it says its rows are those of; empty: none."""
    named = [told.get("args", {}).get("file") for told in change.operations if told["operation"] == "import"]
    return named[0] or "" if named else ""


def bring(change: ChangeSet, rows: Selected | Iterable[Instruction]) -> int:
    """Add rows to a draft, whose plan they become; returns how many. Several for one key: the last one counts.

    Raises ValidationError where it says already whose rows it has: approvers read that it writes those of that file.
    """
    if ref := file_of(change):
        raise ValidationError({"rows": f"Its rows are those of {ref}: leave others out, or do not name the file."})
    return _bring(change, rows)


def bring_file(change: ChangeSet) -> None:
    """The rows of the import that it names become its own, in place of others that it had. Raises ValidationError."""
    ref = file_of(change)
    imported = Import.objects.filter(pk=int(ref.removeprefix("IM-"))).first()
    if imported is None:
        raise ValidationError({"file": f"There is no {ref}: bring the file under Imports."})
    ChangeRow.objects.filter(change_set=change).delete()
    if not _bring(change, choices(imported, taken_by=change.ref)):
        raise ValidationError({"file": f"{ref} changes nothing: there is no row to write."})


def _bring(change: ChangeSet, rows: Selected | Iterable[Instruction]) -> int:
    if isinstance(rows, Selected):
        with connection.cursor() as cursor:
            cursor.execute(BRING.format(select=rows.sql), [change.pk, *rows.parameters])
            return cursor.rowcount
    count = 0
    waiting: list[Instruction] = []
    with transaction.atomic():
        for row in rows:
            waiting.append(row)
            if len(waiting) == AT_ONCE:
                count += _keep(change, waiting)
                waiting = []
        return count + _keep(change, waiting)


def _keep(change: ChangeSet, rows: Sequence[Instruction]) -> int:
    ChangeRow.objects.bulk_create(
        ChangeRow(
            change_set=change,
            subject_id=row.subject_id,
            purpose=row.purpose,
            channel=row.channel,
            choice=row.choice,
            decided_at=row.decided_at,
        )
        for row in rows
    )
    return len(rows)


def check(change: ChangeSet) -> None:
    """Raises ValidationError that counts what is wrong with the rows, all of it."""
    facts: dict[str, Any] = {
        "change": change.pk, "channels": [*Channel.values, ANY], "choices": list(Choice.values),
        "latest": timezone.now() + SKEW,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(ODD, facts)
        counts = cursor.fetchone()
    found = [f"{count:,} rows {words}." for count, words in zip(counts, WORDS, strict=True) if count]
    if found:
        raise ValidationError(found)
