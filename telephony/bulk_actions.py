"""Bulk actions: one action on many rows, previewed, then run in portions; no row is processed twice."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from django.contrib.auth import get_user_model
from django.db import transaction

from connector_project.core import http_client
from connector_project.core.jobs import MAX_LOST_LEASES
from connector_project.core.task_queue import enqueue
from connector_project.core.transactions import atomic
from telephony import bulk_action_rows, task_names
from telephony.calls import manual
from telephony.calls.steps import Failed, Postponed
from telephony.models import BulkAction, FailureReason, ImportChoice
from telephony.models.bulk_action import Portion
from telephony.models.retries import MAX_UNEXPECTED_REPLIES
from telephony.reconciliation import call_import
from telephony.uis.errors import LIMIT
from tenants.audit import Actor
from tenants.models import AuditLogEntry, Tenant, UisConnection

PAUSE_SECONDS = 60.0
DENIED_PAUSE_SECONDS = 300.0  # each attempt also probes the access
Kind, State, AuditAction = BulkAction.Kind, BulkAction.State, AuditLogEntry.Action
AUDIT_ACTIONS = {
    Kind.RETRY: AuditAction.CALLS_RETRIED,
    Kind.SKIP: AuditAction.CALLS_SKIPPED,
    Kind.REPROCESS: AuditAction.REPROCESSED,
    Kind.IMPORT: AuditAction.CALLS_IMPORTED,
}


@transaction.atomic
def start(
    kind: str,
    chosen: Mapping[str, str],
    *,
    comment: str = "",
    previewed: tuple[datetime, int] | None = None,
    by: Actor,
    now: datetime,
) -> BulkAction | None:
    """Start an action on rows; return None without a filter or a selection, or if no rows match, or too many.

    With the time of the preview and the newest row in it, what came or failed since is not included.
    """
    reader = by if isinstance(by, get_user_model()) else None
    rows = bulk_action_rows.filter_set(kind, chosen, reader=reader).qs
    if previewed is not None:
        rows = bulk_action_rows.previewed(rows, at=previewed[0], newest=previewed[1])
    limit = bulk_action_rows.max_rows(by)
    total = bulk_action_rows.count(rows, limit=limit)
    if not bulk_action_rows.is_narrowed(chosen) or not 0 < total <= limit:
        return None
    action = BulkAction(kind=kind, filters=dict(chosen), comment=comment, total=total)
    _begin(action, State.RUNNING, by=by, now=now)
    action.total = bulk_action_rows.store(action, rows)
    action.tenants.set(rows.order_by().values_list("tenant", flat=True).distinct())
    action.save(update_fields=["total"])
    return action


@transaction.atomic
def preview_import(tenant: Tenant, *, first: date, last: date, by: Actor, now: datetime) -> BulkAction:
    """Start the preview of an import of these days, both included; if an import is open, return that instead."""
    Tenant.objects.lock_row(tenant.pk)  # A concurrent request waits here and then finds this one.
    if unfinished := BulkAction.objects.open().filter(tenant=tenant).first():
        return unfinished
    since, till = call_import.period(tenant, first=first, last=last, now=now)
    days = {"first": first.isoformat(), "last": last.isoformat()}
    action = BulkAction(kind=Kind.IMPORT, tenant=tenant, filters=days, cursor_start=since, cursor_end=till)
    return _begin(action, State.PREVIEWING, by=by, now=now)


@transaction.atomic
def take_step(
    pk: int, name: str, *, seen: str | None = None, choice: ImportChoice | None = None, by: Actor, now: datetime
) -> bool:
    """Do what a person chose, if it is still possible; return whether it was.

    “start” runs a previewed import, with a choice of its calls, “preview” previews it again with the current rules and
    upload window, “resume” continues a failed action where it stopped, “cancel” ends an open one and keeps what was
    done. With the version that a page showed, only that preview is started.
    """
    locked = BulkAction.objects.select_for_update(of=("self",)).select_related("tenant", "requested_by")
    action = locked.get(pk=pk)
    match name:
        case "start" if action.state == State.PREVIEWED and seen in {None, action.version}:
            action.total = action.done
            action.filters |= {"choice": choice or ImportChoice.ALL}
            _log(action, AuditAction.IMPORT_STARTED, by=by, now=now)
            _begin(action, State.RUNNING, by=by, now=now)
        case "preview" if action.state == State.PREVIEWED:
            _begin(action, State.PREVIEWING, by=by, now=now)
        case "resume" if action.failed_at:
            action.wait_until(now, FailureReason.NONE)
            action.save()
            enqueue(task_names.RUN_BULK_ACTION)
        case "cancel" if action.state in BulkAction.OPEN_STATES:
            _cancel(action, by=by, now=now)
        case _:
            return False
    return True


def run_next(*, now: datetime) -> None:
    """Run a portion of the action that is due first, and enqueue the next portion of whichever is due then."""
    action = BulkAction.objects.claim_next(now=now)
    if action is not None:
        with BulkAction.objects.returned_on_conflict(action, now=now):
            outcome = _run(action, now=now)
        _finish(action, outcome, now=now)


def resume_due(*, now: datetime) -> None:
    """Enqueue a task if an action is due: its worker died, its push was lost, or its wait is over."""
    if BulkAction.objects.due(now=now).exists():
        with transaction.atomic():
            enqueue(task_names.RUN_BULK_ACTION)


def _begin(action: BulkAction, state: BulkAction.State, *, by: Actor, now: datetime) -> BulkAction:
    action.requested_at = action.requested_at or now
    action.requested_by = by if isinstance(by, get_user_model()) else None
    action.restart(state, now=now)
    action.save()
    enqueue(task_names.RUN_BULK_ACTION)
    return action


def _cancel(action: BulkAction, *, by: Actor, now: datetime) -> None:
    if action.state == State.RUNNING and action.kind == Kind.IMPORT:
        action.done_by_tenant.setdefault(str(action.tenant_id), 0)
        _log(action, AuditAction.IMPORT_CANCELLED, by=by, now=now)
    elif action.state == State.RUNNING:
        _log(action, AUDIT_ACTIONS[Kind(action.kind)], by=action.requested_by, now=now)
    action.end(State.CANCELLED, now=now)
    action.save()
    action.rows.all().delete()


def _run(action: BulkAction, *, now: datetime) -> Portion | Postponed | Failed:
    """Run one portion; an import waits while UIS is unavailable, denies access or has too few points left."""
    if action.lost_leases >= MAX_LOST_LEASES:  # A portion that breaks its worker does so every time.
        return Failed(reason=FailureReason.INTERNAL_ERROR)
    if action.tenant is None:  # Only an import has a client.
        return bulk_action_rows.run(action, now=now)
    uis = action.tenant.uis
    if uis.is_circuit_open(is_live=False, now=now):
        return Postponed(until=uis.retry_at or now, reason=FailureReason.UIS_UNAVAILABLE)
    try:
        return call_import.run(action, action.tenant, now=now)
    except http_client.RemoteError as exc:
        return _stop(action, uis, exc, now=now)


def _stop(action: BulkAction, uis: UisConnection, exc: http_client.RemoteError, *, now: datetime) -> Postponed | Failed:
    """Postpone or fail a portion after a UIS error."""
    uis.record_denial(exc, now=now)
    detail = str(exc)
    match exc:
        case http_client.RemoteUnavailable():
            reason = FailureReason.UIS_QUOTA if exc.code == LIMIT else FailureReason.UIS_UNAVAILABLE
            until = now + timedelta(seconds=exc.wait or PAUSE_SECONDS)
            return Postponed(until=max(until, uis.retry_at or until), reason=reason, detail=detail)
        case http_client.AccessDenied():
            until = now + timedelta(seconds=DENIED_PAUSE_SECONDS)
            return Postponed(until=until, reason=FailureReason.UIS_DENIED, detail=detail, changes={"code": exc.code})
        case http_client.UnexpectedReply() if action.attempts < MAX_UNEXPECTED_REPLIES:
            until, attempts = now + timedelta(seconds=PAUSE_SECONDS), {"attempts": action.attempts}
            return Postponed(until=until, reason=FailureReason.UNEXPECTED_REPLY, detail=detail, changes=attempts)
        case http_client.UnexpectedReply():
            return Failed(reason=FailureReason.UNEXPECTED_REPLY, detail=detail)
        case _:
            return Failed(reason=FailureReason.UIS_REFUSED, detail=detail)


@atomic
def _finish(action: BulkAction, outcome: Portion | Postponed | Failed, *, now: datetime) -> None:
    """Write the outcome of a portion, unless another worker has claimed the action; enqueue the next one."""
    claimed = BulkAction.objects.still_claimed(action).select_for_update(of=("self",))
    fresh = claimed.select_related("requested_by").first()
    if fresh is not None:
        if isinstance(outcome, Portion):
            fresh.add(outcome, now=now)
        if fresh.is_active:  # If it was cancelled meanwhile, the portion is only counted.
            _apply(fresh, outcome, now=now)
        fresh.claim_token = None
        if action.state == State.RUNNING and not fresh.is_active:
            _log(fresh, AUDIT_ACTIONS[Kind(fresh.kind)], by=fresh.requested_by, now=now)
        fresh.save()
    resume_due(now=now)


def _apply(action: BulkAction, outcome: Portion | Postponed | Failed, *, now: datetime) -> None:
    match outcome:
        case Postponed(until=until, reason=reason, detail=detail, changes=changes):
            action.wait_until(until, reason, detail=detail, **changes)
        case Failed(reason=reason, detail=detail):
            action.wait_until(None, reason, detail=detail)
            action.failed_at = now
        case Portion(is_last=is_last):
            action.wait_until(now, FailureReason.NONE)
            if is_last:
                action.end(State.PREVIEWED if action.is_preview else State.DONE, now=now)


def _log(action: BulkAction, code: AuditLogEntry.Action, *, by: Actor, now: datetime) -> None:
    """Write to the audit log of each client what was done since the last entry."""
    days = "{first} – {last}".format_map(action.filters) if action.kind == Kind.IMPORT else ""
    done = {int(pk): count for pk, count in action.done_by_tenant.items()}
    manual.log_per_tenant(done, code, by=by, part=days, reason=action.comment, now=now)
    action.done_by_tenant = {}
