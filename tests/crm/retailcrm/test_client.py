"""The methods of retailCRM we use: every request as in the samples, every documented answer parsed."""

import inspect
import json
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import requests
import responses
from responses import matchers

from connector_project.core import http_client
from connector_project.core.http_client import Reply
from crm.retailcrm import client as retailcrm
from crm.retailcrm.client import V4, V5, RetailCrmClient
from crm.retailcrm.payloads import CallEvent, CallRecord, EventType, Hangup, Module
from crm.retailcrm.types import EventAnswer, HistoryCall, Manager, ModuleAnswer, ModuleState, Rights, UploadAnswer, User
from tests.crm.retailcrm.samples import ADDRESS, KEY, FakeSend, client_answering, form, load, reply

PHONE, OWN = "+79990000001", "+74950000001"


def over_http(
    name: str, method: str, *given: object, version: str = V5, ignored: tuple[str, ...] = ()
) -> tuple[object, object]:
    """Send over HTTP; return what was sent and what the sample sends, both without the names in `ignored`."""
    sample = load(name)
    request, response = sample["request"], sample["response"]
    with responses.RequestsMock() as http:
        http.add(request["method"], request["url"], json=response["body"], status=response["status"])
        client = RetailCrmClient(ADDRESS, KEY, version=version)
        getattr(client, method)(*given)
        sent = http.calls[0].request
    assert sent.url == request["url"]
    assert KEY not in sent.url
    assert KEY not in sent.body
    assert sent.headers["X-API-KEY"] == request["headers"]["X-API-KEY"]
    assert sent.headers["Content-Type"] == request["headers"]["Content-Type"]
    ours, theirs = form(sent.body), form(request["raw_body"])
    assert theirs == request["form_decoded"]
    assert list(ours) == list(theirs)
    return without(ours, ignored), without(theirs, ignored)


def without(value: object, names: tuple[str, ...]) -> object:
    if isinstance(value, dict):
        return {name: without(inner, names) for name, inner in value.items() if name not in names}
    return [without(inner, names) for inner in value] if isinstance(value, list) else value


# --- events

EVENTS = [
    (
        "v4_call_event.json",
        V4,
        CallEvent(
            type=EventType.IN,
            phone=PHONE,
            codes=("101",),
            user_ids=(2,),
            hangup=Hangup.FAILED,
            external_id="call-0001",
            external_phone=OWN,
            site="shop-one",
        ),
    ),
    (
        "v5_call_event_in_full.json",
        V5,
        CallEvent(
            type=EventType.IN,
            phone=PHONE,
            codes=("101", "102"),
            user_ids=(27, 28),
            external_phone=OWN,
            external_id="1234567890",
            site="shop-one",
        ),
    ),
    (
        "v5_call_event_in_by_user.json",
        V5,
        CallEvent(type=EventType.IN, phone="88000000001", user_ids=(27,), site="shop-one", external_id=""),
    ),
    (
        "v5_call_event_out.json",
        V5,
        CallEvent(type=EventType.OUT, phone=PHONE, external_id="1234567891", codes=("101",), user_ids=(27,)),
    ),
    (
        "v5_call_event_hangup.json",
        V5,
        CallEvent(
            type=EventType.HANGUP,
            phone=PHONE,
            external_id="1234567890",
            codes=("101",),
            user_ids=(27,),
            hangup=Hangup.NO_ANSWER,
        ),
    ),
    (
        "v5_call_event_unknown_code.json",
        V5,
        CallEvent(type=EventType.IN, phone=PHONE, codes=("101", "999"), user_ids=(27, 888), external_id=""),
    ),
]


@pytest.mark.parametrize(("name", "version", "event"), EVENTS)
def test_event_is_sent_as_in_the_sample(name, version, event):
    ours, theirs = over_http(name, "send_event", event, version=version, ignored=("webAnalyticsData",))
    assert ours == theirs


