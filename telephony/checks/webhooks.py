"""Checks on received webhooks: whether they arrive, whether their templates are correct, whether the clocks agree."""

from collections.abc import Collection, Iterator
from datetime import datetime
from statistics import median

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Check, CheckResult, Responsible
from telephony.models import Notification
from telephony.uis import webhook_templates
from telephony.uis.types import Event
from telephony.uis.webhook_templates import EVENTS
from telephony.webhooks import status
from tenants.models import Employee, Tenant
from tenants.rules import PopupChoice as Choice
from tenants.rules import Rules

CLOCKS_APART_SECONDS = 120
CLOCKS_SEEN = 20
_NOTICES = _("UIS: Notifications.")

SEEN = {
    event: Check(
        code=f"EVENT_{event.name}",
        passed=_("Notifications “%(event)s” arrive."),
        failed=_(
            "No notification “%(event)s” arrived in the last %(days)s days. Set it up as the client's page shows."
        ),
        where=_NOTICES,
    )
    for event in EVENTS
}
TEMPLATES = {
    event: Check(
        code=f"TEMPLATE_{event.name}",
        passed=_("The body of “%(event)s” is correct."),
        failed=_("The body of “%(event)s” is broken. Copy it from the client's page again."),
        variants=status.SENTENCES,
        where=_NOTICES,
    )
    for event in EVENTS
}


def notification_checks(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Check the received notifications; no remote requests."""
    yield from _clocks(tenant, now=now)
    own = Employee.objects.filter(tenant=tenant, is_dismissed=False).exclude(popup="")
    needed = _needed_events(tenant.rules, own=set(own.order_by().values_list("popup", flat=True).distinct()))
    for event_status in status.webhook_status(tenant, now=now).events:
        if event_status.event in needed:
            yield from _event(event_status, name=_name(tenant, event_status.event))


def _event(event_status: status.EventStatus, *, name: str) -> Iterator[CheckResult]:
    is_seen = event_status.seen_at is not None
    yield SEEN[event_status.event].result(is_ok=is_seen, event=name, days=status.RECENT_PERIOD.days)
    if is_seen:
        fault = next(iter(event_status.faults), None)
        details = {"kind": fault.code, "names": ", ".join(fault.names)} if fault else {}
        yield TEMPLATES[event_status.event].result(is_ok=fault is None, event=name, **details)


def _name(tenant: Tenant, event: Event) -> str:
    """Return the event's name in the client's UIS web interface, which does not depend on the reader's language."""
    title = webhook_templates.title(event)
    return title.english if tenant.uis.brand == tenant.uis.Brand.CALLGEAR else title.russian


def _needed_events(rules: Rules, *, own: Collection[str]) -> set[Event]:
    """Return the events that this client's rules, and the employees' own choices of pop-ups, depend on."""
    incoming, outgoing = ({choice, *own} for choice in (rules.popup_incoming, rules.popup_outgoing))
    needed = {Event.CALL_END}
    if incoming != {Choice.OFF}:
        needed |= {Event.WAITING, Event.TALK_STARTED}
    if Choice.ON_RING in outgoing:
        needed.add(Event.OUTGOING)
    if Choice.ON_ANSWER in outgoing:
        needed.add(Event.TALK_STARTED)
    if rules.upload_missed:
        needed.add(Event.LOST_CALL)
    if rules.send_recording:
        needed.add(Event.RECORDED)
    return needed


CLOCKS = Check(
    code="CLOCKS",
    responsible=Responsible.OPERATOR,
    passed=_("The clocks of UIS and of our server agree."),
    failed=_(
        "Notifications arrive %(seconds)s s off the time they state. Check UIS's time zone in the admin and our clock."
    ),
)


def _clocks(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Compare when notifications arrived with the time they state; the median ignores single late ones."""
    recent = Notification.objects.filter(
        tenant=tenant, event=Event.WAITING, happened_at__isnull=False, received_at__gt=now - status.RECENT_PERIOD
    ).order_by("-received_at")
    offsets = [
        (received_at - happened_at).total_seconds()
        for received_at, happened_at in recent.values_list("received_at", "happened_at")[:CLOCKS_SEEN]
        if happened_at is not None
    ]
    if offsets:
        seconds = round(median(offsets))
        yield CLOCKS.result(is_ok=abs(seconds) <= CLOCKS_APART_SECONDS, seconds=seconds)
