"""What the simulator simulates: one account at each vendor, their people, and what befalls their answers."""

import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.fakes.retailcrm import Account as Shop
from tests.fakes.retailcrm import FakeRetailCrm
from tests.fakes.uis import Account as Pbx
from tests.fakes.uis import FakeUis, Session

UIS_TOKEN = "demo-uis-access-token"
CRM_KEY = "demoCrmApiKey000000000000000000a"
CRM_HOST = "demo.retailcrm.ru"
NUMBER, SECOND_NUMBER = "74950000001", "74950000002"
IVAN, PETR, ANNA = 300001, 300002, 300003
SIDES = ("uis", "crm")


class Wrong(Exception):
    """What was asked of the simulator cannot be; the text says why."""


class Answered(Protocol):
    """What either fake answers with."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def body(self) -> str: ...


@dataclass
class Delay:
    """Answers of one side that come late: the request is carried out at once, its answer is held back."""

    side: str
    seconds: float
    part: str = ""  # only requests whose address or body holds this text
    left: int | None = None

    def hits(self, side: str, text: str) -> bool:
        """Say whether this request's answer is held back, and count it if so."""
        if self.side != side or self.left == 0 or self.part not in text:
            return False
        if self.left is not None:
            self.left -= 1
        return True


def _new_ids() -> Iterator[int]:
    """Count from the clock: a simulator that was started anew must not repeat ids the connector has seen."""
    return itertools.count(int(time.time()) * 10)


@dataclass
class World:
    """Both vendors as the simulator shows them. `lock` guards all of it: requests come in many threads."""

    hook: str = ""  # where the connector takes UIS's notifications
    typed: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # event: address and body, as typed into the cabinet
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    delays: list[Delay] = field(default_factory=list)
    current: Session | None = None  # the call the single buttons are about
    said: str = ""  # what the last button brought
    contacts: Iterator[int] = field(default_factory=lambda: itertools.count(79990000001), repr=False)
    uis: FakeUis = field(init=False)
    crm: FakeRetailCrm = field(init=False)
    pbx: Pbx = field(init=False)
    shop: Shop = field(init=False)

    def __post_init__(self) -> None:
        self.uis, self.crm = FakeUis(), FakeRetailCrm()
        self.pbx, self.shop = self.uis.add_account(UIS_TOKEN), self.crm.add_account(CRM_HOST, key=CRM_KEY)
        self.pbx.session_ids = _new_ids()
        self.pbx.add_number(NUMBER, name="Основной")
        self.pbx.add_number(SECOND_NUMBER, name="Второй")
        people = ((IVAN, "Иванов Иван", "ivan"), (PETR, "Петров Пётр", "petr"), (ANNA, "Сидорова Анна", "anna"))
        for order, (uis_id, name, box) in enumerate(people, start=1):
            numbers = [f"7999100000{order}"]
            self.pbx.add_employee(uis_id, name, extension=f"10{order}", email=f"{box}@example.com", numbers=numbers)
        # Anna has no user in the CRM: a client's lists are never quite the same.
        self.shop.add_user(27, first_name="Иван", last_name="Иванов", email="ivan@example.com")
        self.shop.add_user(28, first_name="Пётр", last_name="Петров", email="petr@example.com")

    def ask_uis(self, api: str, *, method: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Answer a request to UIS, in its time."""
        with self.lock:
            answer = self.uis.serve(api, method=method, headers=headers, body=body)
        self._hold_back("uis", body.decode(errors="replace"))
        return answer

    def ask_crm(self, *, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Answer a request to the CRM, in its time; whatever host it was sent to, it is meant for the one account."""
        with self.lock:
            answer = self.crm.serve(host=CRM_HOST, method=method, path=path, query=query, headers=headers, body=body)
        self._hold_back("crm", path)
        return answer

    def forget(self) -> None:
        """Forget what happened and mend what is broken; people, the module and the connection stay."""
        with self.lock:
            self.repair()
            self.current, self.said = None, ""
            self.typed.clear()
            self.pbx.sessions.clear()
            self.pbx.dialled.clear()
            for rows in (self.shop.calls, self.shop.events, self.shop.uploads, self.uis.requests, self.crm.requests):
                rows.clear()
            self.shop.screens.clear()

    def repair(self) -> None:
        """Mend what is broken or slow on both sides."""
        with self.lock:
            self.uis.repair()
            self.crm.repair()
            self.delays.clear()

    def _hold_back(self, side: str, text: str) -> None:
        with self.lock:
            seconds = sum(delay.seconds for delay in self.delays if delay.hits(side, text))
        if seconds:
            threading.Event().wait(seconds)
