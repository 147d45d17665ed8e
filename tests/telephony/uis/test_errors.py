"""Every error code in the reference and the exception it becomes."""

import pytest

from connector_project.core.http_client import AccessDenied, RemoteRejected, RemoteUnavailable, UnexpectedReply
from telephony.uis import errors
from tests.telephony.uis.samples import FakeTransport, load

LATER, STOP, DENIED, OURS = RemoteUnavailable, RemoteRejected, AccessDenied, UnexpectedReply

# Section 4.3 and 4.4 of the reference: mnemonic, code, exception.
TABLE = [
    ("parse_error", -32700, OURS),
    ("invalid_request", -32600, OURS),
    ("method_not_found", -32601, OURS),
    ("batch_opreations_not_supported", -32099, OURS),
    ("batch_operations_not_supported", -32099, OURS),
    ("notifications_not_supported", -32099, OURS),
    ("access_token_expired", -32001, DENIED),
    ("access_token_blocked", -32001, DENIED),
    ("access_token_invalid", -32001, DENIED),
    ("auth_error", -32001, DENIED),
    ("ip_not_whitelisted", -32003, DENIED),
    ("forbidden", -32003, DENIED),
    ("forbidden", -32602, DENIED),
    ("account_inactive", -32009, DENIED),
    ("component_disabled", -32008, DENIED),
    ("method_component_disabled", -32008, DENIED),
    ("parameter_component_disabled", -32008, OURS),
    ("limit_exceeded", -32029, LATER),
    ("internal_error", -32603, LATER),
    ("call_session_not_found", -32602, STOP),
    ("data_type_error", -32602, OURS),
    ("required_parameter_missed", -32602, OURS),
    ("invalid_parameter_value", -32602, STOP),
    ("unexpected_parameters", -32602, OURS),
    ("invalid_parameters_combination", -32602, OURS),
    ("error", -32602, STOP),
    ("sort_prohibited", -32602, OURS),
    ("filter_prohibited", -32602, OURS),
    ("date_interval_limit_reached", -32602, OURS),
    ("entity_not_found", -32602, STOP),
    ("dependency_error", -32602, STOP),
    ("duplicate_entity", -32602, STOP),
    ("campaign_is_inactive", -32602, STOP),
    ("invalid_date_time", -32602, STOP),
    ("data_limit_exceeded", -32602, STOP),
    ("tariff_restrictions", -32602, STOP),
    ("already_in_use", -32602, STOP),
    ("virtual_phone_number_not_found", -32007, STOP),
    ("employee_not_found", -32602, STOP),
    ("no_active_phone_number", -32602, STOP),
    ("own_virtual_phone_number_not_allowed", -32602, STOP),
    ("contact_in_blacklist", -32002, STOP),
    ("contact_in_blacklist", -32602, STOP),
    ("tts_text_exceeded", -32602, STOP),
    ("media_file_not_found", -32602, STOP),
    ("character_encoding_not_allowed", -32602, OURS),
    ("scenario_not_found", -32602, STOP),
    ("scenario_not_found", -32007, STOP),
    ("invalid_state", -32004, STOP),
    ("leg_not_found", -32602, STOP),
    ("tag_not_found", -32602, STOP),
    ("duplicate_tag", -32602, STOP),
    ("coach_not_found", -32602, STOP),
    ("duplicate_contact", -32602, STOP),
    ("record_already_started", -32602, STOP),
    ("record_already_stopped", -32602, STOP),
    ("talk_option_not_found", -32602, STOP),
    ("undocumented_error", -32602, STOP),
]


@pytest.mark.parametrize(("mnemonic", "code", "kind"), TABLE)
def test_error_with_a_known_mnemonic_becomes_its_exception(mnemonic, code, kind):
    error = errors.to_exception(code, "No.", mnemonic=mnemonic, right="get.calls_report", params={}, limits={})
    assert (type(error), error.code, str(error), error.system) == (kind, mnemonic, "No.", "UIS")


