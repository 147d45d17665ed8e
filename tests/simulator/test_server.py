"""The simulator on its port: the vendors' addresses, the control interface, the page."""

import json
import time

import pytest
import requests

from tests.simulator.fixtures import CRM_KEY, UIS_TOKEN, World

RPC = {"jsonrpc": "2.0", "id": 1, "method": "get.account", "params": {"access_token": UIS_TOKEN}}
JSON = {"Content-Type": "application/json; charset=UTF-8"}


def rpc(ask):
    return ask("POST", "/uis/data/v2.0", data=json.dumps(RPC), headers=JSON)


def test_both_vendors_answer_on_one_port(ask):
    assert rpc(ask).json()["result"]["data"][0]["name"] == "ООО Пример"
    assert ask("GET", "/api/api-versions", headers={"X-API-KEY": CRM_KEY}).json()["success"] is True
    assert ask("GET", "/api/v5/users", headers={"X-API-KEY": "wrong"}).status_code == 403


@pytest.mark.parametrize("path", ["/uis/data/v1.0", "/nothing", "/favicon.ico"])
def test_unknown_address_is_not_found(ask, path):
    assert ask("GET", path).status_code == 404


def test_break_repair_and_count(ask):
    ask("POST", "/control/break", json={"side": "uis", "kind": "503", "method": "get.account"})
    ask("POST", "/control/break", json={"side": "crm", "kind": "429", "times": 1, "retry_after": 7})
    assert rpc(ask).status_code == 503
    assert ask("GET", "/api/api-versions").headers["Retry-After"] == "7"
    ask("POST", "/control/repair")
    assert rpc(ask).status_code == 200
    seen = ask("GET", "/control/state").json()
    assert seen["uis"]["requests"] == {"count": 2, "refused": 1, "by": {"get.account": 2}}


def test_delay_carries_out_at_once_and_answers_late(ask, world):
    ask("POST", "/control/delay", json={"side": "uis", "seconds": 0.3, "part": "get.account", "times": 1})
    began = time.monotonic()
    rpc(ask)
    assert time.monotonic() - began >= 0.3
    assert world.delays[0].left == 0
    began = time.monotonic()
    rpc(ask)
    assert time.monotonic() - began < 0.3


def test_reset_forgets_what_happened_and_keeps_people(ask, world):
    rpc(ask)
    world.pbx.call(contact="79990000001", number="74950000001")
    seen = ask("POST", "/control/reset").json()
    assert (seen["uis"]["requests"]["count"], seen["uis"]["calls"]) == (0, [])
    assert len(seen["uis"]["employees"]) == 3


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
def test_wrong_order_is_refused_with_a_sentence(ask, name, body):
    answer = ask("POST", f"/control/{name}", data=body)
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)


def test_order_by_get_is_refused(ask):
    assert ask("GET", "/control/reset").status_code == 405


def test_page_speaks_the_browsers_language(ask):
    russian = ask("GET", "/", headers={"Accept-Language": "ru-RU,en;q=0.5"}).text
    english = ask("GET", "/", headers={"Accept-Language": "de,en-GB;q=0.5"}).text
    chosen = ask("GET", "/?lang=en", headers={"Accept-Language": "ru"}).text
    assert ('lang="ru"' in russian, 'lang="en"' in english, "Missed" in chosen) == (True, True, True)


def test_page_shows_what_arrived_and_no_secret(ask, world):
    world.shop.calls.append(
        {"externalId": "uis-1", "recordUrl": "https://secret/", "clientId": "hidden", "_manager": 27}
    )
    world.shop.screens[27] = [{"phone": "+79990000001", "type": "in", "callExternalId": "<b>"}, {"missed": True}]
    shown = ask("GET", "/?lang=en").text
    assert ("uis-1" in shown, "<td>yes</td>" in shown, "&lt;b&gt;" in shown, "missed call" in shown) == (True,) * 4
    assert [word for word in ("https://secret/", "hidden", CRM_KEY, UIS_TOKEN) if word in shown] == []


