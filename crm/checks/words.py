"""The checks of a client's CRM and of our own side: stable codes, sentences, who must act, and where."""

from django.utils.translation import gettext_lazy as _

from tenants.finding import Check, Text, Who

_KEYS = _("CRM: Settings → Integration → API keys.")
_MODULES = _("CRM: Settings → Integration → Marketplace, our module.")

KEY_GIVEN = Check(
    code="CRM_KEY_GIVEN",
    who=Who.CLIENT,
    good=_("The address and the API key of the CRM are entered."),
    bad=_("The address or the API key of the CRM is missing. Make a key and enter both."),
    where=_KEYS,
)
ADDRESS = Check(
    code="CRM_ADDRESS",
    who=Who.CLIENT,
    good=_("The address is that of a CRM account."),
    bad=_("“%(address)s” is no address of a CRM account; it looks like https://shop.retailcrm.ru"),
)
ACCOUNT = Check(
    code="CRM_ACCOUNT",
    who=Who.CLIENT,
    good=_("There is a CRM account at the address."),
    bad=_("There is no CRM account at %(address)s. Copy the address from the browser when the CRM is open."),
)
ANSWERS = Check(
    code="CRM_ANSWERS",
    who=Who.CRM,
    good=_("The CRM answers."),
    bad=_("The CRM does not answer as it should: %(says)s Try again in a few minutes."),
)
KEY = Check(
    code="CRM_KEY",
    who=Who.CLIENT,
    good=_("The CRM knows the API key."),
    bad=_("The CRM does not know this API key. Check that it is whole and of this account, or make a new one."),
    where=_KEYS,
)
VERSION = Check(
    code="CRM_VERSION",
    who=Who.CRM,
    good=_("The CRM serves version %(version)s of its interface."),
    bad=_("The CRM serves neither version 5 nor 4 of its interface. Contact the support of retailCRM."),
)
TIME_ZONE = Check(
    code="CRM_TIME_ZONE",
    who=Who.CLIENT,
    good=_("The time zone of the CRM is known: %(zone)s."),
    bad=_("The CRM does not tell its time zone, so calls may get wrong times. Tick the right reference_read."),
    where=_KEYS,
)
STORES = Check(
    code="CRM_STORES",
    who=Who.CLIENT,
    good=_("The API key reaches the stores in use."),
    bad=_("The API key does not reach these stores: %(stores)s. Give it access to them."),
    where=_KEYS,
)
STORE_CHOSEN = Check(
    code="CRM_STORE_CHOSEN",
    who=Who.OPERATOR,
    good=_("Every number has a store."),
    bad=_("The API key sees several stores, and these numbers belong to none: %(numbers)s. Choose theirs."),
    where=_("Admin: the client → employees and numbers."),
)
MODULE_REGISTERED = Check(
    code="MODULE_REGISTERED",
    who=Who.OPERATOR,
    good=_("Our module is registered in the CRM."),
    bad=_("Our module is not registered in the CRM. Press “Activate” again."),
)
MODULE_ACTIVE = Check(
    code="MODULE_ACTIVE",
    who=Who.CLIENT,
    good=_("Our module is switched on in the CRM."),
    bad=_("Our module is switched off in the CRM. Switch it on."),
    where=_MODULES,
)
MODULE_FROZEN = Check(
    code="MODULE_FROZEN",
    who=Who.CLIENT,
    good=_("Our module is not frozen."),
    bad=_("The CRM has frozen our module; usually it is not paid for. Pay, or ask the support of retailCRM."),
    where=_MODULES,
)
MODULE_ADDRESSES = Check(
    code="MODULE_ADDRESSES",
    who=Who.OPERATOR,
    good=_("The addresses in the module are ours."),
    bad=_("The module in the CRM leads to other addresses than ours: %(fields)s. Press “Activate” again."),
)
USERS_LINKED = Check(
    code="USERS_LINKED",
    who=Who.OPERATOR,
    good=_("Every employee is linked to a user of the CRM."),
    bad=_("These employees have no user in the CRM, so they see no cards: %(names)s. Bind them."),
    where=_("Admin: the client → employees and numbers."),
)
OTHER_TELEPHONY = Check(
    code="OTHER_TELEPHONY",
    who=Who.CLIENT,
    good=_("No other telephony writes calls into the CRM."),
    bad=_(
        "Another telephony writes calls into the CRM as well (%(count)s lately): calls may stand twice. Switch it off."
    ),
    where=_("CRM: Settings → Integration → Marketplace, telephony."),
)
PUBLIC_ADDRESS = Check(
    code="PUBLIC_ADDRESS",
    who=Who.OPERATOR,
    good=_("Our own address is one that others can reach."),
    bad=_("Our own address %(address)s cannot be reached from outside. Set PUBLIC_URL to a public https:// address."),
)


def _scope(name: str, bad: Text) -> Check:
    return Check(
        code=f"CRM_SCOPE_{name.upper()}",
        who=Who.CLIENT,
        good=_("The API key has the right %(scope)s."),
        bad=bad,
        where=_KEYS,
    )


SCOPES = {
    "integration_read": _scope(
        "integration_read", _("The API key lacks the right integration_read; without it our module cannot be read.")
    ),
    "integration_write": _scope(
        "integration_write",
        _("The API key lacks the right integration_write; without it our module cannot be registered."),
    ),
    "telephony_read": _scope(
        "telephony_read",
        _("The API key lacks the right telephony_read; without it a missed call does not find the customer's manager."),
    ),
    "telephony_write": _scope(
        "telephony_write", _("The API key lacks the right telephony_write; without it there are no cards and no calls.")
    ),
    "user_read": _scope(
        "user_read", _("The API key lacks the right user_read; without it employees cannot be linked to users.")
    ),
    "user_write": _scope(
        "user_write", _("The API key lacks the right user_write; without it statuses do not reach the CRM.")
    ),
}
