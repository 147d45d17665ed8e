"""The simulated calls, as UIS knows them, and the notifications that were delivered."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from tests.chaos.tenants import ChaosTenant, Choices
from tests.fakes.uis import Session


@dataclass(frozen=True)
class DeliveredNotification:
    """A delivered notification. `is_sure` is false if the process that received it was killed."""

    event: str
    employee_id: int | None
    happened_at: datetime
    arrived_at: datetime
    is_sure: bool = True


@dataclass
class CallScenario:
    """One call."""

    tenant: ChaosTenant
    session: Session
    kind: str
    notifications: list[DeliveredNotification] = field(default_factory=list)
    version: int = 0  # by which the call was decided, when it is judged

    @property
    def choices(self) -> Choices:
        """The rules by which the call was decided; those of now while it is not."""
        return self.tenant.versions.get(self.version, self.tenant.choices)

    @property
    def ended_at(self) -> datetime:
        assert self.session.ended_at is not None
        return self.session.ended_at


@dataclass
class Click:
    """A click on a number in the CRM, perhaps a double click."""

    tenant: ChaosTenant
    contact: str
    employee_id: int
    answers: list[int] = field(default_factory=list)
    is_second_call: bool = False  # the second click came too late to count as a double click


@dataclass
class GroundTruth:
    """Everything that happened."""

    scenarios: dict[tuple[int, int], CallScenario] = field(default_factory=dict)
    clicks: list[Click] = field(default_factory=list)

    def add(self, scenario: CallScenario) -> CallScenario:
        self.scenarios[scenario.tenant.order, scenario.session.session_id] = scenario
        return scenario

    def calls_of(self, tenant: ChaosTenant) -> Iterator[CallScenario]:
        """Yield the calls of one client."""
        return (scenario for scenario in self.scenarios.values() if scenario.tenant is tenant)


def notifications_of(session: Session) -> Iterator[tuple[str, int | None, datetime]]:
    """Yield all notifications that UIS sends for a call: event, employee, moment."""
    assert session.ended_at is not None
    is_outgoing = session.direction == "out"
    yield "outgoing" if is_outgoing else "incoming", None, session.started_at
    for order, leg in enumerate(session.operator_legs):
        if not (is_outgoing and order == 0):
            yield "waiting", leg.employee_id, leg.started_at
    for leg in session.talk_legs:
        assert leg.connected_at is not None
        yield "talk_started", leg.employee_id, leg.connected_at
        yield "talk_finished", leg.employee_id, leg.ended_at
        if leg.records and session.records_at is not None:
            yield "recorded", leg.employee_id, session.records_at
    yield "call_end", None, session.ended_at
    if session.is_lost and not is_outgoing:
        yield "lost_call", None, session.ended_at
