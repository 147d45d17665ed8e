"""Computes a client's traffic profile once a day: calls by local hour of the week over the last four weeks."""

from datetime import datetime, timedelta
from math import ceil

from django.db import transaction
from django.db.models import Count, Min
from django.db.models.functions import ExtractHour, ExtractIsoWeekDay

from connector_project.queue import enqueue
from crm.alarms import facts
from crm.alarms.silence import HOURS_OF_DAY, HOURS_OF_WEEK
from crm.models import Rhythm
from telephony import days
from telephony.models import Call
from tenants.models import Tenant

TASK = "crm.tasks.learn_rhythm"
WEEK, WEEKS = timedelta(days=7), 4
LEAST_WEEKS = 2  # less data gives no profile


@transaction.atomic
def learn_all() -> None:
    """Queue one task for each live client: one client's calls are an index range, those of all clients are not."""
    for pk in facts.live().values_list("pk", flat=True):
        enqueue(TASK, pk)


def learn(tenant: Tenant, *, now: datetime) -> None:
    """Update the profile. Counts whole days and whole weeks only, so that each weekday weighs the same."""
    today = days.day_of(now, zone=tenant.zone)
    since, till = days.begin(today - WEEKS * WEEK, zone=tenant.zone), days.begin(today, zone=tenant.zone)
    calls = Call.objects.filter(tenant=tenant, started_at__gte=since, started_at__lt=till, is_internal=False)
    annotated = calls.order_by().annotate(
        weekday=ExtractIsoWeekDay("started_at", tzinfo=tenant.zone), hour=ExtractHour("started_at", tzinfo=tenant.zone)
    )
    rows = list(annotated.values_list("weekday", "hour").annotate(count=Count("pk"), first=Min("started_at")))
    hours = [0] * HOURS_OF_WEEK
    for weekday, hour, count, _first in rows:
        hours[(weekday - 1) * HOURS_OF_DAY + hour] = count
    first = min((began_at for *_rest, began_at in rows), default=None)
    Rhythm.objects.update_or_create(
        tenant=tenant, defaults={"hours": hours, "weeks": _weeks(first, till=till), "learned_at": now}
    )


def _weeks(since: datetime | None, *, till: datetime) -> int:
    """Return how many weeks these calls cover, rounded up: a partial week lowers the rate."""
    if since is None or till - since < LEAST_WEEKS * WEEK:
        return 0
    return min(ceil((till - since) / WEEK), WEEKS)
