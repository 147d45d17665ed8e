"""Maps UIS error mnemonics to exceptions; an unknown mnemonic rejects only the one request.

https://comagic.github.io/data_api/ and https://comagic.github.io/call_api/, sections on errors.
"""

from collections.abc import Mapping

from connector_project.core.http_client import (
    AccessDenied,
    RemoteError,
    RemoteRejected,
    RemoteUnavailable,
    UnexpectedReply,
)

SYSTEM = "UIS"
LIMIT = "limit_exceeded"
DIRECTION_FORBIDDEN = "direction_forbidden"
_FORBIDDEN_DIRECTION_GROUP = -32002

# The whole account denies access until the client changes something.
ACCOUNT_ERRORS = frozenset(
    {
        "access_token_invalid",
        "access_token_expired",
        "access_token_blocked",
        "auth_error",
        "ip_not_whitelisted",
        "account_inactive",
    }
)
# One right or option is missing: only requests that need it fail.
MISSING_RIGHT = frozenset({"forbidden", "component_disabled", "method_component_disabled"})
# Our request does not follow the documentation.
BAD_REQUEST_ERRORS = frozenset(
    {
        "parse_error",
        "invalid_request",
        "method_not_found",
        "batch_opreations_not_supported",
        "batch_operations_not_supported",
        "notifications_not_supported",
        "data_type_error",
        "required_parameter_missed",
        "unexpected_parameters",
        "invalid_parameters_combination",
        "sort_prohibited",
        "filter_prohibited",
        "date_interval_limit_reached",
        "parameter_component_disabled",
        "character_encoding_not_allowed",
    }
)


def to_exception(
    code: object, message: str, *, mnemonic: str, right: str, params: Mapping[str, object], limits: Mapping[str, object]
) -> RemoteError:
    """Return the exception; `right` names what the request needed."""
    if mnemonic in ACCOUNT_ERRORS:
        return AccessDenied(SYSTEM, message, code=mnemonic)
    if mnemonic in MISSING_RIGHT:
        return AccessDenied(SYSTEM, message, code=mnemonic, subject=right)
    if mnemonic == LIMIT:
        return RemoteUnavailable(SYSTEM, message, code=mnemonic, wait=_reset(params, limits))
    if mnemonic == "internal_error":
        return RemoteUnavailable(SYSTEM, message, code=mnemonic)
    if mnemonic in BAD_REQUEST_ERRORS:
        return UnexpectedReply(SYSTEM, message, code=mnemonic)
    if code == _FORBIDDEN_DIRECTION_GROUP and mnemonic != "contact_in_blacklist":
        # UIS documents the code of this group of errors, but not its mnemonic.
        return RemoteRejected(SYSTEM, message, code=DIRECTION_FORBIDDEN)
    return RemoteRejected(SYSTEM, message, code=mnemonic)


def _reset(params: Mapping[str, object], limits: Mapping[str, object]) -> float:
    """Return the seconds until the exhausted limit resets."""
    unit = "day" if str(params.get("limit_type")) == "day" else "minute"
    reset = limits.get(f"{unit}_reset")
    return float(reset) if isinstance(reset, int | float) and reset > 0 else {"day": 3600.0, "minute": 60.0}[unit]
