"""The state of one customer of the fake UIS: people, numbers, statuses, calls, rights, points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.fakes.uis_jsonrpc import Refusal, Row
from tests.fakes.uis_session import Course, Session, play

DOMAINS = {"uis": "uiscom.ru", "comagic": "comagic.ru", "callgear": "callgear.com", "novofon": "novofon.ru"}
BASIC_CALL_API = "Call API Базовый набор"
BOTH = ("in", "out")
DIRECTIONS = [f"{side}_{kind}_allowed_call_directions" for side in BOTH for kind in ("external", "internal")]
_STATUSES = [
    (1, "Доступен", "available", True),
    (2, "Перерыв", "break", False),
    (3, "Не беспокоить", "do_not_disturb", False),
    (4, "Нет на месте", "not_at_workplace", False),
    (5, "Нет на работе", "not_at_work", False),
    (9001, "Обучение", None, False),
]


def _status(status_id: int, name: str, mnemonic: str | None, is_open: bool) -> Row:
    row: Row = {"id": status_id, "name": name, "mnemonic": mnemonic, "description": None, "color": "#48b94c"}
    row |= {word: list(BOTH) if is_open or word.startswith("out_") else [] for word in DIRECTIONS}
    row |= {"is_deleted": False, "allowed_phone_protocols": ["PSTN", "SIP", "SIP_TRUNK", "FMC"]}
    return row | {"is_select_allowed": True, "is_worktime": True, "is_auto_out_calls_ready": False}


def phone_row(phone_id: int, phone: Row) -> Row:
    """Return a number of an employee with the vendor's defaults filled in."""
    defaults = {"channels_count": 1, "dial_time": 60, "status": "active"}
    return {"phone_id": phone_id} | defaults | {name: value for name, value in phone.items() if name != "phone_id"}


def _split(full_name: str) -> Row:
    names: list[str | None] = [*full_name.split(maxsplit=2), None, None]
    return {"last_name": names[0], "first_name": names[1], "patronymic": names[2], "full_name": full_name}


