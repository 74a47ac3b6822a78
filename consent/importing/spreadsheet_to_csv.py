"""A program of its own: a spreadsheet on stdin becomes CSV on stdout. `spreadsheet_to_csv.py [SHEET]`

The library lays a sheet out as one block, from its first cell to its last: a file of a kilobyte that names the last
cell there can be asks for half a terabyte, and the process ends there and then. So this one may end: it has little
memory and no secret. Formulas are read as the value that was stored with them; nothing computes them.
"""

import csv
import io
import resource
import sys
from datetime import date, datetime

from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

MEMORY = 2 * 2**30
SECONDS = 60
NO_SUCH_SHEET, UNREADABLE = 3, 4


def text(cell: object) -> str:
    """A cell as a CSV of the same sheet has it; a number that was a telephone number has no decimal point."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    return str(cell)


def main(wanted: str) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(sys.stdin.buffer.read()))
        shown = [
            sheet.name
            for sheet in book.sheets_metadata
            if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible == SheetVisibleEnum.Visible
        ]
        name = next((one for one in book.sheet_names if one == wanted), None) if wanted else next(iter(shown), None)
        if name is None:
            sys.stderr.write("\n".join(shown))
            return NO_SUCH_SHEET
        sheet = book.get_sheet_by_name(name)
        sys.stderr.write(name)
        out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="replace", newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows(map(text, row) for row in sheet.iter_rows())
        out.flush()
    except (CalamineError, MemoryError, ValueError, OSError) as error:
        sys.stderr.write(str(error))
        return UNREADABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
