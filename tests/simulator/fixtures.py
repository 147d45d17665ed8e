"""What the simulator simulates for one client: his account at each vendor, and his people."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import requests

from tests.fakes.retailcrm import Account as Shop
from tests.fakes.retailcrm import FakeRetailCrm
from tests.fakes.uis import Account as Pbx
from tests.fakes.uis import FakeUis, Session
from tests.fakes.uis_jsonrpc import read_envelope
from tests.simulator.vendors import SIDES, Delay, Vendors, Wrong

__all__ = ["SIDES", "Delay", "Vendors", "World", "Wrong", "crowd"]

UIS_TOKEN = "demo-uis-access-token"
CRM_KEY = "demoCrmApiKey000000000000000000a"
CRM_HOST = "demo.retailcrm.ru"
NUMBER, SECOND_NUMBER = "74950000001", "74950000002"
IVAN, PETR, ANNA = 300001, 300002, 300003
# Anna has no user in the CRM: a client's lists are never quite the same.
USERS = {IVAN: 27, PETR: 28}


class Answered(Protocol):
    """What either fake answers with."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def body(self) -> str | bytes: ...


@dataclass(eq=False)
class World:
    """One client as the simulator shows him."""

    hook: str = ""  # where the connector takes UIS's notifications
    typed: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # event: address and body, as typed into the cabinet
    current: Session | None = None  # the call the single buttons are about
    said: str = ""  # what the last button brought
    notices: str = "send"  # what becomes of UIS's notifications: send, hold, drop
    vendors: Vendors = field(default_factory=Vendors, repr=False)
    client: int = field(init=False)
    pbx: Pbx = field(init=False)
    shop: Shop = field(init=False)

    def __post_init__(self) -> None:
        self.client = len(self.vendors.worlds)
        self.vendors.worlds.append(self)
        name = f"-{self.client}" if self.client else ""
        self.pbx = self.uis.add_account(f"{UIS_TOKEN}{name}")
        self.shop = self.crm.add_account(CRM_HOST.replace(".", f"{name}.", 1), key=CRM_KEY)
        self.pbx.session_ids = self.vendors.session_ids
        self._employ()

    @property
    def crm_host(self) -> str:
        """The host of this machine that stands for the client's CRM account: each has a request budget of its own."""
        return f"127.0.{self.client // 250 + 1}.{self.client % 250 + 1}" if self.client else "127.0.0.1"

    @property
    def lock(self) -> threading.RLock:
        return self.vendors.lock

    @property
    def uis(self) -> FakeUis:
        return self.vendors.uis

    @property
    def crm(self) -> FakeRetailCrm:
        return self.vendors.crm

    @property
    def delays(self) -> list[Delay]:
        return self.vendors.delays

    @property
    def contacts(self) -> Iterator[int]:
        return self.vendors.contacts

    def ask_uis(self, api: str, *, method: str, headers: Mapping[str, str], body: bytes) -> Answered | None:
        """Answer a request to UIS, whoever's it is, in its time; None where the line breaks."""
        text = body.decode(errors="replace")
        with self.lock:
            answer = self.uis.serve(api, method=method, headers=headers, body=body)
            asking = self.vendors.of_token(read_envelope(body).token)
        return self._in_time(answer, "uis", text, client=asking.client)

    def ask_media(self, *, method: str, path: str, headers: Mapping[str, str]) -> Answered | None:
        """Answer a request for a recording, whoever's it is, in its time; None where the line breaks."""
        try:
            with self.lock:
                answer = self.uis.serve_media(method=method, host="", path=path, headers=headers)
        except requests.exceptions.RequestException:
            return None
        return self._in_time(answer, "uis", path, client=self.client)

    def ask_crm(
        self, *, host: str = "", method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Answered | None:
        """Answer a request to the CRM, in its time, None where the line breaks; an unknown host is the first's."""
        with self.lock:
            asked = self.vendors.of_host(host)
            answer = self.crm.serve(
                host=asked.shop.host, method=method, path=path, query=query, headers=headers, body=body
            )
        return self._in_time(answer, "crm", path, client=asked.client)

    def forget(self) -> None:
        """Forget what happened to this client; people, the module and the connection stay."""
        self.current, self.said, self.notices = None, "", "send"
        self.typed.clear()
        self.pbx.sessions.clear()
        self.pbx.dialled.clear()
        for rows in (self.shop.calls, self.shop.events, self.shop.uploads):
            rows.clear()
        self.shop.screens.clear()

    def _employ(self) -> None:
        self.pbx.add_number(NUMBER, name="Основной")
        self.pbx.add_number(SECOND_NUMBER, name="Второй")
        people = ((IVAN, "Иванов Иван", "ivan"), (PETR, "Петров Пётр", "petr"), (ANNA, "Сидорова Анна", "anna"))
        for order, (uis_id, name, box) in enumerate(people, start=1):
            numbers = [f"7999100000{order}"]
            self.pbx.add_employee(uis_id, name, extension=f"10{order}", email=f"{box}@example.com", numbers=numbers)
        self.shop.add_user(USERS[IVAN], first_name="Иван", last_name="Иванов", email="ivan@example.com")
        self.shop.add_user(USERS[PETR], first_name="Пётр", last_name="Петров", email="petr@example.com")

    def _in_time(self, answer: Answered, side: str, text: str, *, client: int) -> Answered | None:
        seconds, is_cut = self.vendors.delay(side, text, client=client)
        if seconds:
            threading.Event().wait(seconds)
        return None if is_cut else answer


def crowd(clients: int, *, hook: str = "", now: Callable[[], datetime] | None = None) -> World:
    """Return the first of so many clients' worlds; the vendors go by `now`."""
    first = World(hook=hook, vendors=Vendors(uis=FakeUis(now), crm=FakeRetailCrm(now)))
    for _other in range(clients - 1):
        World(vendors=first.vendors)
    return first
