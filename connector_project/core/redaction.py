"""Redacts secrets and phone numbers in texts: log records and error reports."""

import re
from collections.abc import Mapping
from typing import Any

from connector_project.core import phone_numbers
from connector_project.core.secret_redaction import is_secret_name, redact_secrets

# Not the digits of an id, a fraction or a path; a full stop or colon after a number is punctuation.
_PHONES = re.compile(r"(?:(?<![\w./-])|(?<=%[0-9A-F]{2})|(?<=\\[nrt])|(?<=\\u002b))\+?\d{10,15}(?![\w-]|[.:]\w)")
# Numbers as people write them: with a plus, brackets or a leading 8, and gaps between the digits.
_GAP = r"[ \u00a0-]"
_FORMATTED_PHONES = re.compile(
    rf"(?:(?:\+\d{{1,3}}|(?<!\d)[78]){_GAP}?)?\(\d{{3,5}}\){_GAP}?\d{{1,3}}(?:{_GAP}?\d{{2,4}}){{1,3}}(?![\w-])"
    rf"|\+\d{{1,3}}(?:{_GAP}\d{{2,4}}){{2,4}}(?![\w-])"
    rf"|(?<![\w.+-])[78]{_GAP}\d{{3}}{_GAP}\d{{3}}{_GAP}?\d\d{_GAP}?\d\d(?![\w-])"
)
FEWEST_DIGITS = 10
_PREFIXED_IDS = re.compile(r"(?:call|tenant|session|notification|command|pk)=$")


def redact(text: str) -> str:
    """Return a text with secrets removed and phone numbers masked."""
    return _FORMATTED_PHONES.sub(_mask_formatted_phone, _PHONES.sub(_mask_phone, redact_secrets(text)))


def _mask_phone(found: re.Match[str]) -> str:
    # Ids are as long as phone numbers; support needs them in full, so a prefix such as session= marks them.
    if _PREFIXED_IDS.search(found.string[: found.start()]):
        return found.group()
    return phone_numbers.mask(found.group())


def _mask_formatted_phone(found: re.Match[str]) -> str:
    number = re.sub(r"[^\d+]", "", found.group())
    return phone_numbers.mask(number) if len(number) >= FEWEST_DIGITS else found.group()


def sentry_before_send(event: Any, _hint: Any) -> Any:
    """Return an error report without the request and with every text redacted (Sentry's before_send).

    The command line and the machine's name are dropped, too: an argument may be a secret of any form.
    """
    for name in ("request", "server_name"):
        event.pop(name, None)
    if isinstance(event.get("extra"), dict):
        event["extra"].pop("sys.argv", None)
    return _cleaned(event)


def _cleaned(value: Any) -> Any:
    """Redact string by string: redacting the JSON of the whole report would break it."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            name: "***" if is_secret_name(str(name)) and inner else _cleaned(inner) for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else redact(str(value))
