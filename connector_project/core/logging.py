"""structlog: `tenant` and `call` are fields of a record, and every text is redacted before it is written."""

import json
import logging
import sys
import threading
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter

from connector_project.core.log_limits import RefusedRequests
from connector_project.core.redaction import redact

Event = MutableMapping[str, Any]
UNREDACTED = {"at", "level", "logger"}

_PREPARE: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
]


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger: the message is a fixed text, everything that varies is a field."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return bound


def bind_task(*, task: dict[str, Any], **_signal: Any) -> None:
    """Begin a task: context variables do not cross the queue."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(
        task=task["func"] if isinstance(task["func"], str) else task["func"].__name__
    )


def forget_task(**_signal: Any) -> None:
    structlog.contextvars.clear_contextvars()


def redact_values(_logger: object, _method: str, event: Event) -> Event:
    """Redact every value but numbers: ids are numbers, phone numbers are texts."""
    for name, value in event.items():
        if name not in UNREDACTED and value is not None and not isinstance(value, bool | int | float):
            event[name] = redact(str(value))
    return event


def _render_text(_logger: object, _method: str, event: Event) -> str:
    """Render a line such as `2026-… WARNING crm.tasks request failed tenant=romashka`, then the traceback."""
    head = " ".join([event.pop("at"), event.pop("level").upper(), event.pop("logger"), event.pop("message")])
    trace = event.pop("exception", "")
    fields = "".join(f" {name}={value}" for name, value in sorted(event.items()))
    return f"{head}{fields}\n{trace}" if trace else f"{head}{fields}"


def _render_json(_logger: object, _method: str, event: Event) -> str:
    """Render one JSON object per line, for log collectors."""
    if trace := event.pop("exception", ""):
        event["trace"] = trace
    return json.dumps({**event, "level": event["level"].upper()}, ensure_ascii=False)


_LOGGERS: dict[str, dict[str, Any]] = {
    # With DEBUG, Django's own handler logs URLs unredacted, including hooks and links.
    "django": {"handlers": []},
    # django-q logs every task; a failed task logs its traceback through our loggers.
    "django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False},
    "django.server": {"handlers": ["console"], "level": "INFO", "propagate": False},
}
_RENDERERS = {"text": _render_text, "json": _render_json}


_CHAIN: list[Any] = [
    ProcessorFormatter.remove_processors_meta,
    structlog.processors.format_exc_info,
    structlog.processors.EventRenamer("message"),
    redact_values,
]


def make_formatter(*, style: str) -> ProcessorFormatter:
    """Return our format for handlers that others make; `style` is "text" or "json"."""
    return ProcessorFormatter(foreign_pre_chain=_PREPARE, processors=[*_CHAIN, _RENDERERS[style]])


def log_uncaught_exceptions() -> None:
    """Log what ends a process or a thread instead of printing it as it is: its text may hold a secret."""
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _log_uncaught(kind: type[BaseException], exc: BaseException | None, trace: TracebackType | None) -> None:
    if exc is None or not issubclass(kind, Exception) or not logging.getLogger().handlers:
        sys.__excepthook__(kind, exc or kind(), trace)  # Ctrl-C, or nothing is configured yet.
    else:
        logger(__name__).critical("uncaught exception", exc_info=(kind, exc, trace))


def logging_config(*, level: str, style: str) -> dict[str, Any]:
    """Configure structlog, and return Django's LOGGING; `style` is "text" or "json"."""
    structlog.configure(
        processors=[*_PREPARE, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    formatter = {
        "()": ProcessorFormatter,
        "foreign_pre_chain": _PREPARE,
        "processors": [*_CHAIN, _RENDERERS[style]],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"redacted": formatter},
        "filters": {"refused_requests": {"()": RefusedRequests}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "redacted", "filters": ["refused_requests"]}
        },
        "root": {"handlers": ["console"], "level": level},
        "loggers": _LOGGERS,
    }
