"""Every text a person can see exists in Russian: `python -m tests.translations` checks, `--write` brings new texts in.

Works with Babel alone, so that a fresh machine needs no gettext.
"""

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("connector_project", "tenants", "telephony", "crm")
PO = ROOT / "locale" / "ru" / "LC_MESSAGES" / "django.po"
KEYWORDS = {"_": None, "gettext": None, "gettext_lazy": None, "ngettext": (1, 2), "ngettext_lazy": (1, 2)}
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")


def main(*, is_writing: bool, po: Path = PO) -> int:
    """Write new texts into the catalogue, or say what it lacks; return the exit code."""
    if is_writing:
        write(po)
    found = list(faults(po))
    for fault in found:
        print(fault, file=sys.stderr)  # noqa: T201 -- for the terminal
    return 1 if found else 0


def write(po: Path) -> None:
    """Bring the catalogue in line with the code, and compile it."""
    old, new = _read(po), Catalog(locale="ru", fuzzy=False, header_comment="# Russian texts of the connector.")
    for message_id in sorted(texts(), key=str):
        known = old.get(_first(message_id))
        new.add(message_id, known.string if known and known.id == message_id else None)
    po.parent.mkdir(parents=True, exist_ok=True)
    with po.open("wb") as file:
        write_po(file, new, omit_header=False, width=110, sort_output=True, no_location=True)
    _drop_dates(po)
    with po.with_suffix(".mo").open("wb") as file:
        write_mo(file, _read(po))


def faults(po: Path) -> Iterator[str]:
    """Name every text that is missing, untranslated, or translated with other placeholders; and a stale .mo file."""
    catalog, wanted = _read(po), texts()
    kept = {message.id for message in catalog if message.id}
    yield from (f"missing: {message_id!r}; run make translations" for message_id in sorted(wanted - kept, key=str))
    yield from (
        f"no longer used: {message_id!r}; run make translations" for message_id in sorted(kept - wanted, key=str)
    )
    for message in catalog:
        if message.id:
            yield from _faults_of(message)
    mo = po.with_suffix(".mo")
    if not mo.exists() or _strings(_compiled(mo)) != _strings(catalog):
        yield f"{mo.name} is not what {po.name} says; run make translations"


def texts() -> set[str | tuple[str, ...]]:
    """Return every text of the code that is to be translated."""
    found: set[str | tuple[str, ...]] = set()
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            if "migrations" not in path.parts:
                code = io.BytesIO(path.read_bytes())
                found |= {
                    tuple(said) if isinstance(said, tuple) else said
                    for _, said, _, _ in extract("python", code, KEYWORDS)
                }
    return found - {""}


def _faults_of(message: Message) -> Iterator[str]:
    strings = _all(message.string or "")
    if not all(strings):
        yield f"not translated: {message.id!r}"
        return
    if message.fuzzy:
        yield f"fuzzy: {message.id!r}"
    wanted = sorted(_PLACEHOLDER.findall(_all(message.id)[-1]))
    for string in strings:
        if sorted(_PLACEHOLDER.findall(string)) != wanted:
            yield f"other placeholders: {message.id!r} -> {string!r}"


def _read(po: Path) -> Catalog:
    if not po.exists():
        return Catalog(locale="ru")
    with po.open("rb") as file:
        return read_po(file, locale="ru", ignore_obsolete=True)


def _compiled(mo: Path) -> Catalog:
    with mo.open("rb") as file:
        return read_mo(file)


def _strings(catalog: Catalog) -> dict[str, object]:
    return {_first(message.id): tuple(_all(message.string)) for message in catalog if message.id and message.string}


def _all(said: str | list[str] | tuple[str, ...]) -> list[str]:
    return [said] if isinstance(said, str) else list(said)


def _first(message_id: str | tuple[str, ...] | list[str]) -> str:
    return message_id if isinstance(message_id, str) else message_id[0]


def _drop_dates(po: Path) -> None:
    """Dates and tool versions would change with every run and say nothing."""
    noise = ("POT-Creation-Date", "PO-Revision-Date", "Generated-By", "Last-Translator", "Project-Id", "Report-Msgid")
    lines = po.read_text("utf-8").splitlines(keepends=True)
    po.write_text("".join(line for line in lines if not line.startswith(tuple(f'"{name}' for name in noise))), "utf-8")


if __name__ == "__main__":
    sys.exit(main(is_writing="--write" in sys.argv[1:]))
