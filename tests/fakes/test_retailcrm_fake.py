"""The fake retailCRM stores what the vendor stores, and rejects what the vendor rejects."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
import responses

from tests.fakes.retailcrm import Account, Answer, FakeRetailCrm
from tests.fakes.retailcrm_faults import GARBLED

HOST = "acct-example.retailcrm.ru"
KEY = "fakeApiKey00000000000000000000ab"
FORM = "application/x-www-form-urlencoded"
CLIENT = "c0ffee00c0ffee00"
DENIED = {"success": False, "errorMsg": "Access denied."}
NO_METHOD = {"success": False, "errorMsg": "API method not found"}


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2025, 8, 20, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


class World:
    """A fake with one account, and short methods for requests."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.crm = FakeRetailCrm(now=self.clock)
        self.account: Account = self.crm.add_account()
        self.account.limits_on = False
        self.account.add_user(27, last_name="Manager")
        self.account.add_user(28)

    def request(self, method: str, path: str, *, query: str = "", body: str = "", **headers: str) -> Answer:
        sent = {"X-API-KEY": KEY, "Content-Type": FORM, **headers}
        return self.crm.serve(host=HOST, method=method, path=path, query=query, headers=sent, body=body.encode())

    def get(self, path: str, query: str = "") -> tuple[int, Any]:
        reply = self.request("GET", path, query=query)
        return reply.status, json.loads(reply.body)

    def post(self, path: str, **fields: Any) -> tuple[int, Any]:
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
        reply = self.request("POST", path, body=urlencode(texts))
        return reply.status, json.loads(reply.body)

    def register(self, **changes: Any) -> tuple[int, Any]:
        return self.post("/api/v5/integration-modules/uis-1/edit", integrationModule=module(**changes))

    def event(self, **changes: Any) -> tuple[int, Any]:
        sent = {"phone": "+79990000001", "type": "in", "codes": ["101"], "callExternalId": "c1", **changes}
        return self.post("/api/v5/telephony/call/event", event=sent)

    def upload(self, *calls: dict[str, Any]) -> tuple[int, Any]:
        return self.post("/api/v5/telephony/calls/upload", calls=list(calls))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ready(world: World) -> World:
    """An account with active telephony: extension 101 is user 27, 102 is user 28."""
    assert world.register() == (201, {"success": True, "info": []})
    return world


def module(**changes: Any) -> dict[str, Any]:
    codes = [{"userId": 27, "code": "101"}, {"userId": "28", "code": "102"}]
    telephony = {"makeCallUrl": "https://pbx.example.com/call", "additionalCodes": codes}
    return {
        "code": "uis-1",
        "integrationCode": "uis",
        "active": True,
        "clientId": CLIENT,
        "baseUrl": "https://pbx.example.com",
        "integrations": {"telephony": telephony},
        **changes,
    }


def call(external_id: str | None = "1", **changes: Any) -> dict[str, Any]:
    sent = {"date": "2025-08-20 14:30:05", "type": "in", "phone": "+79990000001", "result": "answered"}
    return {**sent, "code": "101", "externalId": external_id, **changes}


def api_error(message: str, **errors: str) -> dict[str, Any]:
    return {"success": False, "errorMsg": message, **({"errors": errors} if errors else {})}


# Keys, scopes, versions, methods.


@pytest.mark.parametrize(
    ("headers", "message"),
    [({"X-API-KEY": ""}, '"apiKey" is missing.'), ({"X-API-KEY": "no"}, 'Wrong "apiKey" value.')],
)
def test_key_missing_or_wrong_is_403(world: World, headers: dict[str, str], message: str) -> None:
    reply = world.request("GET", "/api/credentials", **headers)
    assert (reply.status, json.loads(reply.body)) == (403, api_error(message))


def test_key_is_accepted_in_query_and_form(world: World) -> None:
    assert world.request("GET", "/api/v5/users", query=f"apiKey={KEY}", **{"X-API-KEY": ""}).status == 200
    body = urlencode({"apiKey": KEY, "status": "busy"})
    assert world.request("POST", "/api/v5/users/27/status", body=body, **{"X-API-KEY": ""}).status == 200
    assert [request.key_in_header for request in world.crm.requests] == [True, True]


def test_key_in_header_is_recorded() -> None:
    world = World()
    world.crm.serve(host=HOST, method="GET", path="/api/credentials", query=f"apiKey={KEY}", headers={}, body=b"")
    assert [(request.key_in_header, request.status) for request in world.crm.requests] == [(False, 200)]


