"""The latency of each pop-up from the ring to the screen, and which system was slow. Pure."""

from datetime import datetime

from django.utils.translation import gettext as _

from connector_project.operations.explain import labels
from connector_project.operations.explain.data import CallData, PopupTiming, Redactor
from crm.models import Popup
from telephony.models import Notification
from telephony.uis.types import Event

POPUP_EVENTS = {Event.WAITING, Event.OUTGOING}
# Slower than this, the customer speaks before the pop-up is shown.
SLOW_MS = 1000


def popup_timings(data: CallData, redactor: Redactor) -> list[PopupTiming]:
    """Return the timing of each pop-up, and of each ring without one."""
    shown = [_sent(popup) for popup in data.popups]
    return [
        *shown,
        *(_unsent(data, stored, redactor) for stored in data.notifications if _has_no_popup(stored)),
    ]


def _sent(popup: Popup) -> PopupTiming:
    uis, ours = elapsed_ms(popup.ringing_at, popup.received_at), elapsed_ms(popup.received_at, popup.sent_at)
    crm = elapsed_ms(popup.sent_at, popup.accepted_at)
    return PopupTiming(
        person=str(popup.employee),
        state=str(popup.get_state_display()),
        ringing_at=popup.ringing_at,
        received_at=popup.received_at,
        sent_at=popup.sent_at,
        accepted_at=popup.accepted_at,
        uis_ms=uis,
        our_ms=ours,
        crm_ms=crm,
        slow=_slow({"UIS": uis, _("the connector"): ours, _("the CRM"): crm}),
    )


def _unsent(data: CallData, stored: Notification, redactor: Redactor) -> PopupTiming:
    ringing_at = stored.happened_at or stored.received_at
    return PopupTiming(
        person=data.name(stored.employee_uis_id) or _("no employee given"),
        state=redactor.text(labels.popup_skip_label(stored)),
        ringing_at=ringing_at,
        received_at=stored.received_at,
        uis_ms=elapsed_ms(ringing_at, stored.received_at),
    )


def _has_no_popup(stored: Notification) -> bool:
    """Return whether a ring has no pop-up, and no pop-up row that explains it."""
    is_dropped = stored.event in POPUP_EVENTS and stored.outcome == Notification.Outcome.DROPPED
    explained_by_popup = {Notification.Reason.ALREADY_SHOWN, Notification.Reason.CRM_FAILED}
    return is_dropped and stored.reason not in explained_by_popup


def _slow(parts: dict[str, int | None]) -> str:
    known = {name: ms for name, ms in parts.items() if ms is not None}
    slowest = max(known, key=lambda name: known[name], default="")
    return slowest if sum(known.values()) > SLOW_MS else ""


def elapsed_ms(begin: datetime, end: datetime | None) -> int | None:
    """Return the milliseconds between two moments; never negative, although the clocks of two systems may differ."""
    return None if end is None else max(0, round((end - begin).total_seconds() * 1000))
