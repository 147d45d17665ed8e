"""Telephony settings of API v4: /telephony/setting/{code}, the predecessor of the integration module."""

import copy

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_checks import Validator
from tests.fakes.retailcrm_form import entity
from tests.fakes.retailcrm_http import INVALID, Answer, ApiError, Incoming, done, saved
from tests.fakes.retailcrm_telephony import DEFAULTS, SHARED_FIELDS, check_block

_FIELDS = ("code", "clientId", "active", "name", "image", *SHARED_FIELDS)
_READABLE_FIELDS = (
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


def edit(account: Account, incoming: Incoming) -> Answer:
    """POST /telephony/setting/{code}/edit: create, or change the fields that were sent."""
    setting = Validator(entity(incoming, "configuration"))
    code = incoming.args["code"]
    old = account.settings_v4.get(code)
    _check(setting, code=code, is_new=old is None)
    stored = {name: setting.sent[name] for name in _FIELDS if name in setting.sent}
    account.settings_v4[code] = {"active": False, **copy.deepcopy(DEFAULTS), **(old or {}), **stored}
    return saved(is_new=old is None)


def show(account: Account, incoming: Incoming) -> Answer:
    """GET /telephony/setting/{code}: fewer fields than were sent, and no clientId."""
    found = account.settings_v4.get(incoming.args["code"])
    if found is None:
        raise ApiError(404, "Not found")
    return done(configuration={name: found[name] for name in _READABLE_FIELDS if name in found})


def _check(setting: Validator, *, code: str, is_new: bool) -> None:
    setting.required("code", "clientId")
    if is_new:
        setting.required("name", "makeCallUrl")
    setting.text("code", "clientId", "name")
    setting.url("image")
    setting.flag("active")
    if setting.sent.get("code", code) != code:
        setting.fail("code", INVALID)
    check_block(setting)
    setting.raise_errors()
