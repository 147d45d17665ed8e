"""Redacts secrets and phone numbers in texts: log records and error reports."""

from collections.abc import Mapping
from typing import Any

from connector_project.core import phone_texts
from connector_project.core.secret_redaction import is_secret_name, redact_secrets


def redact(text: str) -> str:
    """Return a text with secrets removed and phone numbers masked."""
    return phone_texts.mask(redact_secrets(text))


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
    """Redact string by string, names too: redacting the JSON of the whole report would break it."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(name)): _hidden(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else redact(str(value))


def _hidden(name: str, value: Any) -> Any:
    return "***" if is_secret_name(name) and value else _cleaned(value)
