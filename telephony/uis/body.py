"""Any webhook body or query -> a plain dict of fields; the usual mistakes of typed templates are mended."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from telephony.uis.types import Fault

GROUPS = ("contact_info", "employee_info", "call_info", "call_record_file_info")
# The macros of our templates; only these can be told apart when an "&" is missing between two of them.
_NAMES = (
    "event|notification_name|notification_mnemonic|notification_time|notification_timestamp|virtual_phone_number|external_id"
    "|contact_phone_number|contact_full_name|contact_id|employee_id|employee_full_name|employee_ids|call_source|direction"
    "|is_lost|is_internal|call_session_id|start_time|talk_time_duration|total_time_duration|wait_time_duration"
    "|scenario_name|tag_names|leg_id|leg_ids|file_link|file_duration|last_talked_employee_id|lost_reason"
)
_MISSING_AMPERSAND = re.compile(rf"(?:(?<![&?_a-z])|(?<==true)|(?<==false)|(?<==null))(?=(?:{_NAMES})=)")
# Bounded: a body of nothing but such beginnings must not cost the square of its length.
_DOUBLED_QUOTES = re.compile(r':\s*""(?!\s*[,}\]])(.{0,500}?)""(?=\s*[,}\]])', re.DOTALL)
_BARE_MACRO = re.compile(r":\s*\{\{\s*\w+\s*\}\}(?=\s*[,}\]])")
_BARE_NAME = re.compile(r'"(\w+)"\s*:\s*\1(?=\s*[,}\]])')
_MACRO = re.compile(r"^\{\{.*\}\}$", re.DOTALL)


@dataclass(frozen=True)
class NotReadable(Exception):
    """The body is neither JSON, nor mendable, nor a form."""

    fault: Fault
    detail: str


def fields(query: str, body: str) -> dict[str, object]:
    """Return the fields of a notification, missing ones left out. Raises NotReadable."""
    said = dict(_form(query)) | _body(body)
    if not said:
        raise NotReadable(Fault.EMPTY, "")
    flat = _flatten(said)
    return {name: value for name, raw in flat.items() if (value := _bare(name, raw)) is not None}


def _flatten(said: Mapping[str, object]) -> dict[str, object]:
    """Bring the groups of the cabinet's default body to the top; a name that stands there already wins."""
    flat: dict[str, object] = {}
    for group in GROUPS:
        inner = said.get(group)
        if isinstance(inner, dict):
            flat |= {name: value for name, value in inner.items() if name not in flat}
    return flat | {name: value for name, value in said.items() if name not in GROUPS}


def _bare(name: str, raw: object) -> object | None:
    """Return a value without the quotes a GET brings along; None for every way of writing "nothing"."""
    if not isinstance(raw, str):
        return raw
    value = raw.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    is_missing = value in {"", "null", name} or _MACRO.match(value)
    return None if is_missing else value


def _body(body: str) -> dict[str, object]:
    text = body.strip().lstrip("\ufeff")
    if not text:
        return {}
    if text[0] in "{[":
        return _json(text)
    if "=" in text:
        return dict(_form(text))
    raise NotReadable(Fault.NOT_JSON, text[:60].replace("\0", ""))


def _json(text: str) -> dict[str, object]:
    for candidate in (text, _mended(text)):
        try:
            # strict=False: a line break inside a name is no reason to lose a call.
            said = json.loads(candidate, strict=False)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict):
            return said
        break
    raise NotReadable(Fault.NOT_JSON, _first_fault(text))


def _mended(text: str) -> str:
    """Undo the known template mistakes: quotes put around a macro, and macros nobody filled in."""
    text = _DOUBLED_QUOTES.sub(r': "\1"', text)
    text = _BARE_MACRO.sub(": null", text)
    return _BARE_NAME.sub(r'"\1": null', text)


def _first_fault(text: str) -> str:
    try:
        json.loads(text, strict=False)
    except ValueError as exc:
        return str(exc)
    except RecursionError:
        return "too deep"
    return "not an object"


def _form(text: str) -> list[tuple[str, str]]:
    return parse_qsl(_MISSING_AMPERSAND.sub("&", text), keep_blank_values=True, errors="replace")