@pytest.mark.parametrize(
    ("path", "scope"),
    [("/users", "user_read"), ("/telephony/manager", "telephony_read"), ("/settings", "reference_read")],
)
def test_scope_missing_is_403(world: World, path: str, scope: str) -> None:
    world.account.scopes.discard(scope)
    assert world.get(f"/api/v5{path}") == (403, DENIED)


def test_key_of_the_old_kind_has_method_patterns(world: World) -> None:
    world.account.credentials = ["/api/users/{id}"]
    assert world.get("/api/v5/users/27")[0] == 200
    assert world.get("/api/v5/users") == (403, DENIED)
    reply = world.get("/api/credentials")[1]
    assert (reply["scopes"], reply["credentials"]) == ([], ["/api/users/{id}"])


def test_credentials_name_scopes_and_sites(world: World) -> None:
    reply = world.get("/api/credentials")[1]
    assert reply["scopes"] == sorted(world.account.scopes)
    assert "/api/integration-modules/{code}/edit" in reply["credentials"]
    assert (reply["siteAccess"], reply["sitesAvailable"]) == ("access_selective", ["shop-one"])


def test_unknown_account_answers_by_method(world: World) -> None:
    def request(method: str) -> Answer:
        return world.crm.serve(host="no.simla.com", method=method, path="/api/v5/users", query="", headers={}, body=b"")

    assert (request("GET").status, json.loads(request("GET").body)) == (404, api_error("Account does not exist."))
    assert (request("POST").status, request("POST").body[:6], request("POST").headers["Content-Type"][:9]) == (
        405,
        "<html>",
        "text/html",
    )


@pytest.mark.parametrize(
    "path",
    ["/api/v5/credentials", "/api//v5/users", "/api/v5/users/", "/api/v5/telephony/setting/x", "/api/v4/settings"],
)
def test_absent_method_is_404(world: World, path: str) -> None:
    assert world.get(path) == (404, NO_METHOD)


def test_leading_double_slash_is_404(world: World) -> None:
    assert world.request("GET", "//api/v5/users").status == 404


def test_wrong_http_method_is_405(world: World) -> None:
    assert world.get("/api/v5/telephony/call/event") == (405, api_error("Method Not Allowed"))


def test_versions_can_be_switched_off(world: World) -> None:
    world.account.serves_v5 = False
    assert world.get("/api/v5/users") == (404, NO_METHOD)
    assert world.get("/api/v4/users")[0] == 200
    assert world.get("/api/api-versions")[1]["versions"] == ["3.0", "4.0"]


def test_system_info_needs_no_key_and_has_the_technical_host(world: World) -> None:
    host = world.account.technical_host
    reply = world.crm.serve(host=host, method="GET", path="/api/system-info", query="", headers={}, body=b"")
    assert json.loads(reply.body)["publicUrl"] == f"https://{HOST}"


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        ("", FORM, "Parameter 'event' is missing"),
        ("event[phone]=1", FORM, 'Input value "event" contains a non-scalar value'),
        ('{"event": {"phone": "1"}}', "application/json", 'Input value "event" contains a non-scalar value'),
        ('{"event": "{}"}', "application/json", "Parameter 'event' is missing"),
        ("event={}", "text/plain", "Parameter 'event' is missing"),
    ],
)
def test_invalid_form_is_400(world: World, body: str, content_type: str, message: str) -> None:
    reply = world.request("POST", "/api/v5/telephony/call/event", body=body, **{"Content-Type": content_type})
    assert (reply.status, json.loads(reply.body)) == (400, api_error(message))


# Limits, faults, mounting.


@pytest.mark.parametrize(("path", "limit"), [("/api/v5/users", 10), ("/api/v4/telephony/manager", 40)])
def test_rate_limit_is_a_sliding_window(world: World, path: str, limit: int) -> None:
    world.account.limits_on = True
    for _ in range(limit):
        assert world.request("GET", path, query="phone=1").status == 200
    reply = world.request("GET", path)
    assert (reply.status, reply.body, world.crm.over_limit) == (503, "Service Temporarily Unavailable", 1)
    world.account.limit_status = 429
    assert world.request("GET", path).status == 429
    world.clock.at += timedelta(seconds=1)
    assert world.request("GET", path, query="phone=1").status == 200


