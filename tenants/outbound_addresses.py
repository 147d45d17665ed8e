"""Our outgoing addresses in words: UIS answers only addresses that are on a list of the client's account."""

from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import networks

WHERE = _("UIS: Administrator → Account → Rules and security settings, tab API.")


def to_allow(named: str = "") -> list[str]:
    """Return the addresses that a client must allow: ours, and the one that UIS names if it is another."""
    ours: list[str] = settings.OUTBOUND_ADDRESSES
    return ours if not named or not ours or networks.is_within(named, ours) else [*ours, named]


def instruction() -> str:
    """Return what a client must allow in UIS, or whom to ask for it."""
    if not settings.OUTBOUND_ADDRESSES:
        return gettext("Ask the operator for the addresses of our server.")
    return gettext("Add the addresses of our server: %(addresses)s.") % {
        "addresses": ", ".join(settings.OUTBOUND_ADDRESSES)
    }
