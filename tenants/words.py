"""Words of the two systems that people meet on the desk, in the language that is active."""

from collections.abc import Mapping

from django.utils.translation import pgettext_lazy

from tenants.finding import Text

# The rules that say which status of UIS stands for one of the CRM.
STATUS_FIELDS = ("status_free", "status_busy", "status_dinner", "status_break")
# What every UIS account has; a client may have made others of his own.
UIS_STATUSES: Mapping[str, Text] = {
    "available": pgettext_lazy("status", "available"),
    "break": pgettext_lazy("status", "break"),
    "do_not_disturb": pgettext_lazy("status", "do not disturb"),
    "not_at_workplace": pgettext_lazy("status", "not at the workplace"),
    "not_at_work": pgettext_lazy("status", "not at work"),
}
CRM_STATUSES: Mapping[str, Text] = {
    "free": pgettext_lazy("status", "free"),
    "busy": pgettext_lazy("status", "busy"),
    "dinner": pgettext_lazy("status", "dinner"),
    "break": pgettext_lazy("status", "break"),
}


def uis_status(word: str) -> str:
    """Return a status of UIS; one of the client's own as it is."""
    return str(UIS_STATUSES.get(word, word))


def crm_status(word: str) -> str:
    """Return a status of the CRM."""
    return str(CRM_STATUSES.get(word, word))
