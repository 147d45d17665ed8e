"""What a vendor denies to a tenant's account and why, with the text that says what to change."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.http_client import ACCOUNT, MODULE, AccessDenied

# While a right is missing, one request that needs it is sent each five minutes.
RIGHT_PROBE_PAUSE = timedelta(minutes=5)
# A right that nothing has needed for so long is missed no more.
FORGET_AFTER = timedelta(days=14)
SWITCHED_OFF = "switched_off"  # people switched our module off in the CRM, and the CRM told us
SHARED = "shared_account"  # another client uses the account
# What denies everything, in the order in which it must be put right; any other subject is one right.
SUSPENDING = (ACCOUNT, SHARED, SWITCHED_OFF, MODULE)


class AccessError(Choices):
    """Why a vendor denies access, and what to change; the codes are those of the two API clients."""

    NONE = "", ""
    TOKEN_INVALID = (
        "access_token_invalid",
        _(
            "UIS does not know this key. Check that it is complete and for this brand, or create a new one. "
            "UIS: Administrator → User management."
        ),
    )
    TOKEN_EXPIRED = (
        "access_token_expired",
        _("The UIS key has expired. Create a permanent one. UIS: Administrator → User management."),
    )
    TOKEN_BLOCKED = (
        "access_token_blocked",
        _("The UIS key is blocked. Unblock it or create a new one. UIS: Administrator → User management."),
    )
    AUTH_ERROR = "auth_error", _("UIS rejects the login. Create a key in UIS: Administrator → User management.")
    ADDRESS_NOT_LISTED = (
        "ip_not_whitelisted",
        _("Our IP address is not on the list in UIS: Administrator → Account → Rules and security settings, tab API."),
    )
    ACCOUNT_INACTIVE = "account_inactive", _("The UIS account is switched off. Contact the support of UIS.")
    FORBIDDEN = "forbidden", _("The key's user lacks a permission in UIS: Administrator → User management.")
    COMPONENT = "component_disabled", _("An option is missing in UIS: Account → Tariffs and options.")
    METHOD_COMPONENT = (
        "method_component_disabled",
        _("A Data API option is missing in UIS: Account → Tariffs and options."),
    )
    CRM_KEY = (
        "key",
        _(
            "The CRM does not accept this API key. Check that it is complete and from this account, or create a new "
            "one. CRM: Settings → Integration → API keys."
        ),
    )
    CRM_SCOPE = "scope", _("The CRM key lacks a permission. Tick it in the CRM: Settings → Integration → API keys.")
    CRM_ACCOUNT = "account", _("There is no CRM account at this address. Check the address.")
    TELEPHONY_OFF = (
        "telephony_off",
        _(
            "Our module is switched off, frozen or deleted in the CRM: Settings → Integration. It stays off until "
            "somebody switches it on there or presses “Activate”."
        ),
    )
    KEY_UNDECRYPTABLE = (
        "key_undecryptable",
        _(
            "The stored key cannot be decrypted. Put the key that encrypted it back into FIELD_ENCRYPTION_KEYS, "
            "or enter the access key again."
        ),
    )
    KEY_MISSING = (
        "key_missing",
        _(
            "The account has another address now, and a stored key is never sent to a new host. Enter the API key "
            "again. CRM: Settings → Integration → API keys."
        ),
    )
    NOT_HTTPS = "address_not_https", _("The address must begin with https://.")
    NOT_PUBLIC = "address_not_public", _("The address is not public.")
    NOT_CRM = (
        "address_not_crm",
        _(
            "The address is not that of a CRM account, so no key is sent there. Enter an address such as "
            "https://shop.retailcrm.ru, and the key."
        ),
    )
    ACCOUNT_USED = (
        "account_used",
        _("Another client uses the same account, so every call would be uploaded twice. Disconnect one of the two."),
    )


# Our own refusals: nobody was asked, so there is nothing to confirm.
OWN_REFUSALS = {
    AccessError.KEY_UNDECRYPTABLE,
    AccessError.KEY_MISSING,
    AccessError.NOT_CRM,
    AccessError.ACCOUNT_USED,
}
# Codes of one missing right or option: only the requests that need it fail.
MISSING_RIGHTS = {AccessError.FORBIDDEN, AccessError.COMPONENT, AccessError.METHOD_COMPONENT, AccessError.CRM_SCOPE}


def key_undecryptable(system: str) -> AccessDenied:
    """Return the error for a stored key that cannot be decrypted: nothing can be asked with it."""
    message = "The stored key cannot be decrypted: FIELD_ENCRYPTION_KEYS lacks the key that encrypted it."
    return AccessDenied(system, message, code=AccessError.KEY_UNDECRYPTABLE)


def key_missing(system: str) -> AccessDenied:
    """Return the error for an account whose key was deleted with its old host."""
    return AccessDenied(system, "No key is stored for this address.", code=AccessError.KEY_MISSING)


def not_crm(system: str) -> AccessDenied:
    """Return the error for an address that no key may be sent to."""
    return AccessDenied(system, "The address is not that of a CRM account.", code=AccessError.NOT_CRM)


@dataclass(frozen=True)
class Denial:
    """A denial in force. Several may hold at once, one of each subject."""

    subject: str
    code: str
    detail: str
    since: datetime
    retry_at: datetime  # of one right: when it may be tried again

    @property
    def right(self) -> str:
        """The one right that is missing; empty if everything is denied."""
        return "" if self.subject in SUSPENDING else self.subject

    @property
    def label(self) -> str:
        """What must be changed; empty for an unknown code."""
        return str(AccessError(self.code).label) if self.code in set(AccessError) else ""

    @property
    def message(self) -> str:
        """The vendor's words, with the right they are about."""
        return f"{self.right}: {self.detail}" if self.right else self.detail


def to_json(denials: Iterable[Denial]) -> dict[str, Any]:
    """Return denials as stored, by their subject."""
    return {
        one.subject: asdict(one) | {"since": one.since.isoformat(), "retry_at": one.retry_at.isoformat()}
        for one in denials
    }


def from_json(stored: Mapping[str, Any]) -> dict[str, Denial]:
    """Return stored denials by their subject: those of everything first, then the oldest."""
    parsed = (
        Denial(
            **row | {"since": datetime.fromisoformat(row["since"]), "retry_at": datetime.fromisoformat(row["retry_at"])}
        )
        for row in stored.values()
    )
    return {one.subject: one for one in sorted(parsed, key=_rank)}


def _rank(denial: Denial) -> tuple[int, datetime, str]:
    first = SUSPENDING.index(denial.subject) if denial.subject in SUSPENDING else len(SUSPENDING)
    return first, denial.since, denial.subject
