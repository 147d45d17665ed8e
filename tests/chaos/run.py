"""One run: an hour of calls with faults, a long quiet time, and the comparison."""

import contextlib
import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.chaos import idle, reconciliation, tenants
from tests.chaos.clock import Clock
from tests.chaos.compare import RunResult, find_differences
from tests.chaos.faults import Faults
from tests.chaos.network import CRM, UIS, Network, RecordedRequest
from tests.chaos.observed import Accepted, Evidence
from tests.chaos.processes import Processes
from tests.chaos.scenario import GroundTruth
from tests.chaos.traffic import Traffic
from tests.chaos.webhook_sender import WebhookSender
from tests.chaos.workers import Workers
from tests.fakes import retailcrm, uis

HOUR = timedelta(hours=1)
SLOW_PACE = 10
POLL_INTERVAL = timedelta(minutes=10)
KILL_PROBABILITY = 0.02
POINTS = "The points of this account are used up"
# Ordinary days, starts of daylight saving time, ends of a month and of a year.
DAYS = ("2026-03-10", "2026-03-29", "2026-06-30", "2026-07-15", "2026-12-31", "2027-02-28", "2027-03-14")


@dataclass(frozen=True)
class Size:
    """The size of a run."""

    tenants: int = 20
    calls: int = 12
    kinds: tuple[str, ...] = ()  # only calls of these kinds
    has_faults: bool = True
    lasts: timedelta = timedelta(hours=1)  # duration of the traffic
    quiet: timedelta = timedelta(hours=26)  # the points of a day may be used up; what is pending after that is stuck


@dataclass
class Outcome:
    """The result of a run."""

    seed: int
    lines: list[reconciliation.Line]
    met: Counter[str]
    differences: list[str] = field(default_factory=list)


class _Errors(logging.Handler):
    """Collects logged errors: each one is a difference."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        self.seen.append(f"the product logged an error: {record.getMessage()} {kind}"[:200])


class Run:
    def __init__(self, seed: int, size: Size) -> None:
        self.seed, self.size = seed, size
        rng = self._rng("world")
        day = datetime.fromisoformat(rng.choice(DAYS)).replace(tzinfo=UTC)
        self.clock = Clock(day + timedelta(hours=rng.randrange(24), minutes=rng.randrange(60)))
        self.processes = Processes(self.clock, self._rng("kills"))
        self.network = Network(self.clock, self.processes, self._rng("wire"))
        self.workers = Workers(self.clock, self.processes, self._rng("workers"), redelivers=rng.random() < 0.5)
        self.pbx_world, self.crm_world = uis.FakeUis(self.clock.now), retailcrm.FakeRetailCrm(self.clock.now)
        self.tenants = [
            tenants.create_tenant(order, rng, pbx_world=self.pbx_world, crm_world=self.crm_world)
            for order in range(1, size.tenants + 1)
        ]
        self.truth, self.sender = GroundTruth(), WebhookSender(self.clock, self.processes)
        self.traffic = Traffic(self.clock, self.sender, self.truth, seed=seed, kinds=size.kinds)
        self.faults = Faults(self.clock, self.tenants, self._rng("faults"))
        self.accepted: dict[tuple[int, str], Accepted] = {}
        self.errors = _Errors()
        self.met: Counter[str] = Counter()

    def play(self) -> Outcome:
        """Play the run."""
        self.pbx_world.mount(self.network)
        self.crm_world.mount(self.network)
        self.clock.after_event = self.workers.take_new_tasks
        self.network.on_request = self._record_request
        random.seed(self.seed)
        with self._patched():
            for tenant in self.tenants:
                tenants.add_tenant(tenant)
            begin = self.clock.now() + timedelta(minutes=1)
            self._start_hour(begin)
            self.clock.run_until(max(begin + self.size.lasts, self.faults.last_end))
            self.processes.kill_probability = 0.0
            self._wait_until_idle()
            self._reconcile(begin)
            self._wait_until_idle()
            return self._outcome(begin)

    def _wait_until_idle(self) -> None:
        """Run the schedules until everything is finished, or until the time limit, when something must be stuck."""
        began_at = self.clock.now()
        self.clock.run_until(began_at + POLL_INTERVAL)
        while idle.is_open(self.truth, self.clock.now()) and self.clock.now() < began_at + self.size.quiet:
            self.workers.pace = 1 if self.clock.now() < began_at + HOUR else SLOW_PACE
            self.clock.run_until(self.clock.now() + POLL_INTERVAL)
        self.workers.pace = 1

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        root = logging.getLogger()
        before, root.handlers = root.handlers, [self.errors]
        try:
            with self.clock.running(), self.network, self.processes.intercept(), self.workers.intercept_queue():
                yield
        finally:
            root.handlers = before

    def _start_hour(self, begin: datetime) -> None:
        self.workers.schedule(timedelta(seconds=5))
        self.workers.start_ticker()
        for tenant in self.tenants:
            self.traffic.plan(tenant, self.size.calls, begin=begin, lasts=self.size.lasts)
        if not self.size.has_faults:
            return
        self.faults.plan(begin=begin, lasts=self.size.lasts)
        self.network.fault_of = self.faults.find
        self.clock.at(begin, lambda: setattr(self.processes, "kill_probability", KILL_PROBABILITY))

    def _record_request(self, requests: RecordedRequest) -> None:
        """Record what the vendors accepted: calls started by a click, uploaded calls."""
        if requests.side == UIS and requests.method == "start.employee_call":
            tenant = next(tenant for tenant in self.tenants if tenant.pbx.token == requests.account)
            self.traffic.dialled(tenant, requests)
        elif requests.side == CRM and requests.method.endswith("/calls/upload"):
            tenant = next(tenant for tenant in self.tenants if tenant.crm.host == requests.account)
            for record in tenant.crm.calls:
                key = tenant.order, str(record.get("externalId"))
                self.accepted.setdefault(key, Accepted(requests.at, requests.began_at))

    def _reconcile(self, begin: datetime) -> None:
        """Run the reconciliation of the whole period; if the API points of a day are used up, retry every hour."""
        ends_at, self.workers.pace = self.clock.now() + self.size.quiet, SLOW_PACE
        for tenant in self.tenants:
            while True:
                try:
                    reconciliation.reconcile(tenant, since=begin - HOUR, till=self.clock.now())
                    break
                except reconciliation.CommandError as exc:
                    if POINTS not in str(exc) or self.clock.now() > ends_at:
                        raise
                    self.met["reconciliation postponed: no points"] += 1
                    self.clock.run_until(self.clock.now() + HOUR)

    def _outcome(self, begin: datetime) -> Outcome:
        lines = reconciliation.build_lines(
            self.tenants, self.truth, self.accepted, since=begin - HOUR, till=self.clock.now()
        )
        result = RunResult(
            tenants=self.tenants,
            truth=self.truth,
            evidence=Evidence(self.network.recorded),
            accepted=self.accepted,
            errors=self._errors(),
        )
        found = [*find_differences(result), *reconciliation.differences(lines, self.tenants, self.truth)]
        return Outcome(self.seed, lines, self._met(), found)

    def _errors(self) -> list[str]:
        slept = self.clock.slept_in_transaction
        found = [*self.processes.bugs, *self.sender.bugs, *self.errors.seen]
        return [*found, *[f"{slept} waits inside a transaction"] * bool(slept)]

    def _met(self) -> Counter[str]:
        return (
            self.met + self.sender.met + self.processes.killed + self.network.met + self.faults.met + self.workers.met
        )

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}/{name}")
