"""SQL functions for the local day and hour of a datetime, for counting millions of rows.

Django's own functions use one time zone for all rows; these take the zone from a column, as each tenant has their own.
"""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Combinable
from django.db.models.sql.compiler import SQLCompiler

CLIENTS_ZONE = models.F("tenant__time_zone")


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


class DurationCentiseconds(models.Func):
    """A duration rounded to hundredths of a second, which gives few enough values to group by."""

    template = "ROUND(DATE_PART('epoch', %(expressions)s) * 100)::bigint"  # unlike EXTRACT it returns floats
    output_field = models.BigIntegerField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """SQLite stores a duration as microseconds."""
        return super().as_sql(
            compiler, connection, template="CAST(ROUND(%(expressions)s / 10000.0) AS INTEGER)", **context
        )