@dataclass
class Account:
    """One customer. Everything a test may want to switch is a plain attribute."""

    token: str
    name: str
    timezone: str
    brand: str
    clock: Callable[[], datetime] = field(repr=False)
    session_ids: Iterator[int] = field(default_factory=lambda: itertools.count(5139032004), repr=False)
    leg_ids: Iterator[int] = field(default_factory=lambda: itertools.count(11692454785), repr=False)
    app_id: int = 1103
    media_url: str = ""  # where recordings are; empty: at the brand's hosts

    employees: dict[int, Row] = field(default_factory=dict, repr=False)
    statuses: dict[int, Row] = field(default_factory=lambda: {s[0]: _status(*s) for s in _STATUSES}, repr=False)
    numbers: dict[int, Row] = field(default_factory=dict, repr=False)
    sessions: dict[int, Session] = field(default_factory=dict, repr=False)
    dialled: list[Row] = field(default_factory=list, repr=False)

    day_limit: int = 3500
    minute_limit: int = 200
    spent: dict[str, list[datetime]] = field(default_factory=lambda: {"data": [], "call": []}, repr=False)
    has_empty_limits: bool = False

    token_state: str = "valid"  # or "expired", "blocked"
    is_active: bool = True
    is_whitelisted: bool = True
    caller_ip: str = "203.0.113.10"
    permissions: set[str] = field(
        default_factory=lambda: {"employees: select", "employees: update", "number_management: select"}
    )
    told_timezone: str | None = None  # what get.account says where it is not the zone the account lives in
    has_call_api_access: bool = True  # the tick at the key's user; what its lack answers is inferred
    methods_not_bought: set[str] = field(default_factory=set)  # of the Data API, for want of a component
    components: set[str] = field(default_factory=lambda: {BASIC_CALL_API})
    agent_user_ids: set[int] = field(default_factory=set)  # not empty: an agent's key, user_id is a must

    refuses_in_operator: bool = False
    has_statuses: bool = True
    demands_full_update: bool = False  # update.employees insists on last_name and phone_numbers
    spells_meta_data: bool = True  # get.account names it meta_data, as its documentation does
    blacklist: set[str] = field(default_factory=set)
    forbidden_contacts: set[str] = field(default_factory=set)
    media_files: set[int] = field(default_factory=set)
    tts_message_max_length: int = 500
    phone_ids: Iterator[int] = field(default_factory=lambda: itertools.count(500001), repr=False)

    @property
    def domain(self) -> str:
        """The brand's domain."""
        return DOMAINS[self.brand]

    def local(self, moment: datetime) -> datetime:
        """Return a moment as the customer's clock shows it, without a zone."""
        return moment.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None)

    def stamp(self, moment: datetime) -> str:
        """Return a moment the way notifications write it."""
        return self.local(moment).isoformat(sep=" ", timespec="milliseconds")

    def spell(self, reason: str) -> str:
        """Return a finish reason in the spelling of the brand (section 9.2)."""
        if self.brand != "callgear":
            return reason
        return reason.replace("subscriber", "caller").replace("responsible", "responsive")

    def phone_of(self, employee_id: int) -> str:
        """Return the number an employee answers: the first active one, else the internal one."""
        employee = self.employees[employee_id]
        active = [phone["phone_number"] for phone in employee["phone_numbers"] if phone["status"] == "active"]
        return str([*active, employee["extension"].get("extension_phone_number", "")][0])

    def add_employee(
        self,
        employee_id: int,
        full_name: str,
        *,
        extension: str | None = None,
        email: str | None = None,
        numbers: Sequence[str] = (),
        call_recording: str = "all",
    ) -> Row:
        """Hire somebody, in status available."""
        row: Row = {"id": employee_id, "login": None, "email": email, "call_recording": call_recording}
        row |= _split(full_name) | {"status": "available", "status_id": 1, "calls_available": True}
        row |= {word: ["internal", "external"] for word in ("allowed_in_call_types", "allowed_out_call_types")}
        row |= {word: list(BOTH) for word in DIRECTIONS} | {"schedule_id": None, "schedule_name": None}
        row |= {"phone_numbers": [phone_row(next(self.phone_ids), {"phone_number": one}) for one in numbers]}
        inner = {"extension_voice_mail_enabled": False, "extension_queue_enabled": False}
        row |= {"extension": {"extension_phone_number": extension} | inner if extension else {}}
        self.employees[employee_id] = row | {"groups": [], "coach": {}, "operator": {}}
        return self.employees[employee_id]

    def add_number(self, number: str, *, name: str = "", status: str = "active", type: str = "va") -> Row:
        """Rent a virtual number."""
        number_id = 800001 + len(self.numbers)
        row: Row = {"id": number_id, "child_customer_id": None, "virtual_phone_number": number, "name": name}
        row |= {"redirection_phone_number": None, "activation_date": "2017-05-01 00:00:00", "status": status}
        row |= {"category": "usual", "type": type, "comment": None, "campaigns": [], "scenarios": []}
        self.numbers[number_id] = row
        return row

    def call(
        self,
        *,
        contact: str,
        number: str,
        direction: str = "in",
        started_at: datetime | None = None,
        rings: Sequence[int] = (),
        talks: Sequence[tuple[int, int]] = (),
        wait: int = 5,
        recorded: bool = True,
        external_id: str | None = None,
        session_id: int | None = None,
        source: str = "va",
        finish_reason: str | None = None,
        is_internal: bool = False,
    ) -> Session:
        """Add a call that is over; without a start it ended just now."""
        total = timedelta(seconds=wait + sum(seconds for _, seconds in talks))
        facts: Row = {"contact": contact, "number": number, "direction": direction, "source": source}
        facts |= {"external_id": external_id, "finish_reason": finish_reason, "is_internal": is_internal}
        began_at = started_at or self.clock() - total
        session = self.open_session(session_id=session_id, started_at=began_at, **facts)
        self.close_session(session, Course(rings=rings, talks=talks, wait=wait, is_recorded=recorded))
        return session

    def open_session(self, *, session_id: int | None = None, **facts: Any) -> Session:
        """Begin a session; it runs until it is closed."""
        session_id = next(self.session_ids) if session_id is None else session_id
        if session_id in self.sessions:
            raise ValueError(f"session {session_id} exists")
        session = Session(account=self, session_id=session_id, **facts)
        self.sessions[session_id] = session
        return session

    def close_session(self, session: Session, course: Course) -> None:
        """Let a session end; legs that were told about keep their ids."""
        known = [leg.leg_id for leg in session.legs]
        play(session, course, itertools.chain(known, self.leg_ids))
        # A finished call is shown at once, whatever the clock of the test says; set the two to delay it.
        assert session.ended_at is not None
        session.visible_at = session.records_at = min(session.ended_at, self.clock())

    def finish_started(self, session_id: int, *, talk: int) -> Session:
        """End a call that start.employee_call began; no talk means that the contact never answered."""
        session = self.sessions[session_id]
        if not session.is_running:
            raise ValueError(f"session {session_id} is over")
        employee_id = session.legs[1].employee_id or 0
        talks = [(employee_id, talk)] if talk else []
        wait = max(5, int((self.clock() - session.started_at).total_seconds()) - talk)
        course = Course(rings=[employee_id], talks=talks, wait=wait, is_employee_there=True)
        self.close_session(session, course)
        return session

    def points_used(self, api: str, limit_type: str) -> int:
        """Return the points gone since the local midnight, or since the minute began."""
        began_at = self._began_at(limit_type)
        return sum(moment >= began_at for moment in self.spent[api])

    def take_point(self, api: str) -> None:
        """Count one successful request."""
        self.spent[api].append(self.clock())

    def check_points(self, api: str) -> None:
        """Refuse when the points of the day or of the minute are gone."""
        for limit_type, limit in (("day", self.day_limit), ("minute", self.minute_limit)):
            if self.points_used(api, limit_type) >= limit:
                raise Refusal("limit_exceeded", limit_type=limit_type, limit_max_value=limit)

    def limits(self, api: str) -> Row:
        """Return metadata.limits."""
        if self.has_empty_limits:
            return {}
        found: Row = {}
        lengths = {"day": timedelta(days=1), "minute": timedelta(minutes=1)}
        for word, limit in (("day", self.day_limit), ("minute", self.minute_limit)):
            left = self._began_at(word) + lengths[word] - self.clock()
            found[f"{word}_limit"] = limit
            found[f"{word}_remaining"] = max(0, limit - self.points_used(api, word))
            found[f"{word}_reset"] = math.ceil(left.total_seconds())
        return found

    def _began_at(self, limit_type: str) -> datetime:
        now = self.clock().astimezone(ZoneInfo(self.timezone))
        minute = now.replace(second=0, microsecond=0)
        return minute if limit_type == "minute" else minute.replace(hour=0, minute=0)
