"""Writes rows as CSV, XLSX and JSON lines, one row at a time.

Spreadsheets execute a text that begins with = + - @ as a formula (formula injection), and our texts come from outside.
In CSV such a text gets a leading apostrophe; in XLSX every text is a string cell, so it needs none.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import BinaryIO

import xlsxwriter

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # without it Excel does not detect UTF-8
Cell = str | int | bool | None
Row = Sequence[Cell]

# After a separator too: Excel with Russian settings splits lines at semicolons, even inside quotes.
_FORMULA = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@＝＋－＠]|[\t\r\n])")
_NUMBER = re.compile(r"\+\d+")  # harmless as a formula, and other programs need the plus
WORKBOOK = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
LONGEST_EXACT = 10**15  # spreadsheets keep 15 digits of a number


def escape_formula(text: str) -> str:
    """Return a text that no spreadsheet executes as a formula."""
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"\1'", text)


def csv_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield lines of CSV, beginning with the header."""
    write = csv.writer(SimpleNamespace(write=str)).writerow  # returns the line
    yield write(columns)
    for row in rows:
        yield write([_plain(cell) for cell in row])


def write_csv(columns: Sequence[str], rows: Iterable[Row], file: BinaryIO) -> None:
    """Write a file of CSV for spreadsheets."""
    file.write(BYTE_ORDER_MARK)
    file.writelines(line.encode() for line in csv_lines(columns, rows))


def json_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield one JSON object per line."""
    for row in rows:
        yield json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n"


def write_xlsx(columns: Sequence[str], rows: Iterable[Row], file: BinaryIO) -> None:
    """Write a workbook with one sheet; rows are flushed to disk one by one."""
    with xlsxwriter.Workbook(file, WORKBOOK) as book:
        sheet = book.add_worksheet()
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, columns)
        for number, row in enumerate(rows, start=1):
            cells = [str(cell) if isinstance(cell, int) and abs(cell) >= LONGEST_EXACT else cell for cell in row]
            sheet.write_row(number, 0, cells)


def _plain(cell: Cell) -> str | int:
    """Return a cell of CSV; booleans are written as in JSON."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return escape_formula(cell) if isinstance(cell, str) else "" if cell is None else cell