def test_button_plays_and_leads_back(ask, world):
    world.hook = "http://127.0.0.1:9/hooks/uis/nobody/"
    answer = ask("POST", "/press?lang=en", data={"button": "whole/missed"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?lang=en")
    assert '"status": 0' in world.said
    ask("POST", "/press", data={"button": "in_crm/reset"})
    assert (world.said, world.pbx.sessions) == ("", {})


@pytest.mark.parametrize("button", ["whole/dance", "", "in_crm/click", "in_crm/status"])
def test_button_that_cannot_work_says_why(ask, world, button):
    assert ask("POST", "/press", data={"button": button}).status_code == 303
    assert world.said


def crm_of(ask, host):
    return ask("GET", "/api/api-versions", headers={"X-API-KEY": CRM_KEY, "Host": host})


def rpc_of(ask, token):
    asked = {**RPC, "params": {"access_token": token}}
    return ask("POST", "/uis/data/v2.0", data=json.dumps(asked), headers=JSON)


def test_each_client_has_accounts_of_his_own(ask, world):
    second = World(vendors=world.vendors)
    ask("POST", "/control/points", json={"client": 1, "minute": 7})
    assert rpc_of(ask, second.pbx.token).json()["result"]["meta_data"]["limits"]["minute_limit"] == 7
    assert rpc(ask).json()["result"]["meta_data"]["limits"]["minute_limit"] == 200
    assert crm_of(ask, second.crm_host).status_code == 200
    counts = [ask("GET", f"/control/state?client={client}").json()["crm"]["requests"]["count"] for client in (0, 1)]
    assert counts == [0, 1]
    assert ask("GET", "/control/state?client=2").status_code == 400


@pytest.mark.parametrize("side", ["uis", "crm"])
def test_one_clients_vendor_is_broken_and_the_others_is_not(ask, world, side):
    second = World(vendors=world.vendors)
    ask("POST", "/control/break", json={"client": 1, "side": side, "kind": "503"})
    said = {
        "uis": lambda one: rpc_of(ask, one.pbx.token).status_code,
        "crm": lambda one: crm_of(ask, one.crm_host).status_code,
    }
    assert [said[side](one) for one in (world, second)] == [200, 503]


@pytest.mark.parametrize("side", ["uis", "crm"])
def test_one_clients_key_is_revoked_and_given_back(ask, world, side):
    second = World(vendors=world.vendors)

    def is_let_in(one):
        if side == "uis":
            return "result" in rpc_of(ask, one.pbx.token).json()
        users = ask("GET", "/api/v5/users", headers={"X-API-KEY": CRM_KEY, "Host": one.crm_host})
        return users.status_code == 200

    ask("POST", "/control/revoke", json={"client": 1, "side": side})
    assert [is_let_in(one) for one in (world, second)] == [True, False]
    ask("POST", "/control/restore", json={"client": 1, "side": side})
    assert is_let_in(second)


def test_cut_carries_out_and_answers_nothing(ask, world):
    ask("POST", "/control/cut", json={"side": "uis", "times": 1})
    with pytest.raises(requests.ConnectionError):
        rpc(ask)
    assert len(world.uis.requests) == 1
    assert rpc(ask).status_code == 200


def test_notifications_are_held_back_or_dropped(ask, world):
    world.hook = "http://127.0.0.1:9/hooks/uis/nobody/"
    for wanted in ("drop", "hold"):
        ask("POST", "/control/notices", json={"do": wanted})
        played = ask("POST", "/control/play", json={"scene": "missed"}).json()
        assert {notice["status"] for notice in played["sent"]} == {200}
    late = ask("POST", "/control/notices", json={"do": "send"}).json()["sent_late"]
    assert (len(late), set(late)) == (5, {0})  # Nobody listens there, and those that were dropped are gone.


def test_traffic_is_of_many_clients_and_listed(ask, world):
    World(vendors=world.vendors)
    for one in world.vendors.worlds:
        one.hook, one.notices = "http://127.0.0.1:9/hooks/uis/nobody/", "drop"
    played = ask("POST", "/control/traffic", json={"times": 2, "kinds": ["missed", "transferred"]}).json()
    assert (played["calls"], played["refused"]) == (8, [])
    listed = ask("GET", "/control/ledger").json()
    assert {str(one["client"]): [call["session"] for call in one["sessions"]] for one in listed} == {
        client: sorted(sessions) for client, sessions in played["sessions"].items()
    }
    assert ask("POST", "/control/traffic", json={"kinds": ["fax"]}).status_code == 400
    assert ask("POST", "/control/traffic", json={"clients": [2]}).status_code == 400
