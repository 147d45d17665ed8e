"""The simulator's HTTP server: the vendors' APIs, the control interface, the page."""

import json
import time

import pytest
import requests

from tests.simulator.fixtures import CRM_KEY, UIS_TOKEN, SimulatedTenant

RPC = {"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": UIS_TOKEN}}
JSON = {"Content-Type": "application/json; charset=UTF-8"}


def rpc(http):
    return http("POST", "/uis/data/v2.0", data=json.dumps(RPC), headers=JSON)


def test_both_vendors_answer_on_one_port(http):
    assert rpc(http).json()["result"]["data"][0]["name"] == "ООО Пример"
    assert http("GET", "/api/api-versions", headers={"X-API-KEY": CRM_KEY}).json()["success"] is True
    assert http("GET", "/api/v5/users", headers={"X-API-KEY": "wrong"}).status_code == 403


@pytest.mark.parametrize("path", ["/uis/data/v1.0", "/nothing", "/favicon.ico"])
def test_unknown_address_is_not_found(http, path):
    assert http("GET", path).status_code == 404


def test_break_repair_and_count(http):
    http("POST", "/control/break", json={"side": "uis", "kind": "503", "method": "get.account"})
    http("POST", "/control/break", json={"side": "crm", "kind": "429", "times": 1, "retry_after": 7})
    assert rpc(http).status_code == 503
    assert http("GET", "/api/api-versions").headers["Retry-After"] == "7"
    http("POST", "/control/repair")
    assert rpc(http).status_code == 200
    state = http("GET", "/control/state").json()
    assert state["uis"]["requests"] == {"count": 2, "refused": 1, "by": {"get.account": 2}}


def test_delay_executes_at_once_and_answers_late(http, simulated):
    http("POST", "/control/delay", json={"side": "uis", "seconds": 0.3, "part": "get.account", "times": 1})
    started_at = time.monotonic()
    rpc(http)
    assert time.monotonic() - started_at >= 0.3
    assert simulated.delays[0].remaining == 0
    started_at = time.monotonic()
    rpc(http)
    assert time.monotonic() - started_at < 0.3


def test_reset_deletes_calls_and_keeps_employees(http, simulated):
    rpc(http)
    simulated.pbx.call(contact="79990000001", number="74950000001")
    state = http("POST", "/control/reset").json()
    assert (state["uis"]["requests"]["count"], state["uis"]["calls"]) == (0, [])
    assert len(state["uis"]["employees"]) == 3


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("dance", b"{}"),
        ("play", b"[]"),
        ("play", b"{"),
        ("play", b'{"scene": "missed"}'),
        ("connect", b'{"hook": "somewhere"}'),
        ("break", b'{"side": "both", "kind": "503"}'),
        ("break", b'{"side": "crm", "kind": "earthquake"}'),
        ("delay", b'{"side": "crm", "seconds": "long"}'),
        ("notices", b'{"do": "burn"}'),
        ("revoke", b'{"side": "both"}'),
        ("play", b'{"scene": "missed", "client": 1}'),
    ],
)
def test_invalid_command_is_rejected_with_a_message(http, name, body):
    answer = http("POST", f"/control/{name}", data=body)
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)


def test_command_by_get_is_rejected(http):
    assert http("GET", "/control/reset").status_code == 405


def test_page_uses_the_browsers_language(http):
    russian = http("GET", "/", headers={"Accept-Language": "ru-RU,en;q=0.5"}).text
    english = http("GET", "/", headers={"Accept-Language": "de,en-GB;q=0.5"}).text
    chosen = http("GET", "/?lang=en", headers={"Accept-Language": "ru"}).text
    assert ('lang="ru"' in russian, 'lang="en"' in english, "Missed" in chosen) == (True, True, True)


def test_page_shows_received_data_and_no_secret(http, simulated):
    simulated.crm_account.calls.append(
        {"externalId": "uis-1", "recordUrl": "https://secret/", "clientId": "hidden", "_manager": 27}
    )
    simulated.crm_account.screens[27] = [
        {"phone": "+79990000001", "type": "in", "callExternalId": "<b>"},
        {"missed": True},
    ]
    shown = http("GET", "/?lang=en").text
    assert ("uis-1" in shown, "<td>yes</td>" in shown, "&lt;b&gt;" in shown, "missed call" in shown) == (True,) * 4
    assert [word for word in ("https://secret/", "hidden", CRM_KEY, UIS_TOKEN) if word in shown] == []