def test_event_answer_has_unknown_codes_and_users():
    event = EVENTS[-1][2]
    _send, client = client_answering("v5_call_event_unknown_code.json")
    assert client.send_event(event) == EventAnswer(unknown_codes=("999",), unknown_users=(888,))
    for name in ("v5_call_event_in_full.json", "v5_call_event_hangup.json"):
        _send, client = client_answering(name)
        assert client.send_event(event) == EventAnswer()


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (
            {"notExistCodes": {"1": "999"}, "notExistUsers": {"1": 888}},
            EventAnswer(unknown_codes=("999",), unknown_users=(888,)),
        ),
        ({"notExistCodes": [999], "notExistUsers": ["888"]}, EventAnswer(unknown_codes=("999",), unknown_users=(888,))),
        ({"notExistCodes": None, "notExistUsers": None}, EventAnswer()),
    ],
)
def test_event_answer_accepts_lists_maps_and_null(body, answer):
    assert FakeSend({"success": True} | body).client().send_event(EVENTS[-1][2]) == answer


def test_event_has_a_short_timeout():
    send, client = client_answering("v5_call_event_out.json")
    client.send_event(EVENTS[3][2])
    assert send.sent[0]["timeout"] == retailcrm.EVENT_SECONDS < 5


@pytest.mark.parametrize(
    ("name", "version"), [("v4_call_event_not_enabled.json", V4), ("v4_call_event_not_enabled.json", V5)]
)
def test_event_without_active_telephony_is_denied(name, version):
    send, client = client_answering(name, version=version)
    with pytest.raises(http_client.AccessDenied) as raised:
        client.send_event(CallEvent(type=EventType.OUT, phone=PHONE, external_id=""))
    assert raised.value.code == "telephony_off"
    assert json.loads(send.sent[0]["body"]["event"]) == load(name)["request"]["form_decoded"]["event"]


@pytest.mark.parametrize(
    ("hangup", "word"),
    [
        (Hangup.ANSWERED, "answered"),
        (Hangup.NO_ANSWER, "no answered"),
        (Hangup.BUSY, "busy"),
        (Hangup.CANCELLED, "cancel"),
        (Hangup.FAILED, "failed"),
    ],
)
def test_event_has_the_documented_hangup_status(hangup, word):
    send = FakeSend({"success": True})
    send.client().send_event(CallEvent(type=EventType.HANGUP, phone=PHONE, external_id="x", hangup=hangup))
    assert json.loads(send.sent[0]["body"]["event"])["hangupStatus"] == word


def test_event_is_not_flat_as_in_version_3():
    flat = load("v3_call_event_request.json")["request"]["form_decoded"]
    send = FakeSend({"success": True})
    hung_up = CallEvent(
        type=EventType.HANGUP, phone=flat["phone"], codes=(flat["code"],), hangup=Hangup.BUSY, external_id=""
    )
    send.client().send_event(hung_up)
    event = json.loads(send.sent[0]["body"]["event"])
    assert event == {"phone": PHONE, "type": "hangup", "codes": ["101"], "hangupStatus": flat["hangupStatus"]}


# --- upload


def moscow(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo("Europe/Moscow"))


