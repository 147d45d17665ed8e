"""The days of a statistic."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any, Self
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from connector_project.core import local_dates
from tenants.models import Tenant
from tenants.visibility import Reader, visible_to


@dataclass(frozen=True)
class Period:
    """Whole local days up to and including today, in the time zone of each tenant."""

    first: date
    end: date  # the day after the last

    @classmethod
    def last(cls, length: int, *, zones: Iterable[str], now: datetime) -> Self:
        """Return the last `length` days including today, which is the latest local date of all zones."""
        known = frozenset(zones) or frozenset({"UTC"})
        today = max(local_dates.day_of(now, zone=ZoneInfo(zone)) for zone in known)
        return cls(today - length * local_dates.DAY + local_dates.DAY, today + local_dates.DAY)

    @cached_property
    def days(self) -> list[date]:
        """All days, oldest first."""
        return list(local_dates.between(self.first, self.end))

    def __contains__(self, day: date) -> bool:
        return self.first <= day < self.end

    def filter_days(self, rows: QuerySet[Any], tenant: Tenant | None, reader: Reader) -> QuerySet[Any]:
        """Return the unordered rows of the period with a `day`, of one tenant or of all that the reader may see."""
        return of_tenants(rows.filter(day__gte=self.first, day__lt=self.end), tenant, reader)


def of_tenants(rows: QuerySet[Any], tenant: Tenant | None, reader: Reader) -> QuerySet[Any]:
    """Return the unordered rows of one tenant or of all that the reader may see."""
    return (rows.filter(tenant=tenant) if tenant else visible_to(rows, reader)).order_by()
