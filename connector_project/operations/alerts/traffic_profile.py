"""Computes a client's traffic profile once a day: calls by local hour of the week over the last four weeks."""

from datetime import datetime, timedelta
from math import ceil

from django.db.models import Count, Min
from django.db.models.functions import ExtractHour, ExtractIsoWeekDay

from connector_project.core import local_dates
from connector_project.operations.alerts import minute_peaks
from connector_project.operations.models import TrafficProfile
from connector_project.operations.models.traffic_profile import HOURS_OF_DAY, HOURS_OF_WEEK
from telephony.models import Call
from tenants.models import Tenant

TASK = "connector_project.operations.tasks.update_traffic_profile"
WEEK, WEEKS = timedelta(days=7), 4
LEAST_WEEKS = 2  # less data gives no profile


def update_profile(tenant: Tenant, *, now: datetime) -> None:
    """Update the profile. Counts whole days and whole weeks only, so that each weekday weighs the same."""
    today = local_dates.day_of(now, zone=tenant.zone)
    since, till = local_dates.begin(today - WEEKS * WEEK, zone=tenant.zone), local_dates.begin(today, zone=tenant.zone)
    calls = Call.objects.filter(tenant=tenant, started_at__gte=since, started_at__lt=till, is_internal=False)
    annotated = calls.order_by().annotate(
        weekday=ExtractIsoWeekDay("started_at", tzinfo=tenant.zone), hour=ExtractHour("started_at", tzinfo=tenant.zone)
    )
    rows = list(annotated.values_list("weekday", "hour").annotate(count=Count("pk"), first=Min("started_at")))
    hours = [0] * HOURS_OF_WEEK
    for weekday, hour, count, _first in rows:
        hours[(weekday - 1) * HOURS_OF_DAY + hour] = count
    # How many weeks these calls cover, rounded up: a partial week lowers the rate.
    covered = till - min((first for *_rest, first in rows), default=till)
    weeks = min(ceil(covered / WEEK), WEEKS) if covered >= LEAST_WEEKS * WEEK else 0
    profile, _is_new = TrafficProfile.objects.update_or_create(
        tenant=tenant, defaults={"hours": hours, "weeks": weeks, "updated_at": now}
    )
    minute_peaks.learn(profile, now=now)
