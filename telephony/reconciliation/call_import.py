"""Imports past calls on request: a preview that writes and sends nothing, then the period in chunks."""

import functools
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from connector_project.core import http_client, local_dates, phone_numbers
from connector_project.core.task_queue import enqueue
from telephony import task_names
from telephony.models import Call, CallImport, FailureReason
from telephony.reconciliation import compare
from telephony.reconciliation.compare import ComparisonResult
from tenants import audit
from tenants.models import AuditLogEntry, Tenant, User

MAX_DAYS = timedelta(days=366)
PAUSE_SECONDS = 60.0
DENIED_PAUSE_SECONDS = 300.0  # each attempt also probes the access
MAX_ATTEMPTS = 5  # a chunk that crashes its worker does so every time: the import fails

State, Action = CallImport.State, AuditLogEntry.Action


@transaction.atomic
def start_preview(tenant: Tenant, *, first: date, last: date, by: User | AnonymousUser, now: datetime) -> bool:
    """Start the preview of an import of these days, both included; return False if another one is in progress.

    A finished preview that was not started is replaced.
    """
    Tenant.objects.select_for_update().get(pk=tenant.pk)  # A concurrent request waits here and then finds this one.
    before = CallImport.objects.open().filter(tenant=tenant).first()
    if before is not None and not (before.state == State.PREVIEWED and cancel(before.pk, by=by, now=now)):
        return False
    since, end = (local_dates.begin(day, zone=tenant.zone) for day in (first, last + local_dates.DAY))
    row = CallImport(tenant=tenant, since=since, till=max(since, min(end, now - compare.REPORT_LAG)), requested_at=now)
    row.requested_by = by if isinstance(by, get_user_model()) else None
    _begin(row, State.PREVIEWING, now=now)
    return True


@transaction.atomic
def restart_preview(pk: int, *, now: datetime) -> bool:
    """Preview the same period with the current rules and upload window; return whether that was possible."""
    row = _locked(pk)
    if row.state != State.PREVIEWED:
        return False
    _begin(row, State.PREVIEWING, now=now)
    return True


@transaction.atomic
def start_import(pk: int, *, by: User | AnonymousUser, now: datetime) -> bool:
    """Start the previewed import; return whether that was possible."""
    row = _locked(pk)
    if row.state != State.PREVIEWED:
        return False
    row.preview_count, row.requested_by = row.found, by if isinstance(by, get_user_model()) else None
    _begin(row, State.RUNNING, now=now)
    _note(row, Action.IMPORT_STARTED, by=by, new=row.preview_count, now=now)
    return True


@transaction.atomic
def retry(pk: int, *, now: datetime) -> bool:
    """Resume a failed import where it stopped; return whether that was possible."""
    row = _locked(pk)
    if row.failed_at is None:
        return False
    row.advance(now=now)
    row.save()
    enqueue(task_names.IMPORT_CALLS)
    return True


@transaction.atomic
def cancel(pk: int, *, by: User | AnonymousUser, now: datetime) -> bool:
    """Cancel an import, keeping what was imported; return whether it was open."""
    row = _locked(pk)
    if row.state not in CallImport.OPEN_STATES:
        return False
    if row.state == State.RUNNING:
        _note(row, Action.IMPORT_CANCELLED, by=by, new=row.found, now=now)
    row.end(State.CANCELLED, now=now)
    row.save()
    return True


def step(*, now: datetime) -> None:
    """Run a chunk of the import that is due first, and enqueue the next chunk of whichever is due then."""
    row = CallImport.objects.claim_next(now=now)
    if row is None:
        return
    if row.attempts > MAX_ATTEMPTS:
        return _finish(row, lambda fresh: fresh.fail(FailureReason.INTERNAL_ERROR, now=now), now=now)
    uis = row.tenant.uis
    if uis.is_circuit_open(is_live=False, now=now):
        return _finish(
            row, lambda fresh: fresh.postpone_until(uis.retry_at or now, FailureReason.UIS_UNAVAILABLE), now=now
        )
    try:
        compared = compare.compare_next_chunk(row, now=now)
    except http_client.RemoteError as exc:
        _handle_error(row, exc, now=now)
    else:
        uis.restore()
        _finish(row, functools.partial(_advance, now=now), compared=compared, now=now)


