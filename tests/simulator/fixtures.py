"""One simulated client: their account at each vendor, and their employees."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import requests

from tests.fakes import uis_attribution
from tests.fakes.retailcrm import Account as CrmAccount
from tests.fakes.retailcrm import FakeRetailCrm
from tests.fakes.uis import Account as Pbx
from tests.fakes.uis import FakeUis, Session
from tests.fakes.uis_jsonrpc import read_envelope
from tests.simulator.vendors import SIDES, BadRequest, Delay, Vendors

__all__ = ["SIDES", "BadRequest", "Delay", "SimulatedTenant", "Vendors", "create_tenants"]

UIS_TOKEN = "demo-uis-access-token"
CRM_KEY = "demoCrmApiKey000000000000000000a"
CRM_HOST = "demo.retailcrm.ru"
NUMBER, SECOND_NUMBER = "74950000001", "74950000002"
IVAN, PETR, ANNA = 300001, 300002, 300003
# Where the calls come from; those to the second number also by its campaign.
ORIGIN: dict[str, Any] = {
    "tags": ["Новый клиент"],
    "columns": {
        "campaign_name": "Весна",
        "utm_source": "yandex",
        "utm_medium": "cpc",
        "channel": "paid",
        "cpn_region_name": "Москва и Московская область",
    },
}
# Anna has no user in the CRM: in practice, the two lists differ.
USERS = {IVAN: 27, PETR: 28}


class VendorAnswer(Protocol):
    """An answer of either fake."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def body(self) -> str | bytes: ...


@dataclass(eq=False)
class SimulatedTenant:
    """One client's accounts at both vendors."""

    hook: str = ""  # where the connector takes UIS's notifications
    templates: dict[str, tuple[str, str]] = field(default_factory=dict)  # event: URL and body, as entered in UIS
    current: Session | None = None  # the call that single events belong to
    last_reply: str = ""  # the reply to the last button
    delivery: str = "send"  # what UIS does with its notifications: send, hold, drop
    vendors: Vendors = field(default_factory=Vendors, repr=False)
    client: int = field(init=False)
    pbx: Pbx = field(init=False)
    crm_account: CrmAccount = field(init=False)

    def __post_init__(self) -> None:
        self.client = len(self.vendors.tenants)
        self.vendors.tenants.append(self)
        name = f"-{self.client}" if self.client else ""
        self.pbx = self.uis.add_account(f"{UIS_TOKEN}{name}")
        self.crm_account = self.crm.add_account(CRM_HOST.replace(".", f"{name}.", 1), key=CRM_KEY)
        self.pbx.session_ids = self.vendors.session_ids
        self._add_staff()

    @property
    def crm_host(self) -> str:
        """The loopback address of the client's CRM account: each account has its own rate limit."""
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

    def serve_uis(self, api: str, *, method: str, headers: Mapping[str, str], body: bytes) -> VendorAnswer | None:
        """Answer a request to UIS, of any client; None to close the connection."""
        text = body.decode(errors="replace")
        with self.lock:
            answer = self.uis.serve(api, method=method, headers=headers, body=body)
            tenant = self.vendors.by_token(read_envelope(body).token)
        return self._delayed(answer, "uis", text, client=tenant.client)

    def serve_media(self, *, method: str, path: str, headers: Mapping[str, str]) -> VendorAnswer | None:
        """Answer a request for a recording, of any client; None to close the connection."""
        try:
            with self.lock:
                answer = self.uis.serve_media(method=method, host="", path=path, headers=headers)
        except requests.exceptions.RequestException:
            return None
        return self._delayed(answer, "uis", path, client=self.client)

    def serve_crm(
        self, *, host: str = "", method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> VendorAnswer | None:
        """Answer a request to the CRM; None to close the connection. An unknown host is the first client's."""
        with self.lock:
            tenant = self.vendors.by_host(host)
            answer = self.crm.serve(
                host=tenant.crm_account.host, method=method, path=path, query=query, headers=headers, body=body
            )
        return self._delayed(answer, "crm", path, client=tenant.client)

    def reset(self) -> None:
        """Delete this client's calls and events; employees, module and connection stay."""
        self.current, self.last_reply, self.delivery = None, "", "send"
        self.templates.clear()
        self.pbx.sessions.clear()
        self.pbx.dialled.clear()
        for rows in (self.crm_account.calls, self.crm_account.events, self.crm_account.uploads):
            rows.clear()
        self.crm_account.screens.clear()

    def _add_staff(self) -> None:
        self.pbx.add_number(NUMBER, name="Основной")
        self.pbx.add_number(SECOND_NUMBER, name="Второй")
        uis_attribution.add_campaign(self.pbx, 7001, "Весна", number=SECOND_NUMBER, source="yandex", medium="cpc")
        employees = ((IVAN, "Иванов Иван", "ivan"), (PETR, "Петров Пётр", "petr"), (ANNA, "Сидорова Анна", "anna"))
        for order, (uis_id, name, mailbox) in enumerate(employees, start=1):
            numbers = [f"7999100000{order}"]
            self.pbx.add_employee(uis_id, name, extension=f"10{order}", email=f"{mailbox}@example.com", numbers=numbers)
        self.crm_account.add_user(USERS[IVAN], first_name="Иван", last_name="Иванов", email="ivan@example.com")
        self.crm_account.add_user(USERS[PETR], first_name="Пётр", last_name="Петров", email="petr@example.com")

    def _delayed(self, answer: VendorAnswer, side: str, text: str, *, client: int) -> VendorAnswer | None:
        seconds, is_cut = self.vendors.delay(side, text, client=client)
        if seconds:
            threading.Event().wait(seconds)
        return None if is_cut else answer


def create_tenants(clients: int, *, hook: str = "", now: Callable[[], datetime] | None = None) -> SimulatedTenant:
    """Create simulated clients and return the first; `now` is the vendors' clock."""
    first = SimulatedTenant(hook=hook, vendors=Vendors(uis=FakeUis(now), crm=FakeRetailCrm(now)))
    for _number in range(clients - 1):
        SimulatedTenant(vendors=first.vendors)
    return first
