"""A call while it lasts: it rings, somebody answers, it ends. The fake only knows calls that are over."""

from collections.abc import Sequence
from datetime import datetime

from tests.fakes.uis import Session
from tests.fakes.uis_session import Course
from tests.simulator.fixtures import NUMBER, World, Wrong


def ring(world: World, employees: Sequence[int], *, contact: str, direction: str = "in") -> Session:
    """Begin a call that rings at these people's phones, or that the first of them dials."""
    unknown = [uis_id for uis_id in employees if uis_id not in world.pbx.employees]
    if unknown or not employees:
        raise Wrong(f"UIS has no such employee: {unknown}")
    now = world.uis.now()
    session = world.pbx.open_session(contact=contact, number=NUMBER, direction=direction, started_at=now)
    _play(world, session, Course(rings=list(employees), talks=[], wait=0))
    _go_on(session)
    world.current = session
    return session


def answer(world: World, session: Session, employee: int) -> None:
    """Let one of those whose phones ring take the call."""
    if not session.is_running or session.talk_legs:
        raise Wrong(f"call {session.session_id} does not ring any more")
    wait = _seconds(session.started_at, world.uis.now())
    _play(world, session, Course(rings=_rung(session), talks=[(employee, 1)], wait=wait))
    _go_on(session)


def end(world: World, session: Session, *, talk: int | None = None, is_recorded: bool = True) -> None:
    """End a call, answered or not; without `talk` it lasted as long as it really did, but one second at least."""
    if not session.is_running:
        raise Wrong(f"call {session.session_id} is over")
    now = world.uis.now()
    if session.source == "callapi":
        lasted = _seconds(session.started_at, now) if talk is None else talk
        world.pbx.finish_started(session.session_id, talk=lasted)
        return
    talkers = [leg for leg in session.talk_legs if leg.employee_id]
    wait = session.wait if talkers else _seconds(session.started_at, now)
    talks = [(leg.employee_id or 0, talk or max(1, _seconds(leg.connected_at or now, now))) for leg in talkers]
    _play(world, session, Course(rings=_rung(session), talks=talks, wait=wait, is_recorded=is_recorded))


def stage(session: Session | None) -> str:
    """Say how far a call is: ringing, talking, answered, lost; "" without one."""
    if session is None:
        return ""
    if session.is_running:
        return "talking" if session.talk_legs else "ringing"
    return "lost" if session.is_lost else "answered"


def find(world: World, session_id: object) -> Session:
    """Return the call with this id, or the one that is current."""
    session = world.pbx.sessions.get(session_id) if isinstance(session_id, int) else world.current
    if session is None:
        raise Wrong("there is no such call")
    return session


def _play(world: World, session: Session, course: Course) -> None:
    session.finish_reason = None
    world.pbx.close_session(session, course)


def _go_on(session: Session) -> None:
    """Take back the end that the fake wrote: reports do not show a call that lasts."""
    session.ended_at = session.visible_at = session.records_at = session.finish_reason = None


def _rung(session: Session) -> list[int]:
    return [leg.employee_id for leg in session.operator_legs if leg.employee_id]


def _seconds(since: datetime, now: datetime) -> int:
    return round((now - since).total_seconds())
