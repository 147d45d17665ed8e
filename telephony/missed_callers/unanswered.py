"""Which missed calls of a tenant nobody has answered since: for imports, by the rule of the board."""

from collections.abc import Collection, Iterable

from telephony.calls import outcomes
from telephony.missed_callers import waits
from telephony.missed_callers.waits import MissedCall, Talk
from telephony.models import Call
from tenants.models import Tenant


def find_unanswered(tenant: Tenant, calls: Collection[Call], *, talks: Iterable[Call] = ()) -> list[Call]:
    """Return the missed calls among these that no stored talk closes, nor one of `talks`. One query."""
    missed = [call for call in calls if call.is_missed and call.contact]
    if not missed:
        return []
    since, contacts = min(call.started_at for call in missed), {call.contact for call in missed}
    stored = Call.objects.filter(outcomes.TALKED, tenant=tenant, is_internal=False, contact__in=contacts)
    times = stored.filter(ended_at__gt=since).values_list("contact", "started_at", "ended_at")
    known = [Talk(contact=contact, started_at=started_at, ended_at=ended_at) for contact, started_at, ended_at in times]
    known += [Talk(contact=call.contact, started_at=call.started_at, ended_at=call.ended_at) for call in talks]
    misses = [MissedCall(contact=call.contact, at=call.started_at, call=number) for number, call in enumerate(missed)]
    return [missed[miss.call] for miss in waits.unanswered(misses, known)]


def has_talk(call: Call) -> bool:
    """Return whether somebody talked, as far as is known: the same as `outcomes.TALKED`."""
    return not call.is_internal and (call.is_answered or (not call.result and call.is_lost is False))
