"""Checks on received webhooks: whether they arrive, whether their templates are correct, whether the clocks agree."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from statistics import median

from connector_project.core.check_results import CheckResult, failed, passed, result
from telephony.checks import definitions
from telephony.models import Notification
from telephony.uis import webhook_templates
from telephony.uis.types import Event
from telephony.webhooks import status
from tenants.models import Tenant, TransferRules

CLOCKS_APART_SECONDS = 120
CLOCKS_SEEN = 20
RECENT_PERIOD = timedelta(days=7)


def run_checks(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Yield the check results; no remote requests."""
    yield from _clocks(tenant, now=now)
    needed = _needed_events(tenant.rules)
    for event_status in status.webhook_status(tenant, now=now).events:
        if event_status.event not in needed:
            continue
        name = _name(tenant, event_status.event)
        is_seen = event_status.seen_at is not None
        yield result(definitions.SEEN[event_status.event], is_ok=is_seen, event=name, days=status.RECENT_PERIOD.days)
        if is_seen:
            yield _template(event_status, name)


def _name(tenant: Tenant, event: Event) -> str:
    """Return the event's name in the client's UIS web interface, which does not depend on the reader's language."""
    title = webhook_templates.title(event)
    return title.english if tenant.uis.brand == tenant.uis.Brand.CALLGEAR else title.russian


def _template(event_status: status.EventStatus, name: str) -> CheckResult:
    if not event_status.faults:
        return passed(definitions.TEMPLATES[event_status.event], event=name)
    fault = event_status.faults[0]
    return failed(definitions.TEMPLATES[event_status.event], event=name, kind=fault.code, names=", ".join(fault.names))


def _needed_events(rules: TransferRules) -> set[Event]:
    """Return the events that this client's rules depend on."""
    needed = {Event.CALL_END}
    if rules.popup_incoming != TransferRules.Popup.OFF:
        needed |= {Event.WAITING, Event.TALK_STARTED}
    if rules.popup_outgoing != TransferRules.Popup.OFF:
        needed.add(Event.OUTGOING)
    if rules.upload_missed:
        needed.add(Event.LOST_CALL)
    if rules.send_recording:
        needed.add(Event.RECORDED)
    return needed


def _clocks(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Compare when notifications arrived with the time they state; the median ignores single late ones."""
    recent = Notification.objects.filter(
        tenant=tenant, event=Event.WAITING, happened_at__isnull=False, received_at__gt=now - RECENT_PERIOD
    ).order_by("-received_at")
    offsets = [
        (received_at - happened_at).total_seconds()
        for received_at, happened_at in recent.values_list("received_at", "happened_at")[:CLOCKS_SEEN]
        if happened_at is not None
    ]
    if offsets:
        seconds = round(median(offsets))
        yield result(definitions.CLOCKS, is_ok=abs(seconds) <= CLOCKS_APART_SECONDS, seconds=seconds)
