"""Closes finished days: each is compared as a whole in the tenant's night that follows."""

from datetime import datetime, timedelta

from telephony import days, reconcile
from telephony.models import LedgerDay
from tenants.models import Tenant

DAYS_AT_ONCE = timedelta(days=7)  # per comparison: finished ones stay closed if a later one fails


def close_days(tenant: Tenant, *, now: datetime) -> None:
    """Compare all whole days since the last closed one, including that one: UIS may report a call late.

    Raises RemoteError; days closed before stay closed.
    """
    if not has_open_night(tenant, now=now):
        return
    zone, today = tenant.zone, days.day_of(now, zone=tenant.zone)
    since = _compared_until(tenant, now=now)
    while (first := days.day_of(since, zone=zone)) < today:
        end = min(first + DAYS_AT_ONCE, today)
        till = days.begin(end, zone=zone)
        reconcile.reconcile(tenant, since=since, till=till, settled=list(days.between(first, end)), now=now)
        since = till


def has_open_night(tenant: Tenant, *, now: datetime) -> bool:
    """Whether yesterday ended some hours ago, the tenant was active then, and it is not closed yet."""
    today = days.day_of(now, zone=tenant.zone)
    begin = days.begin(today, zone=tenant.zone)
    if now - begin < reconcile.NIGHT or tenant.activated_at is None or tenant.activated_at >= begin:
        return False
    settled = LedgerDay.objects.filter(tenant=tenant, day=today - days.DAY, settled_at__isnull=False)
    return not settled.exists()


def _compared_until(tenant: Tenant, *, now: datetime) -> datetime:
    """Return the start of the comparison: the last closed day before the first one that is not.

    Calls from before the activation are imported on request only: another connector may have uploaded them. A manually
    compared day proves nothing about the days before it.
    """
    zone, today = tenant.zone, days.day_of(now, zone=tenant.zone)
    active_since = max(tenant.activated_at or now, tenant.term_begins(now=now))
    since = days.day_of(active_since, zone=zone)
    rows = LedgerDay.objects.filter(tenant=tenant, settled_at__isnull=False, day__gte=since, day__lt=today)
    closed = set(rows.values_list("day", flat=True))
    if not closed:
        return max(days.begin(today - days.DAY, zone=zone), active_since)
    first_open = next(day for day in days.between(min(closed), today + days.DAY) if day not in closed)
    return max(days.begin(first_open - days.DAY, zone=zone), active_since)
