"""Fingerprints of the values that a page showed: the page sends them back in a hidden input, as JSON."""

import functools
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

Fingerprints = Mapping[str, Mapping[str, str]]


def fingerprint(form: str, field: str, value: Any) -> str:
    """Return a keyed digest: the page must not reveal a secret."""
    text = f"{form}\0{field}\0{as_text(value)}"
    return hashlib.blake2b(text.encode(errors="surrogatepass"), key=_key(), digest_size=9).hexdigest()


@functools.lru_cache(maxsize=8)
def parse(text: str) -> Fingerprints:
    """Parse the hidden input; what is wrong in it counts as missing."""
    forms = ((name, fields) for name, fields in load_object(text).items() if isinstance(fields, dict))
    return {form: {name: one for name, one in fields.items() if isinstance(one, str)} for form, fields in forms}


def load_object(text: str) -> dict[str, Any]:
    """Parse a JSON object of a hidden input; {} if it is none."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@functools.cache
def _key() -> bytes:
    return hashlib.sha256(f"{__name__}{settings.SECRET_KEY}".encode()).digest()


def as_text(value: Any) -> str:
    """Return a value as text: the same for a stored one and a typed one."""
    if isinstance(value, datetime):
        value = value.astimezone(UTC).replace(microsecond=0)
    if isinstance(value, list | tuple | set | QuerySet):
        return "\n".join(sorted(str(getattr(one, "pk", one)) for one in value))
    return "" if value is None else "\n".join(str(value).splitlines())
