"""Integration modules of API v5: register the telephony, read it back, request more scopes."""

import copy
import hashlib
import re
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_checks import Validator
from tests.fakes.retailcrm_form import entity
from tests.fakes.retailcrm_http import BLANK, INVALID, NOT_A_CHOICE, Answer, ApiError, Incoming, done, saved
from tests.fakes.retailcrm_telephony import DEFAULTS, SHARED_FIELDS, check_block, unknown_parts

_ACTIONS = ("activity", "settings")
_ROOT_FIELDS = (
    "code",
    "integrationCode",
    "active",
    "name",
    "logo",
    "clientId",
    "baseUrl",
    "actions",
    "accountUrl",
    "availableCountries",
)


def edit(account: Account, incoming: Incoming) -> Answer:
    """POST /integration-modules/{code}/edit: replaces the whole module."""
    sent = Validator(entity(incoming, "integrationModule"))
    block = _telephony(sent)
    _check(sent, code=incoming.args["code"], block=block)
    old = account.modules.get(incoming.args["code"])
    frozen = bool(old and old.get("freeze"))
    account.modules[incoming.args["code"]] = _stored(sent.sent, block=block, frozen=frozen)
    info = unknown_parts(account, block.sent) if block else {}
    return saved(is_new=old is None, info=info or [])


def show(account: Account, incoming: Incoming) -> Answer:
    """GET /integration-modules/{code}: without the clientId, which the vendor does not return."""
    module = account.modules.get(incoming.args["code"])
    if module is None:
        raise ApiError(404, "Not found")
    return done(integrationModule={name: value for name, value in module.items() if name != "clientId"})


def update_scopes(account: Account, incoming: Incoming) -> Answer:
    """POST /integration-modules/{code}/update-scopes: a new key replaces the old one."""
    requires = entity(incoming, "requires")
    if incoming.args["code"] not in account.modules:
        raise ApiError(404, "Not found")
    if not account.simple_connection:
        raise ApiError(400, "Not enabled simple connection")
    scopes = requires.get("scopes")
    if not isinstance(scopes, list) or not scopes or not all(isinstance(scope, str) for scope in scopes):
        raise ApiError(400, "Validation error", {"scopes": INVALID if scopes else BLANK})
    account.scopes = set(scopes)
    account.key = hashlib.sha256(account.key.encode()).hexdigest()[:32]
    return done(apiKey=account.key)


def _telephony(module: Validator) -> Validator | None:
    """Return the telephony block; telephony fields elsewhere are ignored without an error."""
    integrations = module.sent.get("integrations") or {}
    if not isinstance(integrations, dict):
        module.fail("integrations", INVALID)
        return None
    block = integrations.get("telephony")
    # PHP encodes an empty map as [], so the vendor accepts it as one.
    return None if block is None else Validator(block or {}, prefix="integrations.telephony.")


def _check(module: Validator, *, code: str, block: Validator | None) -> None:
    module.required("code", "clientId", "baseUrl")
    module.text("code", "integrationCode", "name", "clientId")
    module.url("logo", "baseUrl", "accountUrl")
    module.flag("active")
    _check_appearance(module)
    _check_actions(module)
    if module.sent.get("code", code) != code:
        module.fail("code", INVALID)
    if block:
        check_block(block)
        module.merge(block)
    module.raise_errors()
    if not module.sent["code"].startswith(module.sent.get("integrationCode", "")):
        raise ApiError(400, "Failed to activate module", {"code": "Code prefix must match integrationCode"})


def _check_appearance(module: Validator) -> None:
    """A marketplace module has its name and logo there; any other module must send them."""
    if "integrationCode" not in module.sent:
        module.required("name", "logo")
    elif not re.fullmatch(r"[A-Za-z0-9_-]+", str(module.sent["integrationCode"])):
        module.fail("integrationCode", INVALID)
    if "logo" in module.sent and not urlsplit(str(module.sent["logo"])).path.lower().endswith(".svg"):
        module.fail("logo", "Logo image must be svg")


def _check_actions(module: Validator) -> None:
    actions = module.sent.get("actions") or {}
    if not isinstance(actions, dict):
        module.fail("actions", INVALID)
    elif set(actions) - set(_ACTIONS):
        module.fail("actions", NOT_A_CHOICE)
    elif not all(isinstance(path, str) and path for path in actions.values()):
        module.fail("actions", BLANK)


def _stored(sent: dict[str, Any], *, block: Validator | None, frozen: bool) -> dict[str, Any]:
    """Return the known fields; freeze and native are set by the vendor."""
    module: dict[str, Any] = {"active": False, "actions": {}, "availableCountries": []}
    module |= {name: sent[name] for name in _ROOT_FIELDS if name in sent}
    module |= {"freeze": frozen, "native": False, "integrations": {}}
    if block:
        telephony = {name: block.sent[name] for name in SHARED_FIELDS if name in block.sent}
        module["integrations"] = {"telephony": {**copy.deepcopy(DEFAULTS), **telephony}}
    return module
