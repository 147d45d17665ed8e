"""Adds to the numbers of stored rows by one statement, on both databases."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from django.db import connection, models

ROWS = 200  # of one statement

Key = tuple[Any, ...]


def add(model: type[models.Model], keys: Sequence[str], rows: Mapping[Key, Mapping[str, int]]) -> None:
    """Add the numbers to the rows with these keys, which are created if needed; all columns are numbers otherwise.

    Rows whose columns are all 0 then are deleted. `keys` have a unique constraint.
    """
    remaining = iter(sorted(rows.items()))
    while chunk := dict(islice(remaining, ROWS)):
        _add(model, keys, chunk)
        chosen = {f"{name}__in": {key[number] for key in chunk} for number, name in enumerate(keys)}
        numbers = {column.name for column in model._meta.concrete_fields if not column.primary_key} - {*keys}
        model._default_manager.filter(**chosen, **dict.fromkeys(numbers, 0)).delete()


def _add(model: type[models.Model], keys: Sequence[str], rows: Mapping[Key, Mapping[str, int]]) -> None:
    names = sorted({name for numbers in rows.values() for name in numbers})
    fields: list[Any] = [model._meta.get_field(name) for name in keys]
    quote = connection.ops.quote_name
    table, key_columns = quote(model._meta.db_table), [quote(field.column) for field in fields]
    columns = [quote(name) for name in names]
    row = f"({', '.join(['%s'] * (len(keys) + len(names)))})"
    added = ", ".join(f"{name} = {table}.{name} + EXCLUDED.{name}" for name in columns)
    values = [
        value
        for key, numbers in rows.items()
        for value in (
            *(field.get_db_prep_save(part, connection) for field, part in zip(fields, key, strict=True)),
            *(numbers.get(name, 0) for name in names),
        )
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join([*key_columns, *columns])}) "  # noqa: S608 -- names of our columns
            f"VALUES {', '.join([row] * len(rows))} ON CONFLICT ({', '.join(key_columns)}) DO UPDATE SET {added}",
            values,
        )
