"""A call session of the fake UIS: who rang, who talked, what was recorded."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.fakes import uis_webhooks

if TYPE_CHECKING:
    from tests.fakes.uis_account import Account


@dataclass
class Leg:
    """One leg (CDR) of a session. Its direction is its own, not the session's."""

    leg_id: int
    direction: str
    started_at: datetime
    connected_at: datetime | None
    ended_at: datetime
    calling: str
    called: str
    finish_reason: str
    employee_id: int | None = None
    is_operator: bool = False
    is_transfer: bool = False
    is_talked: bool = False
    records: list[str] = field(default_factory=list)

    @property
    def phone(self) -> str:
        """The number this leg rang at, or was dialled from."""
        return self.calling if self.direction == "in" else self.called

    @property
    def duration(self) -> int:
        """Seconds since the answer."""
        return round((self.ended_at - self.connected_at).total_seconds()) if self.connected_at else 0


@dataclass
class Session:
    """One call. `visible_at` and `records_at` say when the reports begin to show it and its records."""

    account: Account = field(repr=False)
    session_id: int
    contact: str
    number: str
    direction: str
    started_at: datetime
    source: str = "va"
    external_id: str | None = None
    is_internal: bool = False
    wait: int = 0
    ended_at: datetime | None = None
    finish_reason: str | None = None
    visible_at: datetime | None = None
    records_at: datetime | None = None
    communication_id: int = 0
    scenario_name: str | None = "Основной сценарий"
    employee_phone: str | None = None
    legs: list[Leg] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.communication_id = self.communication_id or self.session_id

    @property
    def is_running(self) -> bool:
        """Started by the API and not over yet."""
        return self.ended_at is None

    @property
    def operator_legs(self) -> list[Leg]:
        """The legs of employees, in order."""
        return [leg for leg in self.legs if leg.is_operator]

    @property
    def talk_legs(self) -> list[Leg]:
        """The legs of employees who talked, in order."""
        return [leg for leg in self.operator_legs if leg.is_talked]

    @property
    def records(self) -> list[str]:
        """Every record of the session once."""
        return [record for leg in self.operator_legs for record in leg.records]

    @property
    def talk(self) -> int:
        """Seconds of talk, all employees together."""
        return sum(leg.duration for leg in self.talk_legs)

    @property
    def is_lost(self) -> bool:
        """Nobody talked. True for outgoing calls as well: the reference leaves that open, a client must cope."""
        return not self.talk_legs

    def is_shown(self, now: datetime) -> bool:
        """Tell whether the reports have it by now."""
        return self.visible_at is not None and self.visible_at <= now

    def are_records_shown(self, now: datetime) -> bool:
        """Tell whether the reports have its records by now."""
        return self.records_at is not None and self.records_at <= now

    def link(self, record: str) -> str:
        """Return where a record can be heard."""
        base = self.account.media_url or f"https://app.{self.account.domain}"
        return f"{base}/system/media/talk/{self.session_id}/{record}/"

    def notification(
        self, event: str, *, employee_id: int | None = None, nested: bool = False, at: datetime | None = None
    ) -> dict[str, object]:
        """Return the body that the template of an event gives."""
        notice = uis_webhooks.Notice(self, event, employee_id=employee_id, at=at)
        return notice.nested() if nested else notice.flat()

    def as_query(self, event: str, *, employee_id: int | None = None, at: datetime | None = None) -> str:
        """Return the same as the query string of a GET notification."""
        return uis_webhooks.to_query(self.notification(event, employee_id=employee_id, at=at))


@dataclass(frozen=True)
class Course:
    """How a call went: who was rung and did not answer, who talked, after how many seconds."""

    rings: Sequence[int]
    talks: Sequence[tuple[int, int]]
    wait: int
    is_recorded: bool = True
    is_employee_there: bool = False  # a click-to-call: the employee answered first, whatever came of it

    @property
    def rung(self) -> list[int]:
        """Everyone whose phone rang at the start."""
        first = [employee_id for employee_id, _ in self.talks[:1]]
        return list(dict.fromkeys([*self.rings, *first]))


