"""The latency of each pop-up from the ring to the screen, and which system was slow. Pure."""

from datetime import datetime

from django.utils.translation import gettext as _

from crm.models import Popup
from crm.why import words
from crm.why.eyes import Eyes
from crm.why.facts import Facts, Notice
from crm.why.types import CardTimes
from telephony.models import Notification
from telephony.uis.types import WaitingCall

# Slower than this, the customer speaks before the pop-up is shown.
SLOW_MS = 1000


def of(facts: Facts, redactor: Eyes) -> list[CardTimes]:
    """Return the timing of each pop-up, and of each ring without one."""
    shown = [_sent(popup) for popup in facts.cards]
    return [
        *shown,
        *(_unsent(facts, notification, redactor) for notification in facts.notices if _has_no_popup(notification)),
    ]


def _sent(popup: Popup) -> CardTimes:
    uis, ours = between(popup.rang_at, popup.received_at), between(popup.received_at, popup.sent_at)
    crm = between(popup.sent_at, popup.accepted_at)
    return CardTimes(
        person=str(popup.employee),
        state=str(popup.get_state_display()),
        rang_at=popup.rang_at,
        received_at=popup.received_at,
        sent_at=popup.sent_at,
        accepted_at=popup.accepted_at,
        uis_ms=uis,
        our_ms=ours,
        crm_ms=crm,
        slow=_slow({"UIS": uis, _("the connector"): ours, _("the CRM"): crm}),
    )


def _unsent(facts: Facts, notification: Notice, redactor: Eyes) -> CardTimes:
    stored = notification.stored
    rang_at = stored.happened_at or stored.received_at
    return CardTimes(
        person=facts.name(stored.employee_uis_id) or _("no employee given"),
        state=redactor.text(words.no_card(stored)),
        rang_at=rang_at,
        received_at=stored.received_at,
        uis_ms=between(rang_at, stored.received_at),
    )


def _has_no_popup(notification: Notice) -> bool:
    """Return whether a ring has no pop-up, and no pop-up row that explains it."""
    reason = notification.stored.reason
    is_dropped = (
        isinstance(notification.said, WaitingCall) and notification.stored.outcome == Notification.Outcome.DROPPED
    )
    explained_by_popup = {Notification.Reason.ALREADY_SHOWN, Notification.Reason.CRM_FAILED}
    return is_dropped and reason not in explained_by_popup


def _slow(parts: dict[str, int | None]) -> str:
    known = {name: ms for name, ms in parts.items() if ms is not None}
    slowest = max(known, key=lambda name: known[name], default="")
    return slowest if sum(known.values()) > SLOW_MS else ""


def between(begin: datetime, end: datetime | None) -> int | None:
    """Return the milliseconds between two moments; never negative, although the clocks of two systems may differ."""
    return None if end is None else max(0, round((end - begin).total_seconds() * 1000))
