"""What a log line may hold: no key, no hook, no clientId, no recording link; phones with the middle masked."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from connector_project import phones

_SECRET_PATHS = re.compile(r"(/(?:hooks/(?:uis|retailcrm)|activate|records)/)[^/\s\"'?]+")
_PARAMETERS = re.compile(r"((?:clientId|apiKey|api_key|access_token|token|key|secret)[\"']?\s*[=:]\s*[\"']?)[^&\s\"',}]+", re.I)
_RECORDINGS = re.compile(r"https?://[^\s\"']*(?:/system/media/|media\.)[^\s\"']*")
_PHONES = re.compile(r"(?<![\w.:/-])\+?\d{10,15}(?![\w.:-])")
_PREFIXED_IDS = re.compile(r"(?:call|tenant|session|notification|command|pk)=$")


def hide(text: str) -> str:
    """Return a line with its secrets taken out."""
    text = _SECRET_PATHS.sub(r"\1***", text)
    text = _RECORDINGS.sub("[recording]", text)
    text = _PARAMETERS.sub(r"\1***", text)
    return _PHONES.sub(_mask_phone, text)


def _mask_phone(found: re.Match[str]) -> str:
    # Session ids are as long as phones; they are named in the line, and support needs them whole.
    if _PREFIXED_IDS.search(found.string[: found.start()]):
        return found.group()
    return phones.masked(found.group())


def clean_event(event: Any, _hint: Any) -> Any:  # noqa: ANN401 -- Sentry's own types
    """Return an error report without its secrets: the address it was asked at, and every text in it."""
    event.pop("request", None)
    return json.loads(hide(json.dumps(event, default=str)))


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
