"""Reads a CSV of new clients: delimiters, encodings and headers as people's programs write them. It has no keys."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

from django.utils.translation import gettext as _

MAX_ROWS = 200
MAX_BYTES = 256 * 1024
DELIMITERS = (";", ",", "\t")
# Column -> its headers, in lower case.
HEADERS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "client", "название", "клиент", "имя"),
    "slug": ("slug", "short name", "короткое имя"),
    "language": ("language", "язык"),
    "time_zone": ("time_zone", "time zone", "timezone", "часовой пояс"),
    "brand": ("brand", "telephony", "бренд", "телефония"),
    "crm_address": ("crm_address", "crm address", "crm url", "адрес crm"),
    "rules": ("rules", "правила"),
}
_COLUMNS = {header: column for column, headers in HEADERS.items() for header in headers}
_KEY = re.compile(r"key|token|secret|password|ключ|токен|секрет|пароль", re.IGNORECASE)
_SEPARATOR_LINE = re.compile(r"\s*sep=(.)\s*\r?\n", re.IGNORECASE)  # Excel's


class UnreadableCsv(Exception):
    """The file or text is no list of clients; the text says what to change."""


class HasKeys(UnreadableCsv):
    """The file or text has a column of keys, and must not be shown again."""


def decode(raw: bytes) -> str:
    """Return the text of a file: UTF-8, with a byte order mark or without, else Windows-1251. Raises UnreadableCsv."""
    if len(raw) > MAX_BYTES:
        raise UnreadableCsv(_("The file is larger than %(size)d KB. Split it.") % {"size": MAX_BYTES // 1024})
    for encoding in ("utf-8-sig", "cp1251"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnreadableCsv(_("The file is neither UTF-8 nor Windows-1251. Save it as CSV UTF-8."))


def parse(text: str) -> list[dict[str, str]]:
    """Return the rows by column, without empty ones. Raises UnreadableCsv."""
    text = text.removeprefix("\ufeff")
    if stated := _SEPARATOR_LINE.match(text):
        text = text[stated.end() :]
    header, _rest = text.lstrip("\r\n").partition("\n")[::2]
    delimiter = stated[1] if stated and stated[1] in DELIMITERS else max(DELIMITERS, key=header.count)
    lines = _lines(text, delimiter)
    columns = _columns(next(lines, []))
    rows = [_row(columns, cells, number) for number, cells in enumerate(lines, start=1)]
    if not rows:
        raise UnreadableCsv(_("There is no client below the header."))
    if len(rows) > MAX_ROWS:
        raise UnreadableCsv(_("There are more than %(count)d clients. Split the list.") % {"count": MAX_ROWS})
    return rows


def write(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows as text that `parse` reads."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(HEADERS), delimiter=";", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _lines(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of each line that is not empty. Raises UnreadableCsv."""
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            if any(cell.strip() for cell in cells):
                yield [cell.strip() for cell in cells]
    except csv.Error as exc:
        raise UnreadableCsv(_("The quotes do not match, or a cell is too long. Check the text.")) from exc


def _columns(header: Sequence[str]) -> list[str]:
    """Return the columns that the header names. Raises UnreadableCsv."""
    if any(_KEY.search(cell) for cell in header):
        raise HasKeys(
            _("Keys do not belong into this list: each client enters their own by the link. Remove these columns.")
        )
    found = [_COLUMNS.get(cell.lower(), "") for cell in header]
    unknown = [cell[:40] or "–" for cell, column in zip(header, found, strict=True) if not column]
    if "name" not in found or unknown or len(set(found)) < len(found):
        known = ", ".join(HEADERS)
        raise UnreadableCsv(
            _("The first line must name the columns, each once: %(known)s. Only “name” is required.") % {"known": known}
        )
    return found


def _row(columns: Sequence[str], cells: Sequence[str], number: int) -> dict[str, str]:
    """Return one row; cells beyond the header must be empty. Raises UnreadableCsv."""
    if any(cells[len(columns) :]):
        raise UnreadableCsv(_("Client %(number)d has more cells than the header.") % {"number": number})
    return dict.fromkeys(HEADERS, "") | dict(zip(columns, cells, strict=False))
