"""The state of one customer of the fake UIS: employees, numbers, statuses, calls, permissions, API points."""

from __future__ import annotations

import ipaddress
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.fakes.uis_jsonrpc import Row, RpcError
from tests.fakes.uis_session import CallScript, Session, apply_script
from tests.fakes.uis_shortening import Shortenings

DOMAINS = {"uis": "uiscom.ru", "comagic": "comagic.ru", "callgear": "callgear.com", "novofon": "novofon.ru"}
BASIC_CALL_API = "Call API Базовый набор"
BOTH = ("in", "out")
FIRST_SESSION = 5139032004  # beyond 32 bits from the start, as the vendor's ids are by now
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
    """Return an employee's number with the vendor's defaults filled in."""
    defaults = {"channels_count": 1, "dial_time": 60, "status": "active"}
    return {"phone_id": phone_id} | defaults | {name: value for name, value in phone.items() if name != "phone_id"}


def _split_name(full_name: str) -> Row:
    names: list[str | None] = [*full_name.split(maxsplit=2), None, None]
    return {"last_name": names[0], "first_name": names[1], "patronymic": names[2], "full_name": full_name}


@dataclass
class Account:
    """One customer. Tests read and change its fields directly."""

    token: str
    name: str
    timezone: str
    brand: str
    clock: Callable[[], datetime] = field(repr=False)
    session_ids: Iterator[int] = field(default_factory=lambda: itertools.count(FIRST_SESSION), repr=False)
    leg_ids: Iterator[int] = field(default_factory=lambda: itertools.count(11692454785), repr=False)
    app_id: int = 1103
    media_url: str = ""  # base URL of recordings; empty: the brand's hosts

    employees: dict[int, Row] = field(default_factory=dict, repr=False)
    statuses: dict[int, Row] = field(default_factory=lambda: {s[0]: _status(*s) for s in _STATUSES}, repr=False)
    numbers: dict[int, Row] = field(default_factory=dict, repr=False)
    campaigns: dict[int, Row] = field(default_factory=dict, repr=False)
    sessions: dict[int, Session] = field(default_factory=dict, repr=False)
    dialled: list[Row] = field(default_factory=list, repr=False)

    day_limit: int = 3500
    minute_limit: int = 200
    spent: dict[str, list[datetime]] = field(default_factory=lambda: {"data": [], "call": []}, repr=False)
    has_empty_limits: bool = False

    token_state: str = "valid"  # or "expired", "blocked"
    is_active: bool = True
    # Whom the API answers (section 2): a new account's list is empty; this one allows everybody, as 0.0.0.0/0 does.
    allowed_addresses: list[str] = field(default_factory=lambda: ["0.0.0.0/0"])
    caller_ip: str = "203.0.113.10"
    permissions: set[str] = field(
        default_factory=lambda: {"employees: select", "employees: update", "number_management: select"}
    )
    reported_timezone: str | None = None  # what get.account returns, if not the real zone
    has_call_api_access: bool = True  # a permission of the key's user; the error without it is inferred
    unavailable_methods: set[str] = field(default_factory=set)  # of the Data API, because a component is missing
    refused_columns: set[str] = field(default_factory=set)  # of any list, because a component is missing
    components: set[str] = field(default_factory=lambda: {BASIC_CALL_API})
    agent_user_ids: set[int] = field(default_factory=set)  # not empty: an agent's key, which requires user_id

    refuses_in_operator: bool = False
    sorts_by_id: bool = True  # employees, numbers and statuses: the reference does not say
    shortenings: Shortenings = field(default_factory=Shortenings, repr=False)
    paging_deletions: list[int] = field(default_factory=list)  # employees who go before a later page
    has_statuses: bool = True
    requires_full_update: bool = False  # update.employees requires last_name and phone_numbers
    uses_meta_data_key: bool = True  # get.account returns meta_data, as documented, not metadata
    blacklist: set[str] = field(default_factory=set)
    forbidden_contacts: set[str] = field(default_factory=set)
    media_files: set[int] = field(default_factory=set)
    tts_message_max_length: int = 500
    phone_ids: Iterator[int] = field(default_factory=lambda: itertools.count(500001), repr=False)

    @property
    def is_whitelisted(self) -> bool:
        """Whether the caller's address is on the list."""
        caller = ipaddress.ip_address(self.caller_ip)
        return any(caller in ipaddress.ip_network(allowed) for allowed in self.allowed_addresses)

    @is_whitelisted.setter
    def is_whitelisted(self, is_allowed: bool) -> None:
        self.allowed_addresses = ["0.0.0.0/0"] if is_allowed else []

    @property
    def domain(self) -> str:
        return DOMAINS[self.brand]

    def local(self, moment: datetime) -> datetime:
        """Convert to the customer's time zone; returns a naive datetime."""
        return moment.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None)

    def stamp(self, moment: datetime) -> str:
        """Format a moment as notifications do."""
        return self.local(moment).isoformat(sep=" ", timespec="milliseconds")

    def spell(self, reason: str) -> str:
        """Return a finish reason in the spelling of the brand (section 9.2)."""
        if self.brand != "callgear":
            return reason
        return reason.replace("subscriber", "caller").replace("responsible", "responsive")

    def phone_of(self, employee_id: int) -> str:
        """Return the number at which the employee is called: the first active one, else the extension."""
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
        voice_mail: bool = False,
    ) -> Row:
        """Add an employee with status available."""
        row: Row = {"id": employee_id, "login": None, "email": email, "call_recording": call_recording}
        row |= _split_name(full_name) | {"status": "available", "status_id": 1, "calls_available": True}
        row |= {word: ["internal", "external"] for word in ("allowed_in_call_types", "allowed_out_call_types")}
        row |= {word: list(BOTH) for word in DIRECTIONS} | {"schedule_id": None, "schedule_name": None}
        row |= {"phone_numbers": [phone_row(next(self.phone_ids), {"phone_number": one}) for one in numbers]}
        defaults = {"extension_voice_mail_enabled": voice_mail, "extension_queue_enabled": False}
        row |= {"extension": {"extension_phone_number": extension} | defaults if extension else {}}
        self.employees[employee_id] = row | {"groups": [], "coach": {}, "operator": {}}
        return self.employees[employee_id]

    def add_number(self, number: str, *, name: str = "", status: str = "active", type: str = "va") -> Row:
        """Add a virtual number."""
        number_id = 800001 + len(self.numbers)
        row: Row = {"id": number_id, "child_customer_id": None, "virtual_phone_number": number, "name": name}
        row |= {"redirection_phone_number": None, "activation_date": "2017-05-01 00:00:00", "status": status}
        row |= {"category": "usual", "type": type, "comment": None, "campaigns": [], "scenarios": []}
        self.numbers[number_id] = row
        return row

    def shorten(self, method: str, *, keep: int = 0, times: int | None = 1, states_all: bool = False) -> None:
        """Return only the first `keep` rows for the next `times` requests (None: until `shortenings.clear`).

        With `states_all` total_items still counts all rows; without it, the rows left, as after a right was narrowed.
        """
        self.shortenings.add(method, keep=keep, times=times, states_all=states_all)

    def call(
        self,
        *,
        contact: str,
        number: str,
        direction: str = "in",
        started_at: datetime | None = None,
        rings: Sequence[int] = (),
        talks: Sequence[tuple[int | str, int]] = (),
        wait: int = 5,
        recorded: bool = True,
        external_id: str | None = None,
        session_id: int | None = None,
        source: str = "va",
        finish_reason: str | None = None,
        is_internal: bool = False,
        is_served: bool = False,
        voice_mail: int = 0,
        **origin: Any,
    ) -> Session:
        """Add a finished call; without `started_at` it ended just now.

        `origin` says where it came from: `tags`, `scenario_name`, and `columns` of the report.
        """
        total = timedelta(seconds=wait + voice_mail + sum(seconds for _, seconds in talks))
        fields: Row = {"contact": contact, "number": number, "direction": direction, "source": source}
        fields |= {"external_id": external_id, "finish_reason": finish_reason, "is_internal": is_internal}
        fields |= {"is_served": is_served, **origin}
        began_at = started_at or self.clock() - total
        session = self.open_session(session_id=session_id, started_at=began_at, **fields)
        script = CallScript(rings=rings, talks=talks, wait=wait, is_recorded=recorded, voice_mail=voice_mail)
        self.close_session(session, script)
        return session

    def open_session(self, *, session_id: int | None = None, **fields: Any) -> Session:
        """Start a session; it runs until it is closed."""
        session_id = next(self.session_ids) if session_id is None else session_id
        if session_id in self.sessions:
            raise ValueError(f"session {session_id} exists")
        session = Session(account=self, session_id=session_id, **fields)
        self.sessions[session_id] = session
        return session

    def close_session(self, session: Session, script: CallScript) -> None:
        """End a session; existing legs keep their ids."""
        known = [leg.leg_id for leg in session.legs]
        apply_script(session, script, itertools.chain(known, self.leg_ids))
        # A finished call is shown immediately, whatever the test's clock is; set these two fields to delay it.
        assert session.ended_at is not None
        session.visible_at = session.records_at = min(session.ended_at, self.clock())

    def finish_started(self, session_id: int, *, talk: int, not_rung: str = "") -> Session:
        """End a call started by start.employee_call; `talk=0` means that the contact did not answer.

        `not_rung` is the finish reason of an employee whose phone could not be rung, so that nobody answered.
        """
        session = self.sessions[session_id]
        if not session.is_running:
            raise ValueError(f"session {session_id} is over")
        employee_id = session.legs[1].employee_id or 0
        talks = [(employee_id, talk)] if talk else []
        wait = max(5, int((self.clock() - session.started_at).total_seconds()) - talk)
        script = CallScript(rings=[employee_id], talks=talks, wait=wait, employee_answered=True)
        self.close_session(session, script)
        for leg in session.legs if not_rung else ():
            if leg.is_operator:
                leg.connected_at, leg.finish_reason = None, not_rung
        return session

    def points_used(self, api: str, limit_type: str) -> int:
        """Return the points used since local midnight, or since the start of the minute."""
        began_at = self._period_start(limit_type)
        return sum(moment >= began_at for moment in self.spent[api])

    def take_point(self, api: str) -> None:
        """Count one successful request."""
        self.spent[api].append(self.clock())

    def check_points(self, api: str) -> None:
        """Raise if the points of the day or of the minute are used up."""
        for limit_type, limit in (("day", self.day_limit), ("minute", self.minute_limit)):
            if self.points_used(api, limit_type) >= limit:
                raise RpcError("limit_exceeded", limit_type=limit_type, limit_max_value=limit)

    def limits(self, api: str) -> Row:
        """Return metadata.limits."""
        if self.has_empty_limits:
            return {}
        found: Row = {}
        lengths = {"day": timedelta(days=1), "minute": timedelta(minutes=1)}
        for word, limit in (("day", self.day_limit), ("minute", self.minute_limit)):
            left = self._period_start(word) + lengths[word] - self.clock()
            found[f"{word}_limit"] = limit
            found[f"{word}_remaining"] = max(0, limit - self.points_used(api, word))
            found[f"{word}_reset"] = math.ceil(left.total_seconds())
        return found

    def _period_start(self, limit_type: str) -> datetime:
        now = self.clock().astimezone(ZoneInfo(self.timezone))
        minute = now.replace(second=0, microsecond=0)
        return minute if limit_type == "minute" else minute.replace(hour=0, minute=0)
