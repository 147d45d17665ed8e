"""Labels of UIS and CRM statuses in the active language."""

from collections.abc import Mapping

from django.utils.translation import pgettext_lazy

from connector_project.core.check_results import Text

# The rules that map CRM statuses to UIS statuses.
STATUS_FIELDS = ("status_free", "status_busy", "status_dinner", "status_break")
# The statuses every UIS account has; an account may have custom ones too.
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


def uis_status(code: str) -> str:
    """Return the label of a UIS status; a custom status is returned as it is."""
    return str(UIS_STATUSES.get(code, code))


def crm_status(code: str) -> str:
    return str(CRM_STATUSES.get(code, code))
