"""The rows of the two reports of the fake UIS."""

from __future__ import annotations

from datetime import datetime

from tests.fakes import uis_attribution, uis_fields
from tests.fakes.uis_fields import Columns
from tests.fakes.uis_jsonrpc import Row
from tests.fakes.uis_session import Leg, Session

CALLS = uis_fields.CALLS | uis_attribution.CALLS


def _empty(columns: Columns) -> Row:
    return {column.name: column.empty for column in columns.values()}


# Made once: reports of thousands of calls consist of little else.
_EMPTY_LEG, _EMPTY_CALL = _empty(uis_fields.LEGS), _empty(CALLS)


def leg_row(leg: Leg, session: Session, now: datetime) -> Row:
    """Return a row of get.call_legs_report with every column."""
    return (
        _EMPTY_LEG
        | _leg_fields(leg, session)
        | _leg_employee(leg, session)
        | {
            "call_records": list(leg.records) if session.are_records_shown(now) else [],
            "start_time": _date(session, leg.started_at),
            "connect_time": leg.connected_at and _date(session, leg.connected_at),
            "duration": leg.duration,
            "total_duration": round((leg.ended_at - leg.started_at).total_seconds()),
        }
    )


def _leg_fields(leg: Leg, session: Session) -> Row:
    return {
        "id": leg.leg_id,
        "call_session_id": session.session_id,
        "finish_reason": leg.finish_reason,
        "virtual_phone_number": session.number,
        "calling_phone_number": leg.calling,
        "called_phone_number": leg.called,
        "contact_phone_number": session.contact,
        "direction": leg.direction,
        "is_transfered": leg.is_transfer,
        "is_operator": leg.is_operator,
        "is_talked": leg.is_talked,
        "is_coach": False,
        "is_failed": not leg.is_talked,
        "release_cause_code": 16,
        "scenario_name": session.scenario_name,
    }


def _leg_employee(leg: Leg, session: Session) -> Row:
    if leg.employee_id is None:
        return {}
    name = _name(session, leg.employee_id)
    return {"employee_id": leg.employee_id, "employee_full_name": name, "employee_phone_number": leg.phone}


def call_row(session: Session, now: datetime) -> Row:
    """Return a row of get.calls_report with every column."""
    return (
        _EMPTY_CALL
        | _call_fields(session)
        | _call_durations(session, now)
        | _call_records(session, now)
        | _call_employees(session)
        | uis_attribution.call_columns(session)
    )


def _call_fields(session: Session) -> Row:
    return {
        "id": session.session_id,
        "start_time": _date(session, session.started_at),
        "finish_time": session.ended_at and _date(session, session.ended_at),
        "finish_reason": session.finish_reason,
        "direction": session.direction,
        "source": session.source,
        "is_lost": session.is_lost,
        "contact_phone_number": session.contact,
        "virtual_phone_number": session.number,
        "communication_id": session.communication_id,
        "communication_type": "call",
        "is_transfer": any(leg.is_transfer for leg in session.legs),
        "scenario_name": session.scenario_name,
        "call_api_external_id": session.external_id,
        "call_is_internal": session.is_internal,
        "attributes": ["lost"] if session.is_lost else [],
    }


def _call_durations(session: Session, now: datetime) -> Row:
    total = round(((session.ended_at or now) - session.started_at).total_seconds())
    return {
        "wait_duration": session.wait,
        "total_wait_duration": session.wait,
        "talk_duration": session.talk,
        "clean_talk_duration": session.talk,
        "total_duration": total,
        "postprocess_duration": 0,
    }


def _call_records(session: Session, now: datetime) -> Row:
    records = session.records if session.are_records_shown(now) else []
    base = session.account.media_url or f"https://media.{session.account.domain}"
    link = f"{base}/{session.communication_id}/{records[0]}" if records else None
    mails = session.shown_voice_mails(now)
    shown = {"voice_mail_records": mails} if mails else {}
    return {"call_records": records, "full_record_file_link": link, **shown}


def _call_employees(session: Session) -> Row:
    talked = [leg.employee_id for leg in session.talk_legs if leg.employee_id is not None]
    answered = [leg.employee_id for leg in session.operator_legs if leg.employee_id is not None and leg.connected_at]
    employee_ids = dict.fromkeys(leg.employee_id for leg in session.operator_legs if leg.employee_id is not None)
    row: Row = {"employees": []}
    for employee_id in employee_ids:
        employee = {"employee_id": employee_id, "employee_full_name": _name(session, employee_id)}
        row["employees"].append(employee | {"is_answered": employee_id in answered, "is_talked": employee_id in talked})
    for kind, ids in (("answered", answered), ("talked", talked)):
        for order, first_or_last in (("first", ids[:1]), ("last", ids[-1:])):
            row[f"{order}_{kind}_employee_id"] = first_or_last[0] if first_or_last else None
            row[f"{order}_{kind}_employee_full_name"] = _name(session, first_or_last[0]) if first_or_last else None
    row["operator_phone_number"] = session.talk_legs[-1].phone if talked else None
    return row


def _name(session: Session, employee_id: int) -> str | None:
    name: str | None = session.account.employees.get(employee_id, {}).get("full_name")  # may be deleted by now
    return name


def _date(session: Session, moment: datetime) -> str:
    return session.account.local(moment).isoformat(sep=" ", timespec="seconds")
