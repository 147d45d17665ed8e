"""The JSON-RPC envelope: the requests we send, and the result or error of every kind of reply."""

import json

import pytest
import requests
import responses

from connector_project.core import http_client
from telephony.uis.jsonrpc import HEADERS, Channel, Result
from telephony.uis.types import Limits
from tests.telephony.uis import samples
from tests.telephony.uis.samples import CALL_URL, DATA_URL, TOKEN, FakeTransport, error_reply, load, page

DOCUMENTED = Limits(
    day_limit=3000, day_remaining=2987, day_reset=51959, minute_limit=60, minute_remaining=59, minute_reset=59
)
CLIENT = Limits(
    day_limit=750, day_remaining=741, day_reset=31492, minute_limit=150, minute_remaining=149, minute_reset=52
)
# Samples of methods we do not use have the same envelope.
REQUESTS = [
    "get_call_legs_report.request.json",
    "get_calls_report.request.json",
    "get_employees.request.json",
    "get_employees.request.by_extension.json",
    "get_virtual_numbers.request.json",
    "hold_call.request.json",
    "make_call.request.json",
    "release_call.request.json",
    "start_employee_call.request.article.json",
    "start_employee_call.request.doc.json",
    "start_simple_call.request.json",
    "transfer_talk.request.json",
    "update_employees.request.calls_available.json",
    "update_employees.request.directions.json",
    "update_employees.request.status_id.json",
]


@pytest.mark.parametrize("name", REQUESTS)
def test_request_has_the_documented_envelope(name):
    expected = load(name)
    transport = FakeTransport(page())
    params = {key: value for key, value in expected["params"].items() if key != "access_token"}
    transport.channel().request(expected["method"], params)
    sent = transport.requests[0]
    assert sent | {"id": expected["id"]} == expected
    assert list(sent) == list(expected)
    assert isinstance(sent["id"], str)


def test_login_request_has_the_same_envelope_but_no_key():
    assert set(load("login_user.request.json")) == {"jsonrpc", "id", "method", "params"}
    assert "access_token" not in load("login_user.request.json")["params"]


def test_request_is_a_post_of_utf8_json():
    transport = FakeTransport(page())
    transport.channel(CALL_URL).request("get.tags", {"name": "Иван"}, timeout=3)
    sent = transport.sent[0]
    assert sent["method"] == "POST"
    assert sent["url"] == "https://callapi.uiscom.ru/v4.0"
    assert sent["headers"] == {"Content-Type": "application/json; charset=UTF-8"}
    assert sent["timeout"] == 3
    assert "Иван".encode() in sent["body"]


def test_request_ids_differ():
    transport = FakeTransport(page(), page())
    channel = transport.channel()
    channel.request("get.account", {})
    channel.request("get.account", {})
    assert transport.requests[0]["id"] != transport.requests[1]["id"]


@responses.activate
def test_http_request_has_a_length_and_no_key_in_the_url():
    responses.post(DATA_URL, json=page())
    Channel(url=DATA_URL, token=TOKEN).request("get.account", {})
    sent = responses.calls[0].request
    assert sent.url == DATA_URL
    assert sent.headers["Content-Type"] == HEADERS["Content-Type"]
    assert sent.headers["Content-Length"] == str(len(sent.body))
    assert json.loads(sent.body)["params"] == {"access_token": TOKEN}


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("get_account.response.json", None),
        ("get_call_legs_report.response.empty.json", 0),
        ("get_call_legs_report.response.json", 1),
        ("get_calls_new_report.response.lost.json", 1),
        ("get_calls_report.response.json", 1),
        ("get_calls_report.response.lost.json", 1),
        ("get_employees.response.json", 2),
        ("get_notifications.response.json", 2046),
        ("get_statuses.response.json", 3),
        ("get_virtual_numbers.response.json", 1),
        ("getobj_account.response.json", None),
        ("list_calls.response.json", None),
        ("login_user.response.data_api.json", None),
        ("login_user.response.json", None),
        ("logout_user.response.json", None),
        ("release_call.response.json", None),
        ("start_employee_call.response.json", None),
        ("start_employee_call.response.with_metadata.json", None),
    ],
)
def test_reply_returns_its_data_and_total(name, total):
    reply = load(name)
    assert FakeTransport(reply).channel().request("get.some", {}) == Result(reply["result"]["data"], total)


