"""Messages of the fake retailCRM to its users: /notifications/send, as the vendor's own clients send it."""

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_checks import Validator, is_number
from tests.fakes.retailcrm_form import entity
from tests.fakes.retailcrm_http import BLANK, INVALID, Answer, Incoming, done

_TYPES = ("api.error", "api.info")


def send(account: Account, incoming: Incoming) -> Answer:
    """POST /notifications/send: the users and groups see the message; no pop-up of a call opens."""
    sent = Validator(entity(incoming, "notification"))
    sent.required("type", "message")
    sent.text("message")
    sent.choice("type", _TYPES)
    users, groups = sent.sent.get("userIds", []), sent.sent.get("userGroups", [])
    if not isinstance(users, list) or not all(is_number(user_id) for user_id in users):
        sent.fail("userIds", INVALID)
    if not users and not groups:
        sent.fail("userIds", BLANK)
    sent.raise_errors()
    for user_id in account.known_users(users):
        account.messages.append((user_id, sent.sent["type"], sent.sent["message"]))
    return done()
