"""Placeholders for the values of a compiled query."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

Item = tuple[str, int]  # the name of a list, and which value of it

# What a field of these classes gives to PostgreSQL's driver as it is: there is nothing to convert.
_WHOLE = (
    *(models.BigIntegerField, models.IntegerField, models.SmallIntegerField, models.PositiveIntegerField),
    *(models.PositiveSmallIntegerField, models.BigAutoField, models.ForeignKey, models.OneToOneField),
)
_TEXT = (models.TextField, models.CharField)
_SAME: dict[type[models.Field[Any, Any]], type] = {
    **dict.fromkeys(_WHOLE, int),
    **dict.fromkeys(_TEXT, str),
    models.BooleanField: bool,
    models.UUIDField: uuid.UUID,
    models.DateTimeField: datetime,
}


def to_driver(field: models.Field[Any, Any], value: Any, database: BaseDatabaseWrapper) -> Any:
    """Return a column's new value as the database's driver takes it."""
    return value if _is_same(field, value, database) else field.get_db_prep_save(value, database)


def _condition(field: models.Field[Any, Any], value: Any, database: BaseDatabaseWrapper) -> Any:
    """Return what a column is compared with as the database's driver takes it."""
    return value if _is_same(field, value, database) else field.get_db_prep_value(value, database)


def _is_same(field: models.Field[Any, Any], value: Any, database: BaseDatabaseWrapper) -> bool:
    """Whether the driver takes a value of this field as it is."""
    kind = _SAME.get(type(field))
    if kind is None or database.vendor != "postgresql":
        return False
    return value is None or (type(value) is kind and not (isinstance(value, datetime) and value.tzinfo is None))


class Placeholder(models.Expression):
    """Stands for a value, or for one of a list, that comes when the query runs."""

    def __init__(self, name: str | Item, output_field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]

    def bound(self, values: Mapping[str, Any], database: BaseDatabaseWrapper) -> Any:
        """Return the value as the database's driver takes it."""
        value = values[self.name] if isinstance(self.name, str) else values[self.name[0]][self.name[1]]
        return _condition(self.output_field, value, database)


class _Column(Placeholder):
    def bound(self, values: Mapping[str, Any], database: BaseDatabaseWrapper) -> Any:
        return to_driver(self.output_field, values[str(self.name)], database)


class _Moment(Placeholder):
    def __init__(self, name: str, shift: timedelta = timedelta(0)) -> None:
        super().__init__(name, models.DateTimeField())
        self.shift = shift

    def __add__(self, other: Any) -> Any:
        return _Moment(str(self.name), self.shift + other)

    def __sub__(self, other: Any) -> Any:
        return _Moment(str(self.name), self.shift - other)

    def bound(self, values: Mapping[str, Any], database: BaseDatabaseWrapper) -> Any:
        value = values[str(self.name)] + self.shift
        return _condition(self.output_field, value, database)


@dataclass(frozen=True)
class Placeholders:
    """Makes the placeholders of one query; `sizes` are the lengths of its lists."""

    sizes: Mapping[str, int]

    @property
    def are_short(self) -> bool:
        """Whether no list has more than one value, as for all that a single call needs."""
        return all(size == 1 for size in self.sizes.values())

    def integer(self, name: str) -> Any:
        return Placeholder(name, models.BigIntegerField())

    def text(self, name: str) -> Any:
        return Placeholder(name, models.TextField())

    def day(self, name: str) -> Any:
        return Placeholder(name, models.DateField())

    def moment(self, name: str) -> Any:
        """Return the placeholder of a moment; fixed durations may be added to it, and subtracted."""
        return _Moment(name)

    def uuid(self, name: str) -> Any:
        return Placeholder(name, models.UUIDField())

    def integers(self, name: str) -> list[Any]:
        """Return the placeholders of a list, as `texts`. For `__in` it must not be empty."""
        return [Placeholder((name, number), models.BigIntegerField()) for number in range(self.sizes[name])]

    def texts(self, name: str) -> list[Any]:
        return [Placeholder((name, number), models.TextField()) for number in range(self.sizes[name])]

    def value_of(self, field: Any) -> Any:
        """Return the placeholder of a column's new value, by the name of its attribute."""
        return _Column(field.attname, field)
