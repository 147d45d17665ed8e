"""The simulator on its port: the vendors' addresses, the control interface, the page."""

import json
import time

import pytest

from tests.simulator.world import CRM_KEY, UIS_TOKEN

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
