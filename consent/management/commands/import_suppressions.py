"""`manage.py import_suppressions FILE`: another sender's opt-outs, looked at first and written when asked to."""

from argparse import ArgumentTypeError
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count

from config.deeds import words
from consent.importing import applying, planning, staging
from consent.importing.files import MOST_BYTES
from consent.importing.moments import moment_of
from consent.importing.senders import SENDERS
from consent.models import ANY, Channel, Import, ImportRow

BY = "system:import_suppressions"
MOST_REASONS = 10


def moment(text: str) -> datetime:
    try:
        return moment_of(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


class Command(BaseCommand):
    help = "Import a suppression list (CSV or XLSX). Without --apply nothing changes: it says what would."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--apply", action="store_true", help="Write it.")
        parser.add_argument("--purpose", default=ANY, help="For rows that name none; * for all, which is the default.")
        parser.add_argument(
            "--channel", default=Channel.EMAIL, choices=[*Channel.values, ANY], help="For rows that name none."
        )
        parser.add_argument(
            "--sender", default="", choices=["", *SENDERS], metavar="SENDER", help=f"One of {', '.join(SENDERS)}."
        )
        parser.add_argument("--sheet", default="", help="Of a spreadsheet; the first by default.")
        parser.add_argument(
            "--dated", type=moment, metavar="MOMENT", help="Of when the list is, for rows that do not say."
        )
        parser.add_argument("--opt-outs-only", action="store_true", help="Leave opt-ins out.")
        parser.add_argument("--by", default=BY, help="Who is said to have done it, like user:anna.")

    def handle(self, *args: Any, file: Path, apply: bool, by: str, **options: Any) -> None:
        upload = staging.Upload(
            name=file.name,
            data=self._read(file),
            purpose=options["purpose"],
            channel=options["channel"],
            sender=options["sender"],
            sheet=options["sheet"],
            dated=options["dated"],
            opt_outs_only=options["opt_outs_only"],
        )
        try:
            imported = staging.take(upload, by=by)
            self._tell(imported)
            if apply:
                written = applying.apply_opt_outs(imported, by=by)
                self.stdout.write(f"Applied: {written:,} rows became decisions.")
        except ValidationError as error:
            raise CommandError(words(error)) from error
        if not apply:
            self._tell_how_to_go_on(imported)

    def _read(self, file: Path) -> bytes:
        try:
            if file.stat().st_size > MOST_BYTES:
                raise CommandError(f"The file is larger than {MOST_BYTES // 2**20} MB. Split it.")
            return file.read_bytes()
        except OSError as error:
            raise CommandError(f"The file cannot be read: {error.strerror}.") from error

    def _tell(self, imported: Import) -> None:
        self.stdout.write(f"{imported.ref}: {imported.file_name}, columns of {SENDERS[imported.sender].title}.")
        for before in staging.earlier(imported):
            became = "undone" if before.undone_at else "applied" if before.applied_at else "not applied"
            self.stdout.write(
                f"  The same file came on {before.created_at:%Y-%m-%d %H:%M} UTC: {before.ref}, {became}."
            )
        for count, what in planning.told(imported.counts):
            self.stdout.write(f"{count:>10,}  {what}")
        refused = ImportRow.objects.filter(imported=imported, effect=ImportRow.Effect.REFUSED)
        reasons = refused.values_list("why").annotate(count=Count("pk")).order_by("-count")
        for why, count in reasons[:MOST_REASONS]:
            self.stdout.write(f"{count:>21,}  {why}")
        if imported.counts.get("refused"):
            self.stdout.write(f"The refused rows are in the admin, under Imports, {imported.ref}.")

    def _tell_how_to_go_on(self, imported: Import) -> None:
        self.stdout.write("Nothing has changed. With --apply it is written.")
        if count := planning.opt_ins(imported.counts):
            self.stdout.write(f"{count:,} people would be opted in, which takes an approved change set.")
            self.stdout.write("--opt-outs-only leaves them out.")
