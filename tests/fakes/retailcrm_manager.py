"""GET /telephony/manager of the fake retailCRM: the manager responsible for a caller."""

from typing import Any
from urllib.parse import quote

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_http import BAD_INPUT, NOT_A_CHOICE, Answer, ApiError, Incoming, done


def show(account: Account, incoming: Incoming) -> Answer:
    """Return the responsible manager; if there is none, the field is absent."""
    phone = incoming.query.get("phone")
    if not phone:
        raise ApiError(400, "Parameter 'phone' is missing")
    details, ignore_status = _flag(incoming, "details"), _flag(incoming, "ignoreStatus")
    user_id = _responsible(account, phone)
    result = _manager(account, user_id, ignore_status=ignore_status)
    return done(**result, **(_details(account, phone, is_known=user_id is not None) if details else {}))


def _flag(incoming: Incoming, name: str) -> bool:
    value = incoming.query.get(name, "0")
    if value not in ("0", "1"):
        raise ApiError(400, BAD_INPUT, {name: NOT_A_CHOICE})
    return value == "1"


def _responsible(account: Account, phone: str) -> int | None:
    """The vendor matches numbers loosely: digits only, and a leading 8 of 11 digits equals 7."""
    by_number = {_normalise(own): user_id for own, user_id in account.responsible.items()}
    return by_number.get(_normalise(phone))


def _normalise(phone: str) -> str:
    digits = "".join(character for character in phone if character.isdecimal())
    return f"7{digits[1:]}" if len(digits) == 11 and digits[0] == "8" else digits


def _manager(account: Account, user_id: int | None, *, ignore_status: bool) -> dict[str, Any]:
    user = account.users.get(user_id) if user_id is not None else None
    if not user or not user["active"] or (user["status"] != "free" and not ignore_status):
        return {}
    fields = ("id", "firstName", "lastName", "patronymic", "email")
    code = account.extension_of(user["id"])
    return {"manager": {name: user[name] for name in fields if name in user} | ({"code": code} if code else {})}


def _details(account: Account, phone: str, *, is_known: bool) -> dict[str, Any]:
    """Return the customer and links into the CRM; links contain the number as it was passed."""
    base_url, number = f"https://{account.host}", quote(phone, safe="")
    links = {
        "newOrderLink": f"{base_url}/orders/add?phone={number}",
        "newCustomerLink": f"{base_url}/customers/add?phone={number}",
    }
    if not is_known:
        return {"links": links}
    customer = {"id": 888, "firstName": "Test", "lastName": "Customer", "phones": [{"number": phone}]}
    return {"customer": customer, "links": {**links, "customerLink": f"{base_url}/customers/888"}}
