"""Both vendors with all their clients: what the clients' worlds share, and what befalls the vendors' answers."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fakes.retailcrm import FakeRetailCrm
from tests.fakes.uis import FakeUis

if TYPE_CHECKING:
    from tests.simulator.fixtures import World

SIDES = ("uis", "crm")


class Wrong(Exception):
    """What was asked of the simulator cannot be; the text says why."""


@dataclass
class Delay:
    """Answers of one side that come late, or never: the request is carried out at once, its answer is held back."""

    side: str
    seconds: float
    part: str = ""  # only requests whose address or body holds this text
    left: int | None = None
    client: int | None = None  # only this client's requests
    is_cut: bool = False  # the line breaks instead of an answer

    def hits(self, side: str, text: str, *, client: int) -> bool:
        """Say whether this request's answer is held back, and count it if so."""
        is_meant = self.side == side and self.client in {None, client} and self.part in text
        if not is_meant or self.left == 0:
            return False
        if self.left is not None:
            self.left -= 1
        return True


def _new_ids() -> Iterator[int]:
    """Count from the clock: a simulator that was started anew must not repeat ids the connector has seen."""
    return itertools.count(int(time.time()) * 10)


@dataclass(eq=False)
class Vendors:
    """UIS and retailCRM. `lock` guards all of it: requests come in many threads."""

    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    delays: list[Delay] = field(default_factory=list)
    contacts: Iterator[int] = field(default_factory=lambda: itertools.count(79990000001), repr=False)
    session_ids: Iterator[int] = field(default_factory=_new_ids, repr=False)
    worlds: list["World"] = field(default_factory=list, repr=False)
    held: list[Callable[[], object]] = field(default_factory=list, repr=False)  # notifications not sent yet
    uis: FakeUis = field(default_factory=FakeUis)
    crm: FakeRetailCrm = field(default_factory=FakeRetailCrm)

    def of_token(self, token: str) -> "World":
        """Return the world of the client with this UIS key; an unknown one is the first client's."""
        return next((world for world in self.worlds if world.pbx.token == token), self.worlds[0])

    def of_host(self, host: str) -> "World":
        """Return the world of the client whose CRM answers at this host; any other name is the first client's."""
        return next((world for world in self.worlds if world.crm_host == host), self.worlds[0])

    def delay(self, side: str, text: str, *, client: int) -> tuple[float, bool]:
        """Return how long this answer is held back, and whether it never comes."""
        with self.lock:
            hits = [delay for delay in self.delays if delay.hits(side, text, client=client)]
        return sum(delay.seconds for delay in hits), any(delay.is_cut for delay in hits)

    def repair(self) -> None:
        """Mend what is broken or slow on both sides."""
        with self.lock:
            self.uis.repair()
            self.crm.repair()
            self.delays.clear()

    def forget(self) -> None:
        """Forget what happened and mend what is broken; people, the modules and the connections stay."""
        with self.lock:
            self.repair()
            self.held.clear()
            self.uis.requests.clear()
            self.crm.requests.clear()
            for world in self.worlds:
                world.forget()
