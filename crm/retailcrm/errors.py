"""Maps retailCRM error responses to exceptions, by message; unknown messages reject only the one request.

https://docs.retailcrm.ru/Developers/API/APIFeatures/APIRules
"""

from collections.abc import Mapping

from connector_project.core import http_client
from connector_project.core.http_client import (
    AccessDenied,
    RemoteError,
    RemoteRejected,
    RemoteUnavailable,
    Reply,
    UnexpectedReply,
)

SYSTEM = "retailCRM"

KEY = "key"
SCOPE = "scope"
ACCOUNT = "account"
TELEPHONY_OFF = "telephony_off"
METHOD_ABSENT = "method_absent"
NOT_FOUND = "not_found"

# Prefixes of messages, in lower case and without quotes: they occur with and without a full stop.
_ERRORS: dict[str, tuple[type[RemoteError], str]] = {
    "apikey is missing": (AccessDenied, KEY),
    "wrong apikey value": (AccessDenied, KEY),
    "access denied": (AccessDenied, SCOPE),
    "account does not exist": (AccessDenied, ACCOUNT),
    "telephony not enabled": (AccessDenied, TELEPHONY_OFF),
    "api method not found": (UnexpectedReply, METHOD_ABSENT),
    "method not allowed": (UnexpectedReply, METHOD_ABSENT),
    "parameter ": (UnexpectedReply, "parameter_missing"),
    "input value ": (UnexpectedReply, "non_scalar"),
    "not found": (RemoteRejected, NOT_FOUND),
    "failed to activate module": (RemoteRejected, "module"),
}
_BUSY = {429, 503}


def from_status(reply: Reply) -> RemoteError | None:
    """Return the error for a response that is not JSON from the API; None if it has a body to parse."""
    if reply.status in _BUSY:
        return RemoteUnavailable(
            SYSTEM, "retailCRM is rate-limiting us or temporarily unavailable.", wait=reply.retry_after
        )
    if reply.status >= 500:
        return RemoteUnavailable(SYSTEM, f"retailCRM failed with status {reply.status}.", wait=reply.retry_after)
    if 300 <= reply.status < 400:
        return AccessDenied(SYSTEM, "The address redirects elsewhere: the account was renamed or closed.", code=ACCOUNT)
    if reply.is_html and reply.status >= 400:
        return AccessDenied(SYSTEM, "There is no account at this address.", code=ACCOUNT)
    return None


def from_answer(data: Mapping[str, object], *, right: str) -> RemoteError:
    """Return the error for a response with `success: false`; `right` names what the request needed."""
    message = str(data.get("errorMsg") or "retailCRM rejected the request without a reason.")
    text = f"{message} {_errors(data.get('errors'))}".strip()
    plain = message.lower().replace('"', "")
    known = (kind for prefix, kind in _ERRORS.items() if plain.startswith(prefix))
    error, code = next(known, (RemoteRejected, ""))
    if error is AccessDenied:
        subject = {SCOPE: right or http_client.ACCOUNT, TELEPHONY_OFF: http_client.MODULE}.get(
            code, http_client.ACCOUNT
        )
        return AccessDenied(SYSTEM, text, code=code, subject=subject)
    return error(SYSTEM, text, code=code)


def _errors(errors: object) -> str:
    """Format the details, which are a map or a list."""
    if isinstance(errors, dict):
        return "; ".join(f"{field}: {text}" for field, text in errors.items())
    return "; ".join(str(text) for text in errors) if isinstance(errors, list) else ""