@transaction.atomic
def resume_due(*, now: datetime) -> None:
    """Enqueue a task if an import is due: its worker died, its push was lost, or its wait is over."""
    if CallImport.objects.due(now=now).exists():
        enqueue(task_names.IMPORT_CALLS)


def _begin(row: CallImport, state: CallImport.State, *, now: datetime) -> None:
    row.restart(state, now=now)
    row.save()
    enqueue(task_names.IMPORT_CALLS)


def _handle_error(row: CallImport, exc: http_client.RemoteError, *, now: datetime) -> None:
    """Postpone or fail a chunk after a UIS error."""
    row.tenant.uis.suspend_if_denied(exc, now=now)
    error = {"code": exc.code, "detail": str(exc)}

    def apply(fresh: CallImport) -> None:
        match exc:
            case http_client.RemoteUnavailable():
                earliest = now + timedelta(seconds=exc.wait or PAUSE_SECONDS)
                fresh.postpone_until(
                    max(earliest, row.tenant.uis.retry_at or earliest), FailureReason.UIS_UNAVAILABLE, **error
                )
            case http_client.AccessDenied():
                fresh.postpone_until(now + timedelta(seconds=DENIED_PAUSE_SECONDS), FailureReason.UIS_DENIED, **error)
            case http_client.UnexpectedReply():
                fresh.fail(FailureReason.UNEXPECTED_REPLY, **error, now=now)
            case _:
                fresh.fail(FailureReason.UIS_REFUSED, **error, now=now)

    _finish(row, apply, now=now)


def _add(row: CallImport, compared: ComparisonResult, *, now: datetime) -> None:
    row.uis_calls += compared.stats.uis_calls
    row.unexplained += compared.stats.unexplained
    row.found += compared.found
    row.skipped_by = dict(Counter(row.skipped_by) + compared.skipped)
    row.sample = _sample([*row.sample, *(_sample_row(call) for call in compared.sample)])
    row.missing = compared.missing[local_dates.day_of(compared.till, zone=row.tenant.zone)]
    row.cursor_at, row.last_progress_at = compared.till, now


def _advance(row: CallImport, *, now: datetime) -> None:
    """Continue with the next chunk, or finish."""
    row.advance(now=now)
    if row.cursor_at < row.till:
        return
    row.end(State.PREVIEWED if row.state == State.PREVIEWING else State.DONE, now=now)
    if row.state == State.DONE:
        _note(row, Action.CALLS_IMPORTED, by=row.requested_by, new=row.found, now=now)


@transaction.atomic
def _finish(
    row: CallImport, apply: Callable[[CallImport], None], *, compared: ComparisonResult | None = None, now: datetime
) -> None:
    """Save the result of a chunk, unless another worker has claimed the import; enqueue the next one."""
    claimed = CallImport.objects.still_claimed(row)
    fresh = claimed.select_for_update(of=("self",)).select_related("tenant", "requested_by").first()
    if fresh is not None:
        if compared is not None:
            _add(fresh, compared, now=now)
        if fresh.state in CallImport.OPEN_STATES:  # If it was cancelled meanwhile, the chunk is only counted.
            apply(fresh)
        fresh.claim_token = None
        fresh.save()
    resume_due(now=now)


def _locked(pk: int) -> CallImport:
    return CallImport.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=pk)


def _note(row: CallImport, action: AuditLogEntry.Action, *, by: Any, new: int, now: datetime) -> None:
    """Write to the audit log who imports which days, and how many calls."""
    period = f"{row.first_day.isoformat()} – {row.last_day.isoformat()}"
    audit.log(row.tenant, action, now=now, by=by, target=period, new=new)


def _sample_row(call: Call) -> dict[str, str]:
    return {
        "at": call.started_at.isoformat(),
        "direction": call.direction,
        "contact": phone_numbers.mask(call.contact),
        "skip_reason": call.skip_reason,
    }


def _sample(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """Choose a sample ordered by time, preferring calls that go to the CRM."""
    chosen = sorted(lines, key=lambda line: bool(line["skip_reason"]))[: compare.SAMPLE]
    return sorted(chosen, key=lambda line: datetime.fromisoformat(line["at"]))
