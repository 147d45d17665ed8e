"""Learns when each client's phones ring, once a day: calls by local hour of the week over his last four weeks."""

from collections import defaultdict
from datetime import datetime, timedelta
from math import ceil
from zoneinfo import ZoneInfo

from django.db.models import Count, Min
from django.db.models.functions import ExtractHour, ExtractIsoWeekDay

from crm.alarms import facts
from crm.alarms.silence import DAY, HOURS_OF_WEEK
from crm.models import Rhythm
from telephony import days
from telephony.models import Call

WEEK, WEEKS = timedelta(days=7), 4
LEAST_WEEKS = 2  # of less nothing is learned
WRITTEN_AT_ONCE = 500


def learn(*, now: datetime) -> None:
    """Count anew for every client who is switched on; one question for each zone they live in."""
    for zone in facts.live().order_by().values_list("time_zone", flat=True).distinct():
        _learn(zone, now=now)


def _learn(name: str, *, now: datetime) -> None:
    """Count whole days only, and whole weeks of them, so that no weekday is in it more often than another."""
    zone = ZoneInfo(name)
    today = days.day_of(now, zone=zone)
    since, till = days.begin(today - WEEKS * 7 * DAY, zone=zone), days.begin(today, zone=zone)
    clients = facts.live().filter(time_zone=name)
    hours: dict[int, list[int]] = defaultdict(lambda: [0] * HOURS_OF_WEEK)
    first: dict[int, datetime] = {}
    calls = Call.objects.filter(tenant__in=clients, started_at__gte=since, started_at__lt=till, is_internal=False)
    told = calls.order_by().annotate(
        weekday=ExtractIsoWeekDay("started_at", tzinfo=zone), hour=ExtractHour("started_at", tzinfo=zone)
    )
    counted = told.values_list("tenant", "weekday", "hour")
    for pk, weekday, hour, count, began_at in counted.annotate(Count("pk"), Min("started_at")):
        hours[pk][(weekday - 1) * 24 + hour] = count
        first[pk] = min(began_at, first.get(pk, began_at))
    rows = [
        Rhythm(tenant_id=pk, hours=hours[pk], weeks=_weeks(first.get(pk), till=till), learned_at=now)
        for pk in clients.values_list("pk", flat=True)
    ]
    Rhythm.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["tenant"],
        update_fields=["hours", "weeks", "learned_at"],
        batch_size=WRITTEN_AT_ONCE,
    )


def _weeks(since: datetime | None, *, till: datetime) -> int:
    """Return over how many weeks these calls are spread: a week that had only begun counts, and lowers the rate."""
    if since is None or till - since < LEAST_WEEKS * WEEK:
        return 0
    return min(ceil((till - since) / WEEK), WEEKS)
