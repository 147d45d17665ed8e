"""One run: an hour of calls with everything that goes wrong, a long quiet time, and the judge."""

import contextlib
import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.chaos import idle, reconciliation, tenants
from tests.chaos.clock import Clock
from tests.chaos.compare import Scene, judge
from tests.chaos.faults import Faults
from tests.chaos.network import CRM, UIS, Passed, Wire
from tests.chaos.observed import Accepted, Evidence
from tests.chaos.processes import Processes
from tests.chaos.scenario import Truth
from tests.chaos.traffic import Traffic
from tests.chaos.webhook_sender import Courier
from tests.chaos.workers import Workers
from tests.fakes import retailcrm, uis

HOUR = timedelta(hours=1)
SELDOM = 10
LOOK_AGAIN = timedelta(minutes=10)
KILLED = 0.02
POINTS = "The points of this account are used up"
# Ordinary days, nights of summer time's begin, an end of the month and of the year.
DAYS = ("2026-03-10", "2026-03-29", "2026-06-30", "2026-07-15", "2026-12-31", "2027-02-28", "2027-03-14")


@dataclass(frozen=True)
class Size:
    """How much happens."""

    shops: int = 20
    calls: int = 12
    kinds: tuple[str, ...] = ()  # only calls of these kinds
    has_faults: bool = True
    lasts: timedelta = timedelta(hours=1)  # of the client's time
    quiet: timedelta = timedelta(hours=26)  # a day's points may be used up; what is still open after that is stuck


@dataclass
class Outcome:
    """What came of a run."""

    seed: int
    lines: list[reconciliation.Line]
    met: Counter[str]
    differences: list[str] = field(default_factory=list)


class _Errors(logging.Handler):
    """Collects what the product logs as an error: whatever it swallowed is a finding, too."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        self.seen.append(f"the product logged an error: {record.getMessage()} {kind}"[:200])


class Run:
    """Everything there is in one run."""

    def __init__(self, seed: int, size: Size) -> None:
        self.seed, self.size = seed, size
        rng = self._rng("world")
        day = datetime.fromisoformat(rng.choice(DAYS)).replace(tzinfo=UTC)
        self.clock = Clock(day + timedelta(hours=rng.randrange(24), minutes=rng.randrange(60)))
        self.processes = Processes(self.clock, self._rng("kills"))
        self.wire = Wire(self.clock, self.processes, self._rng("wire"))
        self.workers = Workers(self.clock, self.processes, self._rng("workers"), brings_back=rng.random() < 0.5)
        self.pbx_world, self.crm_world = uis.FakeUis(self.clock.now), retailcrm.FakeRetailCrm(self.clock.now)
        self.shops = [
            tenants.draw(order, rng, pbx_world=self.pbx_world, crm_world=self.crm_world)
            for order in range(1, size.shops + 1)
        ]
        self.truth, self.courier = Truth(), Courier(self.clock, self.processes)
        self.traffic = Traffic(self.clock, self.courier, self.truth, seed=seed, kinds=size.kinds)
        self.faults = Faults(self.clock, self.shops, self._rng("faults"))
        self.accepted: dict[tuple[int, str], Accepted] = {}
        self.errors = _Errors()
        self.met: Counter[str] = Counter()

    def play(self) -> Outcome:
        """Let it all happen; return what came of it."""
        self.pbx_world.mount(self.wire)
        self.crm_world.mount(self.wire)
        self.clock.between = self.workers.look
        self.wire.on_passed = self._note
        random.seed(self.seed)
        with self._in_place():
            for shop in self.shops:
                tenants.switch_on(shop)
            begin = self.clock.now() + timedelta(minutes=1)
            self._hour(begin)
            self.clock.run_until(max(begin + self.size.lasts, self.faults.last_end))
            self.processes.share_killed = 0.0
            self._come_to_rest()
            self._reconcile(begin)
            self._come_to_rest()
            return self._outcome(begin)

    def _come_to_rest(self) -> None:
        """Let the schedules run until nothing is open any more, or for so long that something must be stuck."""
        began_at = self.clock.now()
        self.clock.run_until(began_at + LOOK_AGAIN)
        while idle.is_open(self.truth, self.clock.now()) and self.clock.now() < began_at + self.size.quiet:
            self.workers.pace = 1 if self.clock.now() < began_at + HOUR else SELDOM
            self.clock.run_until(self.clock.now() + LOOK_AGAIN)
        self.workers.pace = 1

    @contextlib.contextmanager
    def _in_place(self) -> Iterator[None]:
        root = logging.getLogger()
        before, root.handlers = root.handlers, [self.errors]
        try:
            with self.clock.running(), self.wire, self.processes.watched(), self.workers.watching():
                yield
        finally:
            root.handlers = before

    def _hour(self, begin: datetime) -> None:
        self.workers.schedule(timedelta(seconds=5))
        self.workers.beat()
        for shop in self.shops:
            self.traffic.plan(shop, self.size.calls, begin=begin, lasts=self.size.lasts)
        if not self.size.has_faults:
            return
        self.faults.plan(begin=begin, lasts=self.size.lasts)
        self.wire.fault_of = self.faults.strikes
        self.clock.at(begin, lambda: setattr(self.processes, "share_killed", KILLED))

    def _note(self, passed: Passed) -> None:
        """See what the vendors took: a call begun by a click, calls in the history."""
        if passed.side == UIS and passed.method == "start.employee_call":
            shop = next(shop for shop in self.shops if shop.pbx.token == passed.account)
            self.traffic.dialled(shop, passed)
        elif passed.side == CRM and passed.method.endswith("/calls/upload"):
            shop = next(shop for shop in self.shops if shop.crm.host == passed.account)
            for record in shop.crm.calls:
                key = shop.order, str(record.get("externalId"))
                self.accepted.setdefault(key, Accepted(passed.at, passed.began_at))

    def _reconcile(self, begin: datetime) -> None:
        """Ask for the whole period; where the points of a day are used up, again each hour, as its answer says."""
        ends_at, self.workers.pace = self.clock.now() + self.size.quiet, SELDOM
        for shop in self.shops:
            while True:
                try:
                    reconciliation.reconcile(shop, since=begin - HOUR, till=self.clock.now())
                    break
                except reconciliation.CommandError as exc:
                    if POINTS not in str(exc) or self.clock.now() > ends_at:
                        raise
                    self.met["count put off: no points"] += 1
                    self.clock.run_until(self.clock.now() + HOUR)

    def _outcome(self, begin: datetime) -> Outcome:
        lines = reconciliation.take(self.shops, self.truth, self.accepted, since=begin - HOUR, till=self.clock.now())
        scene = Scene(
            shops=self.shops,
            truth=self.truth,
            evidence=Evidence(self.wire.passed),
            accepted=self.accepted,
            complaints=self._complaints(),
        )
        found = [*judge(scene), *reconciliation.differences(lines, self.shops, self.truth)]
        return Outcome(self.seed, lines, self._met(), found)

    def _complaints(self) -> list[str]:
        slept = self.clock.slept_in_transaction
        found = [*self.processes.bugs, *self.courier.bugs, *self.errors.seen]
        return [*found, *[f"{slept} waits inside a transaction"] * bool(slept)]

    def _met(self) -> Counter[str]:
        return self.met + self.courier.met + self.processes.killed + self.wire.met + self.faults.met + self.workers.met

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}/{name}")
