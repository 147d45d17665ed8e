"""Closes finished days: each is compared as a whole in the tenant's night that follows."""

from datetime import datetime, timedelta

from connector_project.core import local_dates
from telephony.models import DailyReconciliation
from telephony.reconciliation import compare
from tenants.models import Tenant

DAYS_AT_ONCE = timedelta(days=7)  # per comparison: if a later one fails, the days closed before stay closed


def close_days(tenant: Tenant, *, now: datetime) -> None:
    """Compare all whole days since the last closed one, including that one: UIS may report a call late.

    Raises RemoteError; days closed before stay closed.
    """
    if not has_unclosed_day(tenant, now=now):
        return
    zone, today = tenant.zone, local_dates.day_of(now, zone=tenant.zone)
    since = _cursor_at(tenant, now=now)
    while (first := local_dates.day_of(since, zone=zone)) < today:
        end = min(first + DAYS_AT_ONCE, today)
        till = local_dates.begin(end, zone=zone)
        compare.reconcile(tenant, since=since, till=till, settled=list(local_dates.between(first, end)), now=now)
        since = till


def has_unclosed_day(tenant: Tenant, *, now: datetime) -> bool:
    """Whether yesterday ended some hours ago, the tenant was active then, and it is not closed yet."""
    today = local_dates.day_of(now, zone=tenant.zone)
    begin = local_dates.begin(today, zone=tenant.zone)
    if now - begin < compare.NIGHT or tenant.activated_at is None or tenant.activated_at >= begin:
        return False
    settled = DailyReconciliation.objects.filter(tenant=tenant, day=today - local_dates.DAY, closed_at__isnull=False)
    return not settled.exists()


def _cursor_at(tenant: Tenant, *, now: datetime) -> datetime:
    """Return the start of the comparison: the last closed day before the first one that is not.

    Calls from before the activation are imported on request only: another connector may have uploaded them. A manually
    compared day proves nothing about the days before it.
    """
    zone, today = tenant.zone, local_dates.day_of(now, zone=tenant.zone)
    active_since = max(tenant.activated_at or now, tenant.upload_window_start(now=now))
    since = local_dates.day_of(active_since, zone=zone)
    rows = DailyReconciliation.objects.filter(tenant=tenant, closed_at__isnull=False, day__gte=since, day__lt=today)
    closed = set(rows.values_list("day", flat=True))
    if not closed:
        return max(local_dates.begin(today - local_dates.DAY, zone=zone), active_since)
    first_open = next(day for day in local_dates.between(min(closed), today + local_dates.DAY) if day not in closed)
    return max(local_dates.begin(first_open - local_dates.DAY, zone=zone), active_since)
