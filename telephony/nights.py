"""Each day compared as a whole in the client's night that follows: which days are open, and closing them."""

from datetime import datetime, timedelta

from telephony import days, reconcile
from telephony.models import LedgerDay
from tenants.models import Tenant

DAYS_AT_ONCE = timedelta(days=7)  # a task may not run for ever


def close_days(tenant: Tenant, *, now: datetime) -> None:
    """Compare all whole days since the last comparison, that one included: UIS may list a call late.

    Days that are done stay done, whatever happens to those after them. Raises the errors of connector_project.remote.
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
    """Whether the client's yesterday is over for some hours, he was with us then, and it is not compared yet."""
    today = days.day_of(now, zone=tenant.zone)
    begin = days.begin(today, zone=tenant.zone)
    if now - begin < reconcile.NIGHT or tenant.activated_at is None or tenant.activated_at >= begin:
        return False
    settled = LedgerDay.objects.filter(tenant=tenant, day=today - days.DAY, settled_at__isnull=False)
    return not settled.exists()


def _compared_until(tenant: Tenant, *, now: datetime) -> datetime:
    """Return where the nightly comparison begins: with the last day that is done before one that is not.

    What was before the client came is taken over on demand only: another connector may have brought those calls. That a
    person compared a day says nothing of those before it.
    """
    zone, today = tenant.zone, days.day_of(now, zone=tenant.zone)
    came_at = max(tenant.activated_at or now, tenant.term_begins(now=now))
    since = days.day_of(came_at, zone=zone)
    rows = LedgerDay.objects.filter(tenant=tenant, settled_at__isnull=False, day__gte=since, day__lt=today)
    done = set(rows.values_list("day", flat=True))
    if not done:
        return max(days.begin(today - days.DAY, zone=zone), came_at)
    first_open = next(day for day in days.between(min(done), today + days.DAY) if day not in done)
    return max(days.begin(first_open - days.DAY, zone=zone), came_at)
