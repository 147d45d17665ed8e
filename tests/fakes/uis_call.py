"""The Call API of the fake UIS: start.employee_call and release.call."""

from __future__ import annotations

import re

import phonenumbers

from tests.fakes.uis_account import BASIC_CALL_API, Account
from tests.fakes.uis_data import Method, Reply
from tests.fakes.uis_jsonrpc import Param, Row, RpcError, check_params
from tests.fakes.uis_session import CallScript, Session

_NUMBER_MANAGEMENT = "Автоматическое управление номерами"
_RULES = ("fixed", "fixed_for_numa", "random", "regional_random", "regional_fixed_for_numa")
_MESSAGE = {
    "type": Param("string", is_required=True, values=("media", "tts")),
    "value": Param("string", is_required=True),
}
_START = {
    "first_call": Param("string", is_required=True, values=("employee", "contact")),
    "switch_at_once": Param("boolean"),
    "early_switching": Param("boolean"),
    "media_file_id": Param("number"),
    "virtual_phone_number": Param("string", is_required=True),
    "virtual_phone_usage_rule": Param("string", values=_RULES),
    "show_virtual_phone_number": Param("boolean"),
    "contact": Param("string", is_required=True),
    "external_id": Param("string"),
    "dtmf_string": Param("string"),
    "direction": Param("string", values=("in", "out")),
    "employee": Param(
        "object",
        is_required=True,
        members={"id": Param("number", is_required=True), "phone_number": Param("string")},
    ),
    "contact_message": Param("object", members=_MESSAGE),
    "employee_message": Param("object", members=_MESSAGE),
}
_RELEASE = {"call_session_id": Param("number", is_required=True)}
_E164 = re.compile(r"[1-9]\d{6,14}")


def _start(account: Account, params: Row) -> Reply:
    check_params(params, _START)
    _check_form(account, params)
    _check_messages(account, params)
    _check_number(account, params)
    _check_contact(account, params)
    _check_employee(account, params)
    session = _begin(account, params)
    account.dialled.append(params)
    return Reply({"call_session_id": session.session_id})


def _check_form(account: Account, params: Row) -> None:
    """Check what needs no knowledge of the account."""
    if not _E164.fullmatch(params["virtual_phone_number"]):
        raise RpcError("invalid_parameter_value", "virtual_phone_number", params["virtual_phone_number"])
    if not re.fullmatch(r"\d+", params["employee"].get("phone_number", "0")):
        raise RpcError("invalid_parameter_value", "employee.phone_number", params["employee"]["phone_number"])
    if not re.fullmatch(r"[0-9*#.]+", params.get("dtmf_string", "0")):
        raise RpcError("invalid_parameter_value", "dtmf_string", params["dtmf_string"])
    is_allowed = params["first_call"] == "employee" and params.get("switch_at_once", False)
    if params.get("early_switching", False) and not is_allowed:
        raise RpcError("invalid_parameters_combination", "early_switching", True)


def _check_messages(account: Account, params: Row) -> None:
    files = [params["media_file_id"]] if "media_file_id" in params else []
    for name in ("contact_message", "employee_message"):
        message = params.get(name, {"type": "tts", "value": ""})
        if message["type"] == "media":
            files.append(int(message["value"]) if message["value"].isdigit() else message["value"])
        elif len(message["value"]) > account.tts_message_max_length:
            sizes = {"tts_message_max_length": account.tts_message_max_length}
            sizes |= {"sent_tts_message_length": len(message["value"])}
            raise RpcError("tts_text_exceeded", f"{name}.value", message["value"], **sizes)
    for file_id in files:
        if file_id not in account.media_files:
            raise RpcError("media_file_not_found", "media_file_id", file_id, media_file_id=file_id)


def _is_e164(contact: str) -> bool:
    """Whether digits have the length of a number of their country: with an extension glued to it they have not."""
    try:
        parsed = phonenumbers.parse(f"+{contact}")
    except phonenumbers.NumberParseException:
        return False
    return _E164.fullmatch(contact) is not None and phonenumbers.is_possible_number(parsed)


def _own_numbers(account: Account) -> set[str]:
    return {row["virtual_phone_number"] for row in account.numbers.values()}


def _check_number(account: Account, params: Row) -> None:
    number = params["virtual_phone_number"]
    rule = params.get("virtual_phone_usage_rule", "fixed")
    if rule != "fixed" and _NUMBER_MANAGEMENT not in account.components:
        raise RpcError("component_disabled", component_name=_NUMBER_MANAGEMENT)
    if number not in _own_numbers(account):
        raise RpcError("virtual_phone_number_not_found", "virtual_phone_number", number, virtual_phone_number=number)


def _check_contact(account: Account, params: Row) -> None:
    """Accept an external number or an employee's SIP number; reject internal numbers and our own."""
    contact = params["contact"]
    phones = {phone["phone_number"] for row in account.employees.values() for phone in row["phone_numbers"]}
    internal = {row["extension"].get("extension_phone_number") for row in account.employees.values()}
    if contact in internal or not (_is_e164(contact) or contact in phones):
        raise RpcError("invalid_parameter_value", "contact", contact)
    if contact in _own_numbers(account):
        raise RpcError("own_virtual_phone_number_not_allowed", "contact", contact)
    if contact in account.blacklist:
        raise RpcError("contact_in_blacklist", "contact", contact, contact=contact)
    if contact in account.forbidden_contacts:
        raise RpcError("call_direction_forbidden", "contact", contact)


def _check_employee(account: Account, params: Row) -> None:
    employee_id, phone_number = params["employee"]["id"], params["employee"].get("phone_number")
    if employee_id not in account.employees:
        raise RpcError("employee_not_found", "employee.id", employee_id, employee_id=employee_id)
    employee = account.employees[employee_id]
    active = [phone["phone_number"] for phone in employee["phone_numbers"] if phone["status"] == "active"]
    allowed = active if phone_number is None else [*active, employee["extension"].get("extension_phone_number")]
    if not active or (phone_number is not None and phone_number not in allowed):
        raise RpcError("no_active_phone_number", "employee.phone_number", phone_number)


def _begin(account: Account, params: Row) -> Session:
    """Start a session in which the employee's phone rings, until finish_started or release.call ends it."""
    session = account.open_session(
        contact=params["contact"],
        number=params["virtual_phone_number"],
        direction=params.get("direction", "in"),
        started_at=account.clock(),
        external_id=params.get("external_id"),
        source="callapi",
        employee_phone=params["employee"].get("phone_number"),
    )
    account.close_session(session, CallScript(rings=[params["employee"]["id"]], talks=[], wait=0))
    session.ended_at = session.visible_at = session.records_at = session.finish_reason = None
    return session


def _release(account: Account, params: Row) -> Reply:
    check_params(params, _RELEASE)
    session = account.sessions.get(params["call_session_id"])
    if session is None or not session.is_running:
        raise RpcError("call_session_not_found", "call_session_id", params["call_session_id"])
    session.finish_reason = "operator_disconnects"
    account.finish_started(session.session_id, talk=0)
    return Reply({"success": "true"})  # a string, as documented


METHODS = {
    "start.employee_call": Method(_start, component=BASIC_CALL_API),
    "release.call": Method(_release, component=BASIC_CALL_API),
}
