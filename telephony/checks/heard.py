"""Looks at what a client's notifications tell: whether they come, whether they are well formed, what time they name."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from statistics import median

from telephony import lamps
from telephony.checks import words
from telephony.models import Notification
from telephony.uis import templates
from telephony.uis.types import Event
from tenants.finding import Finding, bad, good, of
from tenants.models import Tenant, TransferRules

CLOCKS_APART_SECONDS = 120
CLOCKS_SEEN = 20
LATELY = timedelta(days=7)


def look(tenant: Tenant, *, now: datetime) -> Iterator[Finding]:
    """Yield what each check of the notifications finds; asks nobody outside."""
    yield from _clocks(tenant, now=now)
    wanted = _wanted(tenant.rules)
    for lamp in lamps.look(tenant, now=now).lamps:
        if lamp.event not in wanted:
            continue
        name = _name(tenant, lamp.event)
        is_seen = lamp.seen_at is not None
        yield of(words.SEEN[lamp.event], is_ok=is_seen, event=name, days=lamps.LATELY.days)
        if is_seen:
            yield _template(lamp, name)


def _name(tenant: Tenant, event: Event) -> str:
    """Return how the client's own cabinet calls the event, whatever language the reader speaks."""
    title = templates.title(event)
    return title.english if tenant.uis.brand == tenant.uis.Brand.CALLGEAR else title.russian


def _template(lamp: lamps.Lamp, name: str) -> Finding:
    if not lamp.faults:
        return good(words.TEMPLATES[lamp.event], event=name)
    fault = lamp.faults[0]
    return bad(words.TEMPLATES[lamp.event], event=name, kind=fault.code, names=", ".join(fault.names))


def _wanted(rules: TransferRules) -> set[Event]:
    """Return the events without which something this client wants would not happen."""
    wanted = {Event.CALL_END}
    if rules.popup_incoming != TransferRules.Popup.OFF:
        wanted |= {Event.WAITING, Event.TALK_STARTED}
    if rules.popup_outgoing != TransferRules.Popup.OFF:
        wanted.add(Event.OUTGOING)
    if rules.upload_missed:
        wanted.add(Event.LOST_CALL)
    if rules.send_recording:
        wanted.add(Event.RECORDED)
    return wanted


def _clocks(tenant: Tenant, *, now: datetime) -> Iterator[Finding]:
    """Compare when notifications came with the time they name; one late one is no wrong clock, so the middle counts."""
    told = Notification.objects.filter(
        tenant=tenant, event=Event.WAITING, happened_at__isnull=False, received_at__gt=now - LATELY
    ).order_by("-received_at")
    apart = [
        (received_at - happened_at).total_seconds()
        for received_at, happened_at in told.values_list("received_at", "happened_at")[:CLOCKS_SEEN]
        if happened_at is not None
    ]
    if apart:
        seconds = round(median(apart))
        yield of(words.CLOCKS, is_ok=abs(seconds) <= CLOCKS_APART_SECONDS, seconds=seconds)
