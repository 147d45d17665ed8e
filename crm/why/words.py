"""The words of an explanation that stand nowhere else."""

from collections.abc import Mapping

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.retailcrm.types import Hangup
from telephony.models import Notification
from tenants.finding import Text
from tenants.transfer import KeptBack

Reason = Notification.Reason
_HANGUPS: Mapping[str, Text] = {
    Hangup.ANSWERED: gettext_lazy("answered"),
    Hangup.NO_ANSWER: gettext_lazy("no answer"),
    Hangup.BUSY: gettext_lazy("busy"),
    Hangup.CANCELLED: gettext_lazy("cancelled"),
    Hangup.FAILED: gettext_lazy("failed"),
}


def no_card(stored: Notification) -> str:
    """Return why a ring opened no card."""
    return _("no card: %(reason)s") % {"reason": reason(stored)}


def reason(stored: Notification) -> str:
    """Return why nothing was made of a notification, with what is known besides."""
    said = str(stored.get_reason_display())
    if stored.reason == Reason.RULE:
        return f"{said}: {KeptBack(stored.detail).label}" if stored.detail in KeptBack.values else said
    return f"{said} ({stored.detail})" if stored.detail else said


def hangup(word: str) -> str:
    """Return how a card was closed."""
    return str(_HANGUPS.get(word, word))


def sentence(text: object) -> str:
    """Return a phrase as a sentence."""
    said = capfirst(str(text)).strip()
    return said if said.endswith((".", "!", "?", "…")) else f"{said}."
