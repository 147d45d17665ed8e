"""Call events of the fake retailCRM: who gets a pop-up, and when it closes."""

from typing import Any

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_checks import Checked, is_number
from tests.fakes.retailcrm_form import entity
from tests.fakes.retailcrm_http import BLANK, INVALID, Answer, Incoming, done

_TYPES = ("in", "out", "hangup")
_HANGUP_STATUSES = ("answered", "no answered", "busy", "cancel", "failed")


def receive(account: Account, asked: Incoming) -> Answer:
    """POST /telephony/call/event: tell people at once; nothing goes into the call history."""
    event = entity(asked, "event")
    account.need_telephony("Telephony not enabled")
    checked = Checked(event)
    _check(account, checked)
    account.events.append({**event, "_at": asked.at})
    _show(account, checked.sent)
    return done(**_unknown(account, checked.sent))


def _check(account: Account, event: Checked) -> None:
    event.required("phone", "type")
    event.text("phone", "externalPhone", "callExternalId", "site")
    event.choice("type", _TYPES)
    event.choice("hangupStatus", _HANGUP_STATUSES)
    _check_people(event)
    if len(account.sites) > 1:
        event.required("site")
    event.choice("site", account.sites)
    # The official PHP client sends [] for an empty map.
    if not isinstance(event.sent.get("webAnalyticsData") or {}, dict):
        event.fail("webAnalyticsData", INVALID)
    event.settle()


def _check_people(event: Checked) -> None:
    codes, user_ids = event.sent.get("codes", []), event.sent.get("userIds", [])
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        event.fail("codes", INVALID)
    if not isinstance(user_ids, list) or not all(is_number(user_id) for user_id in user_ids):
        event.fail("userIds", INVALID)
    if not codes and not user_ids:
        event.fail("codes", BLANK)


def _unknown(account: Account, event: dict[str, Any]) -> dict[str, list[Any]]:
    """Name the codes and users that reach nobody; empty lists are left out, as the vendor may do."""
    found = {
        "notExistCodes": [code for code in event.get("codes", []) if not account.users_of(code)],
        "notExistUsers": [user_id for user_id in event.get("userIds", []) if user_id not in account.users],
    }
    return {name: values for name, values in found.items() if values}


def _show(account: Account, event: dict[str, Any]) -> None:
    by_code = [user_id for code in event.get("codes", []) for user_id in account.users_of(code)]
    for user_id in account.known_users([*by_code, *event.get("userIds", [])]):
        screen = account.screens.setdefault(user_id, [])
        if event["type"] == "hangup":
            screen[:] = _after_hangup(screen, event)
        elif account.users[user_id].get("active") and account.users[user_id].get("online"):
            screen[:] = _with_card(screen, event)


def _with_card(screen: list[dict[str, Any]], event: dict[str, Any]) -> list[dict[str, Any]]:
    """Open a card; a repeat for the same call replaces the first one."""
    card = {"phone": event["phone"], "type": event["type"], "callExternalId": event.get("callExternalId")}
    return [*(shown for shown in screen if not _is_same_call(shown, card)), card]


def _after_hangup(screen: list[dict[str, Any]], event: dict[str, Any]) -> list[dict[str, Any]]:
    """Close the cards of this call, or turn them into notices of a missed call."""
    is_missed = event.get("hangupStatus", "answered") != "answered"
    left = [{"missed": True} if _is_same_call(card, event) else card for card in screen]
    return left if is_missed else [card for card in screen if not _is_same_call(card, event)]


def _is_same_call(card: dict[str, Any], event: dict[str, Any]) -> bool:
    """Calls are told apart by callExternalId, and without one by the number."""
    if "missed" in card:
        return False
    if card["callExternalId"] or event.get("callExternalId"):
        return bool(card["callExternalId"] == event.get("callExternalId"))
    return bool(card["phone"] == event["phone"])
