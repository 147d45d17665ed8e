"""Explains one call, from the first notification to the CRM's answer."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from connector_project.management.output import JsonCommand
from crm import why
from telephony import lamps
from telephony.models import Call, Notification
from tenants.models import Tenant


class Command(JsonCommand):
    help = "Explain one call: its events, requests, decisions and uploads, and what happens next. Numbers are masked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")
        parser.add_argument("session", type=int, help="call_session_id in UIS; in the CRM it follows “uis-”")

    def handle(self, *_args: Any, **options: Any) -> None:
        tenant, session = self.tenant(options["tenant"]), options["session"]
        with translation.override(tenant.language):
            call = Call.objects.whole().with_history().filter(tenant=tenant, session_id=session).first()
            if call is None:
                self.fail(_unknown(tenant, session))
            found = why.explain(call, redactor=why.MASKED, now=timezone.now())
            self.say(
                session=session,
                state=call.state,
                cause=found.verdict.code,
                says=found.verdict.says,
                who=found.verdict.who,
                remarks=[{"code": one.code, "says": one.says, "who": one.who} for one in found.remarks],
                why=[_line(line) for line in found.lines],
                cards=[_card(card) for card in found.cards],
                next=found.next,
                next_at=found.next_at and found.next_at.isoformat(),
            )


def _line(line: why.Line) -> dict[str, Any]:
    parts = "; ".join(f"{name}: {value}" for name, value in line.parts)
    message = f"{line.says} {parts}".strip()
    return {"at": line.at.isoformat(timespec="milliseconds"), "step": line.step, "says": message, "ms": line.ms}


def _card(card: why.CardTimes) -> dict[str, Any]:
    moments = {"rang": card.rang_at, "received": card.received_at, "sent": card.sent_at, "accepted": card.accepted_at}
    return {
        "employee": card.person,
        "state": card.state,
        **{name: at and at.isoformat(timespec="milliseconds") for name, at in moments.items()},
        "ms": {"uis": card.uis_ms, "connector": card.our_ms, "crm": card.crm_ms, "total": card.total_ms},
        "slow": card.slow,
    }


def _unknown(tenant: Tenant, session: int) -> str:
    stored = Notification.objects.filter(tenant=tenant, session_id=session).order_by("received_at")
    events = ", ".join(dict.fromkeys(lamps.event_word(one) for one in stored.values_list("event", flat=True)))
    if not events:
        message = _("No notifications of call %(session)s have come. Reconciliation with UIS runs every ten minutes.")
        return message % {"session": session}
    message = _(
        "UIS sent notifications of call %(session)s (%(events)s), but not its end yet. "
        "Reconciliation with UIS runs every ten minutes."
    )
    return message % {"session": session, "events": events}
