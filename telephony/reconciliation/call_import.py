"""Imports past calls, portion by portion; its preview does the same, but writes and sends nothing."""

from collections import Counter
from datetime import date, datetime, timedelta

from connector_project.core import local_dates, phone_numbers
from telephony.models import BulkAction, Call, ImportChoice
from telephony.models.bulk_action import Portion
from telephony.reconciliation import compare, comparison_result, import_choice
from telephony.uis import date_windows
from tenants import retention
from tenants.models import Tenant

MAX_DAYS = timedelta(days=366)


def period(tenant: Tenant, *, first: date, last: date, now: datetime) -> tuple[int, int]:
    """Return the cursor positions of the beginning and the end of these days, both included."""
    since, end = (local_dates.begin(day, zone=tenant.zone) for day in (first, last + local_dates.DAY))
    return int(since.timestamp()), int(max(since, min(end, now - compare.REPORT_LAG)).timestamp())


def run(action: BulkAction, tenant: Tenant, *, now: datetime) -> Portion:
    """Compare as much of the period as fits into one task. Raises RemoteError.

    A portion that a killed worker had begun is counted from its start.
    """
    since, cursor_at, end = action.period
    cursor_at = min(max(cursor_at, retention.kept_since(tenant, retention.Term.CALLS, now=now)), end)
    compared = compare.compare_period(
        tenant,
        since=cursor_at,
        till=min(end, cursor_at + date_windows.LONGEST),
        at_most=compare.PART_CALLS,
        found_since=action.progressed_at,
        choice=action.import_choice,
        is_dry_run=action.is_preview,
        now=now,
    )
    is_last, skipped_by = compared.till >= end, dict(Counter(action.skipped_by) + compared.skipped)
    if not action.is_preview:
        compare.count_days(tenant, compared, run_since=since, now=now)
        if is_last and action.import_choice == ImportChoice.UNANSWERED:
            import_choice.take_unanswered(tenant, since=since, till=end, now=now)
            skipped_by = import_choice.count_skipped(tenant, since=since, till=end, skipped_by=skipped_by)
    return Portion(
        seen=compared.stats.uis_calls,
        done={tenant.pk: compared.found},
        cursor=int(compared.till.timestamp()),
        is_last=is_last,
        changes={
            "unexplained": action.unexplained + compared.stats.unexplained,
            "skipped_by": skipped_by,
            "kinds": import_choice.count_kinds(tenant, compared.previewed, before=action.kinds),
            "sample": _sample(action.sample, compared.sample),
        },
    )


def _sample(before: list[dict[str, str]], calls: list[Call]) -> list[dict[str, str]]:
    """Choose a sample ordered by time, preferring calls that go to the CRM. Numbers are masked."""
    found = [
        {
            "at": call.started_at.isoformat(),
            "direction": call.direction,
            "contact": phone_numbers.mask(call.contact),
            "skip_reason": call.skip_reason,
        }
        for call in calls
    ]
    chosen = sorted([*before, *found], key=lambda line: bool(line["skip_reason"]))[: comparison_result.SAMPLE]
    return sorted(chosen, key=lambda line: datetime.fromisoformat(line["at"]))