UPLOADS = [
    (
        "v5_calls_upload_by_user.json",
        V5,
        (),
        [
            CallRecord(
                external_id="test_call_external_id",
                started_at=moscow(2021, 3, 1, 12),
                direction="in",
                phone="88000000001",
                result="ANSWERED",
                talk_seconds=60,
                wait_seconds=10,
                user_id=27,
                site="shop-one",
                recording_url="https://example.com/test.mp3",
            )
        ],
    ),
    (
        "v5_calls_upload_full.json",
        V5,
        ("source", "clientId"),
        [
            CallRecord(
                external_id="1234567890",
                started_at=moscow(2025, 8, 20, 14, 30, 5),
                direction="in",
                phone=PHONE,
                result="ANSWERED",
                talk_seconds=125,
                wait_seconds=8,
                code="101",
                external_phone=OWN,
                site="shop-one",
                recording_url="https://pbx.example.com/records/0f0f.mp3",
            ),
            CallRecord(
                external_id="1234567892",
                started_at=moscow(2025, 8, 20, 14, 41, 10),
                direction="in",
                phone="+79990000002",
                result="NO_ANSWER",
                talk_seconds=0,
                wait_seconds=32,
                code="101",
                external_phone=OWN,
            ),
        ],
    ),
    (
        "v5_calls_upload_missed.json",
        V5,
        ("durationWaiting",),
        [
            CallRecord(
                external_id="1755689405.77",
                started_at=moscow(2025, 8, 20, 14, 30, 5),
                direction="in",
                phone="79990000001",
                result="FAILED",
                talk_seconds=21,
                wait_seconds=0,
                user_id=16,
            )
        ],
    ),
    (
        "v5_calls_upload_duplicates.json",
        V5,
        ("durationWaiting",),
        [
            CallRecord(
                external_id="1234567890",
                started_at=moscow(2025, 8, 20, 14, 30, 5),
                direction="in",
                phone=PHONE,
                result="ANSWERED",
                talk_seconds=125,
                wait_seconds=0,
                code="101",
            ),
            CallRecord(
                external_id="1234567893",
                started_at=moscow(2025, 8, 20, 15),
                direction="out",
                phone="+79990000002",
                result="BUSY",
                talk_seconds=0,
                wait_seconds=0,
                code="101",
            ),
        ],
    ),
    (
        "v4_calls_upload.json",
        V4,
        ("duration", "durationWaiting"),
        [
            CallRecord(
                external_id=str(41 + number),
                started_at=moscow(2016, 7, 22, 0, 18 + 6 * number),
                direction="in",
                phone=PHONE,
                result="ANSWERED",
                talk_seconds=1,
                wait_seconds=1,
                code="101",
                recording_url=f"https://pbx.example.com/records/beep{number + 1}.mp3",
            )
            for number in range(2)
        ],
    ),
]
CALL = UPLOADS[0][3][0]


@pytest.mark.parametrize(("name", "version", "ignored", "calls"), UPLOADS)
def test_upload_is_sent_as_in_the_sample(name, version, ignored, calls):
    ours, theirs = over_http(name, "upload_calls", calls, version=version, ignored=ignored)
    assert ours == theirs


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("v4_calls_upload.json", UploadAnswer(processed=2)),
        ("v5_calls_upload_by_user.json", UploadAnswer(processed=1)),
        ("v5_calls_upload_full.json", UploadAnswer(processed=2)),
        ("v5_calls_upload_missed.json", UploadAnswer(processed=1)),
        ("v5_calls_upload_duplicates.json", UploadAnswer(processed=1, duplicates=("1234567890",))),
    ],
)
def test_upload_answer_has_the_count_and_the_duplicates(name, answer):
    _send, client = client_answering(name)
    assert client.upload_calls([CALL]) == answer


def test_upload_without_active_telephony_is_denied():
    _send, client = client_answering("v4_calls_upload_not_enabled.json", version=V4)
    with pytest.raises(http_client.AccessDenied) as raised:
        client.upload_calls([CALL])
    assert raised.value.code == "telephony_off"


def uploaded(zone: str = "Europe/Moscow", **chosen: object) -> dict[str, object]:
    send = FakeSend({"success": True, "processedCallsCount": 1})
    send.client(zone=ZoneInfo(zone)).upload_calls([CallRecord(**dict(CALL) | chosen)])
    return json.loads(send.sent[0]["body"]["calls"])[0]


@pytest.mark.parametrize(
    ("zone", "moment", "written"),
    [
        ("Europe/Moscow", datetime(2024, 10, 24, 21, tzinfo=UTC), "2024-10-25 00:00:00"),
        ("Asia/Vladivostok", datetime(2024, 10, 24, 13, 59, 59, tzinfo=UTC), "2024-10-24 23:59:59"),
        ("Europe/Madrid", datetime(2024, 7, 1, 10, tzinfo=UTC), "2024-07-01 12:00:00"),
        ("Europe/Madrid", datetime(2024, 12, 1, 10, tzinfo=UTC), "2024-12-01 11:00:00"),
        ("Europe/Madrid", datetime(2024, 10, 27, 1, 30, tzinfo=UTC), "2024-10-27 02:30:00"),
        ("UTC", moscow(2024, 10, 25, 1), "2024-10-24 22:00:00"),
    ],
)
def test_upload_has_the_date_in_the_zone_of_the_account(zone, moment, written):
    assert uploaded(zone, started_at=moment)["date"] == written


