"""What becomes of a finished call: written once, kept back by a rule or sent on, tried again."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from connector_project.queue import enqueue
from telephony import route
from telephony.models import Call, Cause, Notification, Result, Step
from telephony.models.call import note_all, save_all
from telephony.uis import notifications
from telephony.uis.types import Event, FinishedCall, Recorded, Said
from tenants.models import Employee, Tenant, TransferRules
from tenants.transfer import Choices, KeptBack

logger = logging.getLogger(__name__)

# Older calls that nobody told us of stand behind those of today.
LIVE_FOR = timedelta(hours=3)

NEXT = {Call.State.COLLECTING: route.COLLECT, Call.State.OWNING: route.OWNER, Call.State.READY: route.UPLOAD}


def record(tenant: Tenant, said: FinishedCall, *, origin: Call.Origin, now: datetime) -> Call:
    """Write down a finished call, or what a second source tells of one; send it on its way. Needs a transaction.

    Who reads UIS's list has many calls at once, and nudges them together with `resume_due`.
    """
    call = Call.objects.select_for_update().filter(tenant=tenant, session_id=said.session_id).first()
    is_new = call is None
    if call is None:
        call = _new(tenant, said, origin=origin, now=now)
    elif is_within_term_again(call, now=now):
        is_new, call.is_backlog, call.recorded_at = True, True, now
    elif call.state in {Call.State.UPLOADED, Call.State.SKIPPED} or call.is_collected:
        return call  # The legs have spoken, or it is done: nothing a notification says is better.
    was_missed = call.is_missed
    learn(call, said)
    # Until a worker has it, a second source may still change what becomes of it: an answer, or whose phone rang.
    is_open = call.claim_token is None and was_missed and (not call.is_missed or call.employee is None)
    if is_new or is_open:
        _start(call, tenant.rules, now=now)
    call.save()
    if is_new:
        is_told = origin == Call.Origin.WEBHOOK
        call.note(Step.RECORD if is_told else Step.RECONCILE, said.event if is_told else "", now=now)
    if origin == Call.Origin.WEBHOOK:
        nudge(call, now=now)
    return call


def foresee(tenant: Tenant, said: FinishedCall, *, now: datetime) -> Call:
    """Return the row that `record` would write for a call nobody told us of; nothing is written."""
    call = _new(tenant, said, origin=Call.Origin.REPORT, now=now)
    learn(call, said)
    _start(call, tenant.rules, now=now)
    return call


def is_within_term_again(call: Call, *, now: datetime) -> bool:
    """Whether a call was too old, and is no more since the client's term is longer."""
    return call.kept_back_by == KeptBack.TOO_OLD and not call.is_too_old(now=now)


def learn(call: Call, said: FinishedCall) -> None:
    """Take over what a source knows and the row does not; an answer beats a miss, whatever came first."""
    call.direction = call.direction or said.direction
    call.contact = call.contact or said.contact
    call.number = call.number or said.number
    call.source = call.source or said.source
    call.external_id = call.external_id or said.external_id
    call.is_internal = call.is_internal or said.is_internal
    call.talk_seconds = max(call.talk_seconds, said.talk_seconds or 0)
    call.wait_seconds = max(call.wait_seconds, said.wait_seconds or 0)
    call.talker_id = call.talker_id or said.talker_id
    call.rung_ids = list(dict.fromkeys([*call.rung_ids, *said.rung_ids]))
    if said.is_lost is not None:
        call.is_lost = said.is_lost if call.is_lost is None else call.is_lost and said.is_lost
    if call.talk_seconds:
        call.is_lost = False
    if call.is_missed:
        call.result = said.result or call.result or Result.NO_ANSWER


def judge(call: Call, choices: Choices, *, now: datetime) -> bool:
    """Name the rule that keeps the call back; say whether one does."""
    kept_back_by = choices.keeps_back_upload(call.facts(now=now))
    call.kept_back_by = kept_back_by or ""
    return kept_back_by is not None


def nudge(call: Call, *, now: datetime) -> None:
    """Queue the next step of a call that is due. Needs a transaction."""
    if call.next_attempt_at is not None and call.next_attempt_at <= now and call.claim_token is None:
        enqueue(NEXT[Call.State(call.state)], call.tenant_id)


def add_recording(tenant: Tenant, said: Recorded, *, now: datetime) -> bool:
    """Keep the link of a recording for a call that waits for it; say whether one did. Needs a transaction."""
    call = Call.objects.select_for_update().filter(tenant=tenant, session_id=said.session_id).first()
    if call is None or call.state != Call.State.COLLECTING or not said.link:
        return False
    call.record_url = call.record_url or said.link
    if call.claim_token is None and call.stopped_at is None:
        # Where only the recording was missing, UIS need not be asked again.
        call.move_to(after_collecting(call, tenant.rules) if call.is_collected else Call.State.COLLECTING, now=now)
    call.save()
    call.note(Step.RECORD, said.event, now=now)
    nudge(call, now=now)
    return True


