"""Why did this happen? One call, from the first notification to the CRM's answer."""

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
    help = "Say of one call what was told, asked, decided and sent, and what happens next. Numbers are masked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")
        parser.add_argument("session", type=int, help="call_session_id in UIS; in the CRM it stands behind “uis-”")

    def handle(self, *_args: Any, **said: Any) -> None:
        tenant, session = self.tenant(said["tenant"]), said["session"]
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
    says = f"{line.says} {parts}".strip()
    return {"at": line.at.isoformat(timespec="milliseconds"), "step": line.step, "says": says, "ms": line.ms}


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
    told = Notification.objects.filter(tenant=tenant, session_id=session).order_by("received_at")
    events = ", ".join(dict.fromkeys(lamps.event_word(one) for one in told.values_list("event", flat=True)))
    if not events:
        says = _("Nobody told us of a call %(session)s; UIS's own list is compared every ten minutes.")
        return says % {"session": session}
    says = _(
        "UIS told of the call %(session)s (%(events)s), but not of its end yet; its list is compared every ten minutes."
    )
    return says % {"session": session, "events": events}
