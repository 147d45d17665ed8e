"""TrafficProfile: a client's usual calls per hour of the week, to tell missing events from a quiet hour."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant

HOUR = timedelta(hours=1)
HOURS_OF_DAY, HOURS_OF_WEEK, WEEKS_OF_YEAR = 24, 168, 52
LONGEST = timedelta(days=14)  # a longer look-back would change nothing


class TrafficProfile(models.Model):
    """Number of calls in each hour of the week in the client's time zone, summed over the last weeks."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="traffic_profile", verbose_name=_("client"))
    hours = models.JSONField(default=list)  # 168 counts; the first is Monday 00:00-01:00
    weeks = models.PositiveSmallIntegerField(default=0)  # number of weeks; 0 while there is too little data
    # The most notifications in a minute, by day; what the limit of notifications is learned from.
    minute_peaks = models.JSONField(default=dict)
    first_day = models.DateField(null=True)  # of the client's notifications
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name = _("traffic profile")
        verbose_name_plural = _("traffic profiles")

    def __str__(self) -> str:
        return str(self.tenant)

    @property
    def yearly(self) -> float:
        """The expected number of calls in a year."""
        return float(sum(self.hours) * WEEKS_OF_YEAR / self.weeks)

    def expected_calls(self, since: datetime, till: datetime) -> float:
        """Return how many calls all weeks together had in the hours between two moments."""
        hours = self._local_hours(max(since, till - LONGEST), till)
        return float(sum(self.hours[local.weekday() * HOURS_OF_DAY + local.hour] * share for local, share in hours))

    def _local_hours(self, since: datetime, till: datetime) -> Iterator[tuple[datetime, float]]:
        """Yield each local hour between two moments, with the share of it that lies between them.

        Iterates in UTC: an hour repeated by a DST change counts twice, a skipped one not at all.
        """
        here = since.astimezone(UTC)
        while here < till:
            local = here.astimezone(self.tenant.zone)
            into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
            end = min(here + HOUR - into, till)
            yield local, (end - here) / HOUR
            here = end
