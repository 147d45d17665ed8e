"""Parses a webhook body or query string into a plain dict of fields, repairing common template mistakes."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from telephony.uis.types import ParseError

GROUPS = ("contact_info", "employee_info", "call_info", "call_record_file_info")
# The macros of our templates: a missing "&" can only be restored before one of these names.
_NAMES = (
    "event|notification_name|notification_mnemonic|notification_time|notification_timestamp|virtual_phone_number|external_id"
    "|contact_phone_number|contact_full_name|contact_id|employee_id|employee_full_name|employee_ids|call_source|direction"
    "|is_lost|is_internal|call_session_id|start_time|talk_time_duration|total_time_duration|wait_time_duration"
    "|scenario_name|tag_names|campaign_name|cpn_region_name|operator_rating|leg_id|leg_ids|file_link|file_duration"
    "|last_talked_employee_id|lost_reason|finish_reason"
)
_MISSING_AMPERSAND = re.compile(rf"(?:(?<![&?_a-z])|(?<==true)|(?<==false)|(?<==null))(?=(?:{_NAMES})=)")
# Bounded: a body made of opening quotes only must not take quadratic time.
_DOUBLED_QUOTES = re.compile(r'("(?P<name>\w+)"\s*)?:\s*""(?!\s*[,}\]])(?P<value>.{0,500}?)""(?=\s*[,}\]])', re.DOTALL)
_BARE_MACRO = re.compile(r":\s*(\{\{\s*\w+\s*\}\})(?=\s*[,}\]])")
_BARE_NAME = re.compile(r'"(\w+)"\s*:\s*\1(?=\s*[,}\]])')
_MACRO = re.compile(r"^\{\{.*\}\}$", re.DOTALL)


@dataclass(frozen=True)
class PayloadError(Exception):
    """The body is neither JSON (even after repair) nor a form."""

    fault: ParseError
    detail: str


def fields(query: str, body: str) -> dict[str, object]:
    """Return the fields of a notification that have a value. Raises PayloadError."""
    return {
        name: value for name, raw in raw_fields(query, body).items() if (value := clean_value(name, raw)) is not None
    }


def raw_fields(query: str, body: str) -> dict[str, object]:
    """Return every field as sent, including empty and unresolved ones. Raises PayloadError."""
    sent = dict(_form(query)) | _body(body)
    if not sent:
        raise PayloadError(ParseError.EMPTY, "")
    return _flatten(sent)


def quoted(body: str) -> list[str]:
    """Return the fields of a JSON body with doubled quotes: the template has quotes around their macros."""
    matches = _DOUBLED_QUOTES.finditer(body) if _text(body)[:1] in {"{", "["} else ()
    return [match["name"] for match in matches if match["name"]]


def is_unresolved(name: str, raw: object) -> bool:
    """Return whether UIS left the macro of a field unreplaced, or sent its bare name as the value."""
    value = _unquoted(raw) if isinstance(raw, str) else ""
    return value != "" and (value == name or _MACRO.match(value) is not None)


def _flatten(sent: Mapping[str, object]) -> dict[str, object]:
    """Flatten the groups of the default template in UIS's web interface; a top-level field wins."""
    flat: dict[str, object] = {}
    for group in GROUPS:
        inner = sent.get(group)
        if isinstance(inner, dict):
            flat |= {name: value for name, value in inner.items() if name not in flat}
    return flat | {name: value for name, value in sent.items() if name not in GROUPS}


def clean_value(name: str, raw: object) -> object | None:
    """Return a value without the quotes UIS adds in a GET; None when it is empty, "null" or unresolved."""
    if not isinstance(raw, str):
        return raw
    value = _unquoted(raw)
    return None if value in {"", "null"} or is_unresolved(name, raw) else value


def _unquoted(raw: str) -> str:
    value = raw.strip()
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def _text(body: str) -> str:
    return body.strip().lstrip("\ufeff")


def _body(body: str) -> dict[str, object]:
    text = _text(body)
    if not text:
        return {}
    if text[0] in "{[":
        return _parse_json(text)
    if "=" in text:
        return dict(_form(text))
    raise PayloadError(ParseError.NOT_JSON, text[:60].replace("\0", ""))


def _parse_json(text: str) -> dict[str, object]:
    detail = ""  # what is wrong with the text as it was sent
    for candidate in (text, _repair(text)):
        try:
            # strict=False: a line break inside a name must not make the notification unreadable.
            parsed = json.loads(candidate, strict=False)
        except (ValueError, RecursionError) as exc:
            detail = detail or (str(exc) if isinstance(exc, ValueError) else "too deep")
            continue
        if isinstance(parsed, dict):
            return parsed
        break
    raise PayloadError(ParseError.NOT_JSON, detail or "not an object")


def _repair(text: str) -> str:
    """Repair known template mistakes: remove quotes around a macro; put an unresolved macro in quotes."""
    text = _DOUBLED_QUOTES.sub(r'\1: "\g<value>"', text)
    text = _BARE_MACRO.sub(r': "\1"', text)
    return _BARE_NAME.sub(r'"\1": "\1"', text)


def _form(text: str) -> list[tuple[str, str]]:
    return parse_qsl(_MISSING_AMPERSAND.sub("&", text), keep_blank_values=True, errors="replace")
