"""The call history of the fake retailCRM: uploads go in, the list of calls comes out."""

import base64
import binascii
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_checks import Checked
from tests.fakes.retailcrm_form import structure
from tests.fakes.retailcrm_http import (
    BAD_ENTITY,
    BAD_INPUT,
    BLANK,
    INVALID,
    NOT_A_CHOICE,
    NOT_A_DATE,
    Answer,
    Incoming,
    Refused,
    done,
)

_AT_MOST = 50
_FIRST_ID = 5001
_RESULTS = ("answered", "failed", "busy", "no answer", "not allowed", "unknown")
_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


def upload(account: Account, asked: Incoming) -> Answer:
    """POST /telephony/calls/upload: all calls are stored, or none; known ones are reported and left as they are."""
    sent = structure(asked, "calls")
    account.need_telephony("Telephony not enabled or not supports calls upload")
    calls = _checked(account, sent, now=asked.at)
    account.uploads.append(calls)
    known = {call["externalId"] for call in account.calls if call.get("externalId") is not None}
    repeated = [call["externalId"] for call in calls if not _store(account, call, known, at=asked.at)]
    said: dict[str, Any] = {"processedCallsCount": len(calls) - len(repeated)}
    return done(**said, **({"duplicateCalls": repeated} if repeated else {}))


def show(account: Account, asked: Incoming) -> Answer:
    """GET /telephony/calls: newest first, a cursor leads to older ones."""
    limit = _limit(asked.query.get("limit", "20"))
    rows = sorted(_rows(account), key=_place, reverse=True)
    if cursor := asked.query.get("cursor"):
        last = _opened(cursor)
        rows = [row for row in rows if _place(row) < last]
    more = {"nextCursor": _cursor(rows[limit - 1])} if len(rows) > limit else {}
    return done(pagination=more, calls=rows[:limit])


def _checked(account: Account, sent: Any, *, now: datetime) -> list[dict[str, Any]]:
    if not isinstance(sent, list):
        raise Refused(400, BAD_ENTITY, {"calls": INVALID})
    if not sent:
        raise Refused(400, BAD_ENTITY, {"calls": BLANK})
    if len(sent) > _AT_MOST:
        message = f"This collection should contain {_AT_MOST} elements or less."
        raise Refused(400, BAD_ENTITY, {"calls": message})
    batch = Checked({"calls": sent})
    for call in batch.rows("calls"):
        _check(account, call, now=now)
        batch.take(call)
    batch.settle()
    return sent


def _check(account: Account, call: Checked, *, now: datetime) -> None:
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


def _check_date(call: Checked, *, zone: ZoneInfo, now: datetime) -> None:
    """The date is in the account's time, without offset; the future has no calls yet."""
    text = call.sent["date"]
    try:
        is_form = isinstance(text, str) and _DATE.fullmatch(text)
        date = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone) if is_form else None
    except ValueError:
        date = None
    if date is None or date > now:
        call.fail("date", NOT_A_DATE)


def _store(account: Account, call: dict[str, Any], known: set[str], *, at: datetime) -> bool:
    """Store a call unless its id is known; say whether it was."""
    external_id = call.get("externalId")
    if external_id in known:
        return False
    if external_id is not None:
        known.add(external_id)
    account.calls.append({**call, "_manager": _manager(account, call), "_at": at})
    return True


def _manager(account: Account, call: dict[str, Any]) -> int | None:
    """Return who talked; an unknown extension or user leaves the call without a manager."""
    by_code = account.users_of(call["code"]) if call.get("code") else []
    return next(iter([*account.known_users([call.get("userId")]), *by_code]), None)


def _rows(account: Account) -> list[dict[str, Any]]:
    return [_row(account, call, number) for number, call in enumerate(account.calls, start=_FIRST_ID)]


def _row(account: Account, call: dict[str, Any], number: int) -> dict[str, Any]:
    kept = ("externalId", "type", "date", "code", "phone", "duration", "result")
    row = {"id": number, **{name: call[name] for name in kept if call.get(name) is not None}}
    row["isMissed"] = call["type"] == "in" and call["result"] != "answered"
    if manager := account.users.get(call["_manager"]):
        row["manager"] = {name: manager[name] for name in ("id", "firstName", "lastName") if name in manager}
    return row


def _place(row: dict[str, Any]) -> tuple[str, int]:
    return row["date"], row["id"]


def _cursor(row: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode("|".join(map(str, _place(row))).encode()).decode()


def _opened(cursor: str) -> tuple[str, int]:
    try:
        date, number = base64.urlsafe_b64decode(cursor).decode().split("|")
        return date, int(number)
    except (ValueError, binascii.Error):
        raise Refused(400, BAD_INPUT, {"cursor": INVALID}) from None


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise Refused(400, BAD_INPUT, {"limit": NOT_A_CHOICE})
    return int(text)
