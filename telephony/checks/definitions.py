"""Definitions of the UIS checks: stable codes, texts, who is responsible, and the menu path."""

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Check, Responsible
from telephony.uis.types import Event
from telephony.uis.webhook_templates import EVENTS
from telephony.webhooks import status

_USERS = _("UIS: Administrator → User management.")
_SECURITY = _("UIS: Administrator → Account → Rules and security settings, tab API.")
_TARIFF = _("UIS: Account → Tariffs and options.")
_STAFF = _("UIS: Administrator → Employees.")
_NOTICES = _("UIS: Notifications.")

KEY_GIVEN = Check(
    code="UIS_KEY_GIVEN",
    responsible=Responsible.CLIENT,
    passed=_("The UIS key is entered."),
    failed=_("The UIS key is missing. Create one and enter it."),
    where=_USERS,
)
ANSWERS = Check(
    code="UIS_ANSWERS",
    responsible=Responsible.UIS,
    passed=_("UIS answers."),
    failed=_("UIS does not answer as it should: %(error)s Try again in a few minutes."),
)
KEY = Check(
    code="UIS_KEY",
    responsible=Responsible.CLIENT,
    passed=_("UIS accepts the key."),
    failed=_("UIS does not know this key. Check that it is complete and for this brand, or create a new one."),
    where=_USERS,
)
KEY_TERM = Check(
    code="UIS_KEY_TERM",
    responsible=Responsible.CLIENT,
    passed=_("The UIS key has not expired."),
    failed=_("The UIS key has expired. Create a permanent one."),
    where=_USERS,
)
KEY_BLOCK = Check(
    code="UIS_KEY_BLOCK",
    responsible=Responsible.CLIENT,
    passed=_("The UIS key is not blocked."),
    failed=_("The UIS key is blocked. Unblock it or create a new one."),
    where=_USERS,
)
ADDRESS_LIST = Check(
    code="UIS_ADDRESS_LIST",
    responsible=Responsible.CLIENT,
    passed=_("UIS accepts requests from our server."),
    failed=_("UIS rejects requests from our server. Add its address %(address)s to the list."),
    where=_SECURITY,
)
ACCOUNT = Check(
    code="UIS_ACCOUNT",
    responsible=Responsible.UIS,
    passed=_("The UIS account is active."),
    failed=_("The UIS account is switched off. Contact the support of UIS."),
)
TIME_ZONE = Check(
    code="UIS_TIME_ZONE",
    responsible=Responsible.OPERATOR,
    passed=_("The time zone of UIS is known: %(zone)s."),
    failed=_(
        "UIS reports an unknown time zone (“%(zone)s”). Set the UIS time zone in the admin, or call times are wrong."
    ),
)
POINTS = Check(
    code="UIS_POINTS",
    responsible=Responsible.CLIENT,
    passed=_("UIS API points are available."),
    failed=_("UIS API points are exhausted or nearly so (%(left)s of %(limit)s left). Raise the limit."),
    where=_TARIFF,
)
RIGHT_EMPLOYEES = Check(
    code="UIS_RIGHT_EMPLOYEES",
    responsible=Responsible.CLIENT,
    passed=_("The key may see employees."),
    failed=_("The key's user may not see employees. Grant the right “Employees: view”."),
    where=_USERS,
)
RIGHT_STATUSES = Check(
    code="UIS_RIGHT_STATUSES",
    responsible=Responsible.CLIENT,
    passed=_("The key may change employees' statuses."),
    failed=_("The key's user may not change employees, so statuses are not synced. Grant the right “Employees: edit”."),
    where=_USERS,
)
RIGHT_NUMBERS = Check(
    code="UIS_RIGHT_NUMBERS",
    responsible=Responsible.CLIENT,
    passed=_("The key may see virtual numbers."),
    failed=_("The key's user may not see virtual numbers. Grant the right “Number management: view”."),
    where=_USERS,
)
DATA_API = Check(
    code="UIS_DATA_API",
    responsible=Responsible.CLIENT,
    passed=_("The Data API answers all our requests."),
    failed=_("An option of the Data API is not bought: %(error)s"),
    where=_TARIFF,
)
CALL_API = Check(
    code="UIS_CALL_API",
    responsible=Responsible.CLIENT,
    passed=_("Calls can be started from the CRM."),
    failed=_("The option “Call API basic set” is not bought, so a click in the CRM cannot start a call."),
    where=_TARIFF,
)
RIGHT_CALL_API = Check(
    code="UIS_RIGHT_CALL_API",
    responsible=Responsible.CLIENT,
    passed=_("The key's user may use the Call API."),
    failed=_("“Access to Call API” is off for the key's user, so a click in the CRM cannot start a call."),
    where=_USERS,
)
EMPLOYEES = Check(
    code="UIS_EMPLOYEES",
    responsible=Responsible.CLIENT,
    passed=_("UIS has employees (%(count)s)."),
    failed=_("UIS has no employees. Add those who take calls."),
    where=_STAFF,
)
EXTENSIONS = Check(
    code="UIS_EXTENSIONS",
    responsible=Responsible.CLIENT,
    passed=_("Employees have extensions."),
    failed=_("Without an extension there is no call button in the CRM. Give one to: %(names)s."),
    where=_STAFF,
)
EXTENSIONS_UNIQUE = Check(
    code="UIS_EXTENSIONS_UNIQUE",
    responsible=Responsible.CLIENT,
    passed=_("No extension belongs to two employees."),
    failed=_("Two employees share an extension, so pop-ups would go to the wrong one: %(names)s."),
    where=_STAFF,
)
NUMBERS = Check(
    code="UIS_NUMBERS",
    responsible=Responsible.CLIENT,
    passed=_("There is an active virtual number."),
    failed=_("There is no active virtual number, so no calls are possible."),
    where=_("UIS: Virtual numbers."),
)
DEFAULT_NUMBER = Check(
    code="DEFAULT_NUMBER",
    responsible=Responsible.CLIENT,
    passed=_("The number for outgoing calls is chosen."),
    failed=_("The number for calls from the CRM is not chosen or not active."),
    where=_("Client's page: number for outgoing calls."),
)
OWN_INTEGRATION = Check(
    code="UIS_OWN_INTEGRATION",
    responsible=Responsible.CLIENT,
    passed=_("UIS's own integration with retailCRM is off."),
    failed=_("UIS's own integration with retailCRM is on: every call would be uploaded twice. Switch it off."),
    where=_("UIS: Integrations → retailCRM."),
)
CLOCKS = Check(
    code="CLOCKS",
    responsible=Responsible.OPERATOR,
    passed=_("The clocks of UIS and of our server agree."),
    failed=_(
        "Notifications arrive %(seconds)s s off the time they state. Check UIS's time zone in the admin and our clock."
    ),
)


def seen(event: Event) -> Check:
    """Return the check that notifications of this event arrive."""
    return Check(
        code=f"EVENT_{event.name}",
        responsible=Responsible.CLIENT,
        passed=_("Notifications “%(event)s” arrive."),
        failed=_(
            "No notification “%(event)s” arrived in the last %(days)s days. Set it up as the client's page shows."
        ),
        where=_NOTICES,
    )


def template(event: Event) -> Check:
    """Return the check that the template of this event is correct."""
    return Check(
        code=f"TEMPLATE_{event.name}",
        responsible=Responsible.CLIENT,
        passed=_("The body of “%(event)s” is correct."),
        failed=_("The body of “%(event)s” is broken. Copy it from the client's page again."),
        variants=status.SENTENCES,
        where=_NOTICES,
    )


SEEN = {event: seen(event) for event in EVENTS}
TEMPLATES = {event: template(event) for event in EVENTS}
