"""How the fake reads a request body: form fields, each structured one being a single JSON string."""

import json
import re
from collections.abc import Mapping
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.retailcrm_http import BAD_ENTITY, BAD_INPUT, INVALID, Incoming, Refused

_NESTED = re.compile(r"([^\[]+)\[.*")


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Find a header whatever the case of its name."""
    return next((value for given, value in headers.items() if given.lower() == name.lower()), None)


def decode_query(query: str) -> dict[str, str]:
    """Decode a query string; of repeated names the last one counts, as in PHP."""
    return dict(parse_qsl(query, keep_blank_values=True))


def decode_body(body: bytes, content_type: str) -> dict[str, Any]:
    """Decode a body to its raw fields; a body that is no form has none, save that JSON shows its structures."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _with_nested(decode_query(body.decode(errors="replace")))
    if kind == "multipart/form-data":
        return _with_nested(_multipart(body, content_type))
    if kind == "application/json":
        return _structures(body)
    return {}


def _with_nested(pairs: dict[str, str]) -> dict[str, Any]:
    """Read `a[b]=1` as PHP does: the field `a` then is an array, and no scalar any more."""
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
    """Keep only what the vendor complains of in a JSON body: its structures. Scalars in it are never read."""
    try:
        sent = json.loads(body)
    except ValueError:
        return {}
    return {name: value for name, value in _as_dict(sent).items() if isinstance(value, dict | list)}


def readable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Decode the JSON strings among the fields, for the log of requests."""
    return {name: _decoded(value) for name, value in fields.items()}


def _decoded(value: Any) -> Any:
    try:
        decoded = json.loads(value)
    except (TypeError, ValueError):
        return value
    return decoded if isinstance(decoded, dict | list) else value


def scalar(asked: Incoming, name: str) -> str:
    """Return a plain form field, or refuse the request."""
    value = asked.fields.get(name)
    if value is None or value == "":
        raise Refused(400, f"Parameter '{name}' is missing")
    if not isinstance(value, str):
        raise Refused(400, f'Input value "{name}" contains a non-scalar value')
    return value


def structure(asked: Incoming, name: str) -> Any:
    """Return what the JSON string in a form field holds."""
    text = scalar(asked, name)
    try:
        return json.loads(text)
    except ValueError:
        raise Refused(400, BAD_INPUT, {name: INVALID}) from None


def entity(asked: Incoming, name: str) -> dict[str, Any]:
    """Return the JSON object in a form field."""
    sent = structure(asked, name)
    if not isinstance(sent, dict):
        raise Refused(400, BAD_ENTITY, {name: INVALID})
    return sent
