"""The UIS methods we use: the requests, and the results of the documented replies."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import responses

from connector_project.core import http_client
from connector_project.core.http_client import Reply
from telephony.uis import client as uis
from telephony.uis import data_api
from telephony.uis.call_facts import REPORT_COLUMNS
from telephony.uis.jsonrpc import Channel
from telephony.uis.numbers import UisNumber
from telephony.uis.types import Account, CallLeg, EndedEvent, Result, Status, UisEmployee
from tenants.models import UisConnection
from tests.telephony.uis.samples import CALL_URL, DATA_URL, MOSCOW, TOKEN, FakeTransport, error_reply, load, page

SINCE = datetime(2024, 10, 25, 6, 0, tzinfo=UTC)  # 9:00 in Moscow
TILL = datetime(2024, 10, 25, 10, 0, tzinfo=UTC)
RECORD = "0123456789abcdef0123456789abcdef"
REQUEST = {"employee_id": 300001, "contact": "79990000001", "number": "74950000001", "external_id": "crm-0001"}


def leg(leg_id: int, session_id: int = 1) -> dict[str, object]:
    return {"id": leg_id, "call_session_id": session_id, "start_time": "2024-10-25 10:00:00"}


def test_account_has_its_name_and_time_zone():
    transport = FakeTransport(load("get_account.response.json"))
    assert transport.client().account() == Account(account_id="1103", name="ООО Пример", time_zone="Europe/Moscow")
    assert transport.calls == [("get.account", {})]


def test_account_reads_meta_data_spelled_with_an_underscore():
    reply = load("get_account.response.json")
    reply["result"]["meta_data"] = reply["result"].pop("metadata")
    seen = []
    transport = FakeTransport(reply)
    client = transport.client()
    client.data = transport.channel(seen=seen)
    assert client.account().time_zone == "Europe/Moscow"
    assert seen[0]["minute_remaining"] == 59


@pytest.mark.parametrize("data", [[], None])
def test_reply_without_an_account_is_unexpected(data):
    with pytest.raises(http_client.UnexpectedReply):
        FakeTransport({"result": {"data": data}}).client().account()


def test_employees_have_active_numbers_and_extension():
    transport = FakeTransport(load("get_employees.response.json"))
    assert transport.client().employees().rows == [
        UisEmployee(
            uis_id=300001,
            full_name="Иванов Иван",
            email="user1@example.com",
            extension="101",
            numbers=("79990000002",),  # the second one is inactive
            status="1",
        ),
        UisEmployee(
            uis_id=300002, full_name="Петров", numbers=("74950000002",), status="9001"
        ),  # the sample ends with three dots here
    ]
    method, params = transport.calls[0]
    documented = set(load("get_employees.request.json")["params"]["fields"]) | {"call_recording"}
    assert method == "get.employees"
    assert set(params) == {"limit", "offset", "fields", "sort"}
    assert set(params["fields"]) <= documented
    assert {"extension", "phone_numbers", "status_id", "email"} <= set(params["fields"])


def test_employee_status_id_is_preferred_over_the_deprecated_status():
    rows = [{"id": 1, "status": "break", "status_id": 4}, {"id": 2, "status": "available"}, {"id": 3, "status": None}]
    transport = FakeTransport(page(*rows))
    assert transport.client().employee_statuses() == {1: "4", 2: "available", 3: ""}
    assert transport.calls[0][1]["fields"] == ["id", "status", "status_id"]


def test_statuses_exclude_deleted_ones():
    reply = load("get_statuses.response.json")
    reply["result"]["data"].append({"id": 4, "mnemonic": "break", "name": "Перерыв", "is_deleted": True})
    transport = FakeTransport(reply)
    assert transport.client().statuses().rows == [
        Status(uis_id=1, mnemonic="available", name="Доступен"),
        Status(uis_id=3, mnemonic="do_not_disturb", name="Не беспокоить"),
        Status(uis_id=9001, mnemonic="", name="Обучение"),
    ]
    by_id = [{"field": "id", "order": "asc"}]
    assert transport.calls == [("get.statuses", {"limit": 1000, "offset": 0, "sort": by_id})]


def test_virtual_numbers_have_name_and_activity():
    reply = load("get_virtual_numbers.response.json")
    reply["result"]["data"].append({"virtual_phone_number": "74950000002", "name": None, "status": "limit_lock"})
    transport = FakeTransport(reply)
    assert transport.client().virtual_numbers().rows == [
        UisNumber(number="74950000001", name="Основной номер", is_active=True, kind="va", campaigns=()),
        UisNumber(number="74950000002", name="", is_active=False),
    ]
    documented = load("get_virtual_numbers.request.json")
    assert transport.calls[0][0] == documented["method"]
    assert {key: transport.calls[0][1][key] for key in ("limit", "offset")} == {"limit": 1000, "offset": 0}


def test_set_status_sends_the_documented_request():
    transport = FakeTransport(load("update_employees.response.json"))
    transport.client().set_status(300001, 3)
    expected = load("update_employees.request.status_id.json")
    assert transport.requests[0] | {"id": "req1"} == expected


def test_set_availability_sends_the_documented_request():
    transport = FakeTransport(load("update_employees.response.json"))
    transport.client().set_availability(300001, is_available=False)
    expected = load("update_employees.request.calls_available.json")
    assert transport.requests[0] | {"id": "req1"} == expected


def test_update_with_missing_parameters_is_retried_with_name_and_numbers():
    employee = load("get_employees.response.json")["result"]["data"][0]
    transport = FakeTransport(
        load("error_required_parameter_missed.json"), page(employee, total=1), load("update_employees.response.json")
    )
    transport.client().set_status(300001, 3)
    assert transport.calls == [
        ("update.employees", {"id": 300001, "status_id": 3}),
        (
            "get.employees",
            {
                "fields": ["id", "last_name", "phone_numbers"],
                "filter": {"field": "id", "operator": "=", "value": 300001},
            },
        ),
        (
            "update.employees",
            {"id": 300001, "last_name": "Иванов", "phone_numbers": employee["phone_numbers"], "status_id": 3},
        ),
    ]


def test_update_of_a_deleted_employee_is_rejected():
    transport = FakeTransport(error_reply("required_parameter_missed"), page())
    with pytest.raises(http_client.RemoteRejected) as raised:
        transport.client().set_status(1, 3)
    assert raised.value.code == "entity_not_found"


@pytest.mark.parametrize(
    ("mnemonic", "kind"),
    [("unexpected_parameters", http_client.UnexpectedReply), ("entity_not_found", http_client.RemoteRejected)],
)
def test_update_rejected_for_another_reason_is_not_retried(mnemonic, kind):
    transport = FakeTransport(error_reply(mnemonic))
    with pytest.raises(kind):
        transport.client().set_status(1, 3)
    assert len(transport.requests) == 1


def test_update_is_retried_with_the_whole_employee_only_once():
    transport = FakeTransport(
        error_reply("required_parameter_missed"),
        page({"last_name": "Иванов"}),
        error_reply("required_parameter_missed"),
    )
    with pytest.raises(http_client.UnexpectedReply):
        transport.client().set_status(1, 3)
    assert transport.replies == []


ANSWERED = EndedEvent(
    event="report",
    session_id=3960000001,
    communication_id=3960000001,
    happened_at=datetime(2024, 10, 25, 7, 13, 2, tzinfo=UTC),
    contact="79990000001",
    number="74950000001",
    direction="in",
    is_lost=False,
    talk_seconds=65,
    wait_seconds=11,
    total_seconds=76,
    started_at=datetime(2024, 10, 25, 7, 11, 46, tzinfo=UTC),
    rung_employee_ids=(300001,),
    talker_id=300001,
    attribution={"source": "va", "scenario": "Основной сценарий", "tags": ("Не обработано",)},
    record_ids=(RECORD,),
    whole_record="https://media.uiscom.ru/3960000001/0123456789abcdef0123456789abcdef",
    result=Result.ANSWERED,
)
LOST = EndedEvent(
    event="report",
    session_id=3960000002,
    communication_id=3960000002,
    happened_at=datetime(2024, 10, 25, 7, 20, 30, tzinfo=UTC),
    contact="79990000003",
    number="74950000001",
    direction="in",
    is_lost=True,
    talk_seconds=0,
    wait_seconds=30,
    total_seconds=30,
    started_at=datetime(2024, 10, 25, 7, 20, tzinfo=UTC),
    rung_employee_ids=(300001,),
    attribution={"source": "va", "scenario": "Основной сценарий", "tags": ()},
    result=Result.NO_ANSWER,
)


@pytest.mark.parametrize(
    ("name", "call"), [("get_calls_report.response.json", ANSWERED), ("get_calls_report.response.lost.json", LOST)]
)
def test_report_rows_become_ended_events(name, call):
    assert list(FakeTransport(load(name)).client().calls(since=SINCE, till=TILL)) == [call]


def test_calls_request_has_a_window_in_the_accounts_time_zone():
    transport = FakeTransport(page())
    list(transport.client().calls(since=SINCE, till=TILL))
    method, params = transport.calls[0]
    assert method == "get.calls_report"
    assert params["date_from"] == "2024-10-25 09:00:00"
    assert params["date_till"] == "2024-10-25 13:00:00"
    assert params["sort"] == [{"field": "start_time", "order": "asc"}]
    sample = load("get_calls_report.request.json")["params"]["fields"]
    assert set(params["fields"]) <= {*sample, "voice_mail_records"}  # in the reference's table only


def test_calls_by_session_sends_the_documented_filter_and_a_wider_window():
    transport = FakeTransport(load("get_calls_report.response.json"))
    found = transport.client(supports_in_operator=False).calls_by_session([3960000001], since=SINCE, till=TILL)
    expected = load("get_calls_report.request.json")["params"]
    method, params = transport.calls[0]
    assert found == [ANSWERED]
    assert method == "get.calls_report"
    assert params["filter"] == expected["filter"]
    assert {key: params[key] for key in ("limit", "offset")} == {
        "limit": expected["limit"],
        "offset": expected["offset"],
    }
    assert (params["date_from"], params["date_till"]) == ("2024-10-24 09:00:00", "2024-10-26 13:00:00")


LEG = CallLeg(
    leg_id=11690000001,
    session_id=3960000001,
    started_at=datetime(2024, 10, 25, 7, 11, 46, tzinfo=UTC),
    connected_at=datetime(2024, 10, 25, 7, 11, 57, tzinfo=UTC),
    talk_seconds=65,
    total_seconds=76,
    finish_reason="subscriber_disconnects",
    is_operator=True,
    is_talked=True,
    employee_id=300001,
    contact="79990000001",
    calling="79990000001",
    called="79990000002",
    record_ids=(RECORD,),
)


def test_call_legs_are_requested_by_session_and_read():
    transport = FakeTransport(load("get_call_legs_report.response.json"))
    assert transport.client().call_legs([3960000001, 3960000002], since=SINCE, till=TILL) == [LEG]
    method, params = transport.calls[0]
    documented = load("get_call_legs_report.request.json")["params"]
    assert method == "get.call_legs_report"
    assert params["filter"] == {"field": "call_session_id", "operator": "in", "value": [3960000001, 3960000002]}
    assert set(params) <= set(documented)
    assert set(params["fields"]) <= {*documented["fields"], "virtual_phone_number", "is_coach"}
    # UIS does not document which time the window applies to, so it is one day wider on each side.
    assert (params["date_from"], params["date_till"]) == ("2024-10-24 09:00:00", "2024-10-26 13:00:00")


def test_call_legs_request_fields_missing_from_the_default_reply():
    transport = FakeTransport(page())
    transport.client().call_legs([1], since=SINCE, till=TILL)
    assert {"is_talked", "contact_phone_number"} <= set(transport.calls[0][1]["fields"])


def test_call_legs_not_ready_are_an_empty_list():
    transport = FakeTransport(load("get_call_legs_report.response.empty.json"))
    assert transport.client().call_legs([3960000001], since=SINCE, till=TILL) == []


def test_call_legs_of_no_session_send_no_request():
    transport = FakeTransport()
    assert transport.client().call_legs([], since=SINCE, till=TILL) == []


def test_call_legs_of_many_sessions_are_requested_by_the_hundred():
    transport = FakeTransport(page(), page(), page())
    transport.client().call_legs(range(1, 251), since=SINCE, till=TILL)
    values = [params["filter"]["value"] for _method, params in transport.calls]
    assert values == [list(range(1, 101)), list(range(101, 201)), list(range(201, 251))]


@pytest.mark.parametrize("mnemonic", ["invalid_parameter_value", "filter_prohibited", "unexpected_parameters"])
def test_rejected_in_operator_is_replaced_by_or_filters_from_then_on(mnemonic):
    transport = FakeTransport(error_reply(mnemonic), page(leg(1, 5), leg(2, 6)), page(leg(3, 7)))
    client = transport.client()
    assert [found.leg_id for found in client.call_legs([5, 6], since=SINCE, till=TILL)] == [1, 2]
    assert not client.supports_in_operator
    assert [found.leg_id for found in client.call_legs([7], since=SINCE, till=TILL)] == [3]
    assert [params["filter"] for _method, params in transport.calls] == [
        {"field": "call_session_id", "operator": "in", "value": [5, 6]},
        {
            "filters": [
                {"field": "call_session_id", "operator": "=", "value": 5},
                {"field": "call_session_id", "operator": "=", "value": 6},
            ],
            "condition": "or",
        },
        {"field": "call_session_id", "operator": "=", "value": 7},
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("error_limit_exceeded.json", http_client.RemoteUnavailable),
        ("error_access_token_invalid.json", http_client.AccessDenied),
        ("error_date_interval_limit_reached.json", http_client.UnexpectedReply),
        ("error_employee_not_found.json", http_client.RemoteRejected),
    ],
)
def test_in_filter_rejected_for_another_reason_raises_the_error(name, kind):
    transport = FakeTransport(load(name))
    client = transport.client()
    with pytest.raises(kind):
        client.call_legs([5, 6], since=SINCE, till=TILL)
    assert client.supports_in_operator
    assert len(transport.requests) == 1


def test_pages_are_read_until_the_last_one():
    legs = [leg(number) for number in range(2001)]
    transport = FakeTransport(page(*legs[:1000]), page(*legs[:1000]), page(*legs))
    assert len(transport.client().call_legs([1], since=SINCE, till=TILL)) == 2001
    sent = [(params["date_from"][-8:], params["limit"], params["offset"]) for _method, params in transport.calls]
    assert sent == [("09:00:00", 1000, 0), ("10:00:00", 1000, 0), ("10:00:00", 10_000, 0)], "all began in one second"


def test_paging_stops_at_the_reported_total():
    first, second = [leg(number) for number in range(1000)], [leg(number) for number in range(1000, 2000)]
    transport = FakeTransport(page(*first, total=2000), page(*second, total=1000))
    assert len(transport.client().call_legs([1], since=SINCE, till=TILL)) == 2000


@pytest.mark.slow
def test_list_beyond_the_largest_offset_is_an_unexpected_reply():
    full = page(*[{"id": number} for number in range(1000)])
    transport = FakeTransport(*[Reply(200, {}, json.dumps(full))] * 101)
    with pytest.raises(data_api.UnexpectedReply, match=r"get\.employees"):
        transport.client().employee_statuses()
    assert transport.calls[-1][1]["offset"] == 100_000


def call_row(number, second=0):
    row = load("get_calls_report.response.json")["result"]["data"][0]
    return row | {"id": number, "start_time": f"2024-10-25 10:00:{second:02d}"}


def test_each_page_begins_with_the_last_second_of_the_one_before(monkeypatch):
    monkeypatch.setattr(data_api, "PAGE", 2)
    transport = FakeTransport(
        page(call_row(1), call_row(2, 1)),
        page(call_row(3, 1), call_row(2, 1)),
        page(call_row(2, 1), call_row(3, 1), call_row(4, 3)),
    )
    client = transport.client()
    assert [call.session_id for call in client.calls(since=SINCE, till=TILL)] == [1, 2, 3, 4]
    sent = [(params["date_from"][-8:], params["limit"]) for _method, params in transport.calls]
    assert sent == [("09:00:00", 2), ("10:00:01", 2), ("10:00:01", 20)]
    assert {params["offset"] for _method, params in transport.calls} == {0}
    assert client.shortfall == 0


@pytest.mark.parametrize(
    ("pages", "shortfall"),
    [
        ([page(call_row(1), total=2), page(call_row(1), total=2)], 1),
        ([page(call_row(1), call_row(2), total=2)], 0),
        ([page(call_row(1), {"id": 2}, total=2)], 0),
        ([page(call_row(1), total=2), page(call_row(1), call_row(2), total=2)], 0),
        ([page(total=3)], 3),
    ],
)
def test_rows_that_uis_counts_but_does_not_send_are_a_shortfall(pages, shortfall):
    client = FakeTransport(*pages).client()
    list(client.calls(since=SINCE, till=TILL))
    assert client.shortfall == shortfall


def test_too_many_calls_in_one_second_are_an_unexpected_reply(monkeypatch):
    monkeypatch.setattr(data_api, "PAGE", 1)
    monkeypatch.setattr(data_api, "LARGEST_LIMIT", 1)
    transport = FakeTransport(page(call_row(1)), page(call_row(1)))
    with pytest.raises(data_api.UnexpectedReply):
        list(transport.client().calls(since=SINCE, till=TILL))


def test_page_with_an_unreadable_row_is_not_the_last_page(monkeypatch):
    monkeypatch.setattr(data_api, "PAGE", 2)
    transport = FakeTransport(page(call_row(1), {"id": 2}), page(call_row(3)))
    client = transport.client()
    assert [call.session_id for call in client.calls(since=SINCE, till=TILL)] == [1, 3]
    assert client.unread == {2: datetime(2024, 10, 25, 7, 0, tzinfo=UTC)}, "about when it began"


def test_unreadable_row_is_noted_though_the_rest_of_its_page_is_not_wanted():
    client = FakeTransport(page(call_row(1), {"id": 2}, call_row(3, 1))).client()
    next(client.calls(since=SINCE, till=TILL))
    assert list(client.unread) == [2]


def test_unreadable_row_without_an_id_has_the_same_key_each_time():
    def unread():
        client = FakeTransport(page(call_row(1), {"id": "?"}, "?")).client()
        list(client.calls(since=SINCE, till=TILL))
        return client.unread

    assert unread() == unread()
    assert [key < 0 for key in unread()] == [True, True]


@pytest.mark.parametrize(("total", "is_complete"), [(None, True), (2, True), (3, False), (1, True)])
def test_list_with_fewer_rows_than_stated_is_incomplete(total, is_complete):
    rows = [{"id": 1}, {"id": 2}]
    transport = FakeTransport(page(*rows, total=total) if total else page(*rows))
    found = transport.client().employees()
    assert ([row.uis_id for row in found.rows], found.is_complete) == ([1, 2], is_complete)


@pytest.mark.parametrize("stated", [{}, {"total": 2}])
def test_list_with_an_unreadable_row_is_incomplete(stated):
    """Also where UIS states no number of rows."""
    found = FakeTransport(page({"id": 1}, {"id": None}, **stated)).client().employees()
    assert ([row.uis_id for row in found.rows], found.is_complete) == ([1], False)


def test_list_is_judged_by_the_largest_total_of_its_pages(monkeypatch):
    monkeypatch.setattr(data_api, "PAGE", 2)
    transport = FakeTransport(page({"id": 1}, {"id": 2}, total=4), page({"id": 4}, total=3))
    assert transport.client().employees().is_complete is False


def test_row_repeated_by_a_page_is_one_row(monkeypatch):
    monkeypatch.setattr(data_api, "PAGE", 2)
    transport = FakeTransport(page({"id": 1}, {"id": 2}, total=3), page({"id": 2}, total=3))
    found = transport.client().employees()
    assert ([row.uis_id for row in found.rows], found.is_complete) == ([1, 2], False)


def test_account_that_refuses_to_sort_is_read_unsorted():
    refused = {"error": {"code": -32602, "message": "no", "data": {"mnemonic": "sort_prohibited"}}}
    transport = FakeTransport(refused, page({"id": 1}), page())
    client = transport.client()
    assert ([row.uis_id for row in client.employees().rows], client.statuses().rows) == ([1], [])
    assert ["sort" in params for _method, params in transport.calls] == [True, False, False]


@pytest.mark.parametrize(
    ("code", "mnemonic", "error"),
    [(-32003, "forbidden", http_client.AccessDenied), (-32602, "invalid_parameter_value", http_client.RemoteRejected)],
)
def test_other_refusals_of_a_list_are_raised(code, mnemonic, error):
    transport = FakeTransport({"error": {"code": code, "message": "no", "data": {"mnemonic": mnemonic}}})
    with pytest.raises(error):
        transport.client().employees()
    assert len(transport.calls) == 1


def test_legs_of_a_long_window_are_requested_three_months_at_a_time():
    transport = FakeTransport(page(), page(), page())
    transport.client().call_legs([1], since=TILL - timedelta(days=200), till=TILL)
    windows = [(params["date_from"], params["date_till"]) for _method, params in transport.calls]
    assert [last for _first, last in windows[:-1]] == [first for first, _last in windows[1:]]
    assert len(windows) == 3


def test_agent_key_sends_the_user_id_to_the_data_api():
    transport = FakeTransport(page(), load("update_employees.response.json"), load("start_employee_call.response.json"))
    client = transport.client(agent_user_id=2870)
    client.employees()
    client.set_status(1, 2)
    client.start_call(**REQUEST)
    assert [params.get("user_id") for _method, params in transport.calls] == [2870, 2870, None]


def test_start_call_sends_the_documented_request():
    transport = FakeTransport(load("start_employee_call.response.json"))
    assert transport.client().start_call(**REQUEST) == 237859081
    assert transport.requests[0] | {"id": "req1"} == load("start_employee_call.request.article.json")
    assert transport.sent[0]["url"] == CALL_URL


def test_start_call_reads_the_session_beside_metadata():
    transport = FakeTransport(load("start_employee_call.response.with_metadata.json"))
    assert transport.client().start_call(**REQUEST) == 3960000001


def test_start_call_uses_only_documented_parameters():
    transport = FakeTransport(load("start_employee_call.response.json"))
    transport.client().start_call(**REQUEST)
    documented = set(load("start_employee_call.request.doc.json")["params"]) | {"early_switching"}
    assert set(transport.requests[0]["params"]) <= documented


@pytest.mark.parametrize("data", [{}, {"call_session_id": None}, {"call_session_id": "x"}, [], None])
def test_start_call_without_a_session_is_unexpected(data):
    with pytest.raises(http_client.UnexpectedReply):
        FakeTransport({"result": {"data": data}}).client().start_call(**REQUEST)


def test_failed_start_call_is_not_retried():
    transport = FakeTransport(load("error_internal_error.json"))
    with pytest.raises(http_client.RemoteUnavailable):
        transport.client().start_call(**REQUEST)
    assert len(transport.requests) == 1


@pytest.mark.parametrize(
    ("data", "is_released"),
    [
        ({"success": "true"}, True),
        ({"success": True}, True),
        ({"success": "false"}, False),
        ({"success": False}, False),
        ({}, False),
        ([], False),
        (None, False),
    ],
)
def test_release_call_reads_success_as_text_or_boolean(data, is_released):
    assert FakeTransport({"result": {"data": data}}).client().release_call(28575639) is is_released


def test_release_call_sends_the_documented_request():
    transport = FakeTransport(load("release_call.response.json"))
    assert transport.client().release_call(28575639) is True
    assert transport.requests[0] | {"id": "req1"} == load("release_call.request.json")
    assert transport.sent[0]["url"] == CALL_URL


@pytest.mark.parametrize(
    ("zone", "moment", "local"),
    [
        ("Europe/Moscow", datetime(2024, 10, 24, 21, 0, tzinfo=UTC), "2024-10-25 00:00:00"),
        ("Europe/Moscow", datetime(2024, 12, 31, 20, 59, 59, tzinfo=UTC), "2024-12-31 23:59:59"),
        ("Asia/Vladivostok", datetime(2024, 10, 24, 14, 0, tzinfo=UTC), "2024-10-25 00:00:00"),
        ("Europe/Berlin", datetime(2024, 3, 31, 0, 59, 59, tzinfo=UTC), "2024-03-31 01:59:59"),
        ("Europe/Berlin", datetime(2024, 3, 31, 1, 0, tzinfo=UTC), "2024-03-31 03:00:00"),
        ("Europe/Berlin", datetime(2024, 10, 27, 1, 30, tzinfo=UTC), "2024-10-27 02:30:00"),
        ("America/New_York", datetime(2024, 11, 3, 5, 30, tzinfo=UTC), "2024-11-03 01:30:00"),
        ("Asia/Kolkata", datetime(2024, 2, 28, 18, 30, tzinfo=UTC), "2024-02-29 00:00:00"),
    ],
)
def test_window_start_is_in_the_accounts_time_zone(zone, moment, local):
    transport = FakeTransport(page())
    list(transport.client(zone=ZoneInfo(zone)).calls(since=moment, till=moment + timedelta(hours=1)))
    assert transport.calls[0][1]["date_from"] == local


def test_national_form_is_read_in_the_home_country_only():
    row = load("get_calls_report.response.json")["result"]["data"][0] | {"contact_phone_number": "8123456789"}
    foreign = list(FakeTransport(page(row)).client(region="HK").calls(since=SINCE, till=TILL))
    russian = list(FakeTransport(page(row)).client().calls(since=SINCE, till=TILL))
    assert [foreign[0].contact, russian[0].contact] == ["8123456789", "78123456789"]


@responses.activate
def test_client_sends_an_http_request():
    responses.post(DATA_URL, json=load("get_account.response.json"))
    channel = Channel(url=DATA_URL, token=TOKEN)
    assert uis.UisClient(data=channel, calls_api=channel, zone=MOSCOW).account().name == "ООО Пример"


def test_every_brand_has_its_three_hosts():
    assert set(uis.HOSTS) == set(UisConnection.Brand.values)
    assert uis.HOSTS["uis"] == (DATA_URL, CALL_URL, "app.uiscom.ru")
    for data, calls, media in uis.HOSTS.values():
        assert data.startswith("https://dataapi")
        assert data.endswith("/v2.0")
        assert calls.startswith("https://callapi")
        assert calls.endswith("/v4.0")
        assert media.startswith("app.")


# --- probes that change nothing


def test_call_api_probe_releases_no_existing_call():
    transport = FakeTransport(error_reply("call_session_not_found", -32602))
    transport.client().probe_call_api()
    assert transport.calls == [("release.call", {"call_session_id": 0})]


@pytest.mark.parametrize("mnemonic", ["component_disabled", "forbidden", "ip_not_whitelisted"])
def test_call_api_probe_raises_access_denied(mnemonic):
    with pytest.raises(http_client.AccessDenied) as error:
        FakeTransport(error_reply(mnemonic, -32003)).client().probe_call_api()
    assert error.value.code == mnemonic


def test_call_api_probe_raises_another_rejection():
    with pytest.raises(http_client.RemoteRejected):
        FakeTransport(error_reply("tariff_restrictions", -32602)).client().probe_call_api()


@pytest.mark.parametrize(
    ("reply", "is_allowed"),
    [
        (error_reply("forbidden", -32003), False),
        (error_reply("entity_not_found", -32602), True),
        (error_reply("required_parameter_missed", -32602), True),
        ({"result": {}}, True),
    ],
)
def test_right_to_change_employees_is_probed_with_employee_zero(reply, is_allowed):
    transport = FakeTransport(reply)
    assert transport.client().may_change_employees() is is_allowed
    assert transport.calls[0] == ("update.employees", {"id": 0, "status_id": 0})


def test_right_to_change_employees_is_unknown_when_access_is_denied():
    with pytest.raises(http_client.AccessDenied):
        FakeTransport(error_reply("access_token_expired", -32001)).client().may_change_employees()


@pytest.mark.parametrize(("rows", "is_found"), [([], False), ([{"id": 1}], True)])
def test_has_calls_of_a_source_requests_one_row(rows, is_found):
    transport = FakeTransport(page(*rows))
    assert transport.client().has_calls_of("retailcrm", since=SINCE, till=TILL) is is_found
    method, params = transport.calls[0]
    assert (method, params["limit"], params["fields"]) == ("get.calls_report", 1, ["id"])
    assert params["filter"] == {"field": "source", "operator": "=", "value": "retailcrm"}


def test_request_without_a_key_is_not_sent():
    transport = FakeTransport(page())
    client = transport.client()
    client.data = Channel(url=DATA_URL, token="", send=client.data.send)
    with pytest.raises(http_client.AccessDenied):
        client.account()
    assert transport.calls == []


@pytest.mark.parametrize("mnemonic", ["parameter_component_disabled", "unexpected_parameters"])
def test_refused_columns_are_left_out_for_the_rest_of_the_client(mnemonic):
    answer = load("get_calls_report.response.json")
    transport = FakeTransport(error_reply(mnemonic), answer, answer)
    client = transport.client()
    for _time in range(2):
        assert list(client.calls(since=SINCE, till=TILL, columns=REPORT_COLUMNS)) == [ANSWERED]
    asked = [set(REPORT_COLUMNS) <= set(params["fields"]) for _method, params in transport.calls]
    assert (asked, list(client.refused_columns)) == ([True, False, False], ["get.calls_report"])


def test_other_refusal_is_no_matter_of_the_columns():
    transport = FakeTransport(error_reply("data_type_error"))
    client = transport.client()
    with pytest.raises(http_client.UnexpectedReply):
        list(client.calls(since=SINCE, till=TILL, columns=REPORT_COLUMNS))
    assert client.refused_columns == {}
