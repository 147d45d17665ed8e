"""The steps of a finished call: created once, evaluated, skipped by a rule or sent to the next step."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from connector_project.queue import enqueue
from telephony import facts, route
from telephony.facts import Staff
from telephony.models import Call, Cause, State, Step
from telephony.models.attempt import note_all
from telephony.models.call import save_all, seen
from telephony.story import Fate, Story
from telephony.told import Asked, dump
from telephony.uis.types import FinishedCall, Heard
from tenants.models import Employee, Tenant, TransferRules
from tenants.transfer import Choices, KeptBack

logger = logging.getLogger(__name__)

# Calls that began earlier than this get low priority.
LIVE_FOR = timedelta(hours=3)
# Skip reasons that do not depend on the owner.
SURE = {KeptBack.INTERNAL_OFF, KeptBack.TOO_OLD}

NEXT = {
    Call.State.SETTLING: route.SETTLE,
    Call.State.COLLECTING: route.COLLECT,
    Call.State.OWNING: route.OWNER,
    Call.State.READY: route.UPLOAD,
}


def record(tenant: Tenant, reported: FinishedCall, *, staff: Staff, now: datetime) -> Call:
    """Create a call found in UIS's report. Needs a transaction.

    The caller enqueues the next steps of all its calls together, with `resume_due`.
    """
    call = locked(tenant, reported.session_id)
    if call is not None and not is_within_term_again(call, now=now):
        return call
    call = call or new(tenant, reported, origin=Call.Origin.REPORT, now=now)
    call.is_backlog, call.recorded_at = call.is_backlog or call.pk is not None, now
    _evaluate(
        call, reported, events=facts.heard_of(tenant, [reported.session_id])[reported.session_id], staff=staff, now=now
    )
    call.save()
    call.note(Step.RECONCILE, now=now)
    return call


def foresee(tenant: Tenant, reported: FinishedCall, *, events: Sequence[Heard], staff: Staff, now: datetime) -> Call:
    """Return the row that `create_from_report` would write, without writing it."""
    call = new(tenant, reported, origin=Call.Origin.REPORT, now=now)
    _evaluate(call, reported, events=events, staff=staff, now=now)
    return call


def is_within_term_again(call: Call, *, now: datetime) -> bool:
    """Whether a call was skipped as too old, and no longer is because the upload window was extended."""
    return call.kept_back_by == KeptBack.TOO_OLD and not call.is_too_old(now=now)


def settle(batch: Sequence[Call], *, now: datetime) -> None:
    """Evaluate claimed calls of one tenant with all evidence so far."""
    began, tenant = time.monotonic(), batch[0].tenant
    events = facts.heard_of(tenant, [call.session_id for call in batch])
    staff, choices = Staff.of(tenant), tenant.rules.choices()

    def weigh(call: Call) -> None:
        story = facts.story_of(call, events[call.session_id], staff=staff)
        take_over(call, story, owner=staff.owner_of(story, call.tenant.rules))
        _decide(call, story, choices, now=now)

    finish(batch, weigh, step=Step.SETTLE, now=now, began=began, about=owner_rules(batch))


def owner_rules(batch: Sequence[Call]) -> dict[int, dict[str, Any]]:
    """Return the owner rules to log with each call: they may have changed when somebody reads the log."""
    rules = batch[0].tenant.rules
    return {call.pk: {"owner": rules.owner, "missed_owner": rules.missed_owner} for call in batch}


def take_over(call: Call, story: Story, *, owner: Employee | None) -> None:
    call.direction, call.contact, call.number = story.direction, story.contact, story.number
    call.source, call.external_id = story.source, story.external_id
    call.is_internal, call.is_lost = story.is_internal, story.is_lost
    call.talk_seconds, call.wait_seconds = story.talk_seconds, story.wait_seconds
    call.started_at = story.started_at or call.started_at
    call.ended_at = max(story.ended_at or call.ended_at, call.started_at)
    call.rung_ids, call.result = list(story.rung_ids), story.result or ""
    call.employee = owner


def judge(call: Call, choices: Choices, *, now: datetime) -> bool:
    """Set the skip reason; return whether the call is skipped."""
    kept_back_by = choices.keeps_back_upload(call.facts(now=now))
    call.kept_back_by = kept_back_by or ""
    return kept_back_by is not None


def nudge(call: Call, *, now: datetime) -> None:
    """Enqueue the next step if the call is due. Needs a transaction."""
    if call.next_attempt_at is not None and call.next_attempt_at <= now and call.claim_token is None:
        enqueue(NEXT[Call.State(call.state)], call.tenant_id)


@transaction.atomic
def finish(
    batch: Sequence[Call],
    apply: Callable[[Call], None],
    *,
    step: Step,
    now: datetime,
    began: float,
    about: Mapping[int, dict[str, Any]] | None = None,
) -> None:
    """Apply the outcome to the rows that are still claimed, and enqueue next steps. `began` is time.monotonic()."""
    claimed = Call.objects.still_ours(batch)
    before = [seen(call) for call in claimed]
    for call in claimed:
        _apply_or_fail(call, apply, now=now)
    save_all(claimed, before)
    note_all(claimed, step, now=now, milliseconds=round((time.monotonic() - began) * 1000), about=about)
    # One task per state is enough: it processes everything that is due.
    previous_states = {call.state for call in batch}
    for representative in {call.state: call for call in claimed if call.state not in previous_states}.values():
        nudge(representative, now=now)


def _apply_or_fail(call: Call, apply: Callable[[Call], None], *, now: datetime) -> None:
    try:
        apply(call)
    except Exception as exc:
        logger.exception("tenant=%s call=%s step failed", call.tenant.slug, call.session_id)
        call.stop(Cause.OUR_FAULT, type(exc).__name__, now=now)


def resume_due(tenant: Tenant | None = None, *, states: Sequence[State] = tuple(NEXT), now: datetime) -> int:
    """Enqueue a task for every state with due calls, of one tenant or of all: losing the queue loses nothing."""
    due = Call.objects.due(now=now).filter(state__in=states).order_by().values_list("tenant_id", "state").distinct()
    if tenant is not None:
        due = due.filter(tenant=tenant)
    with transaction.atomic():
        for tenant_id, state in due:
            enqueue(NEXT[Call.State(state)], tenant_id)
    return len(due)


def locked(tenant: Tenant, session_id: int) -> Call | None:
    """Return the locked row of a call, or None. Needs a transaction."""
    rows = Call.objects.select_for_update(of=("self",)).filter(tenant=tenant, session_id=session_id)
    call = rows.select_related("employee").first()
    if call is not None:
        call.tenant = tenant
    return call


def new(tenant: Tenant, event: Heard, *, origin: Call.Origin, now: datetime) -> Call:
    """Return an unsaved row for a call that has none."""
    ended_at = event.happened_at or now
    started_at = (event.started_at if isinstance(event, FinishedCall) else None) or ended_at
    return Call(
        tenant=tenant,
        session_id=event.session_id,
        origin=origin,
        started_at=started_at,
        ended_at=max(ended_at, started_at),
        recorded_at=now,
        is_backlog=started_at < now - LIVE_FOR,
    )


def is_surely_kept_back(call: Call, *, now: datetime) -> bool:
    """Whether a rule skips the call before its participants are known; sets the skip reason."""
    if not (call.is_internal or call.is_too_old(now=now)):
        return False
    judge(call, call.tenant.rules.choices(), now=now)
    call.kept_back_by = call.kept_back_by if call.kept_back_by in SURE else ""
    return bool(call.kept_back_by)


def owner_of(call: Call) -> Employee | None:
    """Return the owner by all evidence and the current staff."""
    staff = Staff.of(call.tenant)
    story = facts.story_of(call, facts.heard_of(call.tenant, [call.session_id])[call.session_id], staff=staff)
    return staff.owner_of(story, call.tenant.rules)


def after_collecting(call: Call, rules: TransferRules) -> State:
    """Return the state after the legs are known: a missed call may first need its manager from the CRM."""
    needs_crm = call.is_missed and rules.missed_owner == TransferRules.MissedOwner.RESPONSIBLE
    return Call.State.OWNING if needs_crm else Call.State.READY


def _evaluate(call: Call, reported: FinishedCall, *, events: Sequence[Heard], staff: Staff, now: datetime) -> None:
    """Evaluate a call found in UIS's report; the report row joins the evidence."""
    call.told_by_uis = dump(Asked(row=reported))
    story = facts.story_of(call, events, staff=staff)
    take_over(call, story, owner=staff.owner_of(story, call.tenant.rules))
    _decide(call, story, call.tenant.rules.choices(), now=now)


def _decide(call: Call, story: Story, choices: Choices, *, now: datetime) -> None:
    """Choose the next step: a missed call needs nothing more from UIS."""
    if story.fate == Fate.MISSED:
        is_skipped = judge(call, choices, now=now)
        return call.move_to(Call.State.SKIPPED if is_skipped else after_collecting(call, call.tenant.rules), now=now)
    is_skipped = is_surely_kept_back(call, now=now)
    return call.move_to(Call.State.SKIPPED if is_skipped else Call.State.COLLECTING, now=now)