def recording_told(tenant: Tenant, session_id: int) -> str:
    """Return the link of a recording that was told of before the end of the call was."""
    told = Notification.objects.filter(tenant=tenant, session_id=session_id, event=Event.RECORDED).order_by("pk")
    for stored in told:
        said = read(stored)
        if isinstance(said, Recorded) and said.link:
            return said.link
    return ""


def read(stored: Notification) -> Said:
    """Return what a stored notification says."""
    uis = stored.tenant.uis
    return notifications.read(
        stored.query, stored.body, event=stored.path_event, zone=uis.zone, is_russian=uis.is_russian
    )


@transaction.atomic
def finish(batch: Sequence[Call], settle: Callable[[Call], None], *, step: Step, now: datetime, began: float) -> None:
    """Write how a try ended, on the rows as they are now, and send on what moved. `began` is by time.monotonic()."""
    ours = Call.objects.still_ours(batch)
    for call in ours:
        _settle_or_stop(call, settle, now=now)
    save_all(ours)
    note_all(ours, step, now=now, milliseconds=round((time.monotonic() - began) * 1000))
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


@transaction.atomic
def try_again(call: Call, *, now: datetime) -> None:
    """Put a stopped or waiting call back on its way, from where it stood. The CRM knows a repeat by its externalId."""
    fresh = Call.objects.select_for_update().get(pk=call.pk)
    if fresh.state in NEXT and (fresh.claim_token is None or fresh.stopped_at is not None):
        fresh.attempts, fresh.stopped_at, fresh.next_attempt_at, fresh.recorded_at = 0, None, now, now
        fresh.save()
        fresh.note(Step.PERSON, now=now)
        nudge(fresh, now=now)


def resume_due(tenant: Tenant | None = None, *, now: datetime) -> int:
    """Nudge every state with calls that are due, of one client or of all: what makes losing the queue harmless."""
    due = Call.objects.due(now=now).order_by().values_list("tenant_id", "state").distinct()
    if tenant is not None:
        due = due.filter(tenant=tenant)
    with transaction.atomic():
        for tenant_id, state in due:
            enqueue(NEXT[Call.State(state)], tenant_id)
    return len(due)


def employee_of(tenant: Tenant, uis_id: int | None) -> Employee | None:
    """Return the employee with this UIS id."""
    return Employee.objects.filter(tenant=tenant, uis_id=uis_id).first() if uis_id else None


def _new(tenant: Tenant, said: FinishedCall, *, origin: Call.Origin, now: datetime) -> Call:
    ended_at = said.happened_at or now
    started_at = said.started_at or ended_at
    return Call(
        tenant=tenant,
        session_id=said.session_id,
        origin=origin,
        started_at=started_at,
        ended_at=max(ended_at, started_at),
        recorded_at=now,
        record_url=recording_told(tenant, said.session_id),
        is_backlog=origin == Call.Origin.REPORT and started_at < now - LIVE_FOR,
    )


def _start(call: Call, rules: TransferRules, *, now: datetime) -> None:
    """Choose the first step: a missed call needs nothing more from UIS."""
    is_surely_kept_back = call.is_internal or call.is_too_old(now=now)
    if is_surely_kept_back and judge(call, rules.choices(), now=now):
        return call.move_to(Call.State.SKIPPED, now=now)  # No point is spent on what nobody wants.
    if not call.is_missed:
        return call.move_to(Call.State.COLLECTING, now=now)
    call.employee = owner_of_missed(call)
    if judge(call, rules.choices(), now=now):
        return call.move_to(Call.State.SKIPPED, now=now)
    return call.move_to(after_collecting(call, rules), now=now)


def after_collecting(call: Call, rules: TransferRules) -> Call.State:
    """Return the step that follows once UIS has told all: a missed call may first need its manager from the CRM."""
    asks_crm = call.is_missed and rules.missed_owner == TransferRules.MissedOwner.RESPONSIBLE
    return Call.State.OWNING if asks_crm else Call.State.READY


def owner_of_missed(call: Call) -> Employee | None:
    """Return whose missed call it is by the client's rule: the one whose phone rang last, or nobody.

    Where the CRM is to name the manager, this one stands in when it names none.
    """
    if call.tenant.rules.missed_owner == TransferRules.MissedOwner.NOBODY:
        return None
    rung = Notification.objects.filter(
        tenant=call.tenant, session_id=call.session_id, event=Event.WAITING, employee_uis_id__isnull=False
    ).order_by("-happened_at", "-pk")
    told = rung.values_list("employee_uis_id", flat=True).first()
    return employee_of(call.tenant, told or next(reversed(call.rung_ids), None) or call.talker_id)