def test_faults_apply_in_order_and_expire(world: World) -> None:
    world.crm.break_down("429", times=1, retry_after=7)
    world.crm.break_down("timeout", times=1, path_part="/users")
    first = world.request("GET", "/api/v5/users")
    assert (first.status, first.headers["Retry-After"]) == (429, "7")
    assert [world.request("GET", path).status for path in ("/api/credentials", "/api/v5/users", "/api/v5/users")] == [
        200,
        504,
        200,
    ]
    world.crm.break_down("html", host=HOST)
    assert world.request("GET", "/api/v5/users").body.startswith("<html>")
    world.crm.repair()
    assert world.get("/api/v5/users")[0] == 200


@pytest.mark.parametrize("kind", GARBLED)
def test_garbled_answer_follows_an_executed_request(ready: World, kind: str) -> None:
    ready.crm.break_down(kind, times=1)
    sent = urlencode({"calls": json.dumps([call()])})
    answer = ready.request("POST", "/api/v5/telephony/calls/upload", body=sent)
    assert (answer.status, answer.headers["Content-Type"][:16]) == (200, "application/json")
    assert "errorMsg" not in answer.body
    assert len(ready.account.calls) == 1


def test_unknown_fault_is_an_error(world: World) -> None:
    with pytest.raises(ValueError, match="Unknown kind"):
        world.crm.break_down("earthquake")


def test_mounted_fake_answers_and_fails(ready: World) -> None:
    url, headers = f"https://{HOST}/api/v5/telephony/calls/upload", {"X-API-KEY": KEY}
    with responses.RequestsMock() as mock:
        ready.crm.mount(mock)
        assert requests.get(f"https://{HOST}/api/v5/users", headers=headers, timeout=1).json()["success"] is True
        for kind in ("timeout", "refused", "cut"):
            ready.crm.break_down(kind, times=1)
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(url, headers=headers, data={"calls": json.dumps([call()])}, timeout=1)
        for _ in range(2):
            with pytest.raises(requests.exceptions.ConnectionError):
                requests.post(url, headers=headers, data={"calls": json.dumps([call()])}, timeout=1)
        sent = {"calls": (None, json.dumps([call()]))}
        assert requests.post(url, headers=headers, files=sent, timeout=1).json()["duplicateCalls"] == ["1"]
    assert [request.status for request in ready.crm.requests][-4:] == [504, 502, 200, 200]
    assert ready.crm.requests[-1].form == {"calls": [call()]}


# Telephony: modules of v5, settings of v4.


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"logo": "https://x.example.com/logo.png"}, {"logo": "Logo image must be svg"}),
        ({"baseUrl": None}, {"baseUrl": "This value should not be blank."}),
        ({"clientId": ""}, {"clientId": "This value should not be blank."}),
        ({"actions": {"open": "/x"}}, {"actions": "The value you selected is not a valid choice."}),
        ({"code": "other"}, {"code": "This value is not valid."}),
        ({"active": "true"}, {"active": "This value is not valid."}),
        (
            {"integrationCode": None},
            {"name": "This value should not be blank.", "logo": "This value should not be blank."},
        ),
        (
            {"integrations": {"telephony": {"additionalCodes": [{"userId": 27, "code": 101}]}}},
            {"integrations.telephony.additionalCodes[0].code": "This value is not valid."},
        ),
    ],
)
def test_invalid_module_is_rejected(world: World, changes: dict[str, Any], errors: dict[str, str]) -> None:
    assert world.register(**changes) == (400, api_error("Errors in the entity format", **errors))
    assert world.account.modules == {}


def test_module_code_must_start_with_the_integration_code(world: World) -> None:
    errors = {"code": "Code prefix must match integrationCode"}
    assert world.register(integrationCode="fake") == (400, api_error("Failed to activate module", **errors))


def test_errors_can_be_a_list(world: World) -> None:
    world.account.errors_as_list = True
    assert world.register(clientId=None)[1]["errors"] == ["clientId: This value should not be blank."]


def test_module_edit_replaces_and_get_hides_the_client_id(ready: World) -> None:
    ready.account.modules["uis-1"]["freeze"] = True
    status, _ = ready.register(freeze=False, integrations={"telephony": {"allowEdit": True}})
    stored = ready.get("/api/v5/integration-modules/uis-1")[1]["integrationModule"]
    assert (status, stored["freeze"], "clientId" in stored) == (200, True, False)
    assert stored["integrations"]["telephony"]["additionalCodes"] == []
    assert ready.account.modules["uis-1"]["clientId"] == CLIENT


