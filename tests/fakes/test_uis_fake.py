"""The fake UIS refuses and answers as the reference says."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
import responses

from tests.fakes.uis import BRANDS, Account, Answer, FakeUis

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


class Desk:
    """A fake with one customer and a hand on its clock."""

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

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        api = "call" if method in {"start.employee_call", "release.call"} else "data"
        sent = {"access_token": "uis-token"} | params
        return self.post({"jsonrpc": "2.0", "id": "r1", "method": method, "params": sent}, api=api)

    def refusal(self, method: str, **params: object) -> str:
        return str(self.ask(method, **params)["error"]["data"]["mnemonic"])

    def rows(self, method: str, **params: object) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(method, **params)["result"]["data"]
        return found

    def legs(self, **params: object) -> list[dict[str, Any]]:
        return self.rows("get.call_legs_report", **WINDOW, **params)


@pytest.fixture
def desk() -> Desk:
    return Desk()


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
def test_envelope_is_refused(desk: Desk, body: object, code: int, mnemonic: str) -> None:
    error = desk.post(body)["error"]
    assert (error["code"], error["data"]["mnemonic"]) == (code, mnemonic)
    assert "metadata" not in error["data"]
    assert desk.uis.requests[-1].mnemonic == mnemonic


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/json; charset=cp1251"])
def test_content_type_must_name_utf8_json(desk: Desk, content_type: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": "uis-token"}}
    error = desk.post(body, headers={"content-type": content_type})["error"]
    assert error["data"]["mnemonic"] == "invalid_request"
    assert desk.post(body, headers={"content-type": "application/json;charset=utf-8"})["result"]


def test_only_post_is_taken(desk: Desk) -> None:
    answer = desk.uis.serve("data", method="GET", headers=HEADERS, body=b"")
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (405, -32600)


@pytest.mark.parametrize(
    ("change", "code", "mnemonic", "is_counted"),
    [
        ({"token_state": "expired"}, -32001, "access_token_expired", False),
        ({"token_state": "blocked"}, -32001, "access_token_blocked", False),
        ({"is_whitelisted": False}, -32003, "ip_not_whitelisted", False),
        ({"is_active": False}, -32009, "account_inactive", True),
        ({"permissions": set()}, -32003, "forbidden", True),
        ({"minute_limit": 0}, -32029, "limit_exceeded", True),
        ({"agent_user_ids": {7}}, -32602, "required_parameter_missed", True),
    ],
)
def test_account_is_refused(desk: Desk, change: dict[str, Any], code: int, mnemonic: str, is_counted: bool) -> None:
    vars(desk.account).update(change)
    error = desk.ask("get.employees")["error"]
    assert (error["code"], error["data"]["mnemonic"]) == (code, mnemonic)
    assert ("metadata" in error["data"]) is is_counted


def test_permissions_and_component_are_per_method(desk: Desk) -> None:
    desk.account.permissions.clear()
    desk.account.components.clear()
    assert desk.refusal("get.virtual_numbers") == "forbidden"
    assert desk.refusal("update.employees", id=ANN) == "forbidden"
    assert desk.ask("release.call", call_session_id=0)["error"]["message"] == (
        "Component Call API Базовый набор has been disabled"
    )
    assert desk.rows("get.account")[0]["timezone"] == "Europe/Moscow"


# --- limits


def test_points_are_taken_for_successes_and_come_back(desk: Desk) -> None:
    desk.account.minute_limit = 2
    desk.ask("get.employees", nonsense=1)
    desk.ask("get.employees")
    assert desk.ask("get.employees")["result"]["metadata"] == {
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
    error = desk.ask("get.employees")["error"]
    assert error["data"]["params"] == {"limit_type": "minute", "limit_max_value": 2}
    assert error["message"] == "Limit per minute has been exceeded. Value of current limit per minute is 2"
    assert desk.refusal("release.call", call_session_id=0) == "call_session_not_found"  # another budget
    desk.now += timedelta(seconds=58)
    assert desk.rows("get.employees")


def test_day_limit_and_empty_limits(desk: Desk) -> None:
    desk.account.day_limit, desk.account.has_empty_limits = 1, True
    assert desk.ask("get.statuses")["result"]["metadata"]["limits"] == {}
    assert desk.ask("get.statuses")["error"]["data"]["params"]["limit_type"] == "day"


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
def test_listing_is_refused(desk: Desk, params: dict[str, Any], mnemonic: str) -> None:
    error = desk.ask("get.call_legs_report", **({**WINDOW, "date_till": "2024-10-26 00:00:00"} | params))["error"]
    assert (error["code"], error["data"]["mnemonic"]) == (-32602, mnemonic)
    assert error["data"]["metadata"]["limits"]["day_remaining"] == 3500


@pytest.mark.parametrize("method", ["get.call_legs_report", "get.calls_report"])
def test_reports_demand_both_dates(desk: Desk, method: str) -> None:
    error = desk.ask(method, date_from="2024-10-24 00:00:00", filter=leaf("id", "=", 1))["error"]
    assert (error["data"]["mnemonic"], error["data"]["field"]) == ("required_parameter_missed", "date_till")


def test_three_months_are_still_allowed(desk: Desk) -> None:
    assert desk.rows("get.calls_report", date_from="2024-07-26 00:00:00", date_till="2024-10-26 00:00:00") == []


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
def test_operators(desk: Desk, condition: dict[str, Any], found: list[int]) -> None:
    for session_id in (1, 2):
        desk.account.call(contact=CLIENT, number=OWN, session_id=session_id)
    assert [leg["call_session_id"] for leg in desk.legs(filter=condition)] == found


def test_in_operator_can_be_off(desk: Desk) -> None:
    desk.account.refuses_in_operator = True
    assert desk.refusal("get.calls_report", **WINDOW, filter=leaf("id", "in", [1])) == "invalid_parameter_value"


def test_paging_sorting_and_nulls(desk: Desk) -> None:
    answer = desk.ask("get.employees", limit=1, offset=1, fields=["id"], sort=[{"field": "email", "order": "asc"}])
    assert (answer["result"]["data"], answer["result"]["metadata"]["total_items"]) == ([{"id": BOB}], 2)
    assert desk.rows("get.employees", filter=leaf("email", "=", None), fields=["id"]) == [{"id": BOB}]
    jsquery = leaf("extension", "jsquery", 'extension_phone_number="101"')
    assert desk.rows("get.employees", filter=jsquery, fields=["id"]) == [{"id": ANN}]
    either = {"filters": [leaf("id", "=", BOB), leaf("full_name", "ilike", "иван%")], "condition": "or"}
    assert len(desk.rows("get.employees", filter=either)) == 2


def test_agent_gives_user_id(desk: Desk) -> None:
    desk.account.agent_user_ids = {7}
    assert len(desk.rows("get.employees", user_id=7)) == 2
    assert desk.refusal("get.employees", user_id=8) == "forbidden"


def test_account_spells_its_metadata_either_way(desk: Desk) -> None:
    assert desk.ask("get.account")["result"]["meta_data"]["total_items"] == 1
    desk.account.spells_meta_data = False
    assert desk.ask("get.account")["result"]["metadata"]["total_items"] == 1


# --- employees


def test_employee_without_extension_has_an_empty_object(desk: Desk) -> None:
    assert [row["extension"] for row in desk.rows("get.employees")][1] == {}


def test_status_is_set(desk: Desk) -> None:
    assert desk.ask("update.employees", id=ANN, status_id=3) == {"jsonrpc": "2.0", "id": "r1", "result": {}}
    ann = desk.account.employees[ANN]
    assert (ann["status_id"], ann["status"], ann["calls_available"]) == (3, "do_not_disturb", False)
    desk.ask("update.employees", id=ANN, status_id=9001)
    assert ann["status"] is None
    desk.ask("update.employees", id=ANN, calls_available=False)
    assert ann["in_external_allowed_call_directions"] == []


def test_phone_numbers_are_replaced(desk: Desk) -> None:
    desk.ask("update.employees", id=ANN, phone_numbers=[{"phone_number": "79990000009"}])
    assert [one["phone_number"] for one in desk.account.employees[ANN]["phone_numbers"]] == ["79990000009"]


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
def test_update_is_refused(desk: Desk, params: dict[str, Any], mnemonic: str) -> None:
    assert desk.refusal("update.employees", **params) == mnemonic


def test_full_update_can_be_demanded(desk: Desk) -> None:
    desk.account.demands_full_update = True
    assert desk.refusal("update.employees", id=ANN, status_id=3) == "required_parameter_missed"
    phones = desk.account.employees[ANN]["phone_numbers"]
    assert "result" in desk.ask("update.employees", id=ANN, status_id=3, last_name="Иванов", phone_numbers=phones)


def test_account_without_statuses(desk: Desk) -> None:
    desk.account.has_statuses = False
    assert desk.refusal("get.statuses") == "method_not_found"
    assert desk.refusal("update.employees", id=ANN, status_id=3) == "unexpected_parameters"


# --- reports


def test_answered_call_with_transfer(desk: Desk) -> None:
    session = desk.account.call(contact=CLIENT, number=OWN, rings=[BOB], talks=[(ANN, 60), (BOB, 30)], wait=11)
    session_filter = leaf("call_session_id", "=", session.session_id)
    legs = desk.legs(filter=session_filter, fields=["employee_id", "direction", "is_operator", "is_talked", "duration"])
    assert [tuple(leg.values()) for leg in legs] == [
        (None, "in", False, True, 90),
        (BOB, "out", True, False, 0),
        (ANN, "out", True, True, 60),
        (BOB, "out", True, True, 30),
    ]
    assert [len(leg["call_records"]) for leg in desk.legs()] == [2, 0, 1, 1]
    assert session.session_id > 2**32
    assert len(session.records[0]) == 32
    assert not {"is_talked", "contact_phone_number", "employee_full_name", "employee_phone_number"} & set(
        desk.legs()[0]
    )
    row = desk.rows("get.calls_report", **WINDOW)[0]
    assert (row["start_time"], row["finish_time"]) == ("2024-10-25 10:11:21", "2024-10-25 10:13:02")
    assert (row["talk_duration"], row["wait_duration"], row["total_duration"]) == (90, 11, 101)
    assert (row["is_lost"], row["call_records"]) == (False, session.records)
    assert "employees" not in row


def test_reports_lag(desk: Desk) -> None:
    session = desk.account.call(contact=CLIENT, number=OWN, talks=[(ANN, 60)])
    session.visible_at, session.records_at = NOW + timedelta(seconds=5), NOW + timedelta(seconds=20)
    assert (desk.legs(), desk.rows("get.calls_report", **WINDOW)) == ([], [])
    desk.now += timedelta(seconds=5)
    assert [leg["call_records"] for leg in desk.legs()] == [[], []]
    assert desk.rows("get.calls_report", **WINDOW)[0]["full_record_file_link"] is None
    desk.now += timedelta(seconds=15)
    assert [leg["call_records"] for leg in desk.legs()] == [session.records, session.records]


def test_dates_are_local(desk: Desk) -> None:
    desk.account.timezone = "Asia/Vladivostok"
    desk.account.call(contact=CLIENT, number=OWN, started_at=datetime(2024, 10, 25, 20, 0, tzinfo=UTC))
    assert desk.rows("get.calls_report", **WINDOW) == []
    row = desk.rows("get.calls_report", date_from="2024-10-26 06:00:00", date_till="2024-10-26 06:00:00")[0]
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


def test_start_rings_and_shows_up(desk: Desk) -> None:
    answer = desk.ask("start.employee_call", **START)["result"]
    session_id = answer["data"]["call_session_id"]
    assert answer["metadata"]["limits"]["day_remaining"] == 3499
    assert desk.account.dialled == [START]
    assert desk.rows("get.calls_report", **WINDOW) == []
    assert desk.rows("get.calls_report", **WINDOW, include_ongoing_calls=True)[0]["finish_time"] is None
    waiting = desk.account.sessions[session_id].notification("waiting")
    desk.now += timedelta(seconds=60)
    desk.account.finish_started(session_id, talk=40)
    row = desk.rows("get.calls_report", **WINDOW, fields=["source", "call_api_external_id", "direction", "is_lost"])[0]
    assert tuple(row.values()) == ("callapi", "crm-0001", "out", False)
    operator = desk.legs(filter=leaf("is_operator", "=", True))[0]
    assert (operator["id"], operator["duration"]) == (waiting["leg_id"], 40)


def test_direction_of_a_started_call_is_in_by_default(desk: Desk) -> None:
    desk.ask("start.employee_call", **{name: value for name, value in START.items() if name != "direction"})
    assert [session.direction for session in desk.account.sessions.values()] == ["in"]


def test_release_answers_a_string_once(desk: Desk) -> None:
    session_id = desk.ask("start.employee_call", **START)["result"]["data"]["call_session_id"]
    assert desk.ask("release.call", call_session_id=session_id)["result"]["data"] == {"success": "true"}
    assert desk.refusal("release.call", call_session_id=session_id) == "call_session_not_found"
    assert desk.rows("get.calls_report", **WINDOW)[0]["talk_duration"] == 0


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
def test_start_is_refused(desk: Desk, change: dict[str, Any], code: int, mnemonic: str) -> None:
    desk.account.blacklist.add("79990000666")
    desk.account.forbidden_contacts.add("12025550100")
    error = desk.ask("start.employee_call", **(START | change))["error"]
    assert (error["code"], error["data"]["mnemonic"]) == (code, mnemonic)
    assert (desk.account.dialled, desk.account.sessions) == ([], {})


# --- notifications


def test_call_end_fills_the_template(desk: Desk) -> None:
    session = desk.account.call(contact=CLIENT, number=OWN, talks=[(ANN, 65)], wait=11, session_id=3960000001)
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


def test_recorded_links_to_the_record(desk: Desk) -> None:
    session = desk.account.call(contact=CLIENT, number=OWN, talks=[(ANN, 65)])
    link = f"https://app.uiscom.ru/system/media/talk/{session.session_id}/{session.records[0]}/"
    assert session.notification("recorded")["file_link"] == link
    nested = session.notification("recorded", nested=True)
    assert nested["call_record_file_info"] == {"file_link": link, "call_record_duration": 65}


def test_lost_call_as_query(desk: Desk) -> None:
    session = desk.account.call(contact=CLIENT, number=OWN, rings=[ANN, BOB], wait=30)
    query = session.as_query("lost_call", at=NOW)
    assert query.startswith("event=lost_call&notification_name=%22%D0%9F")
    found = {name: values[0] for name, values in parse_qs(query).items()}
    assert (found["contact_phone_number"], found["employee_ids"]) == (f'"{CLIENT}"', f"[{ANN}, {BOB}]")
    assert found["notification_time"] == '"2024-10-25 10:13:02.234"'


@pytest.mark.parametrize("event", ["incoming", "waiting", "outgoing", "talk_started", "talk_finished"])
def test_every_other_event_has_the_names_of_its_sample(desk: Desk, event: str) -> None:
    session = desk.account.call(contact=CLIENT, number=OWN, rings=[BOB], talks=[(ANN, 65)])
    body = session.notification(event, employee_id=None if event == "incoming" else ANN)
    assert (body["call_session_id"], body["event"]) == (session.session_id, event)
    assert body.get("employee_id", ANN) == ANN


@pytest.mark.parametrize("event", ["lost_call", "nonsense"])
def test_impossible_events_are_refused(desk: Desk, event: str) -> None:
    session = desk.account.call(contact=CLIENT, number=OWN, talks=[(ANN, 65)])
    with pytest.raises(ValueError, match=event):
        session.notification(event)


# --- over HTTP


def _call(url: str, token: str = "uis-token") -> requests.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": token}}
    return requests.post(url, data=json.dumps(body), headers=HEADERS, timeout=1)


def test_a_token_is_good_on_its_brand_only(desk: Desk) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        desk.uis.mount(mock)
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
def test_broken_lines(desk: Desk, kind: str, exception: type[Exception], arrived: list[str | None]) -> None:
    desk.uis.break_down(kind, times=1)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        desk.uis.mount(mock)
        with pytest.raises(exception):
            _call(BRANDS["uis"]["data"])
        assert [one.mnemonic for one in desk.uis.requests] == arrived
        assert _call(BRANDS["uis"]["data"]).ok


@pytest.mark.parametrize(("kind", "status"), [("503", 503), ("500", 500), ("html", 200), ("timeout", 504)])
def test_broken_servers_serve_pages_until_repaired(desk: Desk, kind: str, status: int) -> None:
    desk.uis.break_down(kind, method="get.account")
    body = {"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": "uis-token"}}
    answer: Answer = desk.uis.serve("data", method="POST", headers=HEADERS, body=json.dumps(body).encode())
    assert (answer.status, answer.body[:6]) == (status, "<html>")
    assert desk.rows("get.employees")
    desk.uis.repair()
    assert desk.rows("get.account")


def test_internal_error_has_no_id(desk: Desk) -> None:
    desk.uis.break_down("internal_error", times=1)
    answer = desk.ask("get.account")
    assert (answer["id"], answer["error"]["code"]) == (None, -32603)
