"""A moment's day and hour by the clock of the client it belongs to, in SQL: there millions of rows are counted.

Django's own functions take one zone for all rows; these take a column, for each client has a clock of his own.
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
        """Call what Django brings into SQLite; the last argument is the zone of the column itself."""
        return super().as_sql(compiler, connection, template=self.on_sqlite, arg_joiner=", ", **context)


class LocalDay(_Local):
    """The day a moment fell on. `zone` is an expression, a column or a Value."""

    template = "(%(expressions)s)::date"
    arg_joiner = " AT TIME ZONE "
    on_sqlite = "django_datetime_cast_date(%(expressions)s, 'UTC')"
    output_field = models.DateField()


class LocalHour(_Local):
    """The hour of the day a moment fell into, 0 to 23."""

    template = "DATE_PART('hour', %(expressions)s)::integer"
    arg_joiner = " AT TIME ZONE "
    on_sqlite = "django_datetime_extract('hour', %(expressions)s, 'UTC')"
    output_field = models.IntegerField()


class Hundredths(models.Func):
    """The length of a duration in hundredths of a second, to the nearest: few enough values to be counted by."""

    template = "ROUND(DATE_PART('epoch', %(expressions)s) * 100)::bigint"  # unlike EXTRACT it counts in floats
    output_field = models.BigIntegerField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """SQLite keeps a duration as microseconds."""
        return super().as_sql(
            compiler, connection, template="CAST(ROUND(%(expressions)s / 10000.0) AS INTEGER)", **context
        )
