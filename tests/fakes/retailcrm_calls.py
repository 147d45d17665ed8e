"""The call history of the fake retailCRM: uploads and the list of calls."""

import base64
import binascii
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_checks import Validator
from tests.fakes.retailcrm_form import structure
from tests.fakes.retailcrm_http import (
    BAD_ENTITY,
    BAD_INPUT,
    BLANK,
    INVALID,
    NOT_A_CHOICE,
    NOT_A_DATE,
    Answer,
    ApiError,
    Incoming,
    done,
)

_MAX_CALLS = 50
_FIRST_ID = 5001
_RESULTS = ("answered", "failed", "busy", "no answer", "not allowed", "unknown")
_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


def upload(account: Account, incoming: Incoming) -> Answer:
    """POST /telephony/calls/upload: all calls are stored, or none; known ones are reported and not changed."""
    sent = structure(incoming, "calls")
    account.require_telephony("Telephony not enabled or not supports calls upload")
    calls = _validated(account, sent, now=incoming.at)
    account.uploads.append(calls)
    known = {call["externalId"] for call in account.calls if call.get("externalId") is not None}
    is_blocked = any(call.get("externalId") in account.blocking_calls for call in calls)
    taken = [] if is_blocked else [call for call in calls if call.get("externalId") not in account.ignored_calls]
    duplicates = [call["externalId"] for call in taken if not _store(account, call, known, at=incoming.at)]
    count = account.count_of_uploads(len(taken) - len(duplicates), len(calls))
    result: dict[str, Any] = {} if count is None else {"processedCallsCount": count}
    return done(**result, **({"duplicateCalls": duplicates} if duplicates else {}))


def show(account: Account, incoming: Incoming) -> Answer:
    """GET /telephony/calls: newest first; a cursor leads to older ones."""
    limit = _limit(incoming.query.get("limit", "20"))
    rows = sorted(_rows(account), key=_sort_key, reverse=True)
    if cursor := incoming.query.get("cursor"):
        last = _parse_cursor(cursor)
        rows = [row for row in rows if _sort_key(row) < last]
    pagination = {"nextCursor": _cursor(rows[limit - 1])} if len(rows) > limit else {}
    return done(pagination=pagination, calls=rows[:limit])


def _validated(account: Account, sent: Any, *, now: datetime) -> list[dict[str, Any]]:
    if not isinstance(sent, list):
        raise ApiError(400, BAD_ENTITY, {"calls": INVALID})
    if not sent:
        raise ApiError(400, BAD_ENTITY, {"calls": BLANK})
    if len(sent) > _MAX_CALLS:
        message = f"This collection should contain {_MAX_CALLS} elements or less."
        raise ApiError(400, BAD_ENTITY, {"calls": message})
    validator = Validator({"calls": sent})
    for call in validator.rows("calls"):
        _check(account, call, now=now)
        validator.merge(call)
    validator.raise_errors()
    return sent


def _check(account: Account, call: Validator, *, now: datetime) -> None:
    call.required("date", "type", "phone", "result")
    call.text("phone", "code", "externalId", "externalPhone", "site", "clientId")
    call.choice("type", ("in", "out"))
    call.choice("result", _RESULTS)
    call.choice("site", account.sites)
    call.number("duration", "durationWaiting", "userId")
    call.url("recordUrl")
    if not isinstance(call.sent.get("source") or {}, dict):
        call.fail("source", INVALID)
    if "date" in call.sent:
        _check_date(call, zone=ZoneInfo(account.timezone), now=now)


def _check_date(call: Validator, *, zone: ZoneInfo, now: datetime) -> None:
    """The date is in the account's time zone, without an offset, and not in the future."""
    text = call.sent["date"]
    try:
        is_valid_format = isinstance(text, str) and _DATE.fullmatch(text)
        date = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone) if is_valid_format else None
    except ValueError:
        date = None
    if date is None or date > now:
        call.fail("date", NOT_A_DATE)


def _store(account: Account, call: dict[str, Any], known: set[str], *, at: datetime) -> bool:
    """Store a call unless its id is known; return whether it was stored."""
    external_id = call.get("externalId")
    if external_id in known:
        return False
    if external_id is not None:
        known.add(external_id)
    account.calls.append({**call, "_manager": _manager(account, call), "_at": at})
    return True


def _manager(account: Account, call: dict[str, Any]) -> int | None:
    """Return the user who talked; None for an unknown extension or user."""
    by_code = account.users_of(call["code"]) if call.get("code") else []
    return next(iter([*account.known_users([call.get("userId")]), *by_code]), None)


def _rows(account: Account) -> list[dict[str, Any]]:
    return [_row(account, call, call_id) for call_id, call in enumerate(account.calls, start=_FIRST_ID)]


def _row(account: Account, call: dict[str, Any], call_id: int) -> dict[str, Any]:
    fields = ("externalId", "type", "date", "code", "phone", "duration", "result")
    row = {"id": call_id, **{name: call[name] for name in fields if call.get(name) is not None}}
    row["isMissed"] = call["type"] == "in" and call["result"] != "answered"
    if manager := account.users.get(call["_manager"]):
        row["manager"] = {name: manager[name] for name in ("id", "firstName", "lastName") if name in manager}
    return row


def _sort_key(row: dict[str, Any]) -> tuple[str, int]:
    return row["date"], row["id"]


def _cursor(row: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode("|".join(map(str, _sort_key(row))).encode()).decode()


def _parse_cursor(cursor: str) -> tuple[str, int]:
    try:
        date, call_id = base64.urlsafe_b64decode(cursor).decode().split("|")
        return date, int(call_id)
    except (ValueError, binascii.Error):
        raise ApiError(400, BAD_INPUT, {"cursor": INVALID}) from None


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise ApiError(400, BAD_INPUT, {"limit": NOT_A_CHOICE})
    return int(text)
