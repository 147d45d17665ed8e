"""A call session of the fake UIS: its legs, talks and recordings."""

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
        """The number that this leg called, or called from."""
        return self.calling if self.direction == "in" else self.called

    @property
    def duration(self) -> int:
        """Seconds since the answer."""
        return round((self.ended_at - self.connected_at).total_seconds()) if self.connected_at else 0


@dataclass
class Session:
    """One call. `visible_at` and `records_at` are when the reports begin to show it and its recordings."""

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
    tags: Sequence[str] = ()
    columns: dict[str, object] = field(default_factory=dict)  # of the report, about where the call came from
    employee_phone: str | None = None
    is_served: bool = False  # by a menu or an informer: UIS counts it as not lost, though no employee talked
    legs: list[Leg] = field(default_factory=list)
    voice_mails: list[str] = field(default_factory=list)  # record ids
    voice_mail_seconds: int = 0  # how long the caller spoke to the voice mail; UIS counts it in the total only
    voice_mails_at: datetime | None = None  # when the report begins to show them; None: with the call

    def __post_init__(self) -> None:
        self.communication_id = self.communication_id or self.session_id

    @property
    def is_running(self) -> bool:
        return self.ended_at is None

    @property
    def operator_legs(self) -> list[Leg]:
        """The employees' legs, in order."""
        return [leg for leg in self.legs if leg.is_operator]

    @property
    def talk_legs(self) -> list[Leg]:
        """The legs of employees who talked, in order."""
        return [leg for leg in self.operator_legs if leg.is_talked]

    @property
    def records(self) -> list[str]:
        """The ids of the session's recordings, each once."""
        return [record for leg in self.operator_legs for record in leg.records]

    @property
    def talk(self) -> int:
        """Seconds of talk, of all employees."""
        return sum(leg.duration for leg in self.talk_legs)

    @property
    def is_lost(self) -> bool:
        """Whether no employee talked, also in outgoing calls: the reference leaves open whether UIS reports those."""
        return not (self.talk_legs or self.is_served)

    def is_shown(self, now: datetime) -> bool:
        """Return whether the reports show it at `now`."""
        return self.visible_at is not None and self.visible_at <= now

    def are_records_shown(self, now: datetime) -> bool:
        """Return whether the reports show its recordings at `now`."""
        return self.records_at is not None and self.records_at <= now

    def shown_voice_mails(self, now: datetime) -> list[str]:
        """Return the voice mails that the report shows at `now`."""
        return self.voice_mails if self.voice_mails_at is None or self.voice_mails_at <= now else []

    def link(self, record: str) -> str:
        """Return the URL of a recording."""
        base = self.account.media_url or f"https://app.{self.account.domain}"
        return f"{base}/system/media/talk/{self.session_id}/{record}/"

    def notification(
        self, event: str, *, employee_id: int | None = None, nested: bool = False, at: datetime | None = None
    ) -> dict[str, object]:
        """Return the body that the template of an event gives."""
        notification = uis_webhooks.FakeNotification(self, event, employee_id=employee_id, at=at)
        return notification.nested() if nested else notification.flat()

    def as_query(self, event: str, *, employee_id: int | None = None, at: datetime | None = None) -> str:
        """Return the same as the query string of a GET notification."""
        return uis_webhooks.to_query(self.notification(event, employee_id=employee_id, at=at))


@dataclass(frozen=True)
class CallScript:
    """How a call goes: who is called and does not answer, who talks for how many seconds.

    After the first talk it may be transferred to an outside number, given as text: UIS names no employee there.
    """

    rings: Sequence[int]
    talks: Sequence[tuple[int | str, int]]
    wait: int
    is_recorded: bool = True
    employee_answered: bool = False  # click-to-call: the employee answered, whether or not the contact did
    voice_mail: int = 0  # seconds that the caller spoke to the voice mail, as nobody answered

    def __post_init__(self) -> None:
        """Raise ValueError for a voice mail after a talk."""
        if self.voice_mail and self.talks:
            raise ValueError("Only a caller whom nobody answers leaves a voice mail.")

    @property
    def ringing_ids(self) -> list[int]:
        """The employees whose phones ring at the start."""
        first = [party for party, _ in self.talks[:1] if isinstance(party, int)]
        return list(dict.fromkeys([*self.rings, *first]))


