"""What really happened: each call as UIS knows it, and which notifications of it reached us, and when."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from tests.chaos.tenants import Shop
from tests.fakes.uis import Session


@dataclass(frozen=True)
class Told:
    """One notification that reached us. It is not sure to be known where a process died with it in its hands."""

    event: str
    employee_id: int | None
    happened_at: datetime
    arrived_at: datetime
    is_sure: bool = True


@dataclass
class Story:
    """One call."""

    shop: Shop
    session: Session
    kind: str
    told: list[Told] = field(default_factory=list)

    @property
    def ended_at(self) -> datetime:
        """When it was over."""
        assert self.session.ended_at is not None
        return self.session.ended_at


@dataclass
class Click:
    """Somebody clicked a number in the CRM, perhaps twice."""

    shop: Shop
    contact: str
    employee_id: int
    answers: list[int] = field(default_factory=list)
    is_two: bool = False  # the second click came late


@dataclass
class Truth:
    """All that happened."""

    stories: dict[tuple[int, int], Story] = field(default_factory=dict)
    clicks: list[Click] = field(default_factory=list)

    def add(self, story: Story) -> Story:
        """Write down a call."""
        self.stories[story.shop.order, story.session.session_id] = story
        return story

    def of(self, shop: Shop) -> Iterator[Story]:
        """Yield the calls of one client."""
        return (story for story in self.stories.values() if story.shop is shop)


def notices(session: Session) -> Iterator[tuple[str, int | None, datetime]]:
    """Yield everything that UIS tells of a call: event, employee, moment."""
    assert session.ended_at is not None
    is_dialled = session.direction == "out"
    yield "outgoing" if is_dialled else "incoming", None, session.started_at
    for order, leg in enumerate(session.operator_legs):
        if not (is_dialled and order == 0):
            yield "waiting", leg.employee_id, leg.started_at
    for leg in session.talk_legs:
        assert leg.connected_at is not None
        yield "talk_started", leg.employee_id, leg.connected_at
        yield "talk_finished", leg.employee_id, leg.ended_at
        if leg.records and session.records_at is not None:
            yield "recorded", leg.employee_id, session.records_at
    yield "call_end", None, session.ended_at
    if session.is_lost and not is_dialled:
        yield "lost_call", None, session.ended_at
