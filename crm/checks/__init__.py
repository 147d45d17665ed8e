"""Set-up checks of the CRM and of our own configuration."""

from crm.checks import words
from crm.checks.look import is_account_address, is_given, lacking, look, refused, served_version, version
from tenants.finding import Check

__all__ = ["ALL", "is_account_address", "is_given", "lacking", "look", "refused", "served_version", "version"]

ALL: tuple[Check, ...] = (
    *(words.PUBLIC_ADDRESS, words.KEY_GIVEN, words.ADDRESS, words.ACCOUNT, words.ANSWERS, words.KEY, words.VERSION),
    *words.SCOPES.values(),
    *(words.STORES, words.STORE_CHOSEN, words.TIME_ZONE),
    *(words.MODULE_REGISTERED, words.MODULE_FROZEN, words.MODULE_ACTIVE, words.MODULE_ADDRESSES),
    *(words.OTHER_TELEPHONY, words.USERS_LINKED),
)