def test_button_plays_and_redirects(http, simulated):
    simulated.hook = "http://127.0.0.1:9/hooks/uis/nobody/"
    answer = http("POST", "/press?lang=en", data={"button": "call/missed"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?lang=en")
    assert '"status": 0' in simulated.last_reply
    http("POST", "/press", data={"button": "in_crm/reset"})
    assert (simulated.last_reply, simulated.pbx.sessions) == ("", {})


@pytest.mark.parametrize("button", ["call/dance", "", "in_crm/click", "in_crm/status"])
def test_button_reports_an_error(http, simulated, button):
    assert http("POST", "/press", data={"button": button}).status_code == 303
    assert simulated.last_reply


def crm_at_host(http, host):
    return http("GET", "/api/api-versions", headers={"X-API-KEY": CRM_KEY, "Host": host})


def rpc_with_token(http, token):
    body = {**RPC, "params": {"access_token": token}}
    return http("POST", "/uis/data/v2.0", data=json.dumps(body), headers=JSON)


def test_each_client_has_separate_accounts(http, simulated):
    second = SimulatedTenant(vendors=simulated.vendors)
    http("POST", "/control/points", json={"client": 1, "minute": 7})
    assert rpc_with_token(http, second.pbx.token).json()["result"]["meta_data"]["limits"]["minute_limit"] == 7
    assert rpc(http).json()["result"]["meta_data"]["limits"]["minute_limit"] == 200
    assert crm_at_host(http, second.crm_host).status_code == 200
    counts = [http("GET", f"/control/state?client={client}").json()["crm"]["requests"]["count"] for client in (0, 1)]
    assert counts == [0, 1]
    assert http("GET", "/control/state?client=2").status_code == 400


@pytest.mark.parametrize("side", ["uis", "crm"])
def test_fault_affects_one_client(http, simulated, side):
    second = SimulatedTenant(vendors=simulated.vendors)
    http("POST", "/control/break", json={"client": 1, "side": side, "kind": "503"})
    statuses = {
        "uis": lambda one: rpc_with_token(http, one.pbx.token).status_code,
        "crm": lambda one: crm_at_host(http, one.crm_host).status_code,
    }
    assert [statuses[side](one) for one in (simulated, second)] == [200, 503]


@pytest.mark.parametrize("side", ["uis", "crm"])
def test_one_clients_key_is_revoked_and_restored(http, simulated, side):
    second = SimulatedTenant(vendors=simulated.vendors)

    def has_access(one):
        if side == "uis":
            return "result" in rpc_with_token(http, one.pbx.token).json()
        users = http("GET", "/api/v5/users", headers={"X-API-KEY": CRM_KEY, "Host": one.crm_host})
        return users.status_code == 200

    http("POST", "/control/revoke", json={"client": 1, "side": side})
    assert [has_access(one) for one in (simulated, second)] == [True, False]
    http("POST", "/control/restore", json={"client": 1, "side": side})
    assert has_access(second)


def test_cut_executes_and_closes_the_connection(http, simulated):
    http("POST", "/control/cut", json={"side": "uis", "times": 1})
    with pytest.raises(requests.ConnectionError):
        rpc(http)
    assert len(simulated.uis.requests) == 1
    assert rpc(http).status_code == 200


def test_notifications_are_held_or_dropped(http, simulated):
    simulated.hook = "http://127.0.0.1:9/hooks/uis/nobody/"
    for wanted in ("drop", "hold"):
        http("POST", "/control/notices", json={"do": wanted})
        played = http("POST", "/control/play", json={"scene": "missed"}).json()
        assert {notice["status"] for notice in played["sent"]} == {200}
    late = http("POST", "/control/notices", json={"do": "send"}).json()["sent_late"]
    assert (len(late), set(late)) == (5, {0})  # Nobody listens there; dropped ones are gone.


def test_traffic_is_of_many_clients_and_listed(http, simulated):
    SimulatedTenant(vendors=simulated.vendors)
    for one in simulated.vendors.tenants:
        one.hook, one.delivery = "http://127.0.0.1:9/hooks/uis/nobody/", "drop"
    played = http("POST", "/control/traffic", json={"times": 2, "kinds": ["missed", "transferred"]}).json()
    assert (played["calls"], played["refused"]) == (8, [])
    listed = http("GET", "/control/calls_by_client").json()
    assert {str(one["client"]): [call["session"] for call in one["sessions"]] for one in listed} == {
        client: sorted(sessions) for client, sessions in played["sessions"].items()
    }
    assert http("POST", "/control/traffic", json={"kinds": ["fax"]}).status_code == 400
    assert http("POST", "/control/traffic", json={"clients": [2]}).status_code == 400
