"""Roll-ups: counts of rows by tenant and local day, kept exact by the deltas that triggers write.

At each moment the stored counts and the deltas together are a full count. A task folds the deltas into the counts every
minute, so readers add a few hundred deltas at most. Days are those of the tenant's time zone; the zone is looked up
when deltas are folded, and a tenant whose zone has changed is counted again.
"""

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from time import monotonic
from typing import Any, ClassVar, TypeVar

from django.db import models, transaction
from django.db.models import Count, Exists, OuterRef, Q, Subquery, Sum, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from connector_project.core import local_dates, logging, transactions
from connector_project.core.db_functions import LocalDay
from connector_project.core.models import Rollup, RollupZone
from connector_project.core.row_triggers import DeltaTrigger

BATCH = 2000  # deltas of one transaction
SECONDS = 20.0  # of one run; the next one goes on
TRIES = 3
CHECKED_DAYS = 90  # as far back as the statistics show

logger = logging.logger(__name__)

# A stored number: the table, the key of its row, and a column or a part of one.
Cell = tuple[type[models.Model], tuple[Any, ...], Any]
Cells = Counter[Cell]
T = TypeVar("T")


class DailyRollup(ABC):
    """One roll-up: what is counted, and where the counts are stored."""

    name: ClassVar[str]
    trigger: ClassVar[DeltaTrigger]
    moment: ClassVar[str]  # the column whose local day counts

    @abstractmethod
    def group(self, rows: models.QuerySet[Any], zone: Combinable) -> models.QuerySet[Any]:
        """Return `values_list` of what distinguishes counts, for rows of the source or deltas with their `day`."""

    @abstractmethod
    def cells(self, groups: Iterable[tuple[Any, ...]]) -> Cells:
        """Return the numbers to add for groups; the last value of each is its count."""

    @abstractmethod
    def stored(self, tenant_id: int, days: models.Q) -> Cells:
        """Return the stored numbers of a tenant's days, without zeros."""

    @abstractmethod
    def add(self, cells: Cells) -> None:
        """Add to the stored numbers, and delete the rows that count nothing then."""

    def install(self) -> None:
        """Make the triggers. All tenants are counted anew if they were not there: changes may have been missed."""
        if self.trigger.install():
            RollupZone.objects.filter(rollup=self.name).delete()

    def pending(self, deltas: models.QuerySet[Any]) -> Cells:
        """Return what these deltas add to the stored numbers. One query."""
        groups = self._by_day(deltas.order_by(), self._zone_of_row()).annotate(count=Sum("weight"))
        return self.cells(groups.exclude(count=0))

    def keep(self, zones: Mapping[int, str], *, seconds: float = SECONDS) -> None:
        """Count the tenants that are not counted by their zone, and fold the deltas, for so many seconds at most.

        `zones` are the time zones of all tenants.
        """
        ends_at = monotonic() + seconds
        counted = dict(RollupZone.objects.filter(rollup=self.name).values_list("tenant_id", "time_zone"))
        for tenant_id, zone in zones.items():
            if counted.get(tenant_id) != zone:
                self.count_tenant(tenant_id, zone)
                if monotonic() > ends_at:
                    return
        while self.fold() and monotonic() < ends_at:
            pass
        if counted.keys() - zones.keys() or self._deltas().exists():
            self._forget_deleted()

    @transactions.atomic
    def count_tenant(self, tenant_id: int, zone: str) -> None:
        """Count all rows of a tenant by the days of this zone."""
        self._lock()
        self._count(tenant_id, zone, None)
        RollupZone.objects.update_or_create(rollup=self.name, tenant_id=tenant_id, defaults={"time_zone": zone})

    def check(self, *, day: date) -> int:
        """Count one day of each tenant again; return how many numbers were wrong. They are right then."""
        counted = RollupZone.objects.filter(rollup=self.name).order_by("tenant_id")
        wrong = {pk: self._check_tenant(pk, day) for pk in list(counted.values_list("tenant_id", flat=True))}
        tenants = [pk for pk, numbers in wrong.items() if numbers]
        if tenants:  # A trigger was switched off, or the database was restored in part.
            logger.error("roll-ups were wrong and are counted again", rollup=self.name, day=str(day), tenants=tenants)
        return sum(wrong.values())

    @transactions.atomic
    def _check_tenant(self, tenant_id: int, day: date) -> int:
        self._lock()
        counted = RollupZone.objects.filter(rollup=self.name, tenant_id=tenant_id).first()
        return self._count(tenant_id, counted.time_zone, day) if counted else 0

    def _count(self, tenant_id: int, zone: str, day: date | None) -> int:
        """Correct the stored numbers of a tenant, or of one day; return how many were different.

        Deltas that are not folded yet are counted by their rows too, so they are subtracted: one statement reads both,
        and sees the same changes in both.
        """
        rows = self.trigger.source._base_manager.filter(self.trigger.counted, tenant=tenant_id).order_by()
        deltas = self._deltas().filter(tenant=tenant_id)
        of_rows, of_deltas = (self._of_day(queryset, zone, day) for queryset in (rows, deltas))
        of_both = of_rows.annotate(count=Count("pk")).union(of_deltas.annotate(count=-Sum("weight")), all=True)
        found = self.cells(of_both.iterator())
        found.subtract(self.stored(tenant_id, Q() if day is None else Q(day=day)))
        different = Counter({cell: number for cell, number in found.items() if number})
        self.add(different)
        return len(different)

    def fold(self) -> int:
        """Add one batch of deltas to the stored numbers and delete them; return how many it were.

        Only of tenants that are counted: `count_tenant` comes first.
        """
        return self._fold() if self._foldable().exists() else 0

    @transactions.atomic
    def _fold(self) -> int:
        self._lock()
        # Their keys: deltas committed meanwhile are left for the next batch, also those with lower keys.
        chosen = list(self._foldable().order_by("pk").values_list("pk", flat=True)[:BATCH])
        self.add(self.pending(self._deltas().filter(pk__in=chosen)))
        self._deltas().filter(pk__in=chosen).delete()
        return len(chosen)

    def _deltas(self) -> models.QuerySet[Any]:
        return self.trigger.deltas._base_manager.order_by()

    def _foldable(self) -> models.QuerySet[Any]:
        return self._deltas().filter(tenant__in=RollupZone.objects.filter(rollup=self.name).values("tenant_id"))

    def _by_day(self, rows: models.QuerySet[Any], zone: Combinable) -> models.QuerySet[Any]:
        return self.group(rows.annotate(day=LocalDay(self.moment, zone)), zone)

    def _of_day(self, rows: models.QuerySet[Any], zone: str, day: date | None) -> models.QuerySet[Any]:
        if day is not None:  # An index finds the moments; a local day begins and ends within hours of them.
            first, last = (datetime.combine(day + n * local_dates.DAY, time.min, tzinfo=UTC) for n in (-1, 2))
            rows = rows.filter((f"{self.moment}__gte", first), (f"{self.moment}__lt", last))
        found = self._by_day(rows, Value(zone))
        return found if day is None else found.filter(day=day)

    def _zone_of_row(self) -> Combinable:
        """Return the zone of a delta: that by which its tenant is counted, at first the tenant's."""
        known = (self._zone_row("tenant_id"), self._tenant_row("tenant_id"))
        return Coalesce(*(Subquery(rows.values("time_zone")[:1]) for rows in known), Value("UTC"))

    def _zone_row(self, column: str) -> models.QuerySet[Any]:
        return RollupZone.objects.filter(rollup=self.name, tenant_id=OuterRef(column))

    def _tenant_row(self, column: str) -> models.QuerySet[Any]:
        tenant: Any = self.trigger.source._meta.get_field("tenant").related_model
        rows: models.QuerySet[Any] = tenant._base_manager.filter(pk=OuterRef(column))
        return rows

    def _lock(self) -> None:
        """Wait for the others who change the stored numbers. Needs a transaction."""
        Rollup.objects.get_or_create(name=self.name)
        rollup = Rollup.objects.select_for_update(no_key=True).get(name=self.name)
        rollup.version += 1
        rollup.save(update_fields=["version"])

    def _forget_deleted(self) -> None:
        """Delete what is left of deleted tenants: zones without deltas, and deltas of tenants that were never counted.

        The rows of such a tenant are deleted too, so its deltas add up to nothing.
        """
        gone = ~Exists(self._tenant_row("tenant_id"))
        self._deltas().filter(gone, ~Exists(self._zone_row("tenant_id"))).delete()
        has_deltas = Exists(self._deltas().filter(tenant=OuterRef("tenant_id")))
        RollupZone.objects.filter(gone, ~has_deltas, rollup=self.name).delete()


def choose_day(*, now: datetime) -> date:
    """Return one of the days that the statistics show, at random."""
    return now.date() - random.randint(1, CHECKED_DAYS) * local_dates.DAY  # noqa: S311 -- no secret depends on it


def read(action: Callable[[], T]) -> T:
    """Return what the action reads, with no deltas folded while it reads: they would count twice, or not at all."""
    for _try in range(TRIES):
        before = _versions()
        found = action()
        if _versions() == before:
            return found
    with transaction.atomic():
        list(Rollup.objects.order_by("name").select_for_update(no_key=True))
        return action()


def _versions() -> dict[str, int]:
    return dict(Rollup.objects.values_list("name", "version"))
