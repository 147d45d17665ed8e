"""Database triggers that write down each change of a table's rows, made in any way: `update`, `bulk_create`, raw SQL.

A trigger adds a row to a table of deltas: the old values with the weight -1, the new ones with +1. The sum of the
deltas is what the change of a count is. Adding rows needs no lock that two writers could wait for.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import connection, models, transaction
from django.db.models.sql import Query

# On an update only where a column of the deltas changes, or whether the row counts. Most updates set none of the
# columns, which the database sees without looking at the row.
_EVENTS = {
    "INSERT": "{new}",
    "UPDATE OF {columns}": "(({old}) OR ({new})) AND ({changed})",
    "DELETE": "{old}",
}
_POSTGRES_FUNCTION = """
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND ({old}) THEN {removed}; END IF;
    IF TG_OP <> 'DELETE' AND ({new}) THEN {added}; END IF;
    RETURN NULL;
END $$
"""


@dataclass(frozen=True, kw_only=True)
class DeltaTrigger:
    """The triggers of one table. The columns of `deltas`, but for its key and `weight`, are columns of `source`.

    `counted` is the condition on rows that count, without joins. A migration that changes the type of one of the
    columns drops the triggers first (`drop`); `migrate` makes them again.
    """

    source: type[models.Model]
    deltas: type[models.Model]
    counted: models.Q

    def install(self) -> bool:
        """Make the triggers, unless they are there as they should be; return whether they had to be made."""
        statements = self._statements()
        if self._installed() == statements.keys():
            return False
        with transaction.atomic(), connection.cursor() as cursor:
            self.drop()
            if connection.vendor == "postgresql":
                cursor.execute(_POSTGRES_FUNCTION.format(name=self._prefix, **self._parts))
            for statement in statements.values():
                cursor.execute(statement)
        return True

    def drop(self) -> None:
        with connection.cursor() as cursor:
            for name in self._installed():
                on = f" ON {self._table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER {_quoted(name)}{on}")

    @property
    def _prefix(self) -> str:
        return f"{self.source._meta.db_table}_delta"

    @property
    def _table(self) -> str:
        return _quoted(self.source._meta.db_table)

    @cached_property
    def _parts(self) -> Mapping[str, str]:
        """The conditions and statements that the triggers are made of."""
        fields = self.deltas._meta.concrete_fields
        columns = [_quoted(field.column) for field in fields if not field.primary_key and field.name != "weight"]
        differs = "IS DISTINCT FROM" if connection.vendor == "postgresql" else "IS NOT"
        old, new = (self._counted(row) for row in ("OLD", "NEW"))
        changed = [f"OLD.{column} {differs} NEW.{column}" for column in columns]
        into = f"INSERT INTO {_quoted(self.deltas._meta.db_table)} ({', '.join(columns)}, weight) SELECT"
        return {
            "old": old,
            "new": new,
            "columns": ", ".join(sorted({*columns, *map(self._column, _names(self.counted))})),
            "changed": " OR ".join([f"({old}) {differs} ({new})", *changed]),
            "removed": f"{into} {', '.join(f'OLD.{column}' for column in columns)}, -1",
            "added": f"{into} {', '.join(f'NEW.{column}' for column in columns)}, 1",
        }

    def _statements(self) -> dict[str, str]:
        """Return a statement for each event, by the trigger's name, which has a digest of what it does."""
        made: dict[str, str] = {}
        digest = hashlib.sha256(f"{_EVENTS}{self._parts}".encode()).hexdigest()[:10]
        for event, when in _EVENTS.items():
            name = f"{self._prefix}_{event.split()[0].lower()}_{digest}"
            made[name] = (
                f"CREATE TRIGGER {_quoted(name)} AFTER {event.format(**self._parts)} ON {self._table} "
                f"FOR EACH ROW WHEN ({when.format(**self._parts)}) {self._body(event)}"
            )
        return made

    def _body(self, event: str) -> str:
        if connection.vendor == "postgresql":
            return f"EXECUTE FUNCTION {self._prefix}()"
        parts = self._parts
        removed = [] if event == "INSERT" else [f"{parts['removed']} WHERE {parts['old']};"]
        added = [] if event == "DELETE" else [f"{parts['added']} WHERE {parts['new']};"]
        return " ".join(["BEGIN", *removed, *added, "END"])

    def _column(self, name: str) -> str:
        field: Any = self.source._meta.get_field(name)
        return _quoted(field.column)

    def _counted(self, row: str) -> str:
        """Return the condition on the old or the new row as SQL."""
        compiler = Query(self.source).get_compiler(connection=connection)
        where: Any = compiler.query.build_where(self.counted)
        sql, values = compiler.compile(where)
        quote: Callable[[Any], str] = connection.SchemaEditorClass(connection).quote_value
        condition: str = sql % tuple(map(quote, values))
        return condition.replace(f"{self._table}.", f"{row}.")

    def _installed(self) -> set[str]:
        if connection.vendor == "postgresql":
            query = "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname LIKE %s"
        else:
            query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s AND name LIKE %s"
        with connection.cursor() as cursor:
            cursor.execute(query, [self.source._meta.db_table, f"{self._prefix}%"])
            return {name for (name,) in cursor.fetchall()}


def _names(condition: models.Q) -> Iterator[str]:
    """Yield the names of the fields in a condition."""
    for child in condition.children:
        if isinstance(child, tuple):
            yield child[0].partition("__")[0]
        elif isinstance(child, models.Q):
            yield from _names(child)


def _quoted(name: str | None) -> str:
    return connection.ops.quote_name(str(name))
