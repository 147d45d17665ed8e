"""Whom the fake retailCRM holds responsible for a caller: GET /telephony/manager."""

from typing import Any
from urllib.parse import quote

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_http import BAD_INPUT, NOT_A_CHOICE, Answer, Incoming, Refused, done


def show(account: Account, asked: Incoming) -> Answer:
    """Name the responsible manager; nobody is no error, the field is just absent."""
    phone = asked.query.get("phone")
    if not phone:
        raise Refused(400, "Parameter 'phone' is missing")
    details, ignore_status = _flag(asked, "details"), _flag(asked, "ignoreStatus")
    user_id = _responsible(account, phone)
    said = _manager(account, user_id, ignore_status=ignore_status)
    return done(**said, **(_details(account, phone, is_known=user_id is not None) if details else {}))


def _flag(asked: Incoming, name: str) -> bool:
    value = asked.query.get(name, "0")
    if value not in ("0", "1"):
        raise Refused(400, BAD_INPUT, {name: NOT_A_CHOICE})
    return value == "1"


def _responsible(account: Account, phone: str) -> int | None:
    """The vendor matches numbers loosely: by digits, with 8 for 7 in front of ten more."""
    by_number = {_number(known): user_id for known, user_id in account.responsible.items()}
    return by_number.get(_number(phone))


def _number(phone: str) -> str:
    digits = "".join(sign for sign in phone if sign.isdecimal())
    return f"7{digits[1:]}" if len(digits) == 11 and digits[0] == "8" else digits


def _manager(account: Account, user_id: int | None, *, ignore_status: bool) -> dict[str, Any]:
    user = account.users.get(user_id) if user_id is not None else None
    if not user or not user["active"] or (user["status"] != "free" and not ignore_status):
        return {}
    kept = ("id", "firstName", "lastName", "patronymic", "email")
    code = account.extension_of(user["id"])
    return {"manager": {name: user[name] for name in kept if name in user} | ({"code": code} if code else {})}


def _details(account: Account, phone: str, *, is_known: bool) -> dict[str, Any]:
    """Add the customer and links into the CRM; they carry the number as it was passed."""
    site, number = f"https://{account.host}", quote(phone, safe="")
    links = {
        "newOrderLink": f"{site}/orders/add?phone={number}",
        "newCustomerLink": f"{site}/customers/add?phone={number}",
    }
    if not is_known:
        return {"links": links}
    customer = {"id": 888, "firstName": "Test", "lastName": "Customer", "phones": [{"number": phone}]}
    return {"customer": customer, "links": {**links, "customerLink": f"{site}/customers/888"}}
