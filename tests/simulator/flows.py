"""The flows of the demonstration: from a request to the connector to the result in the CRM or UIS."""

import time
from collections.abc import Callable
from typing import Any

from tests.simulator.environment import SLUG, Environment
from tests.simulator.fixtures import IVAN, PETR

State = dict[str, Any]
USER_OF_IVAN, USER_OF_PETR = 27, 28


def play_all(environment: Environment, print_line: Callable[[str], None]) -> None:
    """Play every flow, and print one line for each. Raises EnvironmentFailure at the first one that fails."""
    for title, flow in FLOWS.items():
        started_at = time.monotonic()
        result = flow(environment)
        print_line(f"  ok  {title:<20} {time.monotonic() - started_at:5.1f} s  {result}")


def ringing(environment: Environment) -> str:
    """Two phones ring, pop-ups open, one employee answers, the other's pop-up closes; the end closes the last."""
    session = environment.play("ring", employees=[IVAN, PETR])["session"]
    _wait_for_popups(environment, session, [USER_OF_IVAN, USER_OF_PETR])
    environment.play("answer", session=session, employee=PETR)
    _wait_for_popups(environment, session, [USER_OF_PETR])
    environment.play("end", session=session)
    _wait_for_popups(environment, session, [])
    call = _wait_for_call(environment, session)
    return f"pop-ups for users 27 and 28, then only for 28, then none; {_describe(call)}"


def missed(environment: Environment) -> str:
    return _describe(_wait_for_call(environment, environment.play("missed")["session"]))


def answered(environment: Environment) -> str:
    """An answered call with a recording that can be played by the link in the CRM's history."""
    call = _wait_for_call(environment, environment.play("answered", employee=IVAN, talk=42)["session"])
    environment.wait_for(lambda: environment.is_playable(call["recordUrl"]), "the recording to be playable")
    return f"{_describe(call)}; the recording plays"


def click(environment: Environment) -> str:
    """A manager clicks a number: UIS dials, pop-ups open and close, the call is in the history."""
    before = len(environment.state()["uis"]["dialled"])
    phone = environment.play("click", user=USER_OF_IVAN)["phone"]
    environment.wait_for(
        lambda: len(environment.state()["uis"]["dialled"]) > before, "UIS to receive the request to dial"
    )
    session = environment.play("dialled")["session"]
    _wait_for_popups(environment, session, [USER_OF_IVAN])
    environment.play("end", session=session, talk=20)
    _wait_for_popups(environment, session, [])
    return f"UIS dialled {phone} for extension 101; {_describe(_wait_for_call(environment, session))}"


def status(environment: Environment) -> str:
    """A manager sets the status “dinner” in the CRM, then “free”."""
    for status_in_crm, expected in (("dinner", "break"), ("free", "available")):
        environment.play("status", user=USER_OF_IVAN, status=status_in_crm)
        environment.wait_for(_has_status(environment, IVAN, expected), f"the status {expected} in UIS")
    return "user 27 set “dinner” in the CRM: “break” in UIS; then “free”: “available”"


def sync(environment: Environment) -> str:
    """A new employee is added in both systems."""
    added = environment.play("sync")
    environment.manage("sync_employees", "--tenant", SLUG)

    def is_there() -> bool:
        modules = environment.state()["crm"]["modules"].values()
        return any(module["extensions"].get(added["extension"]) == added["user"] for module in modules)

    environment.wait_for(is_there, "the new extension in the CRM's module")
    return f"a new employee in UIS: extension {added['extension']} of user {added['user']} in the module"


FLOWS: dict[str, Callable[[Environment], str]] = {
    "a ringing call": ringing,
    "a missed call": missed,
    "an answered call": answered,
    "a click-to-call": click,
    "a status change": status,
    "a sync of employees": sync,
}


def _wait_for_popups(environment: Environment, session: int, users: list[int]) -> None:
    expected = sorted(map(str, users))
    environment.wait_for(
        lambda: _users_with_popup(environment.state(), session) == expected,
        f"pop-ups of call {session} for users {users}",
    )


def _users_with_popup(state: State, session: int) -> list[str]:
    screens = state["crm"]["popups"].items()
    return sorted(
        user for user, cards in screens if any(card.get("callExternalId") == f"uis-{session}" for card in cards)
    )


def _wait_for_call(environment: Environment, session: int) -> State:
    """Wait until the call is in the CRM's history, and return it."""
    environment.wait_for(lambda: _find(environment.state(), session), f"call {session} in the CRM's history")
    return _find(environment.state(), session) or {}


def _find(state: State, session: int) -> State | None:
    return next((call for call in state["crm"]["calls"] if call.get("externalId") == f"uis-{session}"), None)


def _has_status(environment: Environment, uis_id: int, expected: str) -> Callable[[], bool]:
    return lambda: any(
        employee["id"] == uis_id and employee["status"] == expected
        for employee in environment.state()["uis"]["employees"]
    )


def _describe(call: State) -> str:
    """Describe the call in the CRM's history."""
    recording = "with a recording" if call.get("recordUrl") else "no recording"
    talk = f"{call.get('duration', 0)} s, {recording}" if call["result"] == "answered" else "no talk"
    owner = f"user {call['manager']}" if call["manager"] else "none"
    return f"history: {call['type']}, {call['result']}, {call['phone']}, {talk}, owner: {owner}"
