"""Checks that every text of the UI is translated: `python -m tests.translations`; `--write` adds new texts.

Works with Babel alone, so that a fresh machine needs no gettext.
"""

import io
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import PoFileError, read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
PO = ROOT / "locale" / "ru" / "LC_MESSAGES" / "django.po"
IGNORED_FOLDERS = frozenset({"tests", "migrations", "locale", "node_modules", "venv"})
FIX = "run `make translations`"
KEYWORDS: Mapping[str, Any] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
_NAMED = re.compile(r"%\(\w+\)[#0 +-]*[\d.]*[a-zA-Z]|(?<!\{)\{\w*[^{}]*\}(?!\})")
_BARE = re.compile(r"(?<!%)(?:%%)*(%[sdifrx])")


class Text(NamedTuple):
    """One translatable text of the code."""

    singular: str
    plural: str = ""
    context: str = ""

    @classmethod
    def of(cls, message: Message) -> "Text":
        singular, *plural = _all(message.id)
        context: str | bytes = message.context or ""
        # Babel reads the context from a compiled file as bytes.
        return cls(singular, plural[0] if plural else "", context if isinstance(context, str) else context.decode())

    def __str__(self) -> str:
        return f"“{self.singular}”" + (f" (in the sense “{self.context}”)" if self.context else "")


class RussianCatalog(Catalog):
    """A catalogue whose header does not depend on the date and the machine."""

    def __init__(self) -> None:
        super().__init__(locale="ru", fuzzy=False, header_comment="# Russian texts of the connector.")

    def __iter__(self) -> Iterator[Message]:
        head, *rest = super().__iter__()
        kept = ("Language:", "Plural-Forms:", "MIME-Version:", "Content-")
        lines = [line for line in str(head.string).splitlines() if line.startswith(kept)]
        return iter([Message("", "\n".join(lines) + "\n"), *rest])


def write(po: Path = PO, root: Path = ROOT) -> None:
    """Update the catalogue from the code, and compile it."""
    old, new = _read(po) if po.exists() else Catalog(locale="ru"), RussianCatalog()
    for text, files in sorted(texts(root).items()):
        known = old.get(text.singular, text.context or None)
        # A fuzzy translation is a tool's guess that no person has checked.
        is_kept = known is not None and Text.of(known) == text and not known.fuzzy
        new.add(
            (text.singular, text.plural) if text.plural else text.singular,
            known.string if known and is_kept else None,
            locations=[(name, 1) for name in sorted(files)],
            user_comments=known.user_comments if known else (),
            context=text.context or None,
        )
    po.parent.mkdir(parents=True, exist_ok=True)
    with po.open("wb") as file:
        write_po(file, new, width=110, sort_output=True, include_lineno=False)
    with po.with_suffix(".mo").open("wb") as file:
        write_mo(file, _translated(new))


def faults(po: Path = PO, root: Path = ROOT) -> Iterator[str]:
    """Yield one sentence for each difference between code and catalogue, or catalogue and compiled file."""
    try:
        catalog = _read(po)
    except (OSError, PoFileError) as exc:
        yield f"{po.name} cannot be read: {exc}."
        return
    kept = {Text.of(message): message for message in catalog if message.id}
    yield from _differences(kept, texts(root), po.name)
    for message in catalog.obsolete.values():
        yield f"{Text.of(message)} is obsolete in {po.name}; {FIX}."
    for text, message in kept.items():
        yield from (f"{text} {fault}." for fault in _faults_of(message, catalog))
    if _compiled(po.with_suffix(".mo")) != _contents(catalog):
        yield f"{po.stem}.mo is not what {po.name} compiles to; {FIX}."


def texts(root: Path = ROOT) -> dict[Text, set[str]]:
    """Return every translatable text with the files that contain it."""
    found: dict[Text, set[str]] = {}
    for path in _sources(root):
        name = path.relative_to(root).as_posix()
        for text in _texts_of(path.read_text("utf-8"), name):
            found.setdefault(text, set()).add(name)
    # A text with and without a plural is one entry of a catalogue: the one with the plural.
    with_plural = {(text.singular, text.context) for text in found if text.plural}
    return {
        text: files for text, files in found.items() if text.plural or (text.singular, text.context) not in with_plural
    }


