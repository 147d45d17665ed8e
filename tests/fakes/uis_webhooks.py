"""The notifications of the fake UIS: the macros of section 8.4 in our templates, flat, nested or as a query."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.fakes import uis_attribution

if TYPE_CHECKING:
    from tests.fakes.uis_session import Leg, Session

NAMES = {
    "incoming": "Входящий звонок",
    "waiting": "Ожидание ответа",
    "outgoing": "Исходящий звонок",
    "talk_started": "Начало разговора",
    "talk_finished": "Окончание разговора",
    "call_end": "Завершение звонка",
    "lost_call": "Потерянный звонок",
    "recorded": "Записанный разговор",
}

# waiting, call_end, lost_call and recorded: samples/uis/templates, the last with the tags of S11; the others: the flat
# samples.
_HEAD = "notification_name notification_mnemonic notification_time virtual_phone_number"
_TALK = f"{_HEAD} external_id contact_phone_number contact_id employee_full_name employee_id call_source"
_TEMPLATES = {
    "incoming": f"{_HEAD} scenario_name contact_phone_number communication_number contact_id contact_full_name "
    "call_session_id",
    "waiting": f"{_HEAD} external_id contact_phone_number contact_id employee_id employee_full_name call_source "
    "call_session_id direction leg_id",
    "outgoing": f"{_HEAD} contact_phone_number contact_id contact_full_name call_session_id employee_full_name "
    "employee_id employee_phone_number",
    "talk_started": f"{_TALK} call_session_id direction leg_ids",
    "talk_finished": f"{_TALK} call_session_id direction communication_number scenario_name talk_time_duration leg_ids",
    "call_end": f"{_HEAD} external_id contact_phone_number employee_id employee_full_name call_source direction "
    "is_lost call_session_id start_time talk_time_duration total_time_duration wait_time_duration scenario_name "
    "tag_names",
    "lost_call": "notification_name notification_time virtual_phone_number contact_phone_number call_session_id "
    "scenario_name wait_time_duration employee_ids",
    "recorded": "notification_name notification_time virtual_phone_number contact_phone_number call_session_id "
    "employee_id file_link file_duration tag_names",
}

# The default body of UIS (section 8.5); `call_record_duration` is the nested name of `file_duration`.
_GROUPS = {
    "contact_info": "contact_phone_number communication_number contact_id contact_full_name",
    "employee_info": "employee_full_name employee_id extension_phone_number employee_email",
    "call_info": "call_source direction is_lost call_session_id scenario_name talk_time_duration "
    "total_time_duration wait_time_duration tag_names call_status",
    "call_record_file_info": "file_link call_record_duration",
}
_TOP = "notification_name virtual_phone_number notification_time external_id record_file_links tag_ids tag_names"
_ONLY_AT_THE_END = frozenset(
    {"is_lost", "talk_time_duration", "total_time_duration", "wait_time_duration", "call_status"}
)


@dataclass(frozen=True)
class FakeNotification:
    """One notification about one session."""

    session: Session
    event: str
    employee_id: int | None = None
    at: datetime | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a notification that UIS could not send about this session."""
        if self.event not in NAMES:
            raise ValueError(f"no such event: {self.event}")
        session = self.session
        is_possible = {
            "waiting": bool(self.legs),
            "outgoing": bool(self.legs),
            "talk_started": bool(session.talk_legs),
            "talk_finished": bool(session.talk_legs),
            "call_end": not session.is_running,
            "lost_call": not session.is_running and session.is_lost and session.direction == "in",
            "recorded": any(leg.records for leg in session.talk_legs),
        }
        if not is_possible.get(self.event, True) or (self.employee_id and self.leg is None):
            raise ValueError(f"{self.event} cannot happen in session {session.session_id}")

    def flat(self) -> dict[str, object]:
        """Render our template."""
        values = self.macros()
        return {"event": self.event} | {name: values[name] for name in _TEMPLATES[self.event].split()}

    def nested(self) -> dict[str, object]:
        """Render the default body of UIS, with our constant added."""
        values = self.macros()
        if self.event not in {"call_end", "talk_finished"}:
            values = {name: value for name, value in values.items() if name not in _ONLY_AT_THE_END}
        body: dict[str, object] = {"event": self.event}
        body |= {name: values[name] for name in _TOP.split() if name in values}
        for group, names in _GROUPS.items():
            if group_values := {name: values[name] for name in names.split() if name in values}:
                body[group] = group_values
        return body

    def render(self, template: str) -> str:
        """Render a template as typed: known macros become their value in JSON, unknown ones stay."""
        values = self.macros()

        def value(macro: re.Match[str]) -> str:
            return json.dumps(values[macro[1]], ensure_ascii=False) if macro[1] in values else macro[0]

        return re.sub(r"\{\{\s*(\w+)\s*\}\}", value, template)

    @property
    def legs(self) -> list[Leg]:
        """The employees' legs that this event can be about."""
        if self.event in {"incoming", "lost_call"}:
            return []
        if self.event in {"talk_started", "talk_finished"}:
            return self.session.talk_legs
        if self.event == "recorded":
            return [leg for leg in self.session.talk_legs if leg.records]
        return self.session.talk_legs[::-1] if self.event == "call_end" else self.session.operator_legs

    @property
    def leg(self) -> Leg | None:
        """The leg it is about: that of `employee_id`, else the first; for call_end, the last talk."""
        return next((leg for leg in self.legs if self.employee_id in {None, leg.employee_id}), None)

    def macros(self) -> dict[str, object]:
        """Return the value of every macro of this event."""
        session = self.session
        values: dict[str, object] = {
            "notification_name": NAMES[self.event],
            "notification_mnemonic": "<undocumented>",
            "notification_time": session.account.stamp(self.at or self._default_time()),
            "virtual_phone_number": session.number,
            "contact_phone_number": session.contact,
            "communication_number": None,
            "contact_id": None,
            "contact_full_name": None,
            "call_session_id": session.session_id,
            "scenario_name": session.scenario_name,
            "external_id": session.external_id,
            "call_source": session.source,
            "direction": session.direction,
            "start_time": session.account.stamp(session.started_at),
            **uis_attribution.macros(session, event=self.event),
        }
        return values | self._durations() | self._employee() | self._record()

    def _durations(self) -> dict[str, object]:
        session = self.session
        talk = self.leg.duration if self.event == "talk_finished" and self.leg else session.talk
        return {
            "is_lost": session.is_lost,
            "call_status": "lost" if session.is_lost else "success",
            "lost_reason": session.finish_reason if session.is_lost else None,
            "wait_time_duration": session.wait,
            "talk_time_duration": talk,
            "total_time_duration": session.wait + session.talk + session.voice_mail_seconds,
        }

    def _employee(self) -> dict[str, object]:
        session, leg = self.session, self.leg
        employee = session.account.employees.get(leg.employee_id or 0, {}) if leg else {}
        employee_ids = [operator_leg.employee_id for operator_leg in session.operator_legs]
        return {
            "employee_id": employee.get("id"),
            "employee_full_name": employee.get("full_name"),
            "employee_phone_number": leg and leg.phone,
            "extension_phone_number": employee.get("extension", {}).get("extension_phone_number"),
            "employee_email": employee.get("email"),
            "employee_ids": list(dict.fromkeys(employee_ids)),
            "last_talked_employee_id": next(
                (leg.employee_id for leg in session.talk_legs[::-1] if leg.employee_id), None
            ),
            "leg_id": leg and leg.leg_id,
            "leg_ids": [session.legs[0].leg_id, leg.leg_id] if leg else [],
        }

    def _record(self) -> dict[str, object]:
        if self.event != "recorded" or self.leg is None:
            return {}
        link, seconds = self.session.link(self.leg.records[0]), self.leg.duration
        return {"file_link": link, "file_duration": seconds, "call_record_duration": seconds, "tag_ids": []}

    def _default_time(self) -> datetime:
        session, leg = self.session, self.leg
        if self.event == "waiting" and leg:
            return leg.started_at
        if self.event == "talk_started" and leg and leg.connected_at:
            return leg.connected_at
        if self.event == "talk_finished" and leg:
            return leg.ended_at
        if self.event == "recorded":
            return session.records_at or session.ended_at or session.started_at
        return session.started_at if self.event in {"incoming", "outgoing"} else session.ended_at or session.started_at


def to_query(body: dict[str, object]) -> str:
    """Encode a flat body as UIS does: macros keep their JSON quotes, our constant has none."""
    pairs = [f"event={body['event']}"]
    for name, value in body.items():
        if name != "event":
            pairs.append(f"{name}={quote(json.dumps(value, ensure_ascii=False), safe='')}")
    return "&".join(pairs)