def test_module_reports_unknown_users_and_sites(world: World) -> None:
    codes = [{"userId": 999, "code": "9"}]
    phones = [{"siteCode": "no-such-shop", "externalPhone": "+74950000001"}]
    reply = world.register(integrations={"telephony": {"additionalCodes": codes, "externalPhones": phones}})
    assert reply[1]["info"] == {"notExistUsersIds": [999], "notExistSiteCodes": ["no-such-shop"]}


def test_telephony_fields_elsewhere_are_ignored(world: World) -> None:
    fields = {"additionalCodes": [{"userId": 27, "code": "101"}]}
    assert world.register(integrations=None, **fields)[0] == 201
    assert world.account.modules["uis-1"]["integrations"] == {}
    assert world.event() == (200, api_error("Telephony not enabled"))


def test_unknown_module_is_404(world: World) -> None:
    assert world.get("/api/v5/integration-modules/none") == (404, api_error("Not found"))


def test_update_scopes_gives_a_new_key_to_simple_connections(ready: World) -> None:
    path, requires = "/api/v5/integration-modules/uis-1/update-scopes", {"scopes": ["user_read"]}
    assert ready.post(path, requires=requires) == (400, api_error("Not enabled simple connection"))
    ready.account.simple_connection = True
    assert ready.post(path, requires=requires)[1]["apiKey"] == ready.account.key != KEY
    assert ready.account.scopes == {"user_read"}


def test_v4_setting_is_created_changed_and_returned(world: World) -> None:
    path = "/api/v4/telephony/setting/uis"
    start = {"code": "uis", "clientId": CLIENT, "active": True}
    blank = {"name": "This value should not be blank.", "makeCallUrl": "This value should not be blank."}
    assert world.post(f"{path}/edit", configuration=start) == (400, api_error("Errors in the entity format", **blank))
    full = {**start, "name": "UIS", "makeCallUrl": "https://pbx.example.com/call"}
    assert world.post(f"{path}/edit", configuration=full) == (201, {"success": True})
    codes = [{"userId": 27, "code": "101"}]
    assert world.post(f"{path}/edit", configuration={**start, "additionalCodes": codes}) == (200, {"success": True})
    shown = world.get(path)[1]["configuration"]
    assert (shown["name"], shown["additionalCodes"], "clientId" in shown) == ("UIS", codes, False)
    assert world.event() == (200, {"success": True})
    assert list(world.account.popups()) == [27]


def test_v4_can_be_switched_off(world: World) -> None:
    world.account.serves_v4 = False
    assert world.get("/api/v4/telephony/setting/uis") == (404, NO_METHOD)
    assert world.get("/api/api-versions")[1]["versions"] == ["3.0", "5.0"]


# Events and pop-ups.


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"phone": ""}, "phone"),
        ({"type": "ring"}, "type"),
        ({"codes": []}, "codes"),
        ({"codes": [101]}, "codes"),
        ({"userIds": ["27"]}, "userIds"),
        ({"hangupStatus": "no answer"}, "hangupStatus"),
        ({"site": "no-such-shop"}, "site"),
    ],
)
def test_invalid_event_is_rejected(ready: World, changes: dict[str, Any], field: str) -> None:
    status, reply = ready.event(**changes)
    assert (status, reply["errorMsg"], list(reply["errors"])) == (400, "Errors in the entity format", [field])
    assert ready.account.events == []


def test_event_needs_the_site_when_there_are_several(ready: World) -> None:
    ready.account.sites.append("shop-two")
    assert ready.event()[1]["errors"] == {"site": "This value should not be blank."}
    assert ready.event(site="shop-two") == (200, {"success": True})


@pytest.mark.parametrize("state", [{"active": False}, {"freeze": True}])
def test_event_needs_active_telephony(ready: World, state: dict[str, bool]) -> None:
    ready.account.modules["uis-1"] |= state
    assert ready.event() == (200, api_error("Telephony not enabled"))


def test_event_reports_unknown_codes_and_users(ready: World) -> None:
    reply = ready.event(codes=["101", "999"], userIds=[28, 888], hangupStatus=None)
    assert reply == (200, {"success": True, "notExistCodes": ["999"], "notExistUsers": [888]})
    card = {"phone": "+79990000001", "type": "in", "callExternalId": "c1"}
    assert ready.account.popups() == {27: [card], 28: [card]}
    assert ready.account.events[0]["_at"] == ready.clock.at


