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
_DOUBLED_QUOTES = re.compile(r'("(?P<name>\w+)"\s*)?:\s*""(?!\s*[,}\]])(?P<value>.{0,500}?)""(?=\s*[,}\]])', re.DOTALL)
_BARE_MACRO = re.compile(r":\s*(\{\{\s*\w+\s*\}\})(?=\s*[,}\]])")
_BARE_NAME = re.compile(r'"(\w+)"\s*:\s*\1(?=\s*[,}\]])')
_MACRO = re.compile(r"^\{\{.*\}\}$", re.DOTALL)


@dataclass(frozen=True)
class NotReadable(Exception):
    """The body is neither JSON, nor mendable, nor a form."""

    fault: Fault
    detail: str


def fields(query: str, body: str) -> dict[str, object]:
    """Return the fields of a notification, missing ones left out. Raises NotReadable."""
    said = written(query, body)
    return {name: value for name, raw in said.items() if (value := bare(name, raw)) is not None}


def written(query: str, body: str) -> dict[str, object]:
    """Return every field as it was written, those that say nothing included. Raises NotReadable."""
    said = dict(_form(query)) | _body(body)
    if not said:
        raise NotReadable(Fault.EMPTY, "")
    return _flatten(said)


def quoted(body: str) -> list[str]:
    """Return the fields of a JSON body that came with doubled quotes: somebody put quotes around their macros."""
    found = _DOUBLED_QUOTES.finditer(body) if _text(body)[:1] in {"{", "["} else ()
    return [one["name"] for one in found if one["name"]]


def is_unresolved(name: str, raw: object) -> bool:
    """Say whether UIS left the macro of a field as it stood, or wrote its bare name."""
    value = _unquoted(raw) if isinstance(raw, str) else ""
    return value != "" and (value == name or _MACRO.match(value) is not None)


def _flatten(said: Mapping[str, object]) -> dict[str, object]:
    """Bring the groups of the cabinet's default body to the top; a name that stands there already wins."""
    flat: dict[str, object] = {}
    for group in GROUPS:
        inner = said.get(group)
        if isinstance(inner, dict):
            flat |= {name: value for name, value in inner.items() if name not in flat}
    return flat | {name: value for name, value in said.items() if name not in GROUPS}


def bare(name: str, raw: object) -> object | None:
    """Return a value without the quotes a GET brings along; None for every way of writing "nothing"."""
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
    """Undo the known template mistakes: quotes put around a macro; a macro nobody filled in becomes a text."""
    text = _DOUBLED_QUOTES.sub(r'\1: "\g<value>"', text)
    text = _BARE_MACRO.sub(r': "\1"', text)
    return _BARE_NAME.sub(r'"\1": "\1"', text)


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
