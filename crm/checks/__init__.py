"""Set-up checks of the CRM and of our own configuration."""

from connector_project.core.check_results import Check
from crm.checks import definitions
from crm.checks.account import is_account_address, is_given, missing_scope, refused, run_checks, served_version, version

__all__ = [
    "ALL",
    "is_account_address",
    "is_given",
    "missing_scope",
    "refused",
    "run_checks",
    "served_version",
    "version",
]

ALL: tuple[Check, ...] = (
    *(
        definitions.PUBLIC_ADDRESS,
        definitions.KEY_GIVEN,
        definitions.ADDRESS,
        definitions.ACCOUNT,
        definitions.ANSWERS,
        definitions.KEY,
        definitions.VERSION,
    ),
    *definitions.SCOPES.values(),
    *(definitions.STORES, definitions.STORE_CHOSEN, definitions.TIME_ZONE),
    *(
        definitions.MODULE_REGISTERED,
        definitions.MODULE_FROZEN,
        definitions.MODULE_ACTIVE,
        definitions.MODULE_ADDRESSES,
    ),
    *(definitions.OTHER_TELEPHONY, definitions.USERS_LINKED),
)