def play(session: Session, course: Course, leg_ids: Iterator[int]) -> None:
    """Write the legs of a call that is over, and when it ended."""
    answered_at = session.started_at + timedelta(seconds=course.wait)
    session.wait = course.wait
    session.ended_at = answered_at + timedelta(seconds=sum(seconds for _, seconds in course.talks))
    session.finish_reason = session.finish_reason or _reason(session, course)
    session.legs = [_contact_leg(session, course, next(leg_ids))]
    session.legs += [_ring(session, course, order, next(leg_ids)) for order in range(len(course.rung))]
    session.legs += _transfers(session, course, leg_ids)
    # The outside party's leg repeats the records: nobody says which legs have them, so a client must drop repeats.
    session.legs[0].records = session.records


def _reason(session: Session, course: Course) -> str:
    if course.talks:
        return session.account.spell("subscriber_disconnects")
    is_in = session.direction == "in" and session.source != "callapi"
    return session.account.spell("no_success_operator_call" if is_in else "no_success_subscriber_call")


def _contact_leg(session: Session, course: Course, leg_id: int) -> Leg:
    assert session.ended_at is not None
    assert session.finish_reason is not None
    is_in = session.direction == "in" and session.source != "callapi"
    calling, called = (session.contact, session.number) if is_in else (session.number, session.contact)
    return Leg(
        leg_id=leg_id,
        direction="in" if is_in else "out",
        started_at=session.started_at,
        connected_at=session.started_at + timedelta(seconds=course.wait) if course.talks else None,
        ended_at=session.ended_at,
        calling=calling,
        called=called,
        finish_reason=session.finish_reason,
        is_talked=bool(course.talks),
    )


def _ring(session: Session, course: Course, order: int, leg_id: int) -> Leg:
    """One phone that rang at the start; the next one rings a second later."""
    employee_id = course.rung[order]
    seconds = course.talks[0][1] if course.talks and course.talks[0][0] == employee_id else None
    answered_at = session.started_at + timedelta(seconds=course.wait)
    started_at = session.started_at + timedelta(seconds=min(order, course.wait))
    leg = _employee_leg(session, employee_id, leg_id=leg_id, started_at=started_at)
    leg.ended_at = answered_at + timedelta(seconds=seconds or 0)
    if session.direction == "out" and session.source != "callapi" and order == 0:
        leg.direction = "in"  # the employee dials the exchange
    if seconds is not None:
        _talk(leg, session, course, since=answered_at)
    elif course.is_employee_there:
        leg.connected_at, leg.finish_reason = started_at, session.account.spell("subscriber_not_responsible")
    else:
        leg.finish_reason = "another_operator_answer" if course.talks else leg.finish_reason
    return leg


def _transfers(session: Session, course: Course, leg_ids: Iterator[int]) -> list[Leg]:
    at = session.started_at + timedelta(seconds=course.wait + sum(seconds for _, seconds in course.talks[:1]))
    legs = []
    for employee_id, seconds in course.talks[1:]:
        leg = _employee_leg(session, employee_id, leg_id=next(leg_ids), started_at=at)
        leg.is_transfer = True
        leg.ended_at = at = at + timedelta(seconds=seconds)
        _talk(leg, session, course, since=leg.started_at)
        legs.append(leg)
    return legs


def _employee_leg(session: Session, employee_id: int, *, leg_id: int, started_at: datetime) -> Leg:
    phone = session.employee_phone or session.account.phone_of(employee_id)
    is_dialling = session.direction == "out" and session.source != "callapi"
    calling, called = (phone, session.contact) if is_dialling else (session.contact, phone)
    return Leg(
        leg_id=leg_id,
        direction="out",
        started_at=started_at,
        connected_at=None,
        ended_at=started_at,
        calling=calling,
        called=called,
        finish_reason=session.account.spell("operator_not_responsible"),
        employee_id=employee_id,
        is_operator=True,
    )


def _talk(leg: Leg, session: Session, course: Course, *, since: datetime) -> None:
    leg.connected_at, leg.is_talked = since, True
    leg.finish_reason = session.finish_reason or leg.finish_reason
    allowed = session.account.employees[leg.employee_id or 0]["call_recording"]
    if course.is_recorded and allowed in {"all", session.direction}:
        leg.records = [uuid.uuid5(uuid.NAMESPACE_URL, f"{session.session_id}/{leg.leg_id}").hex]
