"""Explains one call, from the first notification to the CRM's answer."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from connector_project.operations.explain import explain, templates
from connector_project.operations.explain.data import MASKED
from connector_project.operations.explain.parts import PopupTiming, SentRequest, TimelineEntry
from connector_project.operations.management.base import JsonCommand
from telephony.models import Call, Notification
from telephony.webhooks import status
from tenants.models import Tenant


class Command(JsonCommand):
    help = "Explain one call: its events, requests, decisions and uploads, and what happens next. Numbers are masked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")
        parser.add_argument("session", type=int, help="call_session_id in UIS; in the CRM it follows “uis-”")

    def handle(self, *_args: Any, **options: Any) -> None:
        tenant, session = self.tenant(options["tenant"]), options["session"]
        with translation.override(tenant.language):
            call = Call.objects.with_related().with_history().filter(tenant=tenant, session_id=session).first()
            if call is None:
                unread = templates.explain_unreadable(tenant, session, redactor=MASKED, now=timezone.now())
                return self.print_json(**unread) if unread else self.fail(_unknown(tenant, session))
            found = explain(call, redactor=MASKED, now=timezone.now())
            self.print_json(
                session=session,
                state=call.state,
                rule_version=call.rule_version.number,
                **asdict(found.diagnosis),
                warnings=[asdict(warning) for warning in found.warnings],
                timeline=[_timeline_entry(entry) for entry in found.timeline],
                popups=[_popup(popup) for popup in found.popups],
                requests=[_request(sent) for sent in found.requests],
                next=found.next,
                next_at=found.next_at and found.next_at.isoformat(),
            )


def _timeline_entry(entry: TimelineEntry) -> dict[str, Any]:
    parts = "; ".join(f"{name}: {value}" for name, value in entry.parts)
    message = f"{entry.message} {parts}".strip()
    return {"at": _iso(entry.at), "step": entry.step, "message": message, "ms": entry.ms}


def _request(sent: SentRequest) -> dict[str, Any]:
    """Return a request without its bodies, which are on the call's page."""
    return {
        "at": _iso(sent.at),
        "system": sent.system,
        "method": sent.method,
        "status": sent.status,
        "error": sent.error,
        "ms": sent.ms,
    }


def _popup(popup: PopupTiming) -> dict[str, Any]:
    return {
        "employee": popup.person,
        "state": popup.state,
        "ringing": _iso(popup.ringing_at),
        "received": _iso(popup.received_at),
        "sent": _iso(popup.sent_at),
        "accepted": _iso(popup.accepted_at),
        "ms": {**popup.ms, "total": popup.total_ms},
        "slow": popup.slow,
        "rule_version": popup.rule_version,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment else None


def _unknown(tenant: Tenant, session: int) -> str:
    stored = Notification.objects.filter(tenant=tenant, session_id=session).order_by("received_at")
    events = ", ".join(dict.fromkeys(status.event_label(one) for one in stored.values_list("event", flat=True)))
    if not events:
        message = _("No notifications of call %(session)s have come. Reconciliation with UIS runs every ten minutes.")
        return message % {"session": session}
    message = _(
        "UIS sent notifications of call %(session)s (%(events)s), but not its end yet. "
        "Reconciliation with UIS runs every ten minutes."
    )
    return message % {"session": session, "events": events}
