"""Plays a call step by step: it rings, is answered, ends. The fake itself only knows finished calls."""

from collections.abc import Sequence
from datetime import datetime

from tests.fakes.uis import Session
from tests.fakes.uis_session import CallScript
from tests.simulator.fixtures import NUMBER, ORIGIN, BadRequest, SimulatedTenant


def ring(tenant: SimulatedTenant, employees: Sequence[int], *, contact: str, direction: str = "in") -> Session:
    """Start a call that rings at these employees' phones, or that the first of them makes."""
    unknown = [uis_id for uis_id in employees if uis_id not in tenant.pbx.employees]
    if unknown or not employees:
        raise BadRequest(f"unknown employees: {unknown}")
    now = tenant.uis.now()
    session = tenant.pbx.open_session(contact=contact, number=NUMBER, direction=direction, started_at=now, **ORIGIN)
    _play(tenant, session, CallScript(rings=list(employees), talks=[], wait=0))
    _reopen(session)
    tenant.current = session
    return session


def answer(tenant: SimulatedTenant, session: Session, employee: int) -> None:
    """Let one of the employees whose phones ring answer the call."""
    if not session.is_running or session.talk_legs:
        raise BadRequest(f"call {session.session_id} is not ringing")
    wait = _seconds(session.started_at, tenant.uis.now())
    _play(tenant, session, CallScript(rings=_employee_ids(session), talks=[(employee, 1)], wait=wait))
    _reopen(session)


def end(tenant: SimulatedTenant, session: Session, *, talk: int | None = None, is_recorded: bool = True) -> None:
    """End a call; `talk` are the seconds of talk, by default the real ones, but at least one."""
    if not session.is_running:
        raise BadRequest(f"call {session.session_id} is over")
    now = tenant.uis.now()
    if session.source == "callapi":
        seconds = _seconds(session.started_at, now) if talk is None else talk
        tenant.pbx.finish_started(session.session_id, talk=seconds)
        return
    talkers = [leg for leg in session.talk_legs if leg.employee_id]
    wait = session.wait if talkers else _seconds(session.started_at, now)
    talks = [(leg.employee_id or 0, talk or max(1, _seconds(leg.connected_at or now, now))) for leg in talkers]
    _play(tenant, session, CallScript(rings=_employee_ids(session), talks=talks, wait=wait, is_recorded=is_recorded))


def phase(session: Session | None) -> str:
    """Return the phase of a call: ringing, talking, answered, lost; "" without a call."""
    if session is None:
        return ""
    if session.is_running:
        return "talking" if session.talk_legs else "ringing"
    return "lost" if session.is_lost else "answered"


def find(tenant: SimulatedTenant, session_id: object) -> Session:
    """Return the call with this id, or the current one. Raises BadRequest."""
    session = tenant.pbx.sessions.get(session_id) if isinstance(session_id, int) else tenant.current
    if session is None:
        raise BadRequest("there is no such call")
    return session


def _play(tenant: SimulatedTenant, session: Session, script: CallScript) -> None:
    session.finish_reason = None
    tenant.pbx.close_session(session, script)


def _reopen(session: Session) -> None:
    """Remove the end that the fake set: reports do not show running calls."""
    session.ended_at = session.visible_at = session.records_at = session.finish_reason = None


def _employee_ids(session: Session) -> list[int]:
    return [leg.employee_id for leg in session.operator_legs if leg.employee_id]


def _seconds(since: datetime, now: datetime) -> int:
    return round((now - since).total_seconds())
