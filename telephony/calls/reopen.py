"""Resolves calls anew that were skipped or uploaded before all was known of them."""

from collections.abc import Collection
from datetime import datetime
from operator import attrgetter

from telephony.calls import evidence, late_answers, pipeline, sources
from telephony.calls.resolution import CallResolution
from telephony.calls.sources import Sources, StaffDirectory
from telephony.models import Call, State, Step
from telephony.uis.types import CallEvent, EndedEvent
from tenants.models import Employee
from tenants.transfer_rules import SkipReason

# What the rules decide by, and whether it is certain.
_facts = attrgetter(
    *("status", "direction", "contact", "number", "is_internal", "is_lost", "result", "started_at"),
    *("owner_id", "owner_number", "candidate_ids", "rung_employee_ids"),
)


def reopen_on_report(call: Call, reported: EndedEvent, known: Sources, *, now: datetime) -> bool:
    """Resolve a skipped or uploaded call anew with its row of UIS's report; return whether that changed it.

    A skipped call is reopened if the rules no longer skip it; a call that was uploaded as missed, though somebody
    talked, is noted. A row that tells nothing new changes nothing, so a call may be given again and again. Needs the
    locked call (`Call.objects.locked`) in a transaction; saves it. The caller enqueues the next steps of all its
    calls together, with `steps.resume_due`.
    """
    events, own_numbers = known.events[call.session_id], known.staff.own_numbers
    before = sources.resolve_anew(call, events, own_numbers=own_numbers)
    call.uis_snapshot = evidence.updated(call.uis_snapshot, row=reported, legs=())
    after = sources.resolve_anew(call, events, own_numbers=own_numbers)
    return _reopen(call, before, after, owner=known.staff.owner_of(after, call.tenant.rules), now=now)


def reopen_on_event(call: Call, event: CallEvent, earlier: Collection[CallEvent], *, now: datetime) -> bool:
    """Resolve a skipped or uploaded call anew with a further event; return whether that changed it.

    Needs the locked call in a transaction; saves it. The caller enqueues the next step.
    """
    staff = StaffDirectory.for_tenant(call.tenant)
    before = sources.resolve_anew(call, earlier, own_numbers=staff.own_numbers)
    after = sources.resolve_anew(call, [event, *earlier], own_numbers=staff.own_numbers)
    return _reopen(call, before, after, owner=staff.owner_of(after, call.tenant.rules), now=now)


def is_news(before: CallResolution, after: CallResolution) -> bool:
    """Whether evidence changed what the rules decide by.

    Both are resolved by the same rules and staff: a change of those reopens no call, and neither does an event that
    only repeats what is known.
    """
    return bool(_facts(before) != _facts(after))


def _reopen(
    call: Call, before: CallResolution, after: CallResolution, *, owner: Employee | None, now: datetime
) -> bool:
    if not is_news(before, after):
        return False
    if call.state == State.UPLOADED:
        return call.is_missed and after.is_lost is False and late_answers.note([call], now=now)
    if call.state != State.SKIPPED or call.skip_reason == SkipReason.MANUAL:
        return False
    pipeline.apply_resolution(call, after, owner=owner)
    call.skip_reason = pipeline.skip_reason(call, after, now=now)
    if not call.skip_reason:
        call.has_legs, call.retry_window_started_at = False, now
        call.is_low_priority = call.is_low_priority or call.started_at < now - pipeline.LOW_PRIORITY_AFTER
        pipeline.enter(call, after, now=now)
        call.log(Step.REOPENED, now=now)
    call.save()
    return not call.skip_reason
