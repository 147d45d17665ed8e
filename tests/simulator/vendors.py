"""Both vendors with all their clients: what the simulated clients share, and the delays of answers."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fakes.retailcrm import FakeRetailCrm
from tests.fakes.uis import FakeUis

if TYPE_CHECKING:
    from tests.simulator.fixtures import SimulatedTenant

SIDES = ("uis", "crm")


class BadRequest(Exception):
    """The simulator cannot do what was requested; the message says why."""


@dataclass
class Delay:
    """Late or missing answers: the request is executed at once, its answer is delayed."""

    side: str
    seconds: float
    part: str = ""  # only requests whose URL or body contains this text
    remaining: int | None = None
    client: int | None = None  # only this client's requests
    is_cut: bool = False  # close the connection instead of answering

    def matches(self, side: str, text: str, *, client: int) -> bool:
        """Return whether this request's answer is delayed, and count it."""
        is_match = self.side == side and self.client in {None, client} and self.part in text
        if not is_match or self.remaining == 0:
            return False
        if self.remaining is not None:
            self.remaining -= 1
        return True


def _new_ids() -> Iterator[int]:
    """Start at the current time, so that a restarted simulator does not repeat ids."""
    return itertools.count(int(time.time()) * 10)


@dataclass(eq=False)
class Vendors:
    """UIS and retailCRM. `lock` guards everything: requests come in many threads."""

    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    delays: list[Delay] = field(default_factory=list)
    contacts: Iterator[int] = field(default_factory=lambda: itertools.count(79990000001), repr=False)
    session_ids: Iterator[int] = field(default_factory=_new_ids, repr=False)
    tenants: list["SimulatedTenant"] = field(default_factory=list, repr=False)
    held_notifications: list[Callable[[], object]] = field(
        default_factory=list, repr=False
    )  # notifications to be sent later
    uis: FakeUis = field(default_factory=FakeUis)
    crm: FakeRetailCrm = field(default_factory=FakeRetailCrm)

    def by_token(self, token: str) -> "SimulatedTenant":
        """Return the client with this UIS token, else the first one."""
        return next((tenant for tenant in self.tenants if tenant.pbx.token == token), self.tenants[0])

    def by_host(self, host: str) -> "SimulatedTenant":
        """Return the client whose CRM has this host, else the first one."""
        return next((tenant for tenant in self.tenants if tenant.crm_host == host), self.tenants[0])

    def delay(self, side: str, text: str, *, client: int) -> tuple[float, bool]:
        """Return the delay of an answer in seconds, and whether the connection is closed instead."""
        with self.lock:
            found = [delay for delay in self.delays if delay.matches(side, text, client=client)]
        return sum(delay.seconds for delay in found), any(delay.is_cut for delay in found)

    def repair(self) -> None:
        """Remove all faults and delays."""
        with self.lock:
            self.uis.repair()
            self.crm.repair()
            self.delays.clear()

    def reset(self) -> None:
        """Delete all calls, events and requests, and remove all faults; employees, modules and connections stay."""
        with self.lock:
            self.repair()
            self.held_notifications.clear()
            self.uis.requests.clear()
            self.crm.requests.clear()
            for tenant in self.tenants:
                tenant.reset()
