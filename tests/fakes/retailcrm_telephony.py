"""The telephony settings that v4 and v5 share: their validation, and what of them is unknown to the account."""

from typing import Any

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_checks import Validator, as_user_id
from tests.fakes.retailcrm_http import INVALID

SHARED_FIELDS = (
    "makeCallUrl",
    "changeUserStatusUrl",
    "allowEdit",
    "inputEventSupported",
    "outputEventSupported",
    "hangupEventSupported",
    "additionalCodes",
    "externalPhones",
)
DEFAULTS: dict[str, Any] = {
    "allowEdit": False,
    "inputEventSupported": False,
    "outputEventSupported": False,
    "hangupEventSupported": False,
    "additionalCodes": [],
    "externalPhones": [],
}


def check_block(block: Validator) -> None:
    """Validate the telephony fields."""
    block.url("makeCallUrl", "changeUserStatusUrl")
    block.flag("allowEdit", "inputEventSupported", "outputEventSupported", "hangupEventSupported")
    for row in block.rows("additionalCodes"):
        row.required("userId", "code")
        row.text("code")
        if as_user_id(row.sent.get("userId", 0)) is None:
            row.fail("userId", INVALID)
        block.merge(row)
    for row in block.rows("externalPhones"):
        row.required("siteCode", "externalPhone")
        row.text("siteCode", "externalPhone")
        block.merge(row)


def unknown_parts(account: Account, block: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the unknown users and stores; the edit succeeds all the same."""
    users = [as_user_id(row["userId"]) for row in block.get("additionalCodes", [])]
    sites = [row["siteCode"] for row in block.get("externalPhones", [])]
    unknown = {
        "notExistUsersIds": [user_id for user_id in users if user_id not in account.users],
        "notExistSiteCodes": [site for site in sites if site not in account.sites],
    }
    return {name: values for name, values in unknown.items() if values}
