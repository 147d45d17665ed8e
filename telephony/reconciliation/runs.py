"""Scheduled comparisons: the recent calls, and the days that are over. Each goes on where it came to, part by part.

A part is a page of UIS's report. Its progress is written before the next one is queued, so that neither a slow UIS nor
a killed worker makes a long period begin anew.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction

from connector_project.core import local_dates, logging
from connector_project.core.task_queue import enqueue
from telephony import task_names
from telephony.calls import pipeline
from telephony.models import ReportCursor
from telephony.reconciliation import compare, daily
from tenants.models import Tenant

Kind = ReportCursor.Kind
Changes = dict[str, Any]  # of a cursor, by field

# What a run compares again of the one before: UIS lists a call when it has ended, and may be late.
OVERLAP = pipeline.LOW_PRIORITY_AFTER
INTERVAL = timedelta(minutes=10)  # a run that ended longer ago is followed at once
# A run whose report UIS does not send whole, or with a call that cannot be created, does not count: the next one begins
# where it began. The last of so many in a row counts, so that periods do not grow for ever because of one call.
INCOMPLETE_RUNS = 3
TASKS = {Kind.RECENT: task_names.RECONCILE_CALLS, Kind.DAYS: task_names.CLOSE_DAYS}

logger = logging.logger(__name__)


class _Run(NamedTuple):
    """A period to compare, and up to where it is compared; the fields of the cursor."""

    run_since: datetime
    run_till: datetime
    compared_until: datetime


def compare_next(tenant: Tenant, kind: Kind, *, now: datetime) -> None:
    """Compare the next part of the report, and queue the one that follows. Raises RemoteError.

    Nothing happens while another worker compares a part.
    """
    cursor = ReportCursor.objects.claim(tenant, kind, now=now)
    if cursor is not None and (changes := compare_claimed(cursor, tenant, now=now)) is not None:
        release([cursor], changes, now=now)


def compare_claimed(
    cursor: ReportCursor, tenant: Tenant, *, has_open_days: bool | None = None, now: datetime
) -> Changes | None:
    """Compare the next part; return what `release` has to write, None if the cursor is released. Raises RemoteError.

    It is where a part follows, which is queued with the progress, and after an error.
    """
    goes_on, changes, is_over = False, Changes(), False
    try:
        if run := _run(cursor, tenant, now=now):
            goes_on, changes = _compare_part(cursor, tenant, run, has_open_days=has_open_days, now=now)
        is_over = not goes_on
    finally:
        if not is_over:
            with transaction.atomic() if goes_on else nullcontext():
                release([cursor], changes, now=now)
                if goes_on:
                    enqueue(TASKS[Kind(cursor.kind)], tenant.pk)
    return changes if is_over else None


def release(cursors: Sequence[ReportCursor], changes: Changes, *, now: datetime) -> None:
    """Release cursors of one claim. There must be at least one."""
    ReportCursor.objects.release_all(cursors, now, attempts=0, **changes)


def recent_start(tenant: Tenant, completed_until: datetime | None, *, now: datetime) -> datetime:
    """Return where the next comparison of recent calls begins: where the last one ended, however long ago.

    Days that are compared as a whole since then are left out, and those outside the upload window.
    """
    oldest = daily.active_since(tenant, now=now)
    since = max(completed_until - OVERLAP, oldest) if completed_until else oldest
    return min(daily.after_closed_days(tenant, since, now=now), now - OVERLAP)


def _run(cursor: ReportCursor, tenant: Tenant, *, now: datetime) -> _Run | None:
    """Return the run in progress, else a new one; None if there is nothing to compare."""
    if cursor.run_since and cursor.run_till and cursor.compared_until:
        run = _Run(cursor.run_since, cursor.run_till, cursor.compared_until)
        # One of before the client was activated again, or left the upload window, is not continued.
        if run.compared_until >= daily.active_since(tenant, now=now) - OVERLAP:
            return run
    if cursor.kind == Kind.RECENT:
        since = recent_start(tenant, cursor.completed_until, now=now)
        return _Run(since, now - compare.REPORT_LAG, since)
    if daily.has_unclosed_day(tenant, now=now):
        since, till = daily.period(tenant, now=now)
        return _Run(since, till, since)
    return None


def _compare_part(
    cursor: ReportCursor, tenant: Tenant, run: _Run, *, has_open_days: bool | None, now: datetime
) -> tuple[bool, Changes]:
    """Return whether the next part can follow at once, and the changes of the cursor."""
    compared = compare.compare_period(
        tenant, since=run.compared_until, till=run.run_till, at_most=compare.PART_CALLS, is_dry_run=False, now=now
    )
    is_incomplete = cursor.is_run_incomplete or not compared.is_complete
    if not compared.is_complete:
        logger.warning("part of UIS's report is incomplete", tenant=tenant.slug, since=run.compared_until.isoformat())
    # A day may have parts that were compared before this one.
    compared.is_complete = not is_incomplete or cursor.incomplete_runs + 1 >= INCOMPLETE_RUNS
    run_since = _whole_since(cursor, tenant, run)
    compare.count_days(tenant, compared, run_since=run_since, has_open_days=has_open_days, now=now)
    if compared.till < run.run_till:
        run = run._replace(compared_until=compared.till)
        return True, run._asdict() | {"is_run_incomplete": is_incomplete}
    incomplete_runs = cursor.incomplete_runs + 1 if is_incomplete else 0
    over = dict.fromkeys(run._fields) | {"is_run_incomplete": False, "incomplete_runs": incomplete_runs}
    if incomplete_runs in range(1, INCOMPLETE_RUNS):
        return False, over
    over |= {"completed_until": run.run_till, "incomplete_runs": 0}
    return _has_more(cursor, tenant, run.run_till, now=now), over


def _whole_since(cursor: ReportCursor, tenant: Tenant, run: _Run) -> datetime:
    """Return since when the run leaves nothing out: on its first day a client has no calls before the activation."""
    if cursor.kind == Kind.RECENT:
        return run.run_since
    return local_dates.begin(local_dates.day_of(run.run_since, zone=tenant.zone), zone=tenant.zone)


def _has_more(cursor: ReportCursor, tenant: Tenant, till: datetime, *, now: datetime) -> bool:
    """Whether a run that took long, or was interrupted, is followed by another at once."""
    if cursor.kind == Kind.DAYS:
        return daily.has_unclosed_day(tenant, now=now)
    return till < now - compare.REPORT_LAG - INTERVAL
