"""The steps of a finished call: created once, evaluated, skipped by a rule or sent to the next step."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from structlog.contextvars import bind_contextvars

from telephony.calls import attribution, recording_selection, report_facts, sources, steps, voice_mail
from telephony.calls.evidence import UisSnapshot, dump
from telephony.calls.resolution import CallResolution, ResolutionStatus
from telephony.calls.sources import Sources, StaffDirectory
from telephony.calls.steps import Moved
from telephony.models import Call, FailureReason, ImportChoice, Notification, State, Step
from telephony.uis.types import CallEvent, EndedEvent
from tenants import erased_numbers
from tenants.field_map.facts import Fact
from tenants.field_map.targets import Record
from tenants.models import Employee, Tenant
from tenants.rules import MissedOwner, Rules
from tenants.transfer_rules import RuleSet, SkipReason

# Notifications come in any order: an answer this late still overrides a miss, which the CRM could not correct.
DEBOUNCE = timedelta(seconds=6)
EVALUATE_BATCH = 100
# Calls that began earlier than this get low priority.
LOW_PRIORITY_AFTER = timedelta(hours=3)
# Skip reasons that need neither owner nor legs: such a call is skipped at once. All others wait for the evidence.
OWNER_INDEPENDENT_REASONS = {SkipReason.INTERNAL_OFF, SkipReason.EXPIRED}


def create_from_report(
    tenant: Tenant, reported: EndedEvent, *, staff: StaffDirectory, choice: str = "", now: datetime
) -> Call:
    """Create a call found in UIS's report, for an import with its choice. Needs a transaction.

    The caller enqueues the next steps of all its calls together, with `resume_due`.
    """
    call = Call.objects.locked(tenant, reported.session_id)
    if call is not None and not may_be_found_again(call, choice=choice, now=now):
        return call
    call = call or new(tenant, reported, origin=Call.Origin.REPORT, now=now)
    call.is_low_priority, call.retry_window_started_at = call.is_low_priority or call.pk is not None, now
    _evaluate(call, reported, Sources(sources.events_by_session(tenant, [reported.session_id]), staff), now=now)
    call.import_choice = choice
    if call.state != State.SKIPPED and is_left_out(call):
        call.skip_reason = SkipReason.NOT_IMPORTED
        call.move_to(State.SKIPPED, now=now)
    call.save()
    call.log(Step.RECONCILE, now=now)
    return call


def is_left_out(call: Call) -> bool:
    """Return whether the choice of the import leaves a compared call out; of missed ones it decides at its end."""
    choice = call.import_choice
    return choice == ImportChoice.UNANSWERED or (choice == ImportChoice.WITHOUT_MISSED and call.is_missed)


def preview(tenant: Tenant, reported: EndedEvent, known: Sources, *, now: datetime) -> Call:
    """Return the row that `create_from_report` would write, without writing it."""
    call = new(tenant, reported, origin=Call.Origin.REPORT, now=now)
    _evaluate(call, reported, known, now=now)
    return call


def may_be_found_again(call: Call, *, choice: str, now: datetime) -> bool:
    """Whether a skipped call may go up now: by a longer upload window, or because this import decides it anew."""
    return is_within_term_again(call, now=now) or (choice != "" and call.skip_reason == SkipReason.NOT_IMPORTED)


def is_within_term_again(call: Call, *, now: datetime) -> bool:
    """Whether a call was skipped as too old, and no longer is because the upload window was extended."""
    return call.skip_reason == SkipReason.EXPIRED and not call.is_expired(now=now)


def evaluate_due(tenant_id: int, *, now: datetime) -> None:
    """Evaluate one tenant's debounced calls with all evidence so far; queue the rest, if there is more.

    A notification that was received before a call became due, but not read yet, may belong to it: the call waits.
    """
    unprocessed = Notification.objects.filter(tenant=tenant_id).unprocessed(now=now).order_by("received_at")
    unread_since = unprocessed.values_list("received_at", flat=True).first()
    batch = Call.objects.claim(tenant_id, State.DEBOUNCING, limit=EVALUATE_BATCH, due_before=unread_since, now=now)
    if batch:
        _evaluate_batch(batch, now=now)
    if len(batch) == EVALUATE_BATCH:
        steps.enqueue_if_due(tenant_id, State.DEBOUNCING, now=now)


def _evaluate_batch(batch: Sequence[Call], *, now: datetime) -> None:
    started, tenant = time.monotonic(), batch[0].tenant
    bind_contextvars(tenant=tenant.slug)
    known, choices = Sources.load(tenant, [call.session_id for call in batch]), tenant.rule_set

    def evaluate(call: Call) -> Moved:
        resolution, owner = known.resolve(call)
        changes = apply_resolution(call, resolution, owner=owner)
        return _next(call, resolution, choices, known.staff, changes=changes, now=now)

    results = steps.decide_each(batch, evaluate)
    steps.finish(results, Step.EVALUATE, started=started, now=now, details=owner_rules(batch))


def owner_rules(batch: Sequence[Call]) -> dict[int, dict[str, Any]]:
    """Return the owner rules to log with each call: they may have changed when somebody reads the log."""
    rules = batch[0].tenant.rules
    values = {"owner": rules.owner.value, "missed_owner": rules.missed_owner.value}
    return {call.pk: dict(values) for call in batch}


def apply_resolution(call: Call, resolution: CallResolution, *, owner: Employee | None) -> dict[str, Any]:
    """Set on the call, without saving, what the evidence says by the current rules; return the fields set."""
    started_at = resolution.started_at or call.started_at
    is_erased = bool(call.tenant.erased_numbers) and erased_numbers.is_erased(
        call.tenant, resolution.contact, began_at=started_at
    )
    changes = {
        **attribution.resolved(call, resolution.told),
        "direction": resolution.direction,
        "contact": "" if is_erased else resolution.contact,
        "number": resolution.number,
        "command_external_id": resolution.external_id,
        "is_internal": resolution.is_internal,
        "is_lost": resolution.is_lost,
        "talk_seconds": resolution.talk_seconds,
        "wait_seconds": resolution.wait_seconds,
        "started_at": started_at,
        "ended_at": max(resolution.ended_at or call.ended_at, started_at),
        "rung_employee_ids": list(resolution.rung_employee_ids),
        "result": resolution.result or "",
        "employee": owner,
        "rule_version_id": call.tenant.rule_version_id,
    }
    for name, value in changes.items():
        setattr(call, name, value)
    return changes


def new(tenant: Tenant, event: CallEvent, *, origin: Call.Origin, now: datetime) -> Call:
    """Return an unsaved row for a call that has none."""
    ended_at = event.happened_at or now
    started_at = (event.started_at if isinstance(event, EndedEvent) else None) or ended_at
    return Call(
        tenant=tenant,
        session_id=event.session_id,
        rule_version=tenant.current_version,
        origin=origin,
        started_at=started_at,
        ended_at=max(ended_at, started_at),
        retry_window_started_at=now,
        is_low_priority=started_at < now - LOW_PRIORITY_AFTER,
    )


def certain_skip_reason(call: Call, *, now: datetime) -> str:
    """Return the rule that skips the call regardless of its participants, or ""."""
    if not (call.is_internal or call.is_expired(now=now)):
        return ""
    found = call.skipping_rule(call.tenant.rule_set, now=now)
    return found if found in OWNER_INDEPENDENT_REASONS else ""


def skip_reason(call: Call, resolution: CallResolution, *, now: datetime) -> str:
    """Return the rule that skips the call by this resolution, or "".

    Before the legs are known only a missed call is certain; for others some rules are.
    """
    if resolution.status in {ResolutionStatus.MISSED, ResolutionStatus.COMPLETE}:
        return call.skipping_rule(call.tenant.rule_set, now=now) or ""
    return certain_skip_reason(call, now=now)


def enter(call: Call, resolution: CallResolution, *, now: datetime) -> None:
    """Enter the first state of an ended call: fetch its legs if somebody talked, else debounce."""
    if resolution.is_lost is False:
        call.move_to(State.FETCHING_LEGS, now=now)
    else:
        call.move_to(State.DEBOUNCING, reason=FailureReason.DEBOUNCE, due_at=now + DEBOUNCE, now=now)


def owner_of(call: Call) -> Employee | None:
    """Return the owner by all evidence and the current staff."""
    return Sources.load(call.tenant, [call.session_id]).resolve(call)[1]


def without_manager(call: Call) -> dict[str, Any]:
    """Return the change that forgets the manager whom the CRM named before: they are asked for again if needed."""
    return {"crm_user_id": None} if call.crm_user_id else {}


def next_state_after_legs(call: Call, rules: Rules) -> State:
    """Return the state after the legs are known: a missed call may first need its manager from the CRM."""
    needs_customer = not call.crm_customer and Fact.CUSTOMER in rules.field_map.needs(Record.UPLOAD)
    return Call.State.RESOLVING_OWNER if needs_customer or needs_manager(call, rules) else Call.State.READY


def needs_manager(call: Call, rules: Rules) -> bool:
    """Whether the CRM is to say who owns a missed call."""
    return call.is_missed and rules.missed_owner == MissedOwner.RESPONSIBLE


def _evaluate(call: Call, reported: EndedEvent, known: Sources, *, now: datetime) -> None:
    """Evaluate a call found in UIS's report; the report row joins the evidence.

    Of a call whose number was erased since it began there is only a row that says so.
    """
    if erased_numbers.is_erased(call.tenant, reported.contact, began_at=reported.started_at or reported.happened_at):
        call.is_erased, call.skip_reason = True, SkipReason.ERASED
        return call.move_to(State.SKIPPED, now=now)
    call.uis_snapshot, call.has_legs = dump(UisSnapshot(row=reported)), False
    attribution.note(call, attribution.told_by_row(reported, at=now))
    resolution, owner = known.resolve(call)
    changes = apply_resolution(call, resolution, owner=owner)
    if url := recording_selection.url(call, resolution):
        changes["recording_url"] = url
    outcome = _next(call, resolution, call.tenant.rule_set, known.staff, changes=changes, now=now)
    return steps.apply(call, outcome, now=now)


def asks_report(call: Call, resolution: CallResolution, staff: StaffDirectory, *, now: datetime) -> bool:
    """Whether UIS's report is asked for an ended call that no rule skips.

    A missed call needs nothing more of UIS, unless it may have a voice mail; nor does one whose legs are known. Any
    call may need what the field map reads of the report.
    """
    if report_facts.is_awaited(call, now=now):
        return True
    if resolution.status == ResolutionStatus.MISSED:
        return not call.has_legs and voice_mail.needs_report(call, resolution, staff, now=now)
    return not (call.has_legs and resolution.status == ResolutionStatus.COMPLETE)


def will_ask_report(call: Call, known: Sources, *, now: datetime) -> bool:
    """Whether UIS's report is asked after the debounce of this call, by what is known now. Changes only this copy."""
    resolution, owner = known.resolve(call)
    changes = apply_resolution(call, resolution, owner=owner)
    following = _next(call, resolution, call.tenant.rule_set, known.staff, changes=changes, now=now)
    return following.state == State.FETCHING_LEGS


def _next(
    call: Call,
    resolution: CallResolution,
    choices: RuleSet,
    staff: StaffDirectory,
    *,
    changes: Mapping[str, Any],
    now: datetime,
) -> Moved:
    """Choose the next step by the rules, as far as they can be applied already."""
    asks = asks_report(call, resolution, staff, now=now)
    if not asks or resolution.status == ResolutionStatus.MISSED:
        skipped_by = call.skipping_rule(choices, now=now) or ""
        following = State.FETCHING_LEGS if asks else next_state_after_legs(call, call.tenant.rules)
    else:
        skipped_by = certain_skip_reason(call, now=now)
        following = State.FETCHING_LEGS
    state = State.SKIPPED if skipped_by else following
    return Moved(state=state, changes={**changes, "skip_reason": skipped_by, **without_manager(call)})
