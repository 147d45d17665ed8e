"""What is wrong with the templates behind a call's notifications: one cannot be read, or does not tell what decides."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from connector_project.core.check_results import Responsible
from connector_project.operations.explain.data import CallData, Redactor
from connector_project.operations.explain.parts import Diagnosis
from telephony.models import Notification
from telephony.uis import webhook_templates
from telephony.uis.webhook_templates import TemplateCode
from telephony.webhooks import status, unreadable
from tenants import datetime_display
from tenants.models import Tenant

UNTOLD = {TemplateCode.MISSING, TemplateCode.UNRESOLVED}
LONGEST_LIST = 5


def find_unreadable(data: CallData) -> Iterator[Diagnosis]:
    """Yield this call's unreadable notifications, else those that came at that time."""
    for stored in data.own_unreadable:
        prefix = _("A notification of this call could not be read: %(notification)s.")
        yield _diagnosis(stored, data.call.tenant, prefix, redactor=data.redactor, now=data.now)
    if not (data.own_unreadable or data.notifications):
        for stored in data.unreadable:
            prefix = _("A notification that came at that time could not be read: %(notification)s.")
            yield _diagnosis(stored, data.call.tenant, prefix, redactor=data.redactor, now=data.now)


def find_untold(data: CallData) -> Iterator[Diagnosis]:
    """Yield the templates that lack a field, or leave it unfilled: UIS's report was asked for it."""
    for stored in data.notifications:
        if stored.event not in webhook_templates.EVENTS or not (stored.query or stored.body):
            continue
        for fault in webhook_templates.faults(stored.event_in_url, stored.query, stored.body):
            if fault.code in UNTOLD:
                message = _("Notification “%(event)s”: %(fault)s")
                params = {"event": status.event_label(stored.event), "fault": status.fault_message(fault)}
                text = data.redactor.text(message % params)
                yield Diagnosis(f"TEMPLATE_{fault.code}", text, responsible=Responsible.CLIENT)


def explain_unreadable(tenant: Tenant, session: int, *, redactor: Redactor, now: datetime) -> dict[str, Any] | None:
    """Explain a session that has no call by the unreadable notifications that name it; None if there are none."""
    found = unreadable.naming(tenant.pk, session, now=now)[:LONGEST_LIST]
    if not found:
        return None
    prefix = _("A notification of this call could not be read: %(notification)s.")
    explained = [(stored, _diagnosis(stored, tenant, prefix, redactor=redactor, now=now)) for stored in found]
    newest = explained[0][1]
    next_step = _(
        "Correct the template in UIS, then reprocess the notification on the page “Unreadable notifications”. "
        "Reconciliation with UIS finds the call within some minutes, too."
    )
    return {
        "session": session,
        "state": "",
        **asdict(newest) | {"reason": found[0].reason},
        "warnings": [asdict(diagnosis) for _stored, diagnosis in explained],
        "timeline": [
            {
                "at": stored.received_at.isoformat(timespec="milliseconds"),
                "step": "NOTIFICATION",
                "message": one.message,
            }
            | {"ms": None, "notification": stored.pk}
            for stored, one in reversed(explained)
        ],
        "popups": [],
        "next": next_step,
        "next_at": None,
    }


def _diagnosis(stored: Notification, tenant: Tenant, prefix: str, *, redactor: Redactor, now: datetime) -> Diagnosis:
    event = webhook_templates.event_of(stored.event_in_url, stored.query, stored.body)
    moment = datetime_display.format_with_seconds(tenant, stored.received_at, now=now)
    name = f"№ {stored.pk}, {status.event_label(event) or '?'}, {moment}"
    faults = webhook_templates.faults(stored.event_in_url, stored.query, stored.body)[:1]
    reasons = [status.fault_message(fault) for fault in faults] or [f"{stored.get_reason_display()}."]
    message = " ".join([prefix % {"notification": name}, *reasons])
    return Diagnosis("UNREADABLE", redactor.text(message), responsible=Responsible.CLIENT)
