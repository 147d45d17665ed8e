"""JSON-RPC of the fake UIS: the errors, and the checks of the envelope and the parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]

# mnemonic -> code and message, as listed in sections 4.3 and 4.4 of the reference.
ERRORS: dict[str, tuple[int, str]] = {
    "parse_error": (-32700, "Invalid JSON was received by the server."),
    "invalid_request": (-32600, "Invalid Request The JSON sent is not a valid Request object"),
    "method_not_found": (-32601, "The method does not exist / is not available"),
    "batch_opreations_not_supported": (-32099, "Batch operations not supported"),
    "batch_operations_not_supported": (-32099, "Batch operations not supported"),
    "notifications_not_supported": (-32099, "Notifications not supported"),
    "access_token_expired": (-32001, "Access token has been expired"),
    "access_token_blocked": (-32001, "Access token has been blocked"),
    "access_token_invalid": (-32001, "Access token is invalid"),
    "ip_not_whitelisted": (-32003, "Your IP {ip} is not whitelisted"),
    "forbidden": (-32003, "Permission denied"),
    "account_inactive": (-32009, "Your account has been disabled, contact the support service"),
    "component_disabled": (-32008, "Component {component_name} has been disabled"),
    "parameter_component_disabled": (
        -32008,
        "You need at least on of the following components to access this paremeter: {components}",
    ),
    "method_component_disabled": (
        -32008,
        "You need at least on of the following components to access this method: {components}",
    ),
    "limit_exceeded": (
        -32029,
        "Limit per {limit_type} has been exceeded. Value of current limit per {limit_type} is {limit_max_value}",
    ),
    "internal_error": (-32603, "Internal error, contact the support service"),
    "call_session_not_found": (-32602, "Call session not found"),
    "data_type_error": (-32602, "Data supplied is of wrong type"),
    "required_parameter_missed": (-32602, "The required parameter has been missed"),
    "invalid_parameter_value": (-32602, "Invalid parameter value"),
    "unexpected_parameters": (-32602, "Unexpected method parameter(s)"),
    "invalid_parameters_combination": (-32602, "The combination of parameters is not permitted"),
    "sort_prohibited": (-32602, "Sort by parameter is prohibited"),
    "filter_prohibited": (-32602, "Filter by parameter is prohibited"),
    "date_interval_limit_reached": (-32602, "Max value of requested date interval is 3 months"),
    "entity_not_found": (-32602, "Entity not found"),
    "already_in_use": (-32602, "This value is already used by another entity"),
    "data_limit_exceeded": (-32602, "A new data limit has been exceeded"),
    "virtual_phone_number_not_found": (
        -32007,
        "Virtual phone number {virtual_phone_number} not found. It is not your virtual phone number.",
    ),
    "employee_not_found": (-32602, "Employee with id {employee_id} not found. It is not your employee."),
    "no_active_phone_number": (-32602, "The phone number does not exist or inactive"),
    "own_virtual_phone_number_not_allowed": (
        -32602,
        "Parameter `contact` can not contain own virtual phone number",
    ),
    "contact_in_blacklist": (-32002, "The contact {contact} has been found in the blacklist"),
    # The reference documents only the group of this error; no client may rely on the mnemonic.
    "call_direction_forbidden": (-32002, "The direction is forbidden by the security rules of your account"),
    "tts_text_exceeded": (
        -32602,
        (
            "The maximum length of Text-to-Speech message is {tts_message_max_length}. "
            "The length of your message is {sent_tts_message_length}"
        ),
    ),
    "media_file_not_found": (-32602, "The media file with id {media_file_id} not found"),
}

# Errors raised before points are checked, so they have no limits (section 3.2).
WITHOUT_LIMITS = frozenset(
    {
        "parse_error",
        "invalid_request",
        "method_not_found",
        "access_token_expired",
        "access_token_blocked",
        "access_token_invalid",
        "ip_not_whitelisted",
        "internal_error",  # not listed, but its sample has none either
    }
)


class RpcError(Exception):
    """An error reply of the vendor."""

    def __init__(self, mnemonic: str, name: str | None = None, value: object = None, **params: object) -> None:
        super().__init__(mnemonic)
        self.mnemonic, self.field, self.value, self.params = mnemonic, name, value, params

    def body(self, request_id: object, *, metadata: Row | None) -> Row:
        """Return the JSON-RPC error reply."""
        code, message = ERRORS[self.mnemonic]
        data: Row = {"mnemonic": self.mnemonic, "field": self.field, "value": _to_text(self.value)}
        data |= {"params": self.params or {"object": None}, "extended_helper": None}
        if metadata is not None:
            data["metadata"] = metadata
        error = {"code": code, "message": message.format(**self.params), "data": data}
        return {"jsonrpc": "2.0", "id": request_id, "error": error}


def _to_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Envelope:
    """A request body as far as it can be parsed, valid or not."""

    raw: object = None
    is_json: bool = False

    def get(self, name: str) -> Any:
        """Return a member of the body, None if there is none."""
        return self.raw.get(name) if isinstance(self.raw, dict) else None

    @property
    def request_id(self) -> str | int | float | None:
        """The id to answer with; None if it cannot be parsed."""
        found = self.get("id")
        return found if isinstance(found, str | int | float) and not isinstance(found, bool) else None

    @property
    def method(self) -> str:
        """The method's name; empty if it cannot be parsed."""
        return str(self.get("method") or "")

    @property
    def params(self) -> Row:
        """The parameters without the token."""
        sent = self.get("params")
        return {name: value for name, value in sent.items() if name != "access_token"} if _is_object(sent) else {}

    @property
    def token(self) -> str:
        """The access token; empty if there is none."""
        sent = self.get("params")
        found = sent.get("access_token") if _is_object(sent) else None
        return found if isinstance(found, str) else ""


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def read_envelope(body: bytes) -> Envelope:
    """Parse a body; never raises, `check_envelope` does."""
    try:
        return Envelope(json.loads(body.decode("utf-8"), parse_constant=_reject_constant), is_json=True)
    except ValueError:
        return Envelope()


