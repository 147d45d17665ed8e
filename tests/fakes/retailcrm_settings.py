"""Telephony of API v4: /telephony/setting/{code}, the forerunner of the integration module."""

import copy

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_checks import Checked
from tests.fakes.retailcrm_form import entity
from tests.fakes.retailcrm_http import INVALID, Answer, Incoming, Refused, done, saved
from tests.fakes.retailcrm_telephony import DEFAULTS, SHARED_FIELDS, check_block

_FIELDS = ("code", "clientId", "active", "name", "image", *SHARED_FIELDS)
_SHOWN = (
    "makeCallUrl",
    "allowEdit",
    "inputEventSupported",
    "outputEventSupported",
    "additionalCodes",
    "externalPhones",
    "code",
    "active",
    "name",
)


def edit(account: Account, asked: Incoming) -> Answer:
    """POST /telephony/setting/{code}/edit: create, or change the fields that were sent."""
    sent = Checked(entity(asked, "configuration"))
    code = asked.args["code"]
    old = account.settings_v4.get(code)
    _check(sent, code=code, is_new=old is None)
    kept = {name: sent.sent[name] for name in _FIELDS if name in sent.sent}
    account.settings_v4[code] = {"active": False, **copy.deepcopy(DEFAULTS), **(old or {}), **kept}
    return saved(is_new=old is None)


def show(account: Account, asked: Incoming) -> Answer:
    """GET /telephony/setting/{code}: fewer fields than were sent, and no clientId."""
    setting = account.settings_v4.get(asked.args["code"])
    if setting is None:
        raise Refused(404, "Not found")
    return done(configuration={name: setting[name] for name in _SHOWN if name in setting})


def _check(sent: Checked, *, code: str, is_new: bool) -> None:
    sent.required("code", "clientId")
    if is_new:
        sent.required("name", "makeCallUrl")
    sent.text("code", "clientId", "name")
    sent.url("image")
    sent.flag("active")
    if sent.sent.get("code", code) != code:
        sent.fail("code", INVALID)
    check_block(sent)
    sent.settle()