@pytest.mark.parametrize(
    ("result", "word"),
    [
        ("ANSWERED", "answered"),
        ("NO_ANSWER", "no answer"),
        ("BUSY", "busy"),
        ("FAILED", "failed"),
        ("NOT_ALLOWED", "not allowed"),
        ("UNKNOWN", "unknown"),
        ("", "unknown"),
    ],
)
def test_upload_has_the_documented_result(result, word):
    assert uploaded(result=result)["result"] == word


@pytest.mark.parametrize(("length", "is_sent"), [(255, True), (256, False)])
def test_upload_omits_a_too_long_recording_url(length, is_sent):
    link = "https://x/".ljust(length, "a")
    assert uploaded(recording_url=link).get("recordUrl") == (link if is_sent else None)


def test_upload_has_zero_seconds_and_omits_unknown_values():
    written = uploaded(talk_seconds=0, wait_seconds=0, user_id=None, recording_url="", site="")
    assert written == {
        "date": "2021-03-01 12:00:00",
        "type": "in",
        "phone": "88000000001",
        "result": "answered",
        "externalId": "test_call_external_id",
        "duration": 0,
        "durationWaiting": 0,
    }


def test_upload_limit_is_fifty_calls():
    assert retailcrm.LARGEST_UPLOAD == 50


# --- the module

MODULE = Module(
    code="fake-telephony",
    client_id="c0ffee00c0ffee00c0ffee00c0ffee00",
    name="Fake PBX",
    logo_url="https://pbx.example.com/static/logo.svg",
    base_url="https://pbx.example.com",
    account_url="https://pbx.example.com/retailcrm-admin/",
    make_call_url="https://pbx.example.com/retailcrm/make-call",
    change_status_url="https://pbx.example.com/retailcrm/status",
    codes=((16, "151"),),
)
MODULES = [
    ("v5_module_edit_unpublished.json", V5, MODULE),
    ("v5_module_edit_deactivate.json", V5, replace(MODULE, is_active=False)),
    (
        "v5_module_edit_telephony.json",
        V5,
        Module(
            code="uis-telephony",
            integration_code="uis-telephony",
            client_id="5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
            name="UIS telephony",
            logo_url="https://pbx.example.com/static/logo.svg",
            base_url="https://pbx.example.com",
            account_url="https://pbx.example.com/retailcrm/settings",
            actions=(("activity", "/retailcrm/activity"),),
            make_call_url="https://pbx.example.com/retailcrm/make-call",
            change_status_url="https://pbx.example.com/retailcrm/user-status",
            codes=((27, "101"), (28, "102")),
            phones=(("shop-one", OWN),),
        ),
    ),
    (
        "v4_setting_edit_full.json",
        V4,
        Module(
            code="fake-pbx",
            client_id="c0ffee00c0ffee00c0ffee00c0ffee00",
            name="Fake PBX",
            logo_url="https://pbx.example.com/static/icon.svg",
            base_url="",
            make_call_url="https://pbx.example.com/retailcrm/make-call",
            change_status_url="https://pbx.example.com/retailcrm/user-status",
            codes=((101, "101"), (102, "102")),
            phones=(("shop-one", OWN),),
        ),
    ),
]


@pytest.mark.parametrize(("name", "version", "module"), MODULES)
def test_module_is_sent_as_in_the_sample(name, version, module):
    # Ours has `allowEdit`: users may enter extensions themselves.
    ours, theirs = over_http(name, "edit_module", module, version=version, ignored=("availableCountries", "allowEdit"))
    assert ours == theirs


@pytest.mark.parametrize("name", ["v4_setting_edit_dotnet.json", "v4_setting_edit_minimal.json"])
def test_module_of_version_4_has_all_fields_of_the_samples(name):
    sample = load(name)
    documented = sample["request"]["form_decoded"]["configuration"]
    send = FakeSend(reply(sample["response"]))
    code = documented["code"]
    assert send.client(version=V4).edit_module(replace(MODULE, code=code)) == ModuleAnswer()
    assert send.sent[0]["url"] == sample["request"]["url"]
    assert set(documented) <= set(json.loads(send.sent[0]["body"]["configuration"]))


