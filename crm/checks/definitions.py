"""Definitions of the CRM checks: codes, texts, who must act, and where."""

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Check, Responsible, Text

_KEYS = _("CRM: Settings → Integration → API keys.")
_MODULES = _("CRM: Settings → Integration → Marketplace, our module.")

KEY_GIVEN = Check(
    code="CRM_KEY_GIVEN",
    responsible=Responsible.CLIENT,
    passed=_("The address and the API key of the CRM are entered."),
    failed=_("The address or the API key of the CRM is missing. Create a key and enter both."),
    where=_KEYS,
)
ADDRESS = Check(
    code="CRM_ADDRESS",
    responsible=Responsible.CLIENT,
    passed=_("The address belongs to a CRM account."),
    failed=_("“%(address)s” is not the address of a CRM account. Example: https://shop.retailcrm.ru"),
)
ACCOUNT = Check(
    code="CRM_ACCOUNT",
    responsible=Responsible.CLIENT,
    passed=_("There is a CRM account at the address."),
    failed=_("There is no CRM account at %(address)s. Open the CRM and copy the address from the browser."),
)
ANSWERS = Check(
    code="CRM_ANSWERS",
    responsible=Responsible.CRM,
    passed=_("The CRM answers."),
    failed=_("The CRM returned an error: %(error)s Try again in a few minutes."),
)
KEY = Check(
    code="CRM_KEY",
    responsible=Responsible.CLIENT,
    passed=_("The CRM accepts the API key."),
    failed=_(
        "The CRM does not accept this API key. Check that it is complete and from this account, or create a new one."
    ),
    where=_KEYS,
)
VERSION = Check(
    code="CRM_VERSION",
    responsible=Responsible.CRM,
    passed=_("The CRM supports API version %(version)s."),
    failed=_("The CRM supports neither API version 5 nor 4. Contact retailCRM support."),
)
TIME_ZONE = Check(
    code="CRM_TIME_ZONE",
    responsible=Responsible.CLIENT,
    passed=_("CRM time zone: %(zone)s."),
    failed=_("The CRM's time zone is unknown, so call times may be wrong. Enable the permission reference_read."),
    where=_KEYS,
)
STORES = Check(
    code="CRM_STORES",
    responsible=Responsible.CLIENT,
    passed=_("The API key has access to all stores in use."),
    failed=_("The API key has no access to these stores: %(stores)s. Grant access to them."),
    where=_KEYS,
)
STORE_CHOSEN = Check(
    code="CRM_STORE_CHOSEN",
    responsible=Responsible.OPERATOR,
    passed=_("Every number has a store."),
    failed=_("There are several stores, and these numbers have none: %(numbers)s. Choose a store for each."),
    where=_("Admin: the client → employees and numbers."),
)
MODULE_REGISTERED = Check(
    code="MODULE_REGISTERED",
    responsible=Responsible.OPERATOR,
    passed=_("Our module is registered in the CRM."),
    failed=_("Our module is not registered in the CRM. Press “Activate” again."),
)
MODULE_ACTIVE = Check(
    code="MODULE_ACTIVE",
    responsible=Responsible.CLIENT,
    passed=_("Our module is switched on in the CRM."),
    failed=_("Our module is switched off in the CRM. Switch it on."),
    where=_MODULES,
)
MODULE_FROZEN = Check(
    code="MODULE_FROZEN",
    responsible=Responsible.CLIENT,
    passed=_("Our module is not frozen."),
    failed=_("The CRM has frozen our module, usually because it is not paid for. Pay, or contact retailCRM support."),
    where=_MODULES,
)
MODULE_ADDRESSES = Check(
    code="MODULE_ADDRESSES",
    responsible=Responsible.OPERATOR,
    passed=_("The module in the CRM has our URLs."),
    failed=_("The module in the CRM has URLs that are not ours: %(fields)s. Press “Activate” again."),
)
USERS_LINKED = Check(
    code="USERS_LINKED",
    responsible=Responsible.OPERATOR,
    passed=_("Every employee is linked to a CRM user."),
    failed=_("These employees are not linked to a CRM user and get no pop-ups: %(names)s. Link them."),
    where=_("Admin: the client → employees and numbers."),
)
OTHER_TELEPHONY = Check(
    code="OTHER_TELEPHONY",
    responsible=Responsible.CLIENT,
    passed=_("No other telephony uploads calls to the CRM."),
    failed=_("Another telephony also uploads calls (%(count)s recently), so calls may be duplicated. Switch it off."),
    where=_("CRM: Settings → Integration → Marketplace, telephony."),
)
PUBLIC_ADDRESS = Check(
    code="PUBLIC_ADDRESS",
    responsible=Responsible.OPERATOR,
    passed=_("Our own URL is public."),
    failed=_("Our own URL %(address)s is not public. Set PUBLIC_URL to a public https:// URL."),
)


def _scope(name: str, bad: Text) -> Check:
    return Check(
        code=f"CRM_SCOPE_{name.upper()}",
        responsible=Responsible.CLIENT,
        passed=_("The API key has the permission %(scope)s."),
        failed=bad,
        where=_KEYS,
    )


SCOPES = {
    "integration_read": _scope(
        "integration_read", _("The API key lacks the permission integration_read, needed to read our module.")
    ),
    "integration_write": _scope(
        "integration_write",
        _("The API key lacks the permission integration_write, needed to register our module."),
    ),
    "telephony_read": _scope(
        "telephony_read",
        _("The API key lacks the permission telephony_read, needed to assign missed calls to the customer's manager."),
    ),
    "telephony_write": _scope(
        "telephony_write", _("The API key lacks the permission telephony_write, needed for pop-ups and calls.")
    ),
    "user_read": _scope(
        "user_read", _("The API key lacks the permission user_read, needed to link employees to users.")
    ),
    "user_write": _scope(
        "user_write", _("The API key lacks the permission user_write, needed to send statuses to the CRM.")
    ),
}