def test_reply_to_an_update_has_no_data():
    assert FakeTransport(load("update_employees.response.json")).channel().request("update.employees", {}) == Result(
        None, None
    )


def limits_of(reply: object) -> list[Limits]:
    """Return the limits a channel reports for one reply, an error or not."""
    seen: list[Limits] = []
    try:
        FakeTransport(reply).channel(seen=seen).request("get.account", {})
    except http_client.RemoteError:
        pass
    return seen


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("metadata_limits.doc.json", [DOCUMENTED]),
        ("metadata_limits.client_test.json", [CLIENT]),
        ("metadata_deprecated_version.json", [DOCUMENTED]),
        ("metadata_limits_empty.doc.json", []),
    ],
)
@pytest.mark.parametrize("spelling", ["metadata", "meta_data"])
def test_limits_are_read_from_every_documented_metadata(name, expected, spelling):
    assert limits_of({"result": {"data": [], spelling: load(name)["metadata"]}}) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("error_date_interval_limit_reached.json", DOCUMENTED),
        ("error_required_parameter_missed.json", DOCUMENTED),
        (
            "error_limit_exceeded.json",
            Limits(
                day_limit=3000,
                day_remaining=2987,
                day_reset=51959,
                minute_limit=60,
                minute_remaining=0,
                minute_reset=41,
            ),
        ),
    ],
)
def test_limits_are_read_from_error_replies_too(name, expected):
    assert limits_of(load(name)) == [expected]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"limits": {"minute_remaining": 3}}, [Limits(minute_remaining=3)]),
        ({"limits": {"minute_remaining": 0, "minute_reset": None, "odd": 1}}, [Limits(minute_remaining=0)]),
        ({"limits": {"minute_remaining": "3"}}, []),
        ({"limits": None}, []),
        ({"limits": []}, []),
        ({}, []),
        (None, []),
        ([], []),
    ],
)
def test_limits_may_be_partial_or_missing(metadata, expected):
    assert limits_of({"result": {"data": [], "metadata": metadata}}) == expected


def test_channel_works_without_a_limits_callback():
    channel = Channel(url=DATA_URL, token=TOKEN, send=FakeTransport(load("get_account.response.json")))
    assert channel.request("get.account", {}).data[0]["app_id"] == 1103


def test_total_that_is_not_a_number_is_none():
    assert (
        FakeTransport({"result": {"data": [], "metadata": {"total_items": "2"}}})
        .channel()
        .request("get.tags", {})
        .total
        is None
    )


@pytest.mark.parametrize(
    "envelope",
    [
        *({}, {"result": None}, {"result": []}, {"error": "no"}, {"error": None}, [], 1, None),
        {"error": {"code": 403, "message": "Forbidden"}},
        {"error": {"code": "access_denied"}},
    ],
)
def test_reply_without_a_result_is_unexpected(envelope):
    with pytest.raises(http_client.UnexpectedReply):
        FakeTransport(envelope).channel().request("get.account", {})