def apply_script(session: Session, script: CallScript, leg_ids: Iterator[int]) -> None:
    """Set the legs and the end of a finished call."""
    answered_at = session.started_at + timedelta(seconds=script.wait)
    session.wait, session.voice_mail_seconds = script.wait, script.voice_mail
    talked = sum(seconds for _, seconds in script.talks)
    session.ended_at = answered_at + timedelta(seconds=talked + script.voice_mail)
    session.finish_reason = session.finish_reason or _finish_reason(session, script)
    session.legs = [_contact_leg(session, script, next(leg_ids))]
    session.legs += [_ringing_leg(session, script, order, next(leg_ids)) for order in range(len(script.ringing_ids))]
    session.legs += _transfers(session, script, leg_ids)
    if script.voice_mail:
        session.voice_mails = [uuid.uuid5(uuid.NAMESPACE_URL, f"{session.session_id}/voice mail").hex]
    # The contact's leg repeats the recordings: it is undocumented which legs have them, so a client must deduplicate.
    session.legs[0].records = session.records


def _finish_reason(session: Session, script: CallScript) -> str:
    if script.talks:
        return session.account.spell("subscriber_disconnects")
    is_in = session.direction == "in" and session.source != "callapi"
    return session.account.spell("no_success_operator_call" if is_in else "no_success_subscriber_call")


def _contact_leg(session: Session, script: CallScript, leg_id: int) -> Leg:
    assert session.ended_at is not None
    assert session.finish_reason is not None
    is_in = session.direction == "in" and session.source != "callapi"
    calling, called = (session.contact, session.number) if is_in else (session.number, session.contact)
    return Leg(
        leg_id=leg_id,
        direction="in" if is_in else "out",
        started_at=session.started_at,
        connected_at=session.started_at + timedelta(seconds=script.wait) if script.talks else None,
        ended_at=session.ended_at,
        calling=calling,
        called=called,
        finish_reason=session.finish_reason,
        is_talked=bool(script.talks),
    )


def _ringing_leg(session: Session, script: CallScript, order: int, leg_id: int) -> Leg:
    """Return the leg of one phone that rings at the start; each starts one second after the previous one."""
    employee_id = script.ringing_ids[order]
    seconds = script.talks[0][1] if script.talks and script.talks[0][0] == employee_id else None
    answered_at = session.started_at + timedelta(seconds=script.wait)
    started_at = session.started_at + timedelta(seconds=min(order, script.wait))
    leg = _employee_leg(session, employee_id, leg_id=leg_id, started_at=started_at)
    leg.ended_at = answered_at + timedelta(seconds=seconds or 0)
    if session.direction == "out" and session.source != "callapi" and order == 0:
        leg.direction = "in"  # the employee calls UIS
    if seconds is not None:
        _set_talk(leg, session, script, since=answered_at)
    elif script.employee_answered:
        leg.connected_at, leg.finish_reason = started_at, session.account.spell("subscriber_not_responsible")
    else:
        leg.finish_reason = "another_operator_answer" if script.talks else leg.finish_reason
    return leg


def _transfers(session: Session, script: CallScript, leg_ids: Iterator[int]) -> list[Leg]:
    at = session.started_at + timedelta(seconds=script.wait + sum(seconds for _, seconds in script.talks[:1]))
    legs = []
    for party, seconds in script.talks[1:]:
        leg = _employee_leg(session, party, leg_id=next(leg_ids), started_at=at)
        leg.is_transfer = True
        leg.ended_at = at = at + timedelta(seconds=seconds)
        _set_talk(leg, session, script, since=leg.started_at)
        legs.append(leg)
    return legs


def _employee_leg(session: Session, party: int | str, *, leg_id: int, started_at: datetime) -> Leg:
    employee_id = party if isinstance(party, int) else None
    phone = party if isinstance(party, str) else session.employee_phone or session.account.phone_of(party)
    is_outgoing = session.direction == "out" and session.source != "callapi"
    calling, called = (phone, session.contact) if is_outgoing else (session.contact, phone)
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


def _set_talk(leg: Leg, session: Session, script: CallScript, *, since: datetime) -> None:
    leg.connected_at, leg.is_talked = since, True
    leg.finish_reason = session.finish_reason or leg.finish_reason
    employee = session.account.employees.get(leg.employee_id or 0, {})
    call_recording = employee.get("call_recording", "off")  # an outside number's talk is recorded with no employee's
    if script.is_recorded and call_recording in {"all", session.direction}:
        leg.records = [uuid.uuid5(uuid.NAMESPACE_URL, f"{session.session_id}/{leg.leg_id}").hex]
