"""One run: an hour of calls with faults, a long quiet time, and the comparison."""

import contextlib
import functools
import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.chaos import idle, lasting, reconciliation, tenants
from tests.chaos.clock import Clock
from tests.chaos.compare import RunResult, find_differences
from tests.chaos.faults import Faults
from tests.chaos.network import CRM, UIS, Network, RecordedRequest
from tests.chaos.observed import Accepted, Evidence
from tests.chaos.people import People
from tests.chaos.processes import Processes
from tests.chaos.rare_faults import RareFaults
from tests.chaos.scenario import GroundTruth
from tests.chaos.traffic import Traffic
from tests.chaos.watch import Watch
from tests.chaos.webhook_sender import WebhookSender
from tests.chaos.workers import Workers
from tests.fakes import retailcrm, uis

HOUR = timedelta(hours=1)
SLOW_PACE, LONG_PACE = 10, 30
POLL_INTERVAL = timedelta(minutes=10)
KILL_PROBABILITY = 0.02
MOST_RULE_CHANGES = 3  # of one client
POINTS = "The points of this account are used up"
# Ordinary days, starts of daylight saving time, ends of a month and of a year.
DAYS = ("2026-03-10", "2026-03-29", "2026-06-30", "2026-07-15", "2026-12-31", "2027-02-28", "2027-03-14")


@dataclass(frozen=True)
class Size:
    """The size of a run."""

    tenants: int = 8
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
        self.seen.append(f"the product logged an error: {kind} {record.getMessage()}"[:250])


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
        self.rare = RareFaults(self.faults, self.processes, self.workers, self._rng("rare faults"))
        self.people = People(self.clock, self.processes, self._rng("people"))
        self.watch = Watch(self.clock, self.workers, tenants=size.tenants)
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
            self._run_faults(begin)
            self.processes.kill_probability = 0.0
            self._wait_until_idle()
            not_found = list(lasting.not_found(self.tenants, self.truth))
            self._reconcile(begin)
            self._wait_until_idle()
            self.watch.look()
            return self._outcome(begin, not_found)

    def _run_faults(self, begin: datetime) -> None:
        """Play the traffic, then whatever faults last for days, more slowly."""
        self.clock.run_until(begin + self.size.lasts)
        while self.clock.now() < self.faults.last_end:
            is_long = self.faults.last_end - self.clock.now() > 3 * HOUR
            self.workers.pace = LONG_PACE if is_long and not self.processes.is_down else 1
            self.clock.run_until(min(self.clock.now() + HOUR, self.faults.last_end))
        self.workers.pace = 1

    def _wait_until_idle(self) -> None:
        """Run the schedules until everything is finished, or until the time limit, when something must be stuck."""
        began_at = self.clock.now()
        self.clock.run_until(began_at + POLL_INTERVAL)
        while self._is_open() and self.clock.now() < began_at + self.size.quiet:
            self.workers.pace = 1 if self.clock.now() < began_at + HOUR else SLOW_PACE
            self.clock.run_until(self.clock.now() + POLL_INTERVAL)
        self.workers.pace = 1

    def _is_open(self) -> bool:
        return idle.is_open(self.truth, self.clock.now()) or any(lasting.not_found(self.tenants, self.truth))

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
        self.watch.start()
        longer = self.rare.plan_long() if self.size.has_faults else timedelta()
        for tenant in self.tenants:
            self.traffic.plan(tenant, self.size.calls, begin=begin, lasts=self.size.lasts + longer)
        if not self.size.has_faults:
            return
        self.faults.plan(begin=begin, lasts=self.size.lasts)
        self.faults.last_end = max(self.faults.last_end, begin + self.size.lasts + longer)
        self.rare.plan(begin=begin, lasts=self.size.lasts)
        self._plan_rule_changes(begin)
        self.people.plan(self.tenants, begin=begin, lasts=self.size.lasts)
        self.network.fault_of = self.faults.find
        self.clock.at(begin, lambda: setattr(self.processes, "kill_probability", KILL_PROBABILITY))

    def _plan_rule_changes(self, begin: datetime) -> None:
        """Let clients publish other rules while their calls are on their way."""
        rng = self._rng("rules")
        for tenant in self.tenants:
            for _change in range(rng.randint(0, MOST_RULE_CHANGES)):
                at, changing = begin + self.size.lasts * rng.random(), random.Random(rng.random())
                self.clock.at(at, functools.partial(self._change_rules, tenant, changing))

    def _change_rules(self, tenant: tenants.ChaosTenant, rng: random.Random) -> None:
        tenants.change_rules(tenant, rng)
        self.met["published versions of rules"] += 1

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

    def _outcome(self, begin: datetime, not_found: list[str]) -> Outcome:
        lines = reconciliation.build_lines(
            self.tenants, self.truth, self.accepted, since=begin - HOUR, till=self.clock.now()
        )
        result = RunResult(
            tenants=self.tenants,
            truth=self.truth,
            evidence=Evidence(self.network.recorded),
            accepted=self.accepted,
            errors=self._errors(),
            poisoned=self.rare.poisoned,
        )
        found = [*find_differences(result), *not_found, *self._lasting_differences()]
        found += reconciliation.differences(lines, self.tenants, self.truth, poisoned=self.rare.poisoned)
        return Outcome(self.seed, lines, self._met(), found)

    def _lasting_differences(self) -> list[str]:
        """Return what is not right beside the calls."""
        names = {tenant.row.pk: tenant.slug for tenant in self.tenants}
        return [
            *self.watch.differences,
            *lasting.links(self.tenants),
            *lasting.modules(self.tenants),
            *lasting.incidents(lasting.stored_incidents(), names),
            *(line for edit in self.people.edits for line in edit.differences()),
        ]

    def _errors(self) -> list[str]:
        slept = self.clock.slept_in_transaction
        logged = [line for line in self.errors.seen if not self.rare.explains(line)]
        found = [*self.processes.bugs, *self.sender.bugs, *logged]
        return [*found, *[f"{slept} waits inside a transaction"] * bool(slept)]

    def _met(self) -> Counter[str]:
        of_parts = (self.sender, self.network, self.faults, self.rare, self.people, self.workers)
        counts = [part.met for part in of_parts] + [self.processes.killed, self.processes.deadlocks, self.watch.most]
        return sum(counts, self.met)

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}/{name}")
