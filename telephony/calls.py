"""What becomes of a finished call: written once, kept back by a rule or sent on, tried again."""

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

# Older calls that nobody told us of stand behind those of today.
LIVE_FOR = timedelta(hours=3)
# Rules that ask nothing of the people.
SURE = {KeptBack.INTERNAL_OFF, KeptBack.TOO_OLD}

NEXT = {
    Call.State.SETTLING: route.SETTLE,
    Call.State.COLLECTING: route.COLLECT,
    Call.State.OWNING: route.OWNER,
    Call.State.READY: route.UPLOAD,
}


def record(tenant: Tenant, said: FinishedCall, *, staff: Staff, now: datetime) -> Call:
    """Write down a call found in UIS's list, and send it on its way. Needs a transaction.

    Who reads the list has many calls at once, and nudges them together with `resume_due`.
    """
    call = locked(tenant, said.session_id)
    if call is not None and not is_within_term_again(call, now=now):
        return call
    call = call or new(tenant, said, origin=Call.Origin.REPORT, now=now)
    call.is_backlog, call.recorded_at = call.is_backlog or call.pk is not None, now
    _find(call, said, heard=facts.heard_of(tenant, [said.session_id])[said.session_id], staff=staff, now=now)
    call.save()
    call.note(Step.RECONCILE, now=now)
    return call


def foresee(tenant: Tenant, said: FinishedCall, *, heard: Sequence[Heard], staff: Staff, now: datetime) -> Call:
    """Return the row that `record` would write for a call nobody told us of; nothing is written."""
    call = new(tenant, said, origin=Call.Origin.REPORT, now=now)
    _find(call, said, heard=heard, staff=staff, now=now)
    return call


def is_within_term_again(call: Call, *, now: datetime) -> bool:
    """Whether a call was too old, and is no more since the client's term is longer."""
    return call.kept_back_by == KeptBack.TOO_OLD and not call.is_too_old(now=now)


def settle(batch: Sequence[Call], *, now: datetime) -> None:
    """Decide claimed calls of one tenant by all that was told of them by now."""
    began, tenant = time.monotonic(), batch[0].tenant
    heard = facts.heard_of(tenant, [call.session_id for call in batch])
    staff, choices = Staff.of(tenant), tenant.rules.choices()

    def weigh(call: Call) -> None:
        story = facts.story_of(call, heard[call.session_id], staff=staff)
        take_over(call, story, owner=staff.owner_of(story, call.tenant.rules))
        _decide(call, story, choices, now=now)

    finish(batch, weigh, step=Step.SETTLE, now=now, began=began, about=owner_rules(batch))


def owner_rules(batch: Sequence[Call]) -> dict[int, dict[str, Any]]:
    """Return by which rules it is decided whose each call is: they may be others by the time somebody asks."""
    rules = batch[0].tenant.rules
    return {call.pk: {"owner": rules.owner, "missed_owner": rules.missed_owner} for call in batch}


def take_over(call: Call, story: Story, *, owner: Employee | None) -> None:
    """Write what the facts amount to into the row."""
    call.direction, call.contact, call.number = story.direction, story.contact, story.number
    call.source, call.external_id = story.source, story.external_id
    call.is_internal, call.is_lost = story.is_internal, story.is_lost
    call.talk_seconds, call.wait_seconds = story.talk_seconds, story.wait_seconds
    call.started_at = story.started_at or call.started_at
    call.ended_at = max(story.ended_at or call.ended_at, call.started_at)
    call.rung_ids, call.result = list(story.rung_ids), story.result or ""
    call.employee = owner


def judge(call: Call, choices: Choices, *, now: datetime) -> bool:
    """Name the rule that keeps the call back; say whether one does."""
    kept_back_by = choices.keeps_back_upload(call.facts(now=now))
    call.kept_back_by = kept_back_by or ""
    return kept_back_by is not None


def nudge(call: Call, *, now: datetime) -> None:
    """Queue the next step of a call that is due. Needs a transaction."""
    if call.next_attempt_at is not None and call.next_attempt_at <= now and call.claim_token is None:
        enqueue(NEXT[Call.State(call.state)], call.tenant_id)


