"""Decodes request bodies as the vendor does: form fields, with structured ones as JSON strings."""

import json
import re
from collections.abc import Mapping
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.retailcrm_http import BAD_ENTITY, BAD_INPUT, INVALID, ApiError, Incoming

_NESTED = re.compile(r"([^\[]+)\[.*")


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header, ignoring the case of its name."""
    return next((value for key, value in headers.items() if key.lower() == name.lower()), None)


def decode_query(query: str) -> dict[str, str]:
    """Decode a query string; of repeated names the last one wins, as in PHP."""
    return dict(parse_qsl(query, keep_blank_values=True))


def decode_body(body: bytes, content_type: str) -> dict[str, Any]:
    """Decode a body to its raw fields. A body of another type has none; of JSON only the nested values are kept."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _with_nested(decode_query(body.decode(errors="replace")))
    if kind == "multipart/form-data":
        return _with_nested(_multipart(body, content_type))
    if kind == "application/json":
        return _structures(body)
    return {}


def _with_nested(pairs: dict[str, str]) -> dict[str, Any]:
    """Decode `a[b]=1` as PHP does: `a` is an array, not a scalar."""
    fields: dict[str, Any] = {}
    for name, value in pairs.items():
        if nested := _NESTED.fullmatch(name):
            fields[nested[1]] = {**_as_dict(fields.get(nested[1])), name: value}
        else:
            fields[name] = value
    return fields


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _multipart(body: bytes, content_type: str) -> dict[str, str]:
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields: dict[str, str] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode(errors="replace")
    return fields


def _structures(body: bytes) -> dict[str, Any]:
    """Return the objects and arrays of a JSON body: the vendor rejects those, and ignores its scalars."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return {name: value for name, value in _as_dict(parsed).items() if isinstance(value, dict | list)}


def readable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Decode the JSON strings among the fields, for the request log."""
    return {name: _decoded(value) for name, value in fields.items()}


def _decoded(value: Any) -> Any:
    try:
        decoded = json.loads(value)
    except (TypeError, ValueError):
        return value
    return decoded if isinstance(decoded, dict | list) else value


def scalar(incoming: Incoming, name: str) -> str:
    """Return a plain form field. Raises ApiError."""
    value = incoming.fields.get(name)
    if value is None or value == "":
        raise ApiError(400, f"Parameter '{name}' is missing")
    if not isinstance(value, str):
        raise ApiError(400, f'Input value "{name}" contains a non-scalar value')
    return value


def structure(incoming: Incoming, name: str) -> Any:
    """Return the parsed JSON of a form field. Raises ApiError."""
    text = scalar(incoming, name)
    try:
        return json.loads(text)
    except ValueError:
        raise ApiError(400, BAD_INPUT, {name: INVALID}) from None


def entity(incoming: Incoming, name: str) -> dict[str, Any]:
    """Return the JSON object of a form field. Raises ApiError."""
    parsed = structure(incoming, name)
    if not isinstance(parsed, dict):
        raise ApiError(400, BAD_ENTITY, {name: INVALID})
    return parsed
