"""`manage.py reconcile FILE --endpoint crm`: compare a file of what a service holds with what holds here."""

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.text import CONTROL
from consent.identifiers import Identity
from messaging.models import Difference, Endpoint
from messaging.propagation import differing, reports
from messaging.propagation.differing import Held

COLUMNS = {"identifier", "purpose", "channel", "state"}
BY = "system:command"
Numbered = tuple[int, Held]


class Command(BaseCommand):
    help = (
        "Compare what a service holds with what holds here. FILE is CSV in UTF-8 with the columns identifier (e-mail "
        "address, +number, subject id or user id), purpose, channel, state (opt_in: it would write, or opt_out), and "
        "since, where known. - reads standard input. Ends with 1 where something differs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--endpoint", required=True, help="The service's name, as registered.")
        parser.add_argument("--name", help="Of the report; the file's, if not given.")
        parser.add_argument(
            "--held-at", type=_moment, metavar="MOMENT", help="When the file was written. Now otherwise."
        )
        parser.add_argument("--complete", action="store_true", help="Whom it does not name the service does not know.")

    def handle(self, *args: Any, file: str, endpoint: str, complete: bool, **options: Any) -> None:
        service = Endpoint.objects.filter(name=endpoint).first()
        if service is None:
            known = ", ".join(Endpoint.objects.order_by("name").values_list("name", flat=True)) or "none"
            raise CommandError(f"There is no endpoint {endpoint}. Known: {known}.")
        counts: Counter[str] = Counter()
        with ExitStack() as stack:
            lines = sys.stdin if file == "-" else stack.enter_context(_opened(file))
            rows = _rows(lines)
            try:
                report = reports.begin(service, options["name"] or file[-100:], held_at=options["held_at"], by=BY)
                while part := list(islice(rows, differing.MOST)):
                    counts += _compare(report, part)
                reports.finish(report, is_complete=complete, by=BY)
            except ValidationError as error:
                raise CommandError(" ".join(error.messages)) from error
        self._tell(counts)

    def _tell(self, counts: Counter[str]) -> None:
        labels = {differing.SAME: "same", differing.UNMEASURED: "not measured: changed here too short a time before"}
        labels |= dict(Difference.Kind.choices)
        for kind, label in labels.items():
            if counts[kind]:
                self.stdout.write(f"{counts[kind]:>8}  {label}")
        if set(counts) - {differing.SAME, differing.UNMEASURED}:
            raise CommandError("They differ.")


def _compare(report: Any, part: list[Numbered]) -> Counter[str]:
    try:
        return differing.compare(report, [row for _, row in part])
    except ValidationError as error:
        if not hasattr(error, "error_dict"):
            raise
        told = []
        for place, texts in error.message_dict.items():
            index, _, column = place.partition("/")
            told.append(f"Line {part[int(index)][0]}, {column}: {' '.join(texts)}")
        raise CommandError("\n".join(told[:20])) from error


def _opened(path: str) -> Any:
    try:
        return open(path, encoding="utf-8-sig", newline="")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error


def _rows(lines: Iterable[str]) -> Iterator[Numbered]:
    reader = csv.DictReader(lines)
    try:
        if missing := COLUMNS - set(reader.fieldnames or ()):
            raise CommandError(f"The file has no column {', '.join(sorted(missing))}.")
        for row in reader:
            yield reader.line_num, _row(reader.line_num, row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"Line {reader.line_num + 1}: this is not CSV in UTF-8.") from error


def _row(number: int, row: dict[str, str | None]) -> Held:
    cells = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
    if any(CONTROL.search(value) for value in cells.values()):
        raise CommandError(f"Line {number}: remove the control characters.")
    try:
        subject = _subject(cells["identifier"])
        since = _moment(cells["since"]) if cells.get("since") else None
    except ValidationError as error:
        raise CommandError(f"Line {number}, identifier: {' '.join(error.messages)}") from error
    except ValueError as error:
        raise CommandError(f"Line {number}, since: give a moment like 2026-03-01T12:00:00Z.") from error
    return Held(subject, cells["purpose"], cells["channel"], cells["state"], since)


def _subject(text: str) -> UUID | Identity:
    if "@" in text:
        return Identity.of("email", text)
    if text.startswith("+"):
        return Identity.of("phone", text)
    try:
        return UUID(text)
    except ValueError:
        return Identity.of("user_id", text)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return moment
