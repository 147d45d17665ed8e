"""Rows of the Data API parsed into our types."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from connector_project.core.http_client import UnexpectedReply
from telephony.uis import fields, schemas
from telephony.uis.fields import Locale
from telephony.uis.numbers import UisNumber
from telephony.uis.types import Account, CallLeg, Result, Status, UisEmployee

ROW = {"id": 1, "start_time": "2024-10-25 10:00:00", "direction": "in"}


LOCALE = Locale(ZoneInfo("Europe/Moscow"))


def parse(kind: type, data: object) -> list:
    return schemas.parse(kind, data, LOCALE)


def call(**values: object):
    return parse(schemas.CallRow, [ROW | values])[0].to_event()


@pytest.mark.parametrize(
    ("zone", "local", "moment"),
    [
        ("Europe/Moscow", "2024-10-25 00:00:00", datetime(2024, 10, 24, 21, tzinfo=UTC)),
        ("Europe/Moscow", "2010-07-01 12:00:00", datetime(2010, 7, 1, 8, tzinfo=UTC)),  # Moscow had summer time then
        ("Europe/Berlin", "2024-01-01 00:00:00", datetime(2023, 12, 31, 23, tzinfo=UTC)),
        ("Europe/Berlin", "2024-07-01 00:00:00", datetime(2024, 6, 30, 22, tzinfo=UTC)),
        (
            "Europe/Berlin",
            "2024-10-27 02:30:00",
            datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
        ),  # occurs twice: the first one
        ("Europe/Berlin", "2024-03-31 02:30:00", datetime(2024, 3, 31, 1, 30, tzinfo=UTC)),  # does not exist
        ("America/New_York", "2024-03-10 03:00:00", datetime(2024, 3, 10, 7, tzinfo=UTC)),
        ("Asia/Kolkata", "2024-02-29 05:29:59", datetime(2024, 2, 28, 23, 59, 59, tzinfo=UTC)),
        ("UTC", "2024-10-25 10:11:46.418", datetime(2024, 10, 25, 10, 11, 46, 418000, tzinfo=UTC)),
        ("UTC", "2016-10-19T12:26:48.418", datetime(2016, 10, 19, 12, 26, 48, 418000, tzinfo=UTC)),
    ],
)
def test_date_is_local_time_of_the_account(zone, local, moment):
    assert fields.to_time(local, zone=ZoneInfo(zone)) == moment


@pytest.mark.parametrize(
    "local", ["", "yesterday", "0000-00-00 00:00:00", "0001-01-01 00:00:00", "2024-02-30 00:00:00"]
)
def test_row_with_an_invalid_date_is_left_out(local):
    with pytest.raises(UnexpectedReply):
        parse(schemas.CallRow, [ROW | {"start_time": local}])
    assert len(parse(schemas.CallRow, [ROW, ROW | {"finish_time": local}])) == 1


def test_formatted_date_parses_back():
    zone = ZoneInfo("Asia/Yekaterinburg")
    moment = datetime(2024, 10, 24, 19, 0, 1, tzinfo=UTC)
    assert fields.to_local(moment, zone=zone) == "2024-10-25 00:00:01"
    assert fields.to_time(fields.to_local(moment, zone=zone), zone=zone) == moment


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (schemas.CallRow, [{"id": "x", "start_time": "2024-10-25 10:00:00"}]),
        (schemas.CallRow, [{"id": 1}]),
        (schemas.CallRow, [{"id": 1, "start_time": "2024-10-25 10:00:00", "call_records": "0123456789abcdef"}]),
        (schemas.CallRow, [{"id": 1, "start_time": "2024-10-25 10:00:00", "call_records": 5}]),
        (schemas.CallRow, {"id": 1, "start_time": "2024-10-25 10:00:00"}),
        (CallLeg, [{"id": 1, "start_time": "2024-10-25 10:00:00"}]),
        (UisNumber, [{"virtual_phone_number": None}]),
        (UisEmployee, ["text"]),
        (Status, "text"),
    ],
)
def test_undocumented_row_is_an_unexpected_reply(kind, data):
    with pytest.raises(UnexpectedReply) as raised:
        parse(kind, data)
    assert kind.__name__ in str(raised.value)


def test_error_of_an_undocumented_row_contains_no_values():
    with pytest.raises(UnexpectedReply) as raised:
        parse(schemas.CallRow, [{"id": "79990000001", "start_time": None}])
    assert "79990000001" not in str(raised.value)


@pytest.mark.parametrize("data", [None, [], {}])
def test_missing_data_is_an_empty_list(data):
    assert parse(schemas.CallRow, data) == []


def test_account_may_lack_its_time_zone():
    assert parse(Account, [{"name": None}])[0] == Account()


@pytest.mark.parametrize(
    ("values", "person"),
    [
        ({"id": 1}, UisEmployee(uis_id=1)),
        (
            {
                "id": 1,
                "phone_numbers": None,
                "extension": None,
                "call_recording": None,
                "status_id": None,
                "status": None,
            },
            UisEmployee(uis_id=1),
        ),
        ({"id": 1, "first_name": "Иван", "last_name": "Иванов"}, UisEmployee(uis_id=1, full_name="Иванов Иван")),
        ({"id": 1, "first_name": None, "last_name": "Иванов"}, UisEmployee(uis_id=1, full_name="Иванов")),
        ({"id": 1, "email": " IVAN@Example.com "}, UisEmployee(uis_id=1, email="ivan@example.com")),
        ({"id": 1, "extension": {"extension_phone_number": " 101 "}}, UisEmployee(uis_id=1, extension="101")),
        ({"id": 1, "extension": {"extension_phone_number": 101}}, UisEmployee(uis_id=1, extension="101")),
        ({"id": 1, "status": "break"}, UisEmployee(uis_id=1, status="break")),
        ({"id": 1, "status": "break", "status_id": 0}, UisEmployee(uis_id=1, status="0")),
        ({"id": 1, "call_recording": "in"}, UisEmployee(uis_id=1, recording_mode="in")),
        ({"id": 1, "phone_numbers": [{"phone_number": "sip:ivan"}, {"phone_number": None}]}, UisEmployee(uis_id=1)),
        (
            {"id": 1, "phone_numbers": [{"phone_number": "89990000002"}]},
            UisEmployee(uis_id=1, numbers=("79990000002",)),
        ),
    ],
)
def test_employee_may_lack_everything_but_the_id(values, person):
    assert parse(UisEmployee, [values])[0] == person


def test_custom_status_has_no_mnemonic():
    assert parse(Status, [{"id": 9001, "mnemonic": None, "name": None}])[0] == Status(uis_id=9001)


def test_unanswered_leg_has_no_connection_time():
    leg = parse(
        CallLeg,
        [
            {
                "id": 1,
                "call_session_id": 2,
                "start_time": "2024-10-25 10:00:00",
                "connect_time": None,
                "duration": None,
                "call_records": None,
                "is_talked": None,
                "employee_id": None,
            }
        ],
    )[0]
    assert (leg.connected_at, leg.talk_seconds, leg.record_ids, leg.is_talked) == (None, 0, (), False)
    assert (leg.employee_id, leg.contact, leg.called) == (None, "", "")


@pytest.mark.parametrize(
    ("values", "is_lost", "result"),
    [
        ({"talk_duration": 5, "is_lost": True, "finish_reason": "internal_error"}, False, Result.ANSWERED),
        ({"talk_duration": 0, "is_lost": None, "finish_reason": "operator_busy"}, True, Result.NO_ANSWER),
        ({"talk_duration": None, "is_lost": True, "finish_reason": "numa_in_black_list"}, True, Result.NO_ANSWER),
        ({"talk_duration": 0, "is_lost": False, "finish_reason": "success_finish"}, False, Result.ANSWERED),
        ({"talk_duration": 0, "is_lost": False, "finish_reason": "numa_in_spam_list"}, False, Result.NOT_ALLOWED),
        ({"talk_duration": None, "is_lost": None, "finish_reason": "timeout"}, None, Result.NO_ANSWER),
        ({"direction": None, "is_lost": True, "finish_reason": "timeout"}, True, Result.NO_ANSWER),
        ({"direction": "out", "is_lost": True, "finish_reason": "subscriber_busy"}, False, Result.BUSY),
        ({"direction": "out", "is_lost": None, "finish_reason": "no_money"}, False, Result.NOT_ALLOWED),
        ({"direction": "out", "talk_duration": 1, "finish_reason": "timeout"}, False, Result.ANSWERED),
        ({"direction": None, "finish_reason": None}, None, Result.UNKNOWN),
    ],
)
def test_call_is_lost_by_uiss_word_unless_somebody_talked(values, is_lost, result):
    found = call(**values)
    assert (found.is_lost, found.result) == (is_lost, result)


def test_unfinished_call_has_no_end():
    assert call(finish_time=None).happened_at is None


def test_call_has_the_external_id_of_its_click_to_call():
    assert call(call_api_external_id="crm-0001").external_id == "crm-0001"


@pytest.mark.parametrize(("contact", "is_internal"), [("101", True), ("79990000001", False), (None, False)])
def test_call_between_extensions_is_internal(contact, is_internal):
    assert call(contact_phone_number=contact).is_of_colleagues is is_internal


def test_call_lists_the_rung_employees():
    people = [{"employee_id": 2}, {"employee_id": None}, {"employee_id": 1}, {}]
    assert call(employees=people).rung_employee_ids == (2, 1)
    assert call(employees=None).rung_employee_ids == ()


def test_invalid_row_does_not_block_the_others():
    good = {"id": 2, "start_time": "2024-10-25 10:00:00"}
    assert [row.session_id for row in parse(schemas.CallRow, [{"id": 1, "start_time": "yesterday"}, good])] == [2]


def test_all_legs_of_a_call_with_an_invalid_leg_are_dropped():
    leg = {"call_session_id": 7, "start_time": "2024-10-25 10:00:00"}
    other = dict(leg, id=3, call_session_id=8)
    found = parse(CallLeg, [dict(leg, id=1), dict(leg, id=2, start_time=None), other])
    assert [row.session_id for row in found] == [8]
