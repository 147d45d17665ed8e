"""Log formatters, and the filter that redacts every record."""

import json
import logging
from datetime import UTC, datetime

from connector_project.core.redaction import redact


class RedactingFilter(logging.Filter):
    """Redacts the message before the handler writes it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        return True


class TextFormatter(logging.Formatter):
    """Plain text lines; tracebacks are redacted too."""

    def formatException(self, ei: object) -> str:  # noqa: N802 -- logging's name
        return redact(super().formatException(ei))  # type: ignore[arg-type]


class JsonFormatter(TextFormatter):
    """One JSON object per line, for log collectors."""

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
