"""Pop-ups counted by local day: the roll-up of the statistics, and the deltas that are not in it yet."""

from collections import Counter

from django.db import models

from connector_project.core.models import Delta
from tenants.models import Tenant

HISTOGRAMS = ("since_ringing", "since_receipt")

LatencyPart = tuple[str, str]


def _tenant() -> models.ForeignKey[Tenant, Tenant]:
    """No constraint: rows are written without looking the tenant up, and a deleted tenant's rows are counted down."""
    return models.ForeignKey(Tenant, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)


class PopupDelta(Delta):
    """The columns of a shown or rejected pop-up, before or after a change. Written by the database only."""

    tenant = _tenant()
    ringing_at = models.DateTimeField()
    received_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)  # None: rejected


class LatencyCounts(models.Model):
    """Shown pop-ups by their latency in hundredths of a second, written as text: {"35": 12}."""

    since_ringing = models.JSONField(default=dict)  # by UIS's clock
    since_receipt = models.JSONField(default=dict)
    refused = models.IntegerField(default=0)  # rejected by the CRM

    class Meta:
        abstract = True

    def parts(self) -> "Counter[LatencyPart]":
        """Return the numbers by histogram and latency, without zeros; of the rejected ones ("refused", "")."""
        found: Counter[LatencyPart] = Counter()
        for name in HISTOGRAMS:
            found.update({(name, latency): count for latency, count in getattr(self, name).items()})
        if self.refused:
            found["refused", ""] = self.refused
        return found

    def add(self, part: LatencyPart, number: int) -> None:
        name, latency = part
        if name == "refused":
            self.refused += number
            return
        histogram = getattr(self, name)
        histogram[latency] = histogram.get(latency, 0) + number
        if not histogram[latency]:
            del histogram[latency]

    @property
    def is_empty(self) -> bool:
        return not (self.since_ringing or self.since_receipt or self.refused)


class DailyPopups(LatencyCounts):
    """The pop-ups of one tenant and day."""

    tenant = _tenant()
    day = models.DateField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "day"], name="daily_popups_once_per_day")]
        indexes = [models.Index(fields=["day"], name="daily_popups_of_day")]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.day}"


class DailyPopupsOfAll(LatencyCounts):
    """The pop-ups of all tenants, each on their own local day: the sum of `DailyPopups`."""

    day = models.DateField(unique=True)

    def __str__(self) -> str:
        return f"{self.day}"