def _reject_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON (RFC 7159)


def check_transport(method: str, *, headers: Mapping[str, str], body: bytes) -> None:
    """Raise unless the request is a POST of UTF-8 JSON."""
    sent = {name.lower(): value for name, value in headers.items()}
    content_type = sent.get("content-type", "").lower().replace(" ", "").replace('"', "")
    if method.upper() != "POST" or content_type != "application/json;charset=utf-8":
        raise RpcError("invalid_request")
    if sent.get("content-length", str(len(body))) != str(len(body)):
        raise RpcError("invalid_request")


def check_envelope(envelope: Envelope, *, brand: str | None) -> None:
    """Raise unless the body is one JSON-RPC 2.0 request object with an id."""
    if not envelope.is_json:
        raise RpcError("parse_error")
    if isinstance(envelope.raw, list):
        # The Russian and the English documentation spell this one differently.
        raise RpcError(f"batch_{'operations' if brand == 'callgear' else 'opreations'}_not_supported")
    if not isinstance(envelope.raw, dict) or envelope.raw.get("jsonrpc") != "2.0":
        raise RpcError("invalid_request")
    if "id" not in envelope.raw:
        raise RpcError("notifications_not_supported")
    is_valid = isinstance(envelope.raw.get("method"), str) and _is_object(envelope.raw.get("params", {}))
    if envelope.request_id is None or not is_valid:
        raise RpcError("invalid_request")


@dataclass(frozen=True)
class Param:
    """What values one parameter accepts."""

    kind: str
    is_required: bool = False
    is_nullable: bool = False
    values: tuple[str, ...] = ()
    members: Mapping[str, Param] = field(default_factory=dict)


def json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names[type(value)]


def check_type(value: object, *, kind: str, name: str) -> None:
    """Raise for a value of another JSON type."""
    if json_type(value) != kind:
        raise RpcError("data_type_error", name, json_type(value))


def check_params(params: Row, spec: Mapping[str, Param], path: str = "") -> None:
    """Raise for unknown, missing and mistyped parameters, nested objects included."""
    for name in params:
        if name not in spec:
            raise RpcError("unexpected_parameters", path + name)
    for name, param in spec.items():
        if param.is_required and name not in params:
            raise RpcError("required_parameter_missed", path + name)
    for name, value in params.items():
        _check_param(value, spec[name], path + name)


def _check_param(value: Any, param: Param, name: str) -> None:
    if value is None and param.is_nullable:
        return
    check_type(value, kind=param.kind, name=name)
    if param.values and value not in param.values:
        raise RpcError("invalid_parameter_value", name, value)
    if param.kind == "object" and param.members:
        check_params(value, param.members, f"{name}.")
