"""update.employees of the fake UIS: its parameters, and what it changes."""

from __future__ import annotations

import re

from tests.fakes.uis_account import BOTH, DIRECTIONS, Account, phone_row
from tests.fakes.uis_jsonrpc import Param, Row, RpcError, check_params, check_type

_PHONE = {
    "phone_id": Param("number"),
    "phone_number": Param("string", is_required=True),
    "channels_count": Param("number"),
    "dial_time": Param("number"),
    "status": Param("string", values=("active", "inactive")),
}
_EXTENSION = {
    "extension_phone_number": Param("string", is_required=True),
    "extension_voice_mail_enabled": Param("boolean"),
    "extension_queue_enabled": Param("boolean"),
}
_CALL_TYPES = {"allowed_in_call_types": ("internal", "external"), "allowed_out_call_types": ("internal", "external")}
_CHOICES = _CALL_TYPES | dict.fromkeys(DIRECTIONS, BOTH)
_SPEC = {
    "id": Param("number", is_required=True),
    **{name: Param("string", is_nullable=True) for name in ("first_name", "patronymic", "email")},
    "status": Param("string"),
    "calls_available": Param("boolean"),
    **{name: Param("array") for name in _CHOICES},
    "call_recording": Param("string", values=("all", "in", "out", "off")),
    "schedule_id": Param("number", is_nullable=True),
    "extension": Param("object", is_nullable=True, members=_EXTENSION),
    "groups": Param("array"),
    "coach": Param("object", is_nullable=True),
    "operator": Param("object", is_nullable=True),
}


def spec(account: Account) -> dict[str, Param]:
    """Return the parameters; some accounts require the fields that the documentation requires on creation."""
    is_required = account.requires_full_update
    found = _SPEC | {
        "last_name": Param("string", is_required=is_required),
        "phone_numbers": Param("array", is_required=is_required),
    }
    return found | ({"status_id": Param("number")} if account.has_statuses else {})


def update(account: Account, params: Row) -> None:
    """Change an employee, or raise and change nothing."""
    if params["id"] not in account.employees:
        raise RpcError("entity_not_found", "id", params["id"])
    for name, choices in _CHOICES.items():
        _check_choices(params.get(name, []), choices, name)
    changed = {name: value for name, value in params.items() if name not in {"status", "status_id", "phone_numbers"}}
    changed |= _parse_status(account, params)
    if "extension" in params:
        _check_extension(account, params)
        changed["extension"] = params["extension"] or {}
    if "phone_numbers" in params:
        changed["phone_numbers"] = _parse_phones(account, params["phone_numbers"])
    employee = account.employees[params["id"]]
    employee |= changed | _calls_available_changes(params)
    names = [employee[word] for word in ("last_name", "first_name", "patronymic")]
    employee["full_name"] = " ".join(name for name in names if name)


def _check_choices(sent: list[object], choices: tuple[str, ...], name: str) -> None:
    for one in sent:
        check_type(one, kind="string", name=name)
        if one not in choices:
            raise RpcError("invalid_parameter_value", name, one)


def _parse_status(account: Account, params: Row) -> Row:
    if "status_id" not in params and "status" not in params:
        return {}
    name = "status_id" if "status_id" in params else "status"
    key = "id" if name == "status_id" else "mnemonic"
    for row in account.statuses.values():
        if row[key] == params[name] and not row["is_deleted"]:
            is_open = bool(row["in_external_allowed_call_directions"])
            return {"status_id": row["id"], "status": row["mnemonic"], "calls_available": is_open}
    raise RpcError("entity_not_found" if name == "status_id" else "invalid_parameter_value", name, params[name])


def _calls_available_changes(params: Row) -> Row:
    """The deprecated switch acts through its documented replacement, the two lists of incoming directions."""
    if "calls_available" not in params:
        return {}
    return {word: list(BOTH) if params["calls_available"] else [] for word in DIRECTIONS if word.startswith("in_")}


def _check_extension(account: Account, params: Row) -> None:
    extension = (params["extension"] or {}).get("extension_phone_number")
    if extension is not None and not re.fullmatch(r"\d{1,5}", extension):
        raise RpcError("invalid_parameter_value", "extension.extension_phone_number", extension)
    for other in account.employees.values():
        if extension and other["id"] != params["id"] and other["extension"].get("extension_phone_number") == extension:
            raise RpcError("already_in_use", "extension.extension_phone_number", extension)


def _parse_phones(account: Account, phones: list[Row]) -> list[Row]:
    """Return the whole new list: numbers not in it are removed."""
    if len(phones) > 10:
        raise RpcError("data_limit_exceeded", "phone_numbers")
    for phone in phones:
        _check_phone(phone)
    known = {one["phone_number"]: one for row in account.employees.values() for one in row["phone_numbers"]}
    found = []
    for phone in phones:
        old = known.get(phone["phone_number"])
        new = phone_row(old["phone_id"] if old else next(account.phone_ids), phone)
        if old:
            old.update(new)  # the vendor changes a shared number for the other employee, too
        found.append(new)
    return found


def _check_phone(phone: Row) -> None:
    check_type(phone, kind="object", name="phone_numbers")
    check_params(phone, _PHONE, "phone_numbers.")
    if not re.fullmatch(r"[\w.*#@-]+", phone["phone_number"]):
        raise RpcError("invalid_parameter_value", "phone_numbers.phone_number", phone["phone_number"])
    for name, highest in (("channels_count", 150), ("dial_time", 100)):
        if not 1 <= phone.get(name, 1) <= highest:
            raise RpcError("invalid_parameter_value", f"phone_numbers.{name}", phone[name])