def test_module_of_version_4_has_all_fields_of_version_3():
    documented = set(load("v3_setting_edit_request.json")["request"]["form_decoded"])
    send = FakeSend({"success": True})
    send.client(version=V4).edit_module(MODULE)
    assert documented <= set(json.loads(send.sent[0]["body"]["configuration"]))
    assert "/api/v4/telephony/setting/fake-telephony/edit" in send.sent[0]["url"]


def test_module_without_extensions_has_empty_lists():
    send = FakeSend({"success": True})
    send.client().edit_module(replace(MODULE, codes=()))
    telephony = json.loads(send.sent[0]["body"]["integrationModule"])["integrations"]["telephony"]
    assert (telephony["additionalCodes"], telephony["externalPhones"]) == ([], [])


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("v5_module_edit_telephony.json", ModuleAnswer()),  # its info is an empty list
        ("v5_module_edit_unpublished.json", ModuleAnswer()),  # it has no info
        ("v5_module_edit_response_billing.json", ModuleAnswer()),  # a map without unknown users
        (
            "v5_module_edit_response_unknown_users.json",
            ModuleAnswer(unknown_users=(999,), unknown_sites=("no-such-shop",)),
        ),
    ],
)
def test_module_answer_accepts_info_as_a_list_and_as_a_map(name, answer):
    _send, client = client_answering(name)
    assert client.edit_module(MODULE) == answer


@pytest.mark.parametrize(
    ("name", "version", "code", "state"),
    [
        (
            "v5_module_get_telephony.json",
            V5,
            "uis-telephony",
            ModuleState(
                is_on=True,
                codes=((27, "101"), (28, "102")),
                base_url="https://pbx.example.com",
                make_call_url="https://pbx.example.com/retailcrm/make-call",
                change_status_url="https://pbx.example.com/retailcrm/user-status",
            ),
        ),
        (
            "v5_module_get.json",
            V5,
            "mg-fake",
            ModuleState(is_on=True, base_url="https://mg-fake.example.com/"),
        ),
        (
            "v4_setting_get.json",
            V4,
            "fake-pbx",
            ModuleState(is_on=False, make_call_url="https://pbx.example.com/make-call"),
        ),
        ("v5_module_get_not_found.json", V5, "no-such-module", None),
    ],
)
def test_module_is_parsed(name, version, code, state):
    send, client = client_answering(name, version=version)
    assert client.module(code) == state
    assert send.sent[0]["url"] == load(name)["request"]["url"]


@pytest.mark.parametrize(
    ("module", "state"),
    [
        ({"active": True, "freeze": True}, ModuleState(is_on=True, is_frozen=True)),
        ({"active": False, "integrations": []}, ModuleState(is_on=False)),
        ({"active": True, "integrations": None}, ModuleState(is_on=True)),
        (
            {"active": True, "integrations": {"telephony": {"additionalCodes": [{"userId": "2", "code": 100}]}}},
            ModuleState(is_on=True, codes=((2, "100"),)),
        ),
        ({}, ModuleState(is_on=False)),
    ],
)
def test_module_may_lack_optional_fields(module, state):
    assert FakeSend({"success": True, "integrationModule": module}).client().module("x") == state


@pytest.mark.parametrize("message", ["Access denied.", "API method not found"])
def test_module_without_permission_raises(message):
    with pytest.raises(http_client.RemoteError):
        FakeSend({"success": False, "errorMsg": message}).client().module("x")


def test_module_rejected_for_another_reason_raises():
    with pytest.raises(http_client.RemoteRejected):
        FakeSend({"success": False, "errorMsg": "Errors in the input parameters"}).client().module("x")


# --- the account


def test_versions_are_parsed():
    send, client = client_answering("api_versions.json")
    assert client.versions() == ("3.0", "4.0", "5.0")
    assert send.sent[0]["url"] == load("api_versions.json")["request"]["url"]


@pytest.mark.parametrize("name", ["credentials.json", "credentials_telephony_connector.json"])
def test_rights_are_parsed(name):
    send, client = client_answering(name)
    answer = load(name)["response"]["body"]
    assert client.rights() == Rights(
        scopes=answer["scopes"], patterns=answer["credentials"], sites=tuple(answer.get("sitesAvailable", ()))
    )
    assert send.sent[0]["url"] == load(name)["request"]["url"]


