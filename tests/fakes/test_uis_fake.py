"""The fake UIS accepts, rejects and answers as in the reference."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
import responses

from tests.fakes.uis import BRANDS, Account, Answer, FakeUis
from tests.fakes.uis_faults import GARBLED

NOW = datetime(2024, 10, 25, 7, 13, 2, 234000, tzinfo=UTC)  # 10:13:02 in Moscow
HEADERS = {"Content-Type": "application/json; charset=UTF-8"}
WINDOW = {"date_from": "2024-10-24 00:00:00", "date_till": "2024-10-26 00:00:00"}
CLIENT, OWN, ANN, BOB = "79990000001", "74950000001", 300001, 300002
START = {
    "first_call": "employee",
    "switch_at_once": True,
    "early_switching": True,
    "show_virtual_phone_number": False,
    "virtual_phone_number": OWN,
    "external_id": "crm-0001",
    "direction": "out",
    "contact": CLIENT,
    "employee": {"id": ANN},
}


class Client:
    """A fake with one customer and a settable clock."""

    def __init__(self) -> None:
        self.now = NOW
        self.uis = FakeUis(lambda: self.now)
        self.account: Account = self.uis.add_account()
        self.account.add_employee(ANN, "Иванов Иван", extension="101", email="a@example.com", numbers=["79990000002"])
        self.account.add_employee(BOB, "Петров")
        self.account.add_number(OWN, name="Основной номер")

    def post(self, body: object, api: str = "data", headers: dict[str, str] = HEADERS) -> dict[str, Any]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer: dict[str, Any] = json.loads(self.uis.serve(api, method="POST", headers=headers, body=raw).body)
        return answer

    def request(self, method: str, **params: object) -> dict[str, Any]:
        api = "call" if method in {"start.employee_call", "release.call"} else "data"
        sent = {"access_token": "uis-token"} | params
        return self.post({"jsonrpc": "2.0", "id": "r1", "method": method, "params": sent}, api=api)

    def error_of(self, method: str, **params: object) -> str:
        return str(self.request(method, **params)["error"]["data"]["mnemonic"])

    def rows(self, method: str, **params: object) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.request(method, **params)["result"]["data"]
        return found

    def legs(self, **params: object) -> list[dict[str, Any]]:
        return self.rows("get.call_legs_report", **WINDOW, **params)


@pytest.fixture
def client() -> Client:
    return Client()


def leaf(field: str, operator: str, value: object) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value}


# --- envelope


@pytest.mark.parametrize(
    ("body", "code", "mnemonic"),
    [
        (b"{", -32700, "parse_error"),
        (b'{"jsonrpc": NaN}', -32700, "parse_error"),
        ([], -32099, "batch_opreations_not_supported"),
        ("x", -32600, "invalid_request"),
        ({"jsonrpc": "1.0", "id": 1, "method": "get.account"}, -32600, "invalid_request"),
        ({"jsonrpc": "2.0", "id": None, "method": "get.account"}, -32600, "invalid_request"),
        ({"jsonrpc": "2.0", "method": "get.account"}, -32099, "notifications_not_supported"),
        ({"jsonrpc": "2.0", "id": 1, "method": "get.nothing"}, -32601, "method_not_found"),
        ({"jsonrpc": "2.0", "id": 1, "method": "release.call"}, -32601, "method_not_found"),
        ({"jsonrpc": "2.0", "id": 1, "method": "get.account"}, -32001, "access_token_invalid"),
    ],
)
def test_invalid_envelope_is_rejected(client: Client, body: object, code: int, mnemonic: str) -> None:
    error = client.post(body)["error"]
    assert (error["code"], error["data"]["mnemonic"]) == (code, mnemonic)
    assert "metadata" not in error["data"]
    assert client.uis.requests[-1].mnemonic == mnemonic


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/json; charset=cp1251"])
def test_content_type_must_name_utf8_json(client: Client, content_type: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": "uis-token"}}
    error = client.post(body, headers={"content-type": content_type})["error"]
    assert error["data"]["mnemonic"] == "invalid_request"
    assert client.post(body, headers={"content-type": "application/json;charset=utf-8"})["result"]


def test_only_post_is_accepted(client: Client) -> None:
    answer = client.uis.serve("data", method="GET", headers=HEADERS, body=b"")
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (405, -32600)


@pytest.mark.parametrize(
    ("change", "code", "mnemonic", "is_counted"),
    [
        ({"token_state": "expired"}, -32001, "access_token_expired", False),
        ({"token_state": "blocked"}, -32001, "access_token_blocked", False),
        ({"allowed_addresses": []}, -32003, "ip_not_whitelisted", False),
        ({"allowed_addresses": ["198.51.100.0/24", "203.0.113.11"]}, -32003, "ip_not_whitelisted", False),
        ({"is_active": False}, -32009, "account_inactive", True),
        ({"permissions": set()}, -32003, "forbidden", True),
        ({"minute_limit": 0}, -32029, "limit_exceeded", True),
        ({"agent_user_ids": {7}}, -32602, "required_parameter_missed", True),
    ],
)
def test_account_error_is_returned(
    client: Client, change: dict[str, Any], code: int, mnemonic: str, is_counted: bool
) -> None:
    vars(client.account).update(change)
    error = client.request("get.employees")["error"]
    assert (error["code"], error["data"]["mnemonic"]) == (code, mnemonic)
    assert ("metadata" in error["data"]) is is_counted


def test_permissions_and_component_are_per_method(client: Client) -> None:
    client.account.permissions.clear()
    client.account.components.clear()
    assert client.error_of("get.virtual_numbers") == "forbidden"
    assert client.error_of("update.employees", id=ANN) == "forbidden"
    assert client.request("release.call", call_session_id=0)["error"]["message"] == (
        "Component Call API Базовый набор has been disabled"
    )
    assert client.rows("get.account")[0]["timezone"] == "Europe/Moscow"


# --- limits


def test_points_are_spent_on_successes_and_restored(client: Client) -> None:
    client.account.minute_limit = 2
    client.request("get.employees", nonsense=1)
    client.request("get.employees")
    assert client.request("get.employees")["result"]["metadata"] == {
        "total_items": 2,
        "version": None,
        "limits": {
            "day_limit": 3500,
            "day_remaining": 3498,
            "day_reset": 49618,
            "minute_limit": 2,
            "minute_remaining": 0,
            "minute_reset": 58,
        },
    }
    error = client.request("get.employees")["error"]
    assert error["data"]["params"] == {"limit_type": "minute", "limit_max_value": 2}
    assert error["message"] == "Limit per minute has been exceeded. Value of current limit per minute is 2"
    assert client.error_of("release.call", call_session_id=0) == "call_session_not_found"  # another budget
    client.now += timedelta(seconds=58)
    assert client.rows("get.employees")


def test_day_limit_and_empty_limits(client: Client) -> None:
    client.account.day_limit, client.account.has_empty_limits = 1, True
    assert client.request("get.statuses")["result"]["metadata"]["limits"] == {}
    assert client.request("get.statuses")["error"]["data"]["params"]["limit_type"] == "day"


# --- get.*


@pytest.mark.parametrize(
    ("params", "mnemonic"),
    [
        ({"colour": 1}, "unexpected_parameters"),
        ({"user_id": 1}, "unexpected_parameters"),
        ({"fields": ["colour"]}, "unexpected_parameters"),
        ({"sort": [{"field": "colour"}]}, "unexpected_parameters"),
        ({"filter": leaf("colour", "=", 1)}, "unexpected_parameters"),
        ({"fields": "id"}, "data_type_error"),
        ({"limit": "1"}, "data_type_error"),
        ({"limit": 10001}, "invalid_parameter_value"),
        ({"offset": 100001}, "invalid_parameter_value"),
        ({"date_from": "2024-10-24"}, "invalid_parameter_value"),
        ({"date_from": "2024-10-24T00:00:00"}, "invalid_parameter_value"),
        ({"date_from": 1}, "data_type_error"),
        ({"date_from": "2024-07-25 23:59:59"}, "date_interval_limit_reached"),
        ({"filter": leaf("contact_phone_number", "=", CLIENT)}, "filter_prohibited"),
        ({"filter": leaf("start_time", ">", "2024-10-24 00:00:00")}, "filter_prohibited"),
        ({"sort": [{"field": "id"}]}, "sort_prohibited"),
        ({"sort": [{"field": "start_time", "order": "up"}]}, "invalid_parameter_value"),
        ({"filter": leaf("id", "like", "1%")}, "invalid_parameter_value"),
        ({"filter": leaf("is_talked", ">", True)}, "invalid_parameter_value"),
        ({"filter": leaf("id", "=", "1")}, "data_type_error"),
        ({"filter": leaf("id", "in", 1)}, "data_type_error"),
        ({"filter": leaf("finish_reason", "regexp", "(")}, "invalid_parameter_value"),
        ({"filter": leaf("virtual_phone_number", "regexp", "(")}, "invalid_parameter_value"),
        ({"filter": {"filters": [leaf("id", "=", 1)]}}, "required_parameter_missed"),
        ({"filter": {"field": "id"}}, "required_parameter_missed"),
    ],
)
def test_invalid_listing_is_rejected(client: Client, params: dict[str, Any], mnemonic: str) -> None:
    error = client.request("get.call_legs_report", **({**WINDOW, "date_till": "2024-10-26 00:00:00"} | params))["error"]
    assert (error["code"], error["data"]["mnemonic"]) == (-32602, mnemonic)
    assert error["data"]["metadata"]["limits"]["day_remaining"] == 3500


@pytest.mark.parametrize("method", ["get.call_legs_report", "get.calls_report"])
def test_reports_require_both_dates(client: Client, method: str) -> None:
    error = client.request(method, date_from="2024-10-24 00:00:00", filter=leaf("id", "=", 1))["error"]
    assert (error["data"]["mnemonic"], error["data"]["field"]) == ("required_parameter_missed", "date_till")


def test_three_months_are_still_allowed(client: Client) -> None:
    assert client.rows("get.calls_report", date_from="2024-07-26 00:00:00", date_till="2024-10-26 00:00:00") == []


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (leaf("call_session_id", "in", [1, 3]), [1]),
        (leaf("call_session_id", "not_in", [1]), [2]),
        (leaf("call_session_id", ">=", 2), [2]),
        (leaf("direction", "=", "in"), [1, 2]),
        (leaf("virtual_phone_number", "regexp", "^7495"), [1, 2]),
        (leaf("virtual_phone_number", "not_like", "7495%"), []),
        (leaf("employee_rating", "is_null", None), [1, 2]),
        (leaf("employee_rating", "<", 5), []),
        ({"field": "employee_rating", "operator": "!="}, []),
    ],
)
def test_operators(client: Client, condition: dict[str, Any], found: list[int]) -> None:
    for session_id in (1, 2):
        client.account.call(contact=CLIENT, number=OWN, session_id=session_id)
    assert [leg["call_session_id"] for leg in client.legs(filter=condition)] == found


def test_in_operator_can_be_off(client: Client) -> None:
    client.account.refuses_in_operator = True
    assert client.error_of("get.calls_report", **WINDOW, filter=leaf("id", "in", [1])) == "invalid_parameter_value"


def test_rows_of_one_second_come_in_another_order_with_each_request(client: Client) -> None:
    for _call in range(3):
        client.account.call(contact=CLIENT, number=OWN, started_at=NOW - timedelta(minutes=5))
    sort = [{"field": "start_time"}]
    first, second = (
        [row["id"] for row in client.rows("get.calls_report", **WINDOW, fields=["id"], sort=sort)] for _ in range(2)
    )
    assert (first != second, sorted(first)) == (True, sorted(second))


def test_paging_sorting_and_nulls(client: Client) -> None:
    answer = client.request(
        "get.employees", limit=1, offset=1, fields=["id"], sort=[{"field": "email", "order": "asc"}]
    )
    assert (answer["result"]["data"], answer["result"]["metadata"]["total_items"]) == ([{"id": BOB}], 2)
    assert client.rows("get.employees", filter=leaf("email", "=", None), fields=["id"]) == [{"id": BOB}]
    jsquery = leaf("extension", "jsquery", 'extension_phone_number="101"')
    assert client.rows("get.employees", filter=jsquery, fields=["id"]) == [{"id": ANN}]
    either = {"filters": [leaf("id", "=", BOB), leaf("full_name", "ilike", "иван%")], "condition": "or"}
    assert len(client.rows("get.employees", filter=either)) == 2


def test_agent_gives_user_id(client: Client) -> None:
    client.account.agent_user_ids = {7}
    assert len(client.rows("get.employees", user_id=7)) == 2
    assert client.error_of("get.employees", user_id=8) == "forbidden"


def test_account_returns_either_metadata_key(client: Client) -> None:
    assert client.request("get.account")["result"]["meta_data"]["total_items"] == 1
    client.account.uses_meta_data_key = False
    assert client.request("get.account")["result"]["metadata"]["total_items"] == 1


# --- employees


def test_employee_without_extension_has_an_empty_object(client: Client) -> None:
    assert [row["extension"] for row in client.rows("get.employees")][1] == {}


def test_status_is_set(client: Client) -> None:
    assert client.request("update.employees", id=ANN, status_id=3) == {"jsonrpc": "2.0", "id": "r1", "result": {}}
    ann = client.account.employees[ANN]
    assert (ann["status_id"], ann["status"], ann["calls_available"]) == (3, "do_not_disturb", False)
    client.request("update.employees", id=ANN, status_id=9001)
    assert ann["status"] is None
    client.request("update.employees", id=ANN, calls_available=False)
    assert ann["in_external_allowed_call_directions"] == []


def test_phone_numbers_are_replaced(client: Client) -> None:
    client.request("update.employees", id=ANN, phone_numbers=[{"phone_number": "79990000009"}])
    assert [one["phone_number"] for one in client.account.employees[ANN]["phone_numbers"]] == ["79990000009"]


@pytest.mark.parametrize(
    ("params", "mnemonic"),
    [
        ({}, "required_parameter_missed"),
        ({"id": 5}, "entity_not_found"),
        ({"id": ANN, "status_id": 77}, "entity_not_found"),
        ({"id": ANN, "status_id": "3"}, "data_type_error"),
        ({"id": ANN, "full_name": "X"}, "unexpected_parameters"),
        ({"id": BOB, "extension": {"extension_phone_number": "101"}}, "already_in_use"),
        ({"id": ANN, "phone_numbers": [{"phone_number": "+79990000009"}]}, "invalid_parameter_value"),
        ({"id": ANN, "in_external_allowed_call_directions": ["both"]}, "invalid_parameter_value"),
    ],
)
def test_invalid_update_is_rejected(client: Client, params: dict[str, Any], mnemonic: str) -> None:
    assert client.error_of("update.employees", **params) == mnemonic


def test_full_update_can_be_required(client: Client) -> None:
    client.account.requires_full_update = True
    assert client.error_of("update.employees", id=ANN, status_id=3) == "required_parameter_missed"
    phones = client.account.employees[ANN]["phone_numbers"]
    assert "result" in client.request("update.employees", id=ANN, status_id=3, last_name="Иванов", phone_numbers=phones)


def test_account_without_statuses(client: Client) -> None:
    client.account.has_statuses = False
    assert client.error_of("get.statuses") == "method_not_found"
    assert client.error_of("update.employees", id=ANN, status_id=3) == "unexpected_parameters"


# --- reports


def test_answered_call_with_transfer(client: Client) -> None:
    session = client.account.call(contact=CLIENT, number=OWN, rings=[BOB], talks=[(ANN, 60), (BOB, 30)], wait=11)
    session_filter = leaf("call_session_id", "=", session.session_id)
    legs = client.legs(
        filter=session_filter, fields=["employee_id", "direction", "is_operator", "is_talked", "duration"]
    )
    assert [tuple(leg.values()) for leg in legs] == [
        (None, "in", False, True, 90),
        (BOB, "out", True, False, 0),
        (ANN, "out", True, True, 60),
        (BOB, "out", True, True, 30),
    ]
    assert [len(leg["call_records"]) for leg in client.legs()] == [2, 0, 1, 1]
    assert session.session_id > 2**32
    assert len(session.records[0]) == 32
    assert not {"is_talked", "contact_phone_number", "employee_full_name", "employee_phone_number"} & set(
        client.legs()[0]
    )
    row = client.rows("get.calls_report", **WINDOW)[0]
    assert (row["start_time"], row["finish_time"]) == ("2024-10-25 10:11:21", "2024-10-25 10:13:02")
    assert (row["talk_duration"], row["wait_duration"], row["total_duration"]) == (90, 11, 101)
    assert (row["is_lost"], row["call_records"]) == (False, session.records)
    assert "employees" not in row


def test_reports_are_delayed(client: Client) -> None:
    session = client.account.call(contact=CLIENT, number=OWN, talks=[(ANN, 60)])
    session.visible_at, session.records_at = NOW + timedelta(seconds=5), NOW + timedelta(seconds=20)
    assert (client.legs(), client.rows("get.calls_report", **WINDOW)) == ([], [])
    client.now += timedelta(seconds=5)
    assert [leg["call_records"] for leg in client.legs()] == [[], []]
    assert client.rows("get.calls_report", **WINDOW)[0]["full_record_file_link"] is None
    client.now += timedelta(seconds=15)
    assert [leg["call_records"] for leg in client.legs()] == [session.records, session.records]


def test_dates_are_local(client: Client) -> None:
    client.account.timezone = "Asia/Vladivostok"
    client.account.call(contact=CLIENT, number=OWN, started_at=datetime(2024, 10, 25, 20, 0, tzinfo=UTC))
    assert client.rows("get.calls_report", **WINDOW) == []
    row = client.rows("get.calls_report", date_from="2024-10-26 06:00:00", date_till="2024-10-26 06:00:00")[0]
    assert (row["start_time"], row["is_lost"], row["finish_reason"]) == (
        "2024-10-26 06:00:00",
        True,
        "no_success_operator_call",
    )


def test_outgoing_call_and_callgear_spelling() -> None:
    account = FakeUis(lambda: NOW).add_account(brand="callgear")
    account.add_employee(ANN, "Ann Lee", extension="101", call_recording="in")
    session = account.call(contact=CLIENT, number=OWN, direction="out", talks=[(ANN, 9)])
    assert [(leg.direction, leg.calling, leg.called) for leg in session.legs] == [
        ("out", OWN, CLIENT),
        ("in", "101", CLIENT),
    ]
    assert (session.finish_reason, session.records) == ("caller_disconnects", [])


# --- Call API


def test_start_call_rings_and_appears_in_reports(client: Client) -> None:
    answer = client.request("start.employee_call", **START)["result"]
    session_id = answer["data"]["call_session_id"]
    assert answer["metadata"]["limits"]["day_remaining"] == 3499
    assert client.account.dialled == [START]
    assert client.rows("get.calls_report", **WINDOW) == []
    assert client.rows("get.calls_report", **WINDOW, include_ongoing_calls=True)[0]["finish_time"] is None
    waiting = client.account.sessions[session_id].notification("waiting")
    client.now += timedelta(seconds=60)
    client.account.finish_started(session_id, talk=40)
    row = client.rows("get.calls_report", **WINDOW, fields=["source", "call_api_external_id", "direction", "is_lost"])[
        0
    ]
    assert tuple(row.values()) == ("callapi", "crm-0001", "out", False)
    operator = client.legs(filter=leaf("is_operator", "=", True))[0]
    assert (operator["id"], operator["duration"]) == (waiting["leg_id"], 40)


def test_direction_of_a_started_call_is_in_by_default(client: Client) -> None:
    client.request("start.employee_call", **{name: value for name, value in START.items() if name != "direction"})
    assert [session.direction for session in client.account.sessions.values()] == ["in"]


def test_release_answers_a_string_once(client: Client) -> None:
    session_id = client.request("start.employee_call", **START)["result"]["data"]["call_session_id"]
    assert client.request("release.call", call_session_id=session_id)["result"]["data"] == {"success": "true"}
    assert client.error_of("release.call", call_session_id=session_id) == "call_session_not_found"
    assert client.rows("get.calls_report", **WINDOW)[0]["talk_duration"] == 0


@pytest.mark.parametrize(
    ("change", "code", "mnemonic"),
    [
        ({"switch_at_once": False}, -32602, "invalid_parameters_combination"),
        ({"first_call": "contact"}, -32602, "invalid_parameters_combination"),
        ({"first_call": "me"}, -32602, "invalid_parameter_value"),
        ({"direction": "sideways"}, -32602, "invalid_parameter_value"),
        ({"virtual_phone_number": "74950000099"}, -32007, "virtual_phone_number_not_found"),
        ({"virtual_phone_number": "+74950000001"}, -32602, "invalid_parameter_value"),
        ({"virtual_phone_usage_rule": "random"}, -32008, "component_disabled"),
        ({"contact": "+79990000001"}, -32602, "invalid_parameter_value"),
        ({"contact": 79990000001}, -32602, "data_type_error"),
        ({"contact": "101"}, -32602, "invalid_parameter_value"),
        ({"contact": "79990000001101"}, -32602, "invalid_parameter_value"),
        ({"contact": "89990000001"}, -32602, "invalid_parameter_value"),
        ({"contact": "79990000001,101"}, -32602, "invalid_parameter_value"),
        *(
            ({"dtmf_string": tones}, -32602, "invalid_parameter_value")
            for tones in ("", "101,2", "доб. 101", "1 2", "ext", "1w2", "+7")
        ),
        ({"dtmf_string": 101}, -32602, "data_type_error"),
        ({"contact": OWN}, -32602, "own_virtual_phone_number_not_allowed"),
        ({"contact": "79990000666"}, -32002, "contact_in_blacklist"),
        ({"contact": "12025550100"}, -32002, "call_direction_forbidden"),
        ({"employee": {"id": 999999}}, -32602, "employee_not_found"),
        ({"employee": {"id": BOB}}, -32602, "no_active_phone_number"),
        ({"employee": {"id": ANN, "phone_number": "79990000003"}}, -32602, "no_active_phone_number"),
        ({"employee": {"id": str(ANN)}}, -32602, "data_type_error"),
        ({"employee": {}}, -32602, "required_parameter_missed"),
        ({"external_id": None}, -32602, "data_type_error"),
        ({"media_file_id": 1}, -32602, "media_file_not_found"),
        ({"contact_message": {"type": "tts", "value": "x" * 501}}, -32602, "tts_text_exceeded"),
        ({"user_id": 1}, -32602, "unexpected_parameters"),
    ],
)
def test_invalid_start_call_is_rejected(client: Client, change: dict[str, Any], code: int, mnemonic: str) -> None:
    client.account.blacklist.add("79990000666")
    client.account.forbidden_contacts.add("12025550100")
    error = client.request("start.employee_call", **(START | change))["error"]
    assert (error["code"], error["data"]["mnemonic"]) == (code, mnemonic)
    assert (client.account.dialled, client.account.sessions) == ([], {})


# --- notifications


def test_call_end_fills_the_template(client: Client) -> None:
    session = client.account.call(contact=CLIENT, number=OWN, talks=[(ANN, 65)], wait=11, session_id=3960000001)
    assert session.notification("call_end") == {
        "event": "call_end",
        "notification_name": "Завершение звонка",
        "notification_mnemonic": "<undocumented>",
        "notification_time": "2024-10-25 10:13:02.234",
        "virtual_phone_number": OWN,
        "external_id": None,
        "contact_phone_number": CLIENT,
        "employee_id": ANN,
        "employee_full_name": "Иванов Иван",
        "call_source": "va",
        "direction": "in",
        "is_lost": False,
        "call_session_id": 3960000001,
        "start_time": "2024-10-25 10:11:46.234",
        "talk_time_duration": 65,
        "total_time_duration": 76,
        "wait_time_duration": 11,
        "scenario_name": "Основной сценарий",
        "tag_names": None,
    }
    nested = session.notification("call_end", nested=True)
    assert nested["event"] == "call_end"
    assert nested["contact_info"] == dict.fromkeys(["communication_number", "contact_id", "contact_full_name"]) | {
        "contact_phone_number": CLIENT
    }
    assert "call_record_file_info" not in nested


def test_recorded_links_to_the_record(client: Client) -> None:
    session = client.account.call(contact=CLIENT, number=OWN, talks=[(ANN, 65)])
    link = f"https://app.uiscom.ru/system/media/talk/{session.session_id}/{session.records[0]}/"
    assert session.notification("recorded")["file_link"] == link
    nested = session.notification("recorded", nested=True)
    assert nested["call_record_file_info"] == {"file_link": link, "call_record_duration": 65}


def test_lost_call_as_query(client: Client) -> None:
    session = client.account.call(contact=CLIENT, number=OWN, rings=[ANN, BOB], wait=30)
    query = session.as_query("lost_call", at=NOW)
    assert query.startswith("event=lost_call&notification_name=%22%D0%9F")
    found = {name: values[0] for name, values in parse_qs(query).items()}
    assert (found["contact_phone_number"], found["employee_ids"]) == (f'"{CLIENT}"', f"[{ANN}, {BOB}]")
    assert found["notification_time"] == '"2024-10-25 10:13:02.234"'


@pytest.mark.parametrize("event", ["incoming", "waiting", "outgoing", "talk_started", "talk_finished"])
def test_other_events_have_the_fields_of_their_samples(client: Client, event: str) -> None:
    session = client.account.call(contact=CLIENT, number=OWN, rings=[BOB], talks=[(ANN, 65)])
    body = session.notification(event, employee_id=None if event == "incoming" else ANN)
    assert (body["call_session_id"], body["event"]) == (session.session_id, event)
    assert body.get("employee_id", ANN) == ANN


@pytest.mark.parametrize("event", ["lost_call", "nonsense"])
def test_impossible_events_are_rejected(client: Client, event: str) -> None:
    session = client.account.call(contact=CLIENT, number=OWN, talks=[(ANN, 65)])
    with pytest.raises(ValueError, match=event):
        session.notification(event)


# --- over HTTP


def _call(url: str, token: str = "uis-token") -> requests.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": token}}
    return requests.post(url, data=json.dumps(body), headers=HEADERS, timeout=1)


def test_token_is_valid_on_its_brand_only(client: Client) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        client.uis.mount(mock)
        answers = {brand: _call(urls["data"]).json() for brand, urls in BRANDS.items()}
        assert requests.get(BRANDS["uis"]["call"], timeout=1).status_code == 405
    assert [brand for brand, answer in answers.items() if "result" in answer] == ["uis"]
    assert answers["comagic"]["error"]["data"]["mnemonic"] == "access_token_invalid"


@pytest.mark.parametrize(
    ("kind", "exception", "arrived"),
    [
        ("timeout", requests.exceptions.ReadTimeout, ["timeout"]),
        ("refused", requests.exceptions.ConnectionError, []),
        ("cut", requests.exceptions.ConnectionError, [None]),
    ],
)
def test_broken_connections(client: Client, kind: str, exception: type[Exception], arrived: list[str | None]) -> None:
    client.uis.break_down(kind, times=1)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        client.uis.mount(mock)
        with pytest.raises(exception):
            _call(BRANDS["uis"]["data"])
        assert [one.mnemonic for one in client.uis.requests] == arrived
        assert _call(BRANDS["uis"]["data"]).ok


@pytest.mark.parametrize(("kind", "status"), [("503", 503), ("500", 500), ("html", 200), ("timeout", 504)])
def test_broken_servers_return_html_until_repaired(client: Client, kind: str, status: int) -> None:
    client.uis.break_down(kind, method="get.account")
    body = {"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": "uis-token"}}
    answer: Answer = client.uis.serve("data", method="POST", headers=HEADERS, body=json.dumps(body).encode())
    assert (answer.status, answer.body[:6]) == (status, "<html>")
    assert client.rows("get.employees")
    client.uis.repair()
    assert client.rows("get.account")


@pytest.mark.parametrize("kind", GARBLED)
def test_garbled_answer_follows_an_executed_request(client: Client, kind: str) -> None:
    client.uis.break_down(kind, times=1)
    body = {"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": "uis-token"}}
    answer: Answer = client.uis.serve("data", method="POST", headers=HEADERS, body=json.dumps(body).encode())
    assert (answer.status, answer.headers["Content-Type"][:16]) == (200, "application/json")
    assert "error" not in str(answer.body)
    assert [one.mnemonic for one in client.uis.requests] == [None]


def test_internal_error_has_no_id(client: Client) -> None:
    client.uis.break_down("internal_error", times=1)
    answer = client.request("get.account")
    assert (answer["id"], answer["error"]["code"]) == (None, -32603)


def test_outage_names_the_time_of_the_next_try(client):
    client.uis.break_down("503", times=1)
    client.uis.retry_after = "86400"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": "uis-token"}})
    answer = client.uis.serve("data", method="POST", headers=HEADERS, body=body.encode())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "86400")
    client.uis.repair()
    assert client.uis.retry_after == ""


# --- shortened lists


def test_shortened_list_is_whole_again_after_some_requests(client: Client) -> None:
    client.account.shorten("get.employees", keep=1)
    answers = [client.request("get.employees", fields=["id"])["result"] for _ in range(2)]
    assert [(len(answer["data"]), answer["metadata"]["total_items"]) for answer in answers] == [(1, 1), (2, 2)]


def test_shortened_list_may_state_all_rows(client: Client) -> None:
    client.account.shorten("get.employees", times=None, states_all=True)
    answer = client.request("get.employees", fields=["id"])["result"]
    assert (answer["data"], answer["metadata"]["total_items"]) == ([], 2)
    assert len(client.rows("get.virtual_numbers")) == 1
    client.account.shortenings.clear()
    assert len(client.rows("get.employees")) == 2


def test_account_may_refuse_to_sort_by_id(client: Client) -> None:
    client.account.sorts_by_id = False
    assert client.error_of("get.employees", sort=[{"field": "id"}]) == "sort_prohibited"
    assert len(client.rows("get.employees")) == 2


def test_employee_deleted_while_paging_moves_the_others_up(client: Client) -> None:
    for number in range(3):
        client.account.add_employee(300010 + number, f"Новиков {number}")
    client.account.paging_deletions.append(ANN)
    pages = [client.request("get.employees", fields=["id"], limit=2, offset=offset)["result"] for offset in (0, 2, 4)]
    assert [[row["id"] for row in page["data"]] for page in pages] == [[ANN, BOB], [300011, 300012], []]
    assert [page["metadata"]["total_items"] for page in pages] == [5, 4, 4]


# --- a right missing for days, a vendor that hangs


def test_missing_right_denies_its_method_alone_for_days(client: Client) -> None:
    client.account.unavailable_methods.add("get.call_legs_report")
    client.account.permissions.remove("employees: select")
    for _day in range(3):
        assert client.error_of("get.call_legs_report", **WINDOW) == "method_component_disabled"
        assert client.error_of("get.employees") == "forbidden"
        assert client.rows("get.account")
        client.now += timedelta(days=1)
    client.account.unavailable_methods.clear()
    assert client.legs() == []


def test_vendor_that_hangs_lets_time_pass(client: Client) -> None:
    waits: list[str] = []
    client.uis.hang = lambda: waits.append("hung")
    client.uis.break_down("timeout", times=1)
    body = {"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": "uis-token"}}
    answer = client.uis.serve("data", method="POST", headers=HEADERS, body=json.dumps(body).encode())
    assert (answer.status, waits) == (504, ["hung"])
    assert client.rows("get.account")
    assert waits == ["hung"]
