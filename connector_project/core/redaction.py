"""Redacts keys, hooks, clientIds, recording links and phone numbers in texts."""

import re
from collections.abc import Mapping
from typing import Any

from connector_project.core import phone_texts

_SECRET_PATHS = re.compile(r"(/(?:hooks/(?:uis|retailcrm)|activate|records)/)[^/\s\"'?]+")
_NAMES = "clientId|apiKey|api_key|access_token|token|key|secret"
_NAME = re.compile(rf"(?:{_NAMES})$", re.IGNORECASE)
_PARAMETERS = re.compile(rf"((?:{_NAMES})[\\\"']*\s*[=:]\s*[\\\"']*)[^&\s\\\"',}}]+", re.IGNORECASE)
# A slash may be escaped in JSON and percent-encoded in a URL.
_SLASH = r"(?:\\?/|%2[Ff])"
# Bounded, so that repeated prefixes cannot make matching quadratic.
_RECORDINGS = re.compile(
    rf"https?(?::|%3[Aa]){_SLASH}{{2}}[^\s\"']{{0,300}}(?:{_SLASH}system{_SLASH}media{_SLASH}|media\.)[^\s\"']*"
)
# Any host: a tenant may keep recordings on their own host.
_LINKS = re.compile(r"(file_links?[\\\"']*\s*[=:]\s*\[?\s*[\\\"']*)https?[^\s\"'&]+")


def redact(text: str) -> str:
    """Return a text with secrets removed and phone numbers masked."""
    return phone_texts.mask(redact_secrets(text))


def redact_secrets(text: str) -> str:
    """Return a text with secrets removed; phone numbers stay, for readers who may see them."""
    text = _SECRET_PATHS.sub(r"\1***", text)
    text = _RECORDINGS.sub("[recording]", _LINKS.sub(r"\1[recording]", text))
    return _PARAMETERS.sub(r"\1***", text)


def sentry_before_send(event: Any, _hint: Any) -> Any:
    """Return an error report without the request and with every text redacted (Sentry's before_send)."""
    event.pop("request", None)
    return _cleaned(event)


def _cleaned(value: Any) -> Any:
    """Redact string by string: redacting the JSON of the whole report would break it."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: "***" if _NAME.search(str(name)) and inner else _cleaned(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else redact(str(value))
