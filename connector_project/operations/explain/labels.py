"""Texts that only explanations use."""

from collections.abc import Mapping

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connector_project.core.check_results import Text
from crm.retailcrm.types import Hangup
from telephony.models import Notification
from tenants.transfer_rules import SkipReason

Reason = Notification.Reason
_HANGUPS: Mapping[str, Text] = {
    Hangup.ANSWERED: gettext_lazy("answered"),
    Hangup.NO_ANSWER: gettext_lazy("no answer"),
    Hangup.BUSY: gettext_lazy("busy"),
    Hangup.CANCELLED: gettext_lazy("cancelled"),
    Hangup.FAILED: gettext_lazy("failed"),
}


def popup_skip_label(stored: Notification) -> str:
    """Return why a ring opened no pop-up."""
    return _("no pop-up: %(reason)s") % {"reason": reason(stored)}


def reason(stored: Notification) -> str:
    """Return why a notification was dropped, with its detail."""
    label = str(stored.get_reason_display())
    if stored.reason == Reason.RULE:
        return f"{label}: {SkipReason(stored.detail).label}" if stored.detail in SkipReason.values else label
    return f"{label} ({stored.detail})" if stored.detail else label


def hangup(code: str) -> str:
    """Return how a pop-up was closed."""
    return str(_HANGUPS.get(code, code))


def sentence(text: object) -> str:
    """Return a phrase as a sentence."""
    phrase = capfirst(str(text)).strip()
    return phrase if phrase.endswith((".", "!", "?", "…")) else f"{phrase}."