@pytest.mark.parametrize(
    ("scopes", "patterns", "lacks"),
    [
        ({"user_read"}, set(), False),
        ({"user_write"}, {"/api/users"}, True),  # a key with scopes: its patterns do not count
        (set(), {"/api/users"}, False),
        (set(), {"/api/orders"}, True),
        (set(), set(), False),
    ],
)
def test_rights_without_scopes_are_the_patterns(scopes, patterns, lacks):
    assert Rights(scopes=scopes, patterns=patterns).lacks("user_read", "/api/users") is lacks


def test_public_address_is_parsed():
    send, client = client_answering("system_info.json")
    assert client.public_address() == "https://acct-example.retailcrm.ru"
    assert send.sent[0]["url"] == load("system_info.json")["request"]["url"]
    assert (
        FakeSend({"success": True, "publicUrl": "https://a.simla.com/"}).client().public_address()
        == "https://a.simla.com"
    )
    assert FakeSend({"success": True}).client().public_address() == ""


def test_time_zone_is_parsed():
    send, client = client_answering("settings_get_v5.json")
    assert client.time_zone() == "Europe/Moscow"
    assert send.sent[0]["url"] == load("settings_get_v5.json")["request"]["url"]
    assert FakeSend({"success": True, "settings": {}}).client().time_zone() == ""
    assert FakeSend({"success": True}).client().time_zone() == ""


@pytest.mark.parametrize("message", ["Access denied.", "API method not found"])
def test_time_zone_is_empty_without_permission(message):
    assert FakeSend({"success": False, "errorMsg": message}).client().time_zone() == ""


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"success": False, "errorMsg": 'Wrong "apiKey" value.'}, http_client.AccessDenied),
        ({"success": True, "settings": "odd"}, http_client.UnexpectedReply),
        ({"success": False, "errorMsg": "Not found"}, http_client.RemoteRejected),
    ],
)
def test_time_zone_rejected_for_another_reason_raises(answer, kind):
    with pytest.raises(kind):
        FakeSend(answer).client().time_zone()


# --- managers, users, history


@pytest.mark.parametrize(
    ("name", "version", "manager"),
    [
        ("v4_manager_found.json", V4, Manager(user_id=777, code="101")),
        ("v5_manager_found.json", V5, Manager(user_id=1, code="12")),
        ("v5_manager_not_found.json", V5, None),
    ],
)
def test_manager_is_found_or_absent(name, version, manager):
    sample = load(name)["request"]
    with responses.RequestsMock() as http:
        # The plus must be escaped, and the key must not be a parameter.
        params = {"phone": sample["query"]["phone"], "details": "0", "ignoreStatus": "1"}
        http.get(sample["url"], json=load(name)["response"]["body"], match=[matchers.query_param_matcher(params)])
        assert RetailCrmClient(ADDRESS, KEY, version=version).manager(params["phone"]).manager == manager
        assert set(sample["query"]) <= set(params)


@pytest.mark.parametrize(
    ("row", "manager"),
    [
        ({"id": "777", "code": 101}, Manager(user_id=777, code="101")),
        ({"id": 777}, Manager(user_id=777, code="")),
        ({"id": 777, "code": None}, Manager(user_id=777, code="")),
        ([], None),
        ({}, None),
        (None, None),
    ],
)
def test_manager_may_have_no_extension_or_be_absent(row, manager):
    assert FakeSend({"success": True, "manager": row}).client().manager(PHONE).manager == manager


def test_users_are_parsed():
    send, client = client_answering("v5_users_list.json")
    user = User(user_id=28, first_name="Test", email="user28@example.com", is_active=True)
    assert client.users().users == (user,)
    assert send.sent[0]["url"] == load("v5_users_list.json")["request"]["url"]
    assert send.sent[0]["query"] == {"limit": "100", "page": "1"}