def _differences(kept: Mapping[Text, Message], wanted: Mapping[Text, set[str]], name: str) -> Iterator[str]:
    """Compare the texts of the catalogue with those of the code."""
    for text in sorted(wanted.keys() - kept.keys()):
        yield f"{text} ({', '.join(sorted(wanted[text]))}) is missing from {name}; {FIX}, then translate it."
    for text in sorted(kept.keys() - wanted.keys()):
        yield f"{text} is in {name}, but unused; {FIX}."
    for text in sorted(kept.keys() & wanted.keys()):
        if {file for file, _line in kept[text].locations} != wanted[text]:
            yield f"{text} is in other files than {name} says; {FIX}."


def _sources(root: Path) -> Iterator[Path]:
    """Find our own code and templates; hidden folders such as .venv are skipped."""
    for path in sorted(root.iterdir()):
        if path.name in IGNORED_FOLDERS or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _sources(path)
        elif path.suffix == ".py" or (path.suffix in {".html", ".txt"} and "templates" in path.parts):
            yield path


def _texts_of(source: str, name: str) -> Iterator[Text]:
    code = source if name.endswith(".py") else _without_indentation(templatize(source, origin=name))
    for _line, message, _comments, context in extract("python", io.BytesIO(code.encode()), KEYWORDS):
        singular, *plural = _all(message)
        if singular:
            yield Text(singular, plural[0] if plural else "", context or "")


def _without_indentation(code: str) -> str:
    """Remove the template's indentation, which the tokenizer would read as Python's."""
    return "\n".join(line.lstrip() for line in code.splitlines())


def _faults_of(message: Message, catalog: Catalog) -> Iterator[str]:
    """Yield what is wrong with one translation."""
    strings = _all(message.string)
    if not all(strings):
        yield "is not translated"
        return
    if message.fuzzy:
        yield "is marked as fuzzy: check the translation and remove the mark"
    for string in strings:
        if _placeholders(string) != _placeholders(_all(message.id)[-1]):
            yield f"has other placeholders in its translation “{string}”"
            return
    yield from (f"has a translation that cannot be formatted: {error}" for error in message.check(catalog))


def _placeholders(text: str) -> tuple[list[str], list[str]]:
    """Return the placeholders: named ones once each, positional ones in order."""
    return sorted(set(_NAMED.findall(text))), _BARE.findall(text)


def _read(po: Path) -> Catalog:
    with po.open("rb") as file:
        return read_po(file, locale="ru", abort_invalid=True)


def _translated(catalog: Catalog) -> Catalog:
    """Return the catalogue to compile: Babel would write an untranslated plural in English as its translation."""
    whole = RussianCatalog()
    for message in catalog:
        if message.id and all(_all(message.string)):
            whole.add(message.id, message.string, context=message.context)
    return whole


def _compiled(mo: Path) -> dict[Text, list[str]] | None:
    """Return the contents of a compiled catalogue; None if it is missing or damaged."""
    try:
        with mo.open("rb") as file:
            return _contents(read_mo(file))
    except Exception:  # noqa: BLE001 -- Babel documents no exceptions for a damaged file
        return None


def _contents(catalog: Catalog) -> dict[Text, list[str]]:
    """Return the translated texts and the plural formula, which is compiled too."""
    translated = {Text.of(message): _all(message.string) for message in catalog if message.id and not message.fuzzy}
    return {text: strings for text, strings in translated.items() if all(strings)} | {Text(""): [catalog.plural_expr]}


def _all(strings: str | list[str] | tuple[str, ...] | None) -> list[str]:
    return [strings or ""] if isinstance(strings, str) or strings is None else [part or "" for part in strings]


def main(arguments: list[str]) -> int:
    """Check, or write and then print what is left to translate; return 1 if a check finds something."""
    is_writing = "--write" in arguments
    if is_writing:
        write()
    found = list(faults())
    for fault in found:
        print(fault, file=sys.stderr)  # noqa: T201 -- for the terminal
    return 1 if found and not is_writing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
