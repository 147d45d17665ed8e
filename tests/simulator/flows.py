"""The walks of the demonstration: each goes in through the public door, and is over when the CRM or UIS shows it."""

import time
from collections.abc import Callable
from typing import Any

from tests.simulator.environment import SLUG, Stage
from tests.simulator.fixtures import IVAN, PETR

State = dict[str, Any]
USER_OF_IVAN, USER_OF_PETR = 27, 28


def play_all(stage: Stage, say: Callable[[str], None]) -> None:
    """Play every walk, one line for each. Raises Stopped at the first that does not arrive."""
    for title, walk in WALKS.items():
        began = time.monotonic()
        arrived = walk(stage)
        say(f"  ok  {title:<20} {time.monotonic() - began:5.1f} s  {arrived}")


def ringing(stage: Stage) -> str:
    """Two phones ring, cards appear, one answers, the other's card closes, the end closes the last."""
    session = stage.play("ring", employees=[IVAN, PETR])["session"]
    _await_cards(stage, session, [USER_OF_IVAN, USER_OF_PETR])
    stage.play("answer", session=session, employee=PETR)
    _await_cards(stage, session, [USER_OF_PETR])
    stage.play("end", session=session)
    _await_cards(stage, session, [])
    call = _await_call(stage, session)
    return f"cards on the screens of users 27 and 28, then only of 28, then none; {_told(call)}"


def missed(stage: Stage) -> str:
    """Nobody takes a call."""
    return _told(_await_call(stage, stage.play("missed")["session"]))


def answered(stage: Stage) -> str:
    """A call that was taken, with a recording that is heard by the link in the CRM's history."""
    call = _await_call(stage, stage.play("answered", employee=IVAN, talk=42)["session"])
    stage.wait_for(lambda: stage.is_heard(call["recordUrl"]), "the recording to be heard")
    return f"{_told(call)} that is heard"


def click(stage: Stage) -> str:
    """A manager clicks a number: UIS dials, the cards come and go, the call is in the history."""
    before = len(stage.state()["uis"]["dialled"])
    phone = stage.play("click", user=USER_OF_IVAN)["phone"]
    stage.wait_for(lambda: len(stage.state()["uis"]["dialled"]) > before, "UIS to be asked to dial")
    session = stage.play("dialled")["session"]
    _await_cards(stage, session, [USER_OF_IVAN])
    stage.play("end", session=session, talk=20)
    _await_cards(stage, session, [])
    return f"UIS dialled {phone} for extension 101; {_told(_await_call(stage, session))}"


def status(stage: Stage) -> str:
    """A manager goes to dinner in the CRM, and comes back."""
    for wanted, expected in (("dinner", "break"), ("free", "available")):
        stage.play("status", user=USER_OF_IVAN, status=wanted)
        arrived = _status_of(stage, IVAN, expected)
        stage.wait_for(arrived, f"the status {expected} in UIS")
    return "user 27 went to dinner in the CRM: “break” in UIS; came back: “available”"


def sync(stage: Stage) -> str:
    """Somebody is hired."""
    hired = stage.play("sync")
    stage.manage("sync_employees", "--tenant", SLUG)

    def is_there() -> bool:
        modules = stage.state()["crm"]["modules"].values()
        return any(module["extensions"].get(hired["extension"]) == hired["user"] for module in modules)

    stage.wait_for(is_there, "the new extension in the CRM's module")
    return f"a new employee in UIS: extension {hired['extension']} of user {hired['user']} in the module"


WALKS: dict[str, Callable[[Stage], str]] = {
    "a ringing call": ringing,
    "a missed call": missed,
    "an answered call": answered,
    "a click-to-call": click,
    "a status change": status,
    "a sync of employees": sync,
}


def _await_cards(stage: Stage, session: int, users: list[int]) -> None:
    wanted = sorted(map(str, users))
    stage.wait_for(
        lambda: _users_with_card(stage.state(), session) == wanted, f"cards of call {session} for users {users}"
    )


def _users_with_card(state: State, session: int) -> list[str]:
    screens = state["crm"]["cards"].items()
    return sorted(
        user for user, cards in screens if any(card.get("callExternalId") == f"uis-{session}" for card in cards)
    )


def _await_call(stage: Stage, session: int) -> State:
    """Wait until the CRM's history has the call, and return it."""
    stage.wait_for(lambda: _find(stage.state(), session), f"call {session} in the CRM's history")
    return _find(stage.state(), session) or {}


def _find(state: State, session: int) -> State | None:
    return next((call for call in state["crm"]["calls"] if call.get("externalId") == f"uis-{session}"), None)


def _status_of(stage: Stage, uis_id: int, expected: str) -> Callable[[], bool]:
    return lambda: any(
        person["id"] == uis_id and person["status"] == expected for person in stage.state()["uis"]["employees"]
    )


def _told(call: State) -> str:
    """Say what the CRM's history shows of a call."""
    recording = "with a recording" if call.get("recordUrl") else "no recording"
    talk = f"{call.get('duration', 0)} s, {recording}" if call["result"] == "answered" else "nobody talked"
    whose = f"user {call['manager']}" if call["manager"] else "nobody"
    return f"history: {call['type']}, {call['result']}, {call['phone']}, {talk}, of {whose}"