def test_hangup_closes_the_named_users_popups(ready: World) -> None:
    ready.event(codes=["101", "102"])
    ready.event(codes=["101"], callExternalId="c2")
    ready.event(type="hangup", hangupStatus="answered")
    assert [(user, [card["callExternalId"] for card in cards]) for user, cards in ready.account.popups().items()] == [
        (27, ["c2"]),
        (28, ["c1"]),
    ]


def test_hangup_without_answer_leaves_a_notice(ready: World) -> None:
    ready.event()
    ready.event()
    ready.event(type="hangup", hangupStatus="no answered")
    assert ready.account.popups() == {27: [{"missed": True}]}


# The call history.


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"date": "2025-08-20T14:30:05"}, "date"),
        ({"date": "2025-08-20 15:00:01"}, "date"),
        ({"date": "2025-13-20 14:30:05"}, "date"),
        ({"type": "hangup"}, "type"),
        ({"result": "no answered"}, "result"),
        ({"result": None}, "result"),
        ({"phone": None}, "phone"),
        ({"externalId": 1}, "externalId"),
        ({"externalId": "x" * 256}, "externalId"),
        ({"recordUrl": "records/1.mp3"}, "recordUrl"),
        ({"recordUrl": "https://x.example.com/" + "x" * 255}, "recordUrl"),
        ({"duration": "5"}, "duration"),
    ],
)
def test_one_invalid_call_rejects_the_batch(ready: World, changes: dict[str, Any], field: str) -> None:
    status, reply = ready.upload(call("1"), call("2", **changes))
    assert (status, reply["errorMsg"], list(reply["errors"])) == (
        400,
        "Errors in the entity format",
        [f"calls[1].{field}"],
    )
    assert (ready.account.calls, ready.account.uploads) == ([], [])


def test_calls_must_be_a_list_of_at_most_fifty(ready: World) -> None:
    assert ready.post("/api/v5/telephony/calls/upload", calls=call())[1]["errors"] == {
        "calls": "This value is not valid."
    }
    assert ready.upload(*[call(str(number)) for number in range(51)])[0] == 400
    assert ready.upload(*[call(str(number)) for number in range(50)])[1]["processedCallsCount"] == 50


def test_upload_needs_active_telephony(world: World) -> None:
    assert world.upload(call()) == (200, api_error("Telephony not enabled or not supports calls upload"))


def test_repeated_calls_are_reported_and_not_updated(ready: World) -> None:
    first, other = call("1"), call("2", code="999", result="no answer")
    assert ready.upload(first) == (200, {"success": True, "processedCallsCount": 1})
    reply = ready.upload(call("1", code="102"), other)
    assert reply == (200, {"success": True, "processedCallsCount": 1, "duplicateCalls": ["1"]})
    stored = [{name: value for name, value in one.items() if name != "_at"} for one in ready.account.calls]
    assert stored == [{**first, "_manager": 27}, {**other, "_manager": None}]
    assert len(ready.account.uploads) == 2


def test_calls_list_is_newest_first_and_paged(ready: World) -> None:
    ready.upload(call("1"), call("2", date="2025-08-20 14:50:00", result="busy"), call("3", date="2025-08-19 09:00:00"))
    _, first = ready.get("/api/v5/telephony/calls", "limit=2")
    _, rest = ready.get("/api/v5/telephony/calls", f"limit=2&cursor={first['pagination']['nextCursor']}")
    assert [row["externalId"] for row in first["calls"] + rest["calls"]] == ["2", "1", "3"]
    assert (first["calls"][0]["isMissed"], first["calls"][1]["manager"]["id"], rest["pagination"]) == (True, 27, {})
    assert ready.get("/api/v5/telephony/calls", "cursor=nonsense")[0] == 400
    ready.account.serves_calls_list = False
    assert ready.get("/api/v5/telephony/calls") == (404, NO_METHOD)


# Users.


def test_manager_is_found_by_digits(ready: World) -> None:
    ready.account.responsible["79990000001"] = 27
    manager = {"id": 27, "firstName": "Test", "lastName": "Manager", "code": "101"}
    for phone in ("%2B79990000001", "89990000001"):
        assert ready.get("/api/v5/telephony/manager", f"phone={phone}") == (200, {"success": True, "manager": manager})
    ready.account.users[27]["status"] = "dinner"
    assert "manager" not in ready.get("/api/v5/telephony/manager", "phone=79990000001")[1]
    assert "manager" in ready.get("/api/v5/telephony/manager", "phone=79990000001&ignoreStatus=1")[1]