@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        (http_client.Reply(200, {}, "<html>maintenance</html>"), None),
        (http_client.Reply(502, {}, " \n<html>bad gateway</html>"), None),
        (http_client.Reply(404, {}, ""), None),
        (http_client.Reply(200, {}, '{"jsonrpc": "2.0", "result": {"da'), None),
        (http_client.Reply(503, {"Retry-After": "7"}, "busy"), 7.0),
        (http_client.Reply(429, {"Retry-After": "30"}, ""), 30.0),
        (http_client.Reply(429, {"Retry-After": "30"}, '{"message": "slow down"}'), 30.0),
        (http_client.Reply(429, {}, '{"error": "slow down"}'), None),
        (http_client.Reply(500, {}, "{}"), None),
        (http_client.Reply(504, {}, "[]"), None),
        (http_client.Reply(503, {}, json.dumps({"result": {"data": []}})), None),
        (http_client.Reply(401, {}, "<html>log in</html>"), None),
        (http_client.Reply(403, {}, "<html>forbidden</html>"), None),
        (http_client.Reply(404, {}, "<html>not found</html>"), None),
        (http_client.Reply(403, {}, '{"message": "Forbidden"}'), None),
        (http_client.Reply(401, {}, '{"error": "access_token_invalid"}'), None),
        (http_client.Reply(403, {}, '{"error": {"code": 403, "message": "Forbidden"}}'), None),
        (http_client.Reply(404, {}, '["not found"]'), None),
        (http_client.Reply(408, {}, ""), None),
        (http_client.Reply(425, {}, "{}"), None),
        (http_client.Reply(499, {}, ""), None),
        (http_client.Reply(520, {"Retry-After": "5"}, "error code: 520"), 5.0),
        (http_client.Reply(403, {}, "[" * 100_000), None),
    ],
)
def test_reply_of_a_proxy_raises_remote_unavailable(reply, wait):
    with pytest.raises(http_client.RemoteUnavailable) as raised:
        FakeTransport(reply).channel().request("get.account", {})
    assert (raised.value.code, raised.value.wait, raised.value.system) == ("", wait, "UIS")
    assert str(reply.status) in str(raised.value)


@pytest.mark.parametrize("status", [200, 400, 403, 429, 500, 503])
def test_error_reply_is_read_with_any_http_status(status):
    reply = http_client.Reply(status, {}, json.dumps(load("error_employee_not_found.json")))
    with pytest.raises(http_client.RemoteRejected) as raised:
        FakeTransport(reply).channel().request("start.employee_call", {})
    assert raised.value.code == "employee_not_found"


def test_points_error_in_a_429_waits_for_the_reset():
    reply = http_client.Reply(429, {}, json.dumps(load("error_limit_exceeded.json")))
    with pytest.raises(http_client.RemoteUnavailable) as raised:
        FakeTransport(reply).channel().request("get.account", {})
    assert (raised.value.code, raised.value.wait) == ("limit_exceeded", 41.0)


def test_error_message_names_the_field_but_never_the_key():
    with pytest.raises(http_client.RemoteError) as raised:
        FakeTransport(load("error_required_parameter_missed.json")).channel().request("get.call_legs_report", {})
    assert str(raised.value) == "The required parameter has been missed (date_from)"
    with pytest.raises(http_client.AccessDenied) as denied:
        FakeTransport(load("error_access_token_invalid.json")).channel().request("get.account", {})
    assert str(denied.value) == "Access token is invalid"


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        ({"code": -32000, "message": "Odd"}, "Odd", "-32000"),
        ({"code": -32000}, "-32000", "-32000"),
        ({"code": -32602, "message": None, "data": {"mnemonic": "error"}}, "error", "error"),
        ({"code": -32602, "message": "Odd", "data": "text"}, "Odd", "-32602"),
        (
            {"code": -32602, "message": "Odd", "data": {"mnemonic": "error", "metadata": None, "params": None}},
            "Odd",
            "error",
        ),
    ],
)
def test_error_reply_may_lack_everything_but_its_code(error, message, code):
    with pytest.raises(http_client.RemoteRejected) as raised:
        FakeTransport({"id": None, "error": error}).channel().request("get.account", {})
    assert (str(raised.value), raised.value.code) == (message, code)


@pytest.mark.parametrize(
    "error",
    [requests.ConnectionError("cut"), requests.exceptions.ChunkedEncodingError("cut"), requests.ReadTimeout("slow")],
)
@responses.activate
def test_broken_connection_raises_remote_unavailable(error):
    responses.post(DATA_URL, body=error)
    with pytest.raises(http_client.RemoteUnavailable):
        Channel(url=DATA_URL, token=TOKEN).request("get.account", {})


def test_error_reply_of_the_samples_helper_has_the_documented_keys():
    assert set(error_reply("error")["error"]) == set(load("error_internal_error.json")["error"])
    assert samples.FOLDER.is_dir()
