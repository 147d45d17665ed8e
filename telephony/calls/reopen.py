"""Resolves calls anew that were skipped or uploaded before all was known of them."""

from collections.abc import Collection, Sequence
from copy import copy
from datetime import datetime
from operator import attrgetter

from telephony.calls import evidence, late_answers, pipeline, sources, steps
from telephony.calls.resolution import CallResolution
from telephony.calls.sources import Sources, StaffDirectory
from telephony.models import Call, State, Step
from telephony.models.call_log import log_many
from telephony.uis.types import CallEvent, CallLeg, EndedEvent
from tenants.transfer_rules import SkipReason

# What is known of a call, and what of that makes it another call for the rules, whatever the rest.
_facts = attrgetter(
    *("status", "direction", "contact", "number", "is_internal", "is_lost", "result", "started_at"),
    *("owner_id", "owner_number", "candidate_ids", "rung_employee_ids"),
)
kind = attrgetter("direction", "contact", "number", "is_internal", "is_lost")


def reopen_on_report(
    call: Call, reported: EndedEvent | None, known: Sources, *, legs: Sequence[CallLeg] = (), now: datetime
) -> bool:
    """Resolve a skipped or uploaded call anew with UIS's answer: its row of the report, or its legs.

    Return whether that changed it.

    A skipped call is reopened if the rules no longer skip it; a call that was uploaded as missed or not reached, though
    somebody talked, is noted. A row that tells nothing new changes nothing, so a call may be given again and again.
    Needs the locked call (`Call.objects.locked`) in a transaction; saves it. The caller enqueues the next steps of all
    its calls together, with `sweep.resume_due`.
    """
    if not _may_change(call):
        return False
    events, own_numbers = known.events[call.session_id], known.staff.own_numbers
    before = sources.resolve_anew(call, events, own_numbers=own_numbers)
    call.uis_snapshot = evidence.updated(call.uis_snapshot, row=reported, legs=legs)
    news = sources.resolve_anew(call, events, own_numbers=own_numbers)
    return _apply(call, before, news, staff=known.staff, now=now)


def reopen_on_event(call: Call, event: CallEvent, earlier: Collection[CallEvent], *, now: datetime) -> bool:
    """Resolve a skipped or uploaded call anew with a further event; return whether that changed it.

    Needs the locked call in a transaction; saves it. The caller enqueues the next step.
    """
    if not _may_change(call):
        return False
    staff = StaffDirectory.for_tenant(call.tenant)
    before = sources.resolve_anew(call, earlier, own_numbers=staff.own_numbers)
    news = sources.resolve_anew(call, [event, *earlier], own_numbers=staff.own_numbers)
    return _apply(call, before, news, staff=staff, now=now)


def find_news(
    call: Call, event: CallEvent, earlier: Collection[CallEvent], *, own_numbers: Collection[str]
) -> CallResolution | None:
    """Return the resolution with this event if more is known by it than without it."""
    before = sources.resolve_anew(call, earlier, own_numbers=own_numbers)
    news = sources.resolve_anew(call, [event, *earlier], own_numbers=own_numbers)
    return news if _facts(before) != _facts(news) else None


def _may_change(call: Call) -> bool:
    """Whether more evidence can change a done call: not what a person skipped, and not an upload that is right."""
    if call.is_erased:
        return False
    if call.state == State.UPLOADED:
        return not call.is_answered
    return call.state == State.SKIPPED and call.skip_reason != SkipReason.MANUAL


def _apply(call: Call, before: CallResolution, news: CallResolution, *, staff: StaffDirectory, now: datetime) -> bool:
    """Note that the CRM shows a talk as missed or not reached, or apply the rules to a skipped call again.

    Both resolutions are by the rules and staff of now: a change of those reopens no call.
    """
    if call.state == State.UPLOADED:
        return news.has_talk and not before.has_talk and late_answers.note([call], now=now)
    skipped_before = _apply_rules(copy(call), before, staff, now=now)
    skipped_by = _apply_rules(call, news, staff, now=now)
    if kind(before) == kind(news) and skipped_before == skipped_by:
        return False
    call.skip_reason = skipped_by
    if not skipped_by:
        call.has_legs, call.retry_window_started_at = False, now
        call.is_low_priority = call.is_low_priority or call.started_at < now - pipeline.LOW_PRIORITY_AFTER
        pipeline.enter(call, news, now=now)
        call.log(Step.REOPENED, now=now)
    else:
        log_many([call], Step.EVALUATE, now=now, details={call.pk: steps.skip_details(call, skipped_by)})
    call.save()
    return not skipped_by


def _apply_rules(call: Call, resolution: CallResolution, staff: StaffDirectory, *, now: datetime) -> str:
    """Set on the call what the evidence says; return the rule that skips it then, or ""."""
    pipeline.apply_resolution(call, resolution, owner=staff.owner_of(resolution, call.tenant.rules))
    return pipeline.skip_reason(call, resolution, now=now)