@pytest.mark.parametrize("mnemonic", ["direction_is_not_allowed", "-32002", ""])
def test_error_for_a_direction_becomes_its_exception_by_code(mnemonic):
    error = errors.to_exception(-32002, "No.", mnemonic=mnemonic, right="get.calls_report", params={}, limits={})
    assert (type(error), error.code) == (RemoteRejected, "direction_forbidden")


@pytest.mark.parametrize(
    ("params", "limits", "wait"),
    [
        ({"limit_type": "minute"}, {"minute_reset": 41, "day_reset": 900}, 41.0),
        ({"limit_type": "day"}, {"minute_reset": 41, "day_reset": 900}, 900.0),
        ({}, {"minute_reset": 12.5}, 12.5),
        ({"limit_type": "minute"}, {}, 60.0),
        ({"limit_type": "minute"}, {"minute_reset": 0}, 60.0),
        ({"limit_type": "minute"}, {"minute_reset": None}, 60.0),
        ({"limit_type": "day"}, {}, 1800.0),
        ({"limit_type": "day"}, {"day_reset": 51959}, 1800.0),
    ],
)
def test_used_up_points_wait_for_their_reset(params, limits, wait):
    error = errors.to_exception(
        -32029, "No.", mnemonic="limit_exceeded", right="get.calls_report", params=params, limits=limits
    )
    assert isinstance(error, RemoteUnavailable)
    assert error.wait == wait


@pytest.mark.parametrize(
    ("name", "kind", "code", "message"),
    [
        ("error_access_token_invalid.json", DENIED, "access_token_invalid", "Access token is invalid"),
        ("error_component_disabled.json", DENIED, "component_disabled", "Component Call API has been disabled"),
        ("error_ip_not_whitelisted.json", DENIED, "ip_not_whitelisted", "Your IP 203.0.113.10 is not whitelisted"),
        (
            "error_contact_in_blacklist.json",
            STOP,
            "contact_in_blacklist",
            "The contact 79990000001 has been found in the blacklist (contact)",
        ),
        ("error_data_type_error.json", OURS, "data_type_error", "Data supplied is of wrong type (contact)"),
        (
            "error_date_interval_limit_reached.json",
            OURS,
            "date_interval_limit_reached",
            "Max value of requested date interval is 3 months (date_till)",
        ),
        (
            "error_employee_not_found.json",
            STOP,
            "employee_not_found",
            "Employee with id 999999 not found. It is not your employee. (employee.id)",
        ),
        ("error_internal_error.json", LATER, "internal_error", "Internal error, contact the support service"),
        (
            "error_invalid_parameters_combination.json",
            OURS,
            "invalid_parameters_combination",
            "The combination of parameters is not permitted (early_switching)",
        ),
        (
            "error_limit_exceeded.json",
            LATER,
            "limit_exceeded",
            "Limit per minute has been exceeded. Value of current limit per minute is 60",
        ),
        (
            "error_no_active_phone_number.json",
            STOP,
            "no_active_phone_number",
            "The phone number does not exist or inactive (employee.phone_number)",
        ),
        (
            "error_required_parameter_missed.json",
            OURS,
            "required_parameter_missed",
            "The required parameter has been missed (date_from)",
        ),
        (
            "error_virtual_phone_number_not_found.json",
            STOP,
            "virtual_phone_number_not_found",
            "Virtual phone number 74950000099 not found. It is not your virtual phone number. (virtual_phone_number)",
        ),
    ],
)
def test_error_sample_becomes_the_documented_exception(name, kind, code, message):
    with pytest.raises(kind) as raised:
        FakeTransport(load(name)).channel().request("start.employee_call", {})
    assert (raised.value.code, str(raised.value)) == (code, message)


def test_internal_error_has_no_wait():
    with pytest.raises(LATER) as raised:
        FakeTransport(load("error_internal_error.json")).channel().request("get.account", {})
    assert raised.value.wait is None


def test_account_errors_and_missing_rights_do_not_overlap():
    assert frozenset() == errors.ACCOUNT_ERRORS & errors.MISSING_RIGHT
    assert {name for name, _code, kind in TABLE if kind is DENIED} == errors.ACCOUNT_ERRORS | errors.MISSING_RIGHT
