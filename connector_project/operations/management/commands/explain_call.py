"""Explains one call, from the first notification to the CRM's answer."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from connector_project.operations import explain
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
                self.fail(_unknown(tenant, session))
            found = explain.explain(call, redactor=explain.MASKED, now=timezone.now())
            self.print_json(
                session=session,
                state=call.state,
                cause=found.diagnosis.reason,
                says=found.diagnosis.message,
                who=found.diagnosis.responsible,
                remarks=[{"code": one.reason, "says": one.message, "who": one.responsible} for one in found.warnings],
                why=[_line(line) for line in found.timeline],
                cards=[_card(card) for card in found.popups],
                next=found.next,
                next_at=found.next_at and found.next_at.isoformat(),
            )


def _line(line: explain.TimelineEntry) -> dict[str, Any]:
    parts = "; ".join(f"{name}: {value}" for name, value in line.parts)
    message = f"{line.message} {parts}".strip()
    return {"at": line.at.isoformat(timespec="milliseconds"), "step": line.step, "says": message, "ms": line.ms}


def _card(card: explain.PopupTiming) -> dict[str, Any]:
    moments = {
        "rang": card.ringing_at,
        "received": card.received_at,
        "sent": card.sent_at,
        "accepted": card.accepted_at,
    }
    return {
        "employee": card.person,
        "state": card.state,
        **{name: at and at.isoformat(timespec="milliseconds") for name, at in moments.items()},
        "ms": {"uis": card.uis_ms, "connector": card.our_ms, "crm": card.crm_ms, "total": card.total_ms},
        "slow": card.slow,
    }


def _unknown(tenant: Tenant, session: int) -> str:
    stored = Notification.objects.filter(tenant=tenant, session_id=session).order_by("received_at")
    events = ", ".join(dict.fromkeys(status.event_word(one) for one in stored.values_list("event", flat=True)))
    if not events:
        message = _("No notifications of call %(session)s have come. Reconciliation with UIS runs every ten minutes.")
        return message % {"session": session}
    message = _(
        "UIS sent notifications of call %(session)s (%(events)s), but not its end yet. "
        "Reconciliation with UIS runs every ten minutes."
    )
    return message % {"session": session, "events": events}
