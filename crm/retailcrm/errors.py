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


def from_status(reply: Reply) -> RemoteUnavailable | None:
    """Return the error if the status says to try later, whatever the body says."""
    if not reply.is_later:
        return None
    return RemoteUnavailable(SYSTEM, f"retailCRM failed with status {reply.status}.", wait=reply.retry_after)


def not_from_api(reply: Reply, *, is_json: bool) -> RemoteError:
    """Return the error for an answer without `success`, which every answer of the API has.

    A page of a web server in between says nothing about the account, nor does a missing page: the API itself names an
    account that does not exist, when it is asked by GET.
    """
    if 300 <= reply.status < 400:
        return AccessDenied(SYSTEM, "The address redirects elsewhere: the account was renamed or closed.", code=ACCOUNT)
    if reply.status >= 400 or not is_json:
        message = f"retailCRM returned {reply.kind} (status {reply.status})."
        return RemoteUnavailable(SYSTEM, message, wait=reply.retry_after)
    return UnexpectedReply(SYSTEM, "retailCRM answered with JSON that is not an answer of its API.")


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
