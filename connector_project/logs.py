"""What a log line may hold: no key, no hook, no clientId, no recording link; phones with the middle masked."""

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connector_project import phones

_SECRET_PATHS = re.compile(r"(/(?:hooks/(?:uis|retailcrm)|activate|records)/)[^/\s\"'?]+")
_NAMES = "clientId|apiKey|api_key|access_token|token|key|secret"
_NAME = re.compile(rf"(?:{_NAMES})$", re.IGNORECASE)
_PARAMETERS = re.compile(rf"((?:{_NAMES})[\\\"']*\s*[=:]\s*[\\\"']*)[^&\s\\\"',}}]+", re.IGNORECASE)
_RECORDINGS = re.compile(r"https?://[^\s\"']*(?:/system/media/|media\.)[^\s\"']*")
# Not the digits of an id, a fraction or a path; a full stop or a colon behind a phone is only punctuation.
_PHONES = re.compile(r"(?:(?<![\w./-])|(?<=%2B))\+?\d{10,15}(?![\w-]|[.:]\w)")
_PREFIXED_IDS = re.compile(r"(?:call|tenant|session|notification|command|pk)=$")


def hide(text: str) -> str:
    """Return a line with its secrets taken out, and phones masked."""
    return _PHONES.sub(_mask_phone, hide_secrets(text))


def hide_secrets(text: str) -> str:
    """Return a text without keys, hooks and recording links; phones stay, for those who may see them."""
    text = _SECRET_PATHS.sub(r"\1***", text)
    text = _RECORDINGS.sub("[recording]", text)
    return _PARAMETERS.sub(r"\1***", text)


def _mask_phone(found: re.Match[str]) -> str:
    # Session ids are as long as phones; they are named in the line, and support needs them whole.
    if _PREFIXED_IDS.search(found.string[: found.start()]):
        return found.group()
    return phones.masked(found.group())


def clean_event(event: Any, _hint: Any) -> Any:
    """Return an error report without its secrets: the address it was asked at, and every text in it."""
    event.pop("request", None)
    return _cleaned(event)


def _cleaned(value: Any) -> Any:
    """Clean text by text: hiding in the whole report's JSON would break it."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {name: "***" if _NAME.search(str(name)) and inner else _cleaned(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else hide(str(value))


class HideSecrets(logging.Filter):
    """Cleans the message before any handler writes it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = hide(record.getMessage())
        record.args = None
        return True


class TextFormatter(logging.Formatter):
    """Plain lines; traces are cleaned too."""

    def formatException(self, ei: object) -> str:  # noqa: N802 -- logging's name
        return hide(super().formatException(ei))  # type: ignore[arg-type]


class JsonFormatter(TextFormatter):
    """One JSON object per line, for collectors."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, tz=UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
