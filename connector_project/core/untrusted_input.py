"""Parsers of what anybody may send: parameters, numbers that a row can have, JSON that the database can store."""

import json
from typing import Any

from django.http import HttpRequest

LONGEST_ID = 18  # digits; a BIGINT holds each number of so many


def request_params(request: HttpRequest) -> dict[str, str]:
    """Return the parameters of a GET or POST request; the body takes precedence over the query."""
    return {name: str(value) for name, value in (request.GET.dict() | request.POST.dict()).items()}


def parse_id(text: object) -> int | None:
    """Return the number of a row or of a vendor's object; None if the text is none.

    `str.isdigit` also takes digits of other scripts and ones that `int` rejects, such as "²".
    """
    digits = str(text or "")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= LONGEST_ID else None


def parse_json_object(text: str | None) -> dict[str, Any] | None:
    """Parse a JSON object; None if the text is none, or has what PostgreSQL stores in no text (NUL, lone surrogates).

    Python also reads NaN and Infinity, which are no JSON.
    """
    try:
        data = json.loads(text or "", parse_constant=_refuse)
        written = json.dumps(data, ensure_ascii=False)
        written.encode()
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and "\\u0000" not in written else None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