def test_manager_links_carry_the_number(ready: World) -> None:
    _, reply = ready.get("/api/v5/telephony/manager", "phone=%2B7999&details=1")
    assert sorted(reply) == ["links", "success"]
    assert reply["links"]["newOrderLink"] == f"https://{HOST}/orders/add?phone=%2B7999"
    assert ready.get("/api/v5/telephony/manager") == (400, api_error("Parameter 'phone' is missing"))
    assert ready.get("/api/v5/telephony/manager", "phone=1&details=true")[0] == 400


def test_users_are_paginated(world: World) -> None:
    for number in range(100, 120):
        world.account.add_user(number, active=False)
    status, reply = world.get("/api/v5/users", "page=2")
    assert (status, [user["id"] for user in reply["users"]]) == (200, [118, 119])
    assert reply["pagination"] == {"limit": 20, "totalCount": 22, "currentPage": 2, "totalPageCount": 2}
    assert [user["id"] for user in world.get("/api/v4/users", "filter[active]=1")[1]["users"]] == [27, 28]
    errors = {"limit": "The value you selected is not a valid choice."}
    assert world.get("/api/v5/users", "limit=30") == (400, api_error("Errors in the input parameters", **errors))
    assert [world.get("/api/v5/users", query)[0] for query in ("filter[active]=true", "page=0")] == [400, 400]


def test_user_status_is_set(world: World) -> None:
    assert world.post("/api/v5/users/27/status", status="busy") == (200, {"success": True})
    assert world.get("/api/v5/users/27")[1]["user"]["status"] == "busy"
    assert world.post("/api/v5/users/27/status", status="asleep")[0] == 400
    assert world.post("/api/v5/users/27/status") == (400, api_error("Parameter 'status' is missing"))
    assert world.post("/api/v5/users/99/status", status="busy") == (404, api_error("Not found"))
    assert world.post("/api/v4/users/27/status", status="busy") == (404, NO_METHOD)
    assert world.get("/api/v5/users/99") == (404, api_error("Not found"))


def test_groups_and_settings_are_returned(world: World) -> None:
    assert [group["code"] for group in world.get("/api/v5/user-groups")[1]["groups"]] == ["director", "manager"]
    assert world.get("/api/v5/settings")[1]["settings"]["timezone"]["value"] == "Europe/Moscow"


# --- incomplete lists


def test_user_deleted_while_paging_moves_the_others_up(world: World) -> None:
    for user_id in range(100, 119):
        world.account.add_user(user_id)
    world.account.delete_user_while_paging(27)
    pages = [world.get("/api/v5/users", f"limit=20&page={page}")[1] for page in (1, 2)]
    assert [(len(page["users"]), page["pagination"]["totalCount"]) for page in pages] == [(20, 21), (0, 20)]
    assert 27 not in world.account.users


def test_shortened_list_of_users_is_whole_again_after_some_requests(world: World) -> None:
    world.account.shorten_users(keep=1)
    assert [world.get("/api/v5/users")[1]["pagination"]["totalCount"] for _ in range(2)] == [1, 2]
    world.account.shorten_users(times=None)
    assert world.get("/api/v5/users")[1]["users"] == []
    world.account.shorten_users(times=0)
    assert len(world.get("/api/v5/users")[1]["users"]) == 2


# --- a right missing for days, a wait of a day, a vendor that hangs


def test_missing_right_denies_its_methods_alone(world: World) -> None:
    world.account.scopes.remove("user_read")
    for _ in range(3):
        assert world.get("/api/v5/users")[0] == 403
        assert world.get("/api/v5/settings")[0] == 200
    world.account.scopes.add("user_read")
    assert world.get("/api/v5/users")[0] == 200


def test_outage_may_name_a_wait_of_a_day_or_a_date(world: World) -> None:
    for wait in (86_400, "Wed, 21 Oct 2026 07:28:00 GMT"):
        world.crm.break_down("503", times=1, retry_after=wait)
        answer = world.request("GET", "/api/v5/users")
        assert (answer.status, answer.headers["Retry-After"]) == (503, str(wait))


def test_vendor_that_hangs_lets_time_pass(world: World) -> None:
    waits: list[str] = []
    world.crm.hang = lambda: waits.append("hung")
    world.crm.break_down("timeout", times=1)
    with responses.RequestsMock() as mock:
        world.crm.mount(mock)
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"https://{HOST}/api/v5/users", timeout=5)
    assert waits == ["hung"]
