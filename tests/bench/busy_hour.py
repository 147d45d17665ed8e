"""Plays busy minutes of one client in simulated time, without faults."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from telephony.models import Call
from tests.chaos import tenants
from tests.chaos.clock import Clock
from tests.chaos.network import UIS, Network
from tests.chaos.processes import Processes
from tests.chaos.scenario import CallScenario, GroundTruth, notifications_of
from tests.chaos.tenants import ChaosTenant
from tests.chaos.traffic import KINDS, Traffic
from tests.chaos.webhook_sender import WebhookSender
from tests.chaos.workers import Workers
from tests.fakes import retailcrm, uis

START = datetime(2026, 3, 10, 9, tzinfo=UTC)
EARLIER = timedelta(hours=3)  # what reconciliation compares again
WARM_UP = timedelta(minutes=2)  # the first legs are asked for at once, until the pace is reached
EVENTS = ("call_end", "lost_call", "recorded")
SEED = 1
WAIT_SECONDS = 12


def play(calls: int, *, lasts: timedelta) -> list[str]:
    """Play so many calls; return the method of each request that UIS answered meanwhile."""
    world = _World()
    with world.running():
        tenants.add_tenant(world.tenant)
        world.clock.run_until(START)
        world.add_earlier_calls(round(calls * EARLIER / lasts))
        world.workers.schedule(timedelta(seconds=5))
        world.workers.start_ticker()
        # The calls of the warm-up are more of the same.
        world.plan(round(calls * (lasts + WARM_UP) / lasts), lasts=lasts + WARM_UP)
        world.clock.run_until(START + WARM_UP)
        before = len(world.network.recorded)
        world.clock.run_until(START + WARM_UP + lasts)
    if bugs := [*world.processes.bugs, *world.sender.bugs]:
        raise RuntimeError(bugs[0])
    return [request.method for request in world.network.recorded[before:] if request.side == UIS]


class _World:
    """One client with both vendors, workers and a clock."""

    def __init__(self) -> None:
        rng = random.Random(SEED)
        self.clock = Clock(START - EARLIER)
        self.processes = Processes(self.clock, rng)
        self.network = Network(self.clock, self.processes, rng)
        self.workers = Workers(self.clock, self.processes, rng, redelivers=False)
        self.clock.after_event = self.workers.take_new_tasks
        self.sender = _Sender(self.clock, self.processes)
        self.pbx_world, self.crm_world = uis.FakeUis(self.clock.now), retailcrm.FakeRetailCrm(self.clock.now)
        self.tenant = _create_tenant(self.pbx_world, self.crm_world)
        self.pbx_world.mount(self.network)
        self.crm_world.mount(self.network)

    @contextmanager
    def running(self) -> Iterator[None]:
        with self.clock.running(), self.network, self.processes.intercept(), self.workers.intercept_queue():
            yield

    def plan(self, calls: int, *, lasts: timedelta) -> None:
        """Distribute calls of every kind but clicks over the time."""
        kinds = tuple(kind for kind in KINDS if kind not in {"click", "status"})
        traffic = Traffic(self.clock, self.sender, GroundTruth(), seed=SEED, kinds=kinds)
        traffic.plan(self.tenant, calls, begin=self.clock.now(), lasts=lasts)

    def add_earlier_calls(self, count: int) -> None:
        """Add missed calls that are in UIS's report and uploaded."""
        first = START - EARLIER
        Call.objects.bulk_create(self._earlier_call(first + EARLIER * (number / count)) for number in range(count))

    def _earlier_call(self, started_at: datetime) -> Call:
        session = self.tenant.pbx.call(
            contact=self.tenant.new_contact(),
            number=self.tenant.numbers[0],
            rings=[self.tenant.people[0].uis_id],
            wait=WAIT_SECONDS,
            started_at=started_at,
        )
        ended_at = started_at + timedelta(seconds=WAIT_SECONDS)
        return Call(
            tenant=self.tenant.row,
            session_id=session.session_id,
            state=Call.State.UPLOADED,
            direction="in",
            contact=session.contact,
            number=session.number,
            started_at=started_at,
            ended_at=ended_at,
            is_lost=True,
            wait_seconds=WAIT_SECONDS,
            result="NO_ANSWER",
            retry_window_started_at=ended_at,
            uploaded_at=ended_at,
        )


class _Sender(WebhookSender):
    """Sends each notification once and on time, and none that only opens or closes a pop-up."""

    def send_all(self, scenario: CallScenario, rng: random.Random) -> None:
        for event, employee_id, happened_at in notifications_of(scenario.session):
            if event in EVENTS:
                self.clock.at(happened_at, self._delivery(scenario, event, employee_id, happened_at, happened_at))


def _create_tenant(pbx_world: uis.FakeUis, crm_world: retailcrm.FakeRetailCrm) -> ChaosTenant:
    tenant = tenants.create_tenant(1, random.Random(SEED), pbx_world=pbx_world, crm_world=crm_world)
    tenant.choices, tenant.form = tenants.Choices(), "flat"
    tenant.pbx.refuses_in_operator, tenant.crm.serves_v5 = False, True
    return tenant