def test_users_of_all_pages_are_returned():
    pages = [
        {"success": True, "pagination": {"totalPageCount": 3}, "users": [{"id": number, "active": number != 2}]}
        for number in (1, 2, 3)
    ]
    send = FakeSend(*pages)
    assert [(user.user_id, user.is_active) for user in send.client().users().users] == [
        (1, True),
        (2, False),
        (3, True),
    ]
    assert [sent["query"]["page"] for sent in send.sent] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("pages", "is_complete"),
    [
        ([([1, 2], 3), ([3], 3)], True),
        ([([1, 2], 3), ([], 2)], False),  # one of page 1 was deleted, and the third moved there
        ([([1, 2], 3), ([2], 4)], False),
        ([([1, 2], 3), ([3, 4], 4)], True),  # one was added
    ],
)
def test_users_are_incomplete_if_fewer_came_than_stated(pages, is_complete):
    send = FakeSend(
        *[
            {
                "success": True,
                "pagination": {"totalPageCount": 2, "totalCount": total},
                "users": [{"id": user_id} for user_id in ids],
            }
            for ids, total in pages
        ]
    )
    assert send.client().users().is_complete is is_complete


@pytest.mark.parametrize(
    ("row", "user"),
    [
        ({"id": 1}, (1, "", "", True)),
        ({"id": 1, "firstName": "Иван", "lastName": "Иванов"}, (1, "Иван Иванов", "", True)),
        ({"id": 1, "patronymic": " Ильич ", "lastName": "Иванов"}, (1, "Ильич Иванов", "", True)),
        ({"id": 1, "lastName": "Иванов", "email": " IVAN@Example.com"}, (1, "Иванов", "ivan@example.com", True)),
        ({"id": 1, "firstName": None, "email": None, "active": False}, (1, "", "", False)),
    ],
)
def test_user_may_lack_all_fields_but_the_id(row, user):
    found = FakeSend({"success": True, "users": [row]}).client().users().users
    assert [(one.user_id, one.name, one.email, one.is_active) for one in found] == [user]


def test_user_is_parsed_as_in_the_sample_of_one():
    row = load("v5_user_get.json")["response"]["body"]["user"]
    assert FakeSend({"success": True, "users": [row]}).client().users().users == (
        User(user_id=28, first_name="Test", email="user28@example.com", is_active=True),
    )


def test_user_status_is_sent_as_a_plain_field():
    ours, theirs = over_http("v5_user_status.json", "set_user_status", 28, "busy")
    assert ours == theirs == {"status": "busy"}


def test_user_status_is_always_sent_to_version_5():
    send = FakeSend({"success": True})
    send.client(version=V4).set_user_status(28, "busy")
    assert send.sent[0]["url"] == load("v5_user_status.json")["request"]["url"]


def test_user_status_of_an_unknown_user_is_rejected():
    send, client = client_answering("v5_user_status_not_found.json")
    with pytest.raises(http_client.RemoteRejected) as raised:
        client.set_user_status(999999, "busy")
    assert raised.value.code == "not_found"
    assert send.sent[0]["url"] == load("v5_user_status_not_found.json")["request"]["url"]


STARTED_AT = datetime(2025, 8, 20, 14, 30, 5, tzinfo=ZoneInfo("Europe/Moscow"))


def test_history_is_parsed():
    send, client = client_answering("v5_calls_list.json")
    assert list(client.history()) == [HistoryCall(external_id="1234567890", result="answered", started_at=STARTED_AT)]
    assert send.sent[0]["url"] == load("v5_calls_list.json")["request"]["url"]
    assert send.sent[0]["query"] == {"limit": "100"}


def test_history_call_with_an_invalid_date_is_kept():
    send = FakeSend({"success": True, "calls": [{"externalId": "1", "result": "answered", "date": "yesterday"}]})
    assert list(send.client().history()) == [HistoryCall(external_id="1", result="answered")]


def test_history_follows_the_cursor():
    first = load("v5_calls_list.json")["response"]["body"]
    send = FakeSend(first, first | {"pagination": {"nextCursor": "second"}}, first | {"pagination": []})
    assert len(list(send.client().history(pages=9))) == 3
    assert [sent["query"].get("cursor") for sent in send.sent] == [None, "fakeCursorAAAA", "second"]


