"""Why a vendor denies access to a tenant's account, with the text that says what to change."""

from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.http_client import AccessDenied


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
    TELEPHONY_OFF = "telephony_off", _("Our module is switched off in the CRM: Settings → Integration.")
    KEY_UNDECRYPTABLE = (
        "key_undecryptable",
        _(
            "The stored key cannot be decrypted. Put the key that encrypted it back into FIELD_ENCRYPTION_KEYS, "
            "or enter the access key again."
        ),
    )
    NOT_HTTPS = "address_not_https", _("The address must begin with https://.")
    NOT_PUBLIC = "address_not_public", _("The address is not public.")


# One right or option is missing: only the requests that need it fail.
MISSING_RIGHTS = {AccessError.FORBIDDEN, AccessError.COMPONENT, AccessError.METHOD_COMPONENT, AccessError.CRM_SCOPE}


def key_undecryptable(system: str) -> AccessDenied:
    """Return the error for a stored key that cannot be decrypted: nothing can be asked with it."""
    message = "The stored key cannot be decrypted: FIELD_ENCRYPTION_KEYS lacks the key that encrypted it."
    return AccessDenied(system, message, code=AccessError.KEY_UNDECRYPTABLE)
