"""Call events of the fake retailCRM: who sees a pop-up, and when it closes."""

from typing import Any

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_checks import Validator, is_number
from tests.fakes.retailcrm_form import entity
from tests.fakes.retailcrm_http import BLANK, INVALID, Answer, Incoming, done

_TYPES = ("in", "out", "hangup")
_HANGUP_STATUSES = ("answered", "no answered", "busy", "cancel", "failed")


def receive(account: Account, incoming: Incoming) -> Answer:
    """POST /telephony/call/event: show or close pop-ups; the call history is not changed."""
    event = entity(incoming, "event")
    account.require_telephony("Telephony not enabled")
    validator = Validator(event)
    _check(account, validator)
    account.events.append({**event, "_at": incoming.at})
    _update_screens(account, validator.sent)
    return done(**_unknown(account, validator.sent))


def _check(account: Account, event: Validator) -> None:
    event.required("phone", "type")
    event.text("phone", "externalPhone", "callExternalId", "site")
    event.choice("type", _TYPES)
    event.choice("hangupStatus", _HANGUP_STATUSES)
    _check_recipients(event)
    if len(account.sites) > 1:
        event.required("site")
    event.choice("site", account.sites)
    # The official PHP client sends [] for an empty map.
    if not isinstance(event.sent.get("webAnalyticsData") or {}, dict):
        event.fail("webAnalyticsData", INVALID)
    event.raise_errors()


def _check_recipients(event: Validator) -> None:
    codes, user_ids = event.sent.get("codes", []), event.sent.get("userIds", [])
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        event.fail("codes", INVALID)
    if not isinstance(user_ids, list) or not all(is_number(user_id) for user_id in user_ids):
        event.fail("userIds", INVALID)
    if not codes and not user_ids:
        event.fail("codes", BLANK)


def _unknown(account: Account, event: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the unknown codes and users; empty lists are left out, as the vendor may do."""
    unknown = {
        "notExistCodes": [code for code in event.get("codes", []) if not account.users_of(code)],
        "notExistUsers": [user_id for user_id in event.get("userIds", []) if user_id not in account.users],
    }
    return {name: values for name, values in unknown.items() if values}


def _update_screens(account: Account, event: dict[str, Any]) -> None:
    by_code = [user_id for code in event.get("codes", []) for user_id in account.users_of(code)]
    for user_id in account.known_users([*by_code, *event.get("userIds", [])]):
        screen = account.screens.setdefault(user_id, [])
        if event["type"] == "hangup":
            screen[:] = _after_hangup(screen, event)
        elif account.users[user_id].get("active") and account.users[user_id].get("online"):
            screen[:] = _with_popup(screen, event)


def _with_popup(screen: list[dict[str, Any]], event: dict[str, Any]) -> list[dict[str, Any]]:
    """Open a pop-up; a repeat for the same call replaces the first one."""
    popup = {"phone": event["phone"], "type": event["type"], "callExternalId": event.get("callExternalId")}
    return [*(other for other in screen if not _is_same_call(other, popup)), popup]


def _after_hangup(screen: list[dict[str, Any]], event: dict[str, Any]) -> list[dict[str, Any]]:
    """Close the pop-ups of this call, or replace each with a missed-call notice."""
    is_missed = event.get("hangupStatus", "answered") != "answered"
    updated = [{"missed": True} if _is_same_call(popup, event) else popup for popup in screen]
    return updated if is_missed else [popup for popup in screen if not _is_same_call(popup, event)]


def _is_same_call(popup: dict[str, Any], event: dict[str, Any]) -> bool:
    """Compare by callExternalId; if neither has one, by the phone number."""
    if "missed" in popup:
        return False
    if popup["callExternalId"] or event.get("callExternalId"):
        return bool(popup["callExternalId"] == event.get("callExternalId"))
    return bool(popup["phone"] == event["phone"])
