"""Learns a client's busiest minute: their limit of notifications follows from it (`telephony.webhooks.limits`)."""

from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncMinute

from connector_project.operations.models import Incident, TrafficProfile
from telephony.models import Notification
from tenants.models import Tenant, UisConnection

DAY = timedelta(days=1)
LEARNED_DAYS = 28
# The limit of a flood begins some seconds after it.
BEFORE_FLOOD = timedelta(minutes=2)


def learn(profile: TrafficProfile, *, now: datetime) -> None:
    """Add the days since the last time to the profile, and note the busiest minute on the UIS connection.

    Days are in UTC. Until the client has sent notifications for four weeks, no minute is learned.
    """
    today = now.astimezone(UTC).date()
    days = [today - DAY * number for number in range(1, LEARNED_DAYS + 1)]
    if profile.first_day is None:
        profile.first_day = _first_day(profile.tenant)
    days = [day for day in days if profile.first_day is not None and day >= profile.first_day]
    known = profile.minute_peaks
    peaks = {str(day): known[str(day)] if str(day) in known else _peak(profile.tenant, day) for day in days}
    profile.minute_peaks = peaks
    profile.save(update_fields=["minute_peaks", "first_day"])
    busiest = max(peaks.values(), default=0) if len(peaks) == LEARNED_DAYS else 0
    UisConnection.objects.filter(tenant=profile.tenant).update(busiest_minute=busiest)


def _first_day(tenant: Tenant) -> date | None:
    first = Notification.objects.filter(tenant=tenant).order_by("received_at")
    at = first.values_list("received_at", flat=True).first()
    return at.astimezone(UTC).date() if at else None


def _peak(tenant: Tenant, day: date) -> int:
    """Return the most notifications in a minute of a day, without unreadable ones and those of a flood."""
    begin = datetime.combine(day, time(), tzinfo=UTC)
    rows = Notification.objects.filter(tenant=tenant, received_at__gte=begin, received_at__lt=begin + DAY)
    rows = rows.exclude(outcome=Notification.Outcome.UNREADABLE)
    for flood in Incident.objects.filter(tenant=tenant, kind=Incident.Kind.FLOOD, opened_at__lt=begin + DAY):
        during = Q(received_at__gte=flood.opened_at - BEFORE_FLOOD)
        if flood.resolved_at:
            during &= Q(received_at__lt=flood.resolved_at)
        rows = rows.exclude(during)
    minutes = rows.order_by().annotate(minute=TruncMinute("received_at", tzinfo=UTC)).values_list("minute")
    counts = minutes.annotate(count=Count("pk") + Sum("repeats")).order_by("-count")
    return next(iter(counts.values_list("count", flat=True)[:1]), 0)