def test_client_without_a_key_sends_nothing():
    send = FakeSend({"success": True})
    client = replace(send.client(), key="")
    with pytest.raises(http_client.AccessDenied) as error:
        client.users()
    assert (error.value.code, send.sent) == ("key", [])


# --- all methods


def calls_of(client: RetailCrmClient) -> list[object]:
    event = CallEvent(type=EventType.IN, phone=PHONE, external_id="x")
    return [
        lambda: client.versions(),
        lambda: client.rights(),
        lambda: client.public_address(),
        lambda: client.time_zone(),
        lambda: client.module("x"),
        lambda: client.edit_module(MODULE),
        lambda: client.send_event(event),
        lambda: client.upload_calls([CALL]),
        lambda: client.manager(PHONE),
        lambda: list(client.history()),
        lambda: client.users(),
        lambda: client.set_user_status(1, "free"),
        lambda: client.notify(1, "text"),
    ]


METHODS = range(13)


@pytest.mark.slow
def test_calls_of_has_every_method():
    public = [name for name, _function in inspect.getmembers(RetailCrmClient, inspect.isfunction) if name[0] != "_"]
    assert len(set(public) - {"guard", "send"}) == len(METHODS) == len(calls_of(FakeSend().client()))


@pytest.mark.parametrize("version", [V4, V5])
@pytest.mark.parametrize("method", METHODS)
def test_key_is_only_in_the_header(method, version):
    answer = {"success": True, "integrationModule": {}, "configuration": {}}
    send = FakeSend(answer)
    calls_of(send.client(version=version))[method]()
    sent = send.sent[0]
    assert sent.pop("headers") == {"X-API-KEY": KEY}
    assert KEY not in json.dumps(sent)
    assert sent["system"] == "retailCRM"


@pytest.mark.parametrize("version", [V4, V5])
@pytest.mark.parametrize("method", METHODS)
def test_pace_is_called_with_the_right_rate_limit(method, version):
    answer = {"success": True, "integrationModule": {}, "configuration": {}}
    send = FakeSend(answer)
    calls_of(send.client(version=version))[method]()
    path = send.sent[0]["url"].removeprefix(ADDRESS)
    begins = path.removeprefix("/api").removeprefix(f"/{version}").startswith("/telephony")
    assert send.paced == ["telephony" if begins else "ordinary"]


@pytest.mark.parametrize("method", METHODS)
def test_structure_is_sent_as_one_json_string(method):
    send = FakeSend({"success": True, "integrationModule": {}})
    calls_of(send.client())[method]()
    for value in send.sent[0].get("body", {}).values():
        assert isinstance(value, str)


@pytest.mark.parametrize("method", METHODS)
def test_trailing_slash_of_the_address_is_removed(method):
    send = FakeSend({"success": True, "integrationModule": {}})
    calls_of(send.client(address=f"{ADDRESS}/"))[method]()
    assert send.sent[0]["url"].startswith(f"{ADDRESS}/api/")


def test_pace_is_optional():
    send = FakeSend({"success": True})
    assert RetailCrmClient(ADDRESS, KEY, send=send).versions() == ()


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (0, {"versions": 5}),
        (0, {"versions": "5.0"}),
        (1, {"scopes": [None]}),
        (3, {"settings": 5}),
        (4, {}),
        (6, {"notExistUsers": ["x"]}),
        (7, {"processedCallsCount": "many"}),
        (8, {"manager": {"id": "x"}}),
        (10, {"users": [{}]}),
    ],
)
def test_undocumented_answer_is_unexpected(method, answer):
    client = FakeSend({"success": True} | answer).client()
    with pytest.raises(http_client.UnexpectedReply):
        calls_of(client)[method]()


@responses.activate
def test_broken_connection_is_unavailable():
    responses.get(f"{ADDRESS}/api/api-versions", body=requests.ConnectionError("cut"))
    with pytest.raises(http_client.RemoteUnavailable):
        RetailCrmClient(ADDRESS, KEY).versions()


@pytest.mark.parametrize("text", ["[]", "1", "null", '"text"', "true"])
def test_json_that_is_not_an_object_is_unexpected(text):
    with pytest.raises(http_client.UnexpectedReply):
        FakeSend(Reply(200, {}, text)).client().versions()