@transaction.atomic
def finish(
    batch: Sequence[Call],
    settle: Callable[[Call], None],
    *,
    step: Step,
    now: datetime,
    began: float,
    about: Mapping[int, dict[str, Any]] | None = None,
) -> None:
    """Write how a try ended, on the rows as they are now, and send on what moved. `began` is by time.monotonic()."""
    ours = Call.objects.still_ours(batch)
    was = [seen(call) for call in ours]
    for call in ours:
        _settle_or_stop(call, settle, now=now)
    save_all(ours, was)
    note_all(ours, step, now=now, milliseconds=round((time.monotonic() - began) * 1000), about=about)
    # One nudge a state is enough: its task works off all that is due.
    came_from = {call.state for call in batch}
    for moved in {call.state: call for call in ours if call.state not in came_from}.values():
        nudge(moved, now=now)


def _settle_or_stop(call: Call, settle: Callable[[Call], None], *, now: datetime) -> None:
    try:
        settle(call)
    except Exception as exc:
        logger.exception("tenant=%s call=%s could not be settled", call.tenant.slug, call.session_id)
        call.stop(Cause.OUR_FAULT, type(exc).__name__, now=now)


def resume_due(tenant: Tenant | None = None, *, states: Sequence[State] = tuple(NEXT), now: datetime) -> int:
    """Nudge every state with calls that are due, of one client or of all: what makes losing the queue harmless."""
    due = Call.objects.due(now=now).filter(state__in=states).order_by().values_list("tenant_id", "state").distinct()
    if tenant is not None:
        due = due.filter(tenant=tenant)
    with transaction.atomic():
        for tenant_id, state in due:
            enqueue(NEXT[Call.State(state)], tenant_id)
    return len(due)


def locked(tenant: Tenant, session_id: int) -> Call | None:
    """Return the row of a call, locked. Needs a transaction."""
    rows = Call.objects.select_for_update(of=("self",)).filter(tenant=tenant, session_id=session_id)
    call = rows.select_related("employee").first()
    if call is not None:
        call.tenant = tenant
    return call


def new(tenant: Tenant, said: Heard, *, origin: Call.Origin, now: datetime) -> Call:
    """Return a row for a call that has none; it is not saved."""
    ended_at = said.happened_at or now
    started_at = (said.started_at if isinstance(said, FinishedCall) else None) or ended_at
    return Call(
        tenant=tenant,
        session_id=said.session_id,
        origin=origin,
        started_at=started_at,
        ended_at=max(ended_at, started_at),
        recorded_at=now,
        is_backlog=started_at < now - LIVE_FOR,
    )


def is_surely_kept_back(call: Call, *, now: datetime) -> bool:
    """Whether a rule keeps the call back, whatever UIS may still tell of it: who took part in it is not known yet."""
    if not (call.is_internal or call.is_too_old(now=now)):
        return False
    judge(call, call.tenant.rules.choices(), now=now)
    call.kept_back_by = call.kept_back_by if call.kept_back_by in SURE else ""
    return bool(call.kept_back_by)


def owner_of(call: Call) -> Employee | None:
    """Return whose call it is by all the facts, as the people are known now."""
    staff = Staff.of(call.tenant)
    story = facts.story_of(call, facts.heard_of(call.tenant, [call.session_id])[call.session_id], staff=staff)
    return staff.owner_of(story, call.tenant.rules)


def after_collecting(call: Call, rules: TransferRules) -> State:
    """Return the step that follows once all is told: a missed call may first need its manager from the CRM."""
    asks_crm = call.is_missed and rules.missed_owner == TransferRules.MissedOwner.RESPONSIBLE
    return Call.State.OWNING if asks_crm else Call.State.READY


def _find(call: Call, said: FinishedCall, *, heard: Sequence[Heard], staff: Staff, now: datetime) -> None:
    """Weigh up a call out of UIS's list; its row is a fact like the others, and as a rule the best."""
    call.told_by_uis = dump(Asked(row=said))
    story = facts.story_of(call, heard, staff=staff)
    take_over(call, story, owner=staff.owner_of(story, call.tenant.rules))
    _decide(call, story, call.tenant.rules.choices(), now=now)


def _decide(call: Call, story: Story, choices: Choices, *, now: datetime) -> None:
    """Choose the next step by all that is known: a missed call needs nothing more from UIS."""
    if story.fate == Fate.MISSED:
        is_kept_back = judge(call, choices, now=now)
        return call.move_to(Call.State.SKIPPED if is_kept_back else after_collecting(call, call.tenant.rules), now=now)
    is_kept_back = is_surely_kept_back(call, now=now)
    return call.move_to(Call.State.SKIPPED if is_kept_back else Call.State.COLLECTING, now=now)
