"""Rows as a file for other programs: CSV, XLSX, JSON lines. A row at a time, whatever their number; knows no app.

A spreadsheet takes a text that begins with = + - @ for a formula and carries it out, and names come from other people.
In CSV such a text gets an apostrophe in front; in XLSX every text is typed as one, so nothing has to be added.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import xlsxwriter
from xlsxwriter.worksheet import Worksheet

Cell = str | int | bool | None
Row = Sequence[Cell]

# Behind a separator, too: a Russian spreadsheet splits the line at semicolons, whatever stands in quotes.
_FORMULA = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@＝＋－＠]|[\t\r\n])")
_NUMBER = re.compile(r"\+\d+")  # is worth its own digits as a formula, and other programs need the plus
LONGEST_EXACT = 10**15  # a spreadsheet keeps fifteen digits of a number


def defused(text: str) -> str:
    """Return a text that no spreadsheet carries out."""
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"\1'", text)


def csv_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield lines of CSV, the names of the columns first."""
    line = io.StringIO()
    write = csv.writer(line).writerow
    write(columns)
    for row in rows:
        yield _taken(line)
        write([_plain(cell) for cell in row])
    yield _taken(line)


def json_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield one JSON object a line."""
    for row in rows:
        yield json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n"


def write_xlsx(columns: Sequence[str], rows: Iterable[Row], file: BinaryIO) -> None:
    """Write a workbook of one sheet; rows go to the disk as they come."""
    with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.freeze_panes(1, 0)
        _write(sheet, 0, columns)
        for number, row in enumerate(rows, start=1):
            _write(sheet, number, row)


def _taken(line: io.StringIO) -> str:
    said = line.getvalue()
    line.seek(0)
    line.truncate()
    return said


def _plain(cell: Cell) -> str | int:
    """Return a cell of CSV; yes and no as JSON has them."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return defused(cell) if isinstance(cell, str) else "" if cell is None else cell


def _write(sheet: Worksheet, number: int, row: Row) -> None:
    for place, cell in enumerate(row):
        match cell:
            case None | "":
                continue
            case bool():
                sheet.write_boolean(number, place, cell)
            case int() if abs(cell) < LONGEST_EXACT:
                sheet.write_number(number, place, cell)
            case _:
                sheet.write_string(number, place, str(cell))
