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
    if not _may_change(call):
        return False
    events, own_numbers = known.events[call.session_id], known.staff.own_numbers
    before = sources.resolve_anew(call, events, own_numbers=own_numbers)
    call.uis_snapshot = evidence.updated(call.uis_snapshot, row=reported, legs=())
    news = sources.resolve_anew(call, events, own_numbers=own_numbers)
    if _facts(before) == _facts(news):
        return False
    return _apply(call, news, owner=known.staff.owner_of(news, call.tenant.rules), now=now)


def reopen_on_event(call: Call, event: CallEvent, earlier: Collection[CallEvent], *, now: datetime) -> bool:
    """Resolve a skipped or uploaded call anew with a further event; return whether that changed it.

    Needs the locked call in a transaction; saves it. The caller enqueues the next step.
    """
    if not _may_change(call):
        return False
    staff = StaffDirectory.for_tenant(call.tenant)
    news = find_news(call, event, earlier, own_numbers=staff.own_numbers)
    return news is not None and _apply(call, news, owner=staff.owner_of(news, call.tenant.rules), now=now)


def find_news(
    call: Call, event: CallEvent, earlier: Collection[CallEvent], *, own_numbers: Collection[str]
) -> CallResolution | None:
    """Return the resolution with this event if it differs, in what the rules decide by, from the one without it.

    Both are by the same rules and staff: a change of those is no news of a call, and neither is an event that only
    repeats what is known.
    """
    before = sources.resolve_anew(call, earlier, own_numbers=own_numbers)
    after = sources.resolve_anew(call, [event, *earlier], own_numbers=own_numbers)
    return after if _facts(before) != _facts(after) else None


def _may_change(call: Call) -> bool:
    """Whether more evidence can change a done call: not what a person skipped, and not an upload that is right."""
    if call.state == State.UPLOADED:
        return call.is_missed
    return call.state == State.SKIPPED and call.skip_reason != SkipReason.MANUAL


def _apply(call: Call, news: CallResolution, *, owner: Employee | None, now: datetime) -> bool:
    """Note that the CRM shows a talk as missed, or apply the rules to a skipped call again."""
    if call.state == State.UPLOADED:
        return news.is_lost is False and late_answers.note([call], now=now)
    pipeline.apply_resolution(call, news, owner=owner)
    call.skip_reason = pipeline.skip_reason(call, news, now=now)
    if not call.skip_reason:
        call.has_legs, call.retry_window_started_at = False, now
        call.is_low_priority = call.is_low_priority or call.started_at < now - pipeline.LOW_PRIORITY_AFTER
        pipeline.enter(call, news, now=now)
        call.log(Step.REOPENED, now=now)
    call.save()
    return not call.skip_reason
