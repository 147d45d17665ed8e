"""SQL functions and conditions for the local day and hour of a datetime, for counting millions of rows.

Django's own functions use one time zone for all rows; these take the zone from a column, as each tenant has their own.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q
from django.db.models.expressions import Combinable
from django.db.models.sql.compiler import SQLCompiler

from connector_project.core import local_dates

CLIENTS_ZONE = models.F("tenant__time_zone")


def in_local_days(moment: str, first: date, end: date, *, zones: Iterable[str]) -> Q:
    """Return the condition that a datetime column is in the days up to `end`, by the clock of the row's tenant.

    `zones` are those of all tenants whose rows may match. Comparing datetimes is cheaper than computing local days.
    """
    found, edges = Q(pk__in=[]), []
    for name in sorted(zones):
        zone = ZoneInfo(name)
        edges.append((local_dates.begin(first, zone=zone), local_dates.begin(end, zone=zone)))
        found |= Q(("tenant__time_zone", name), (f"{moment}__gte", edges[-1][0]), (f"{moment}__lt", edges[-1][1]))
    if not edges:
        return found
    # Redundant, but lets the database use an index.
    since, till = min(since for since, _till in edges), max(till for _since, till in edges)
    return Q((f"{moment}__gte", since), (f"{moment}__lt", till)) & found


class _Local(models.Func):
    on_sqlite = ""

    def __init__(self, moment: str | Combinable, zone: str | Combinable, **extra: Any) -> None:
        super().__init__(moment, zone, **extra)

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """Call the function that Django registers in SQLite; its last argument is the zone of the stored values."""
        return super().as_sql(compiler, connection, template=self.on_sqlite, arg_joiner=", ", **context)


class LocalDay(_Local):
    """The local date of a datetime. `zone` is a column name or an expression."""

    template = "(%(expressions)s)::date"
    arg_joiner = " AT TIME ZONE "
    on_sqlite = "django_datetime_cast_date(%(expressions)s, 'UTC')"
    output_field = models.DateField()


class LocalHour(_Local):
    """The local hour of a datetime, 0 to 23."""

    template = "DATE_PART('hour', %(expressions)s)::integer"
    arg_joiner = " AT TIME ZONE "
    on_sqlite = "django_datetime_extract('hour', %(expressions)s, 'UTC')"
    output_field = models.IntegerField()


class HasItem(models.Func):
    """Whether a column with a JSON array of texts has this one."""

    arg_joiner = " @> "
    template = "%(expressions)s"
    output_field = models.BooleanField()

    def __init__(self, column: str, item: str) -> None:
        super().__init__(models.F(column), models.Value([item], output_field=models.JSONField()))

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return super().as_sql(
            compiler,
            connection,
            template="EXISTS (SELECT 1 FROM json_each(%(expressions)s, '$[0]'))",
            arg_joiner=") WHERE value = json_extract(",
            **context,
        )


class DurationCentiseconds(models.Func):
    """A duration rounded to hundredths of a second, which gives few enough values to group by."""

    template = "ROUND(DATE_PART('epoch', %(expressions)s) * 100)::bigint"  # unlike EXTRACT it returns floats
    output_field = models.BigIntegerField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """SQLite stores a duration as microseconds."""
        return super().as_sql(
            compiler, connection, template="CAST(ROUND(%(expressions)s / 10000.0) AS INTEGER)", **context
        )
