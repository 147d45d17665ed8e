"""Closes finished days: each is compared as a whole in the tenant's night that follows."""

import functools
from datetime import date, datetime
from typing import Any

from connector_project.core import local_dates
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.placeholders import Placeholders
from telephony.models import DailyReconciliation
from telephony.reconciliation import compare
from tenants import retention
from tenants.models import Tenant


def period(tenant: Tenant, *, now: datetime) -> tuple[datetime, datetime]:
    """Return the period of whole days since the last closed one, including that one: UIS may report a call late."""
    return _cursor_at(tenant, now=now), local_dates.begin(local_dates.day_of(now, zone=tenant.zone), zone=tenant.zone)


def active_since(tenant: Tenant, *, now: datetime) -> datetime:
    """Return the start of the first call that is compared without a request for it.

    Calls from before the activation are imported on request only: another connector may have uploaded them. Those whose
    rows may be purged are never compared: they would be created again.
    """
    kept_since = retention.kept_since(tenant, retention.Term.CALLS, now=now)
    return max(tenant.activated_at or now, tenant.upload_window_start(now=now), kept_since)


def after_closed_days(tenant: Tenant, since: datetime, *, now: datetime) -> datetime:
    """Return `since`, or the end of the closed days that follow it without a gap."""
    zone, today = tenant.zone, local_dates.day_of(now, zone=tenant.zone)
    first = local_dates.day_of(since, zone=zone)
    closed = _closed_days(tenant, first, today)
    day = next(day for day in local_dates.between(first, today + local_dates.DAY) if day not in closed)
    return max(since, local_dates.begin(day, zone=zone))


def has_unclosed_day(tenant: Tenant, *, now: datetime) -> bool:
    """Whether yesterday ended some hours ago, the tenant was active then, and it is not closed yet."""
    today = local_dates.day_of(now, zone=tenant.zone)
    begin = local_dates.begin(today, zone=tenant.zone)
    if now - begin < compare.NIGHT or tenant.activated_at is None or tenant.activated_at >= begin:
        return False
    return not _closed_days(tenant, today - local_dates.DAY, today)


def _cursor_at(tenant: Tenant, *, now: datetime) -> datetime:
    """Return the start of the comparison: the last closed day before the first one that is not.

    A day that was compared on request proves nothing about the days before it.
    """
    zone, today, active = tenant.zone, local_dates.day_of(now, zone=tenant.zone), active_since(tenant, now=now)
    closed = _closed_days(tenant, local_dates.day_of(active, zone=zone), today)
    if not closed:
        return max(local_dates.begin(today - local_dates.DAY, zone=zone), active)
    first_open = next(day for day in local_dates.between(min(closed), today + local_dates.DAY) if day not in closed)
    return max(local_dates.begin(first_open - local_dates.DAY, zone=zone), active)


def _closed_days(tenant: Tenant, first: date, end: date) -> set[date]:
    """Return the closed days from `first` up to, but not including, `end`."""
    if first >= end:
        return set()
    return {day for (day,) in _closed().fetch(tenant=tenant.pk, first=first, end=end)}


@functools.cache
def _closed() -> CompiledSelect[tuple[date]]:
    def build(given: Placeholders) -> Any:
        rows = DailyReconciliation.objects.filter(tenant=given.integer("tenant"), closed_at__isnull=False)
        return rows.filter(day__gte=given.day("first"), day__lt=given.day("end")).order_by().values_list("day")

    return CompiledSelect(build)
