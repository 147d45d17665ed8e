"""Log formatters, and the filter that redacts every record."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

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


def logging_config(*, level: str, style: str) -> dict[str, Any]:
    """Return Django's LOGGING; `style` is "text" or "json"."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"secrets": {"()": RedactingFilter}},
        "formatters": {
            "text": {
                "()": TextFormatter,
                "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
            },
            "json": {"()": JsonFormatter},
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": style, "filters": ["secrets"]}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # With DEBUG, Django's own handler logs URLs unredacted, including hooks and links.
            "django": {"handlers": []},
            # django-q logs every task; a failed task logs its traceback through our loggers.
            "django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False},
            "django.server": {"handlers": ["console"], "level": "INFO", "propagate": False},
        },
    }
