"""Queries whose SQL is built once for each process: building it takes several times the CPU of running it.

Only for the hottest paths. A query is written as a QuerySet with placeholders for what varies:

    _OF_CALL = CompiledSelect(lambda given: Call.objects.filter(session_id=given.integer("session")))
    calls = _OF_CALL.fetch(session=5)

The function that builds it runs once for each database and length of lists; it must not depend on anything else.
"""

import abc
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from django.core.exceptions import ObjectDoesNotExist
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.query import ModelIterable
from django.db.models.sql import UpdateQuery
from django.db.transaction import TransactionManagementError

from connector_project.core.placeholders import Placeholder, Placeholders, to_driver
from connector_project.core.prepared_statements import Given, Statement, fetch_all, fetch_one, row_count
from connector_project.core.row_readers import model_reader

Row = TypeVar("Row")


class _Compiled(abc.ABC):
    """Keeps the statements of one query, by database and the lengths of those of its values that are lists."""

    def __init__(self, build: Any, *, lists: Sequence[str] = ()) -> None:
        self._build, self._lists = build, lists
        self._kept: dict[Any, Any] = {}

    def _statement(self, values: Mapping[str, Any], database: BaseDatabaseWrapper) -> Any:
        sizes = {name: len(values[name]) for name in self._lists}
        key = (database.vendor, *sizes.values())
        if (found := self._kept.get(key)) is None:
            # Threads of one process may compile it at the same time: the last one is kept.
            found = self._kept[key] = self._compile(Placeholders(sizes), database)
        return found

    @abc.abstractmethod
    def _compile(self, given: Placeholders, database: BaseDatabaseWrapper) -> Any:
        """Build the statement of lists with these lengths."""


@dataclass(frozen=True)
class QueryStatement:
    """A statement, and the placeholders of its values in order."""

    statement: Statement
    placeholders: Sequence[Placeholder]

    @classmethod
    def create(cls, sql: str, params: Sequence[Any], *, is_kept: bool) -> "QueryStatement":
        places = [Given(place) if isinstance(one, Placeholder) else one for place, one in enumerate(params)]
        placeholders = [one for one in params if isinstance(one, Placeholder)]
        return cls(Statement(sql, places, is_kept=is_kept), placeholders)

    def run(self, values: Mapping[str, Any], result: Callable[[Any], Any], database: BaseDatabaseWrapper) -> Any:
        return self.statement.run([one.bound(values, database) for one in self.placeholders], result)


@dataclass(frozen=True)
class SelectStatement:
    query: QueryStatement
    converters: Mapping[int, tuple[Sequence[Callable[..., Any]], Any]]
    read: Callable[[Sequence[Any]], Any]
    is_locking: bool

    def rows(self, values: Mapping[str, Any], database: BaseDatabaseWrapper) -> list[Any]:
        if self.is_locking and not database.in_atomic_block:
            raise TransactionManagementError("A row can only be locked inside of a transaction.")
        found = self.query.run(values, fetch_all, database)
        return [self.read(row) for row in self._converted(found, database)] if found else []

    def _converted(self, found: Sequence[Sequence[Any]], database: BaseDatabaseWrapper) -> Iterator[Sequence[Any]]:
        for stored in found:
            row = list(stored)
            for position, (converters, expression) in self.converters.items():
                for convert in converters:
                    row[position] = convert(row[position], expression, database)
            yield row


class CompiledSelect(_Compiled, Generic[Row]):
    """A SELECT: of model instances with `select_related`, or of tuples by `values_list`."""

    def __init__(
        self, build: "Callable[[Placeholders], models.QuerySet[Any, Row]]", *, lists: Sequence[str] = ()
    ) -> None:
        super().__init__(build, lists=lists)

    def fetch(self, **values: Any) -> list[Row]:
        """Run the query. Raises TransactionManagementError for a lock outside of `atomic()`."""
        database = connections[DEFAULT_DB_ALIAS]
        statement: SelectStatement = self._statement(values, database)
        return statement.rows(values, database)

    def first(self, **values: Any) -> Row | None:
        return next(iter(self.fetch(**values)), None)

    def get(self, **values: Any) -> Row:
        """Return the only row. Raises ObjectDoesNotExist."""
        if found := self.fetch(**values):
            return found[0]
        raise ObjectDoesNotExist

    def _compile(self, given: Placeholders, database: BaseDatabaseWrapper) -> SelectStatement:
        rows = self._build(given)
        compiler = rows.query.get_compiler(connection=database)
        sql, params = compiler.as_sql()
        columns = [column for column, _sql, _alias in compiler.select[: compiler.col_count]]
        return SelectStatement(
            query=QueryStatement.create(sql, params, is_kept=given.are_short),
            converters=compiler.get_converters(columns),
            read=model_reader(compiler) if rows._iterable_class is ModelIterable else tuple,
            is_locking=rows.query.select_for_update,
        )


class CompiledExists(_Compiled):
    """Tells by one statement which of several queries find a row; `build` returns them."""

    def fetch(self, **values: Any) -> tuple[bool, ...]:
        """Return for each query whether it finds a row."""
        database = connections[DEFAULT_DB_ALIAS]
        query: QueryStatement = self._statement(values, database)
        return tuple(map(bool, query.run(values, fetch_one, database)))

    def _compile(self, given: Placeholders, database: BaseDatabaseWrapper) -> QueryStatement:
        compiled = [rows.query.exists().get_compiler(connection=database).as_sql() for rows in self._build(given)]
        sql = ", ".join(f"EXISTS ({one})" for one, _params in compiled)
        params = [param for _sql, params in compiled for param in params]
        return QueryStatement.create(f"SELECT {sql}", params, is_kept=given.are_short)


class CompiledUpdate(_Compiled):
    """An UPDATE without joins: `build` returns a QuerySet, and the new values by the names of fields."""

    def run(self, **values: Any) -> int:
        """Run the update and return the number of rows it found."""
        database = connections[DEFAULT_DB_ALIAS]
        query: QueryStatement = self._statement(values, database)
        return int(query.run(values, row_count, database))

    def _compile(self, given: Placeholders, database: BaseDatabaseWrapper) -> QueryStatement:
        rows, changes = self._build(given)
        query: Any = rows.order_by().query.chain(UpdateQuery)
        query.add_update_values(dict(changes))
        sql, params = query.get_compiler(connection=database).as_sql()
        return QueryStatement.create(sql, params, is_kept=given.are_short)


@dataclass(frozen=True)
class _Insert:
    plain: Statement
    if_new: Statement  # leaves out the rows whose unique columns another one has


class CompiledInsert(_Compiled):
    """An INSERT of model instances, which get their primary keys; signals are not sent, as with `bulk_create`."""

    def __init__(self, model: type[models.Model]) -> None:
        super().__init__(None, lists=["rows"])
        self._model = model

    def insert(self, rows: Sequence[models.Model]) -> None:
        """Insert the rows in one statement. There must be at least one."""
        self._run(rows, is_new=False)

    def insert_new(self, rows: Sequence[models.Model]) -> int:
        """Insert the rows whose unique columns no other one has, and return their number.

        They get their primary keys if all of them were inserted.
        """
        return self._run(rows, is_new=True)

    def statement(self, rows: Sequence[models.Model]) -> tuple[Statement, list[Any]]:
        """Return the statement, which returns the primary keys, and its values in order; for a part of another one."""
        database = connections[DEFAULT_DB_ALIAS]
        found: _Insert = self._statement({"rows": rows}, database)
        return found.plain, self._values(rows, database)

    def _run(self, rows: Sequence[models.Model], *, is_new: bool) -> int:
        database = connections[DEFAULT_DB_ALIAS]
        found: _Insert = self._statement({"rows": rows}, database)
        statement = found.if_new if is_new else found.plain
        keys = statement.run(self._values(rows, database), fetch_all)
        if len(keys) == len(rows):
            for row, (key,) in zip(rows, keys, strict=True):
                row.pk, row._state.adding, row._state.db = key, False, database.alias
        return len(keys)

    def _values(self, rows: Sequence[models.Model], database: BaseDatabaseWrapper) -> list[Any]:
        return [to_driver(field, field.pre_save(row, add=True), database) for row in rows for field in self._fields]

    @functools.cached_property
    def _fields(self) -> list[Any]:
        return [field for field in self._model._meta.local_concrete_fields if not field.primary_key]

    def _compile(self, given: Placeholders, database: BaseDatabaseWrapper) -> _Insert:
        name, fields, meta = database.ops.quote_name, self._fields, self._model._meta
        columns, one = ", ".join(name(field.column) for field in fields), ", ".join(["%s"] * len(fields))
        rows = ", ".join([f"({one})"] * given.sizes["rows"])
        insert = f"INSERT INTO {name(meta.db_table)} ({columns}) VALUES {rows}"  # noqa: S608 -- names of our model
        returning = f"RETURNING {name(str(cast(Any, meta.pk).column))}"
        values = [Given(place) for place in range(len(fields) * given.sizes["rows"])]
        return _Insert(
            plain=Statement(f"{insert} {returning}", values, is_kept=given.are_short),
            if_new=Statement(f"{insert} ON CONFLICT DO NOTHING {returning}", values, is_kept=given.are_short),
        )


def save_columns(row: models.Model, names: Sequence[str]) -> None:
    """Write some fields of a row, as `save(update_fields=…)` does; signals are not sent.

    Raises DatabaseError if the row has been deleted.
    """
    fields = [row._meta.get_field(name) for name in names]
    values = {field.attname: field.pre_save(row, add=False) for field in fields}  # type: ignore[union-attr]
    if not _columns_of(type(row), tuple(names)).run(row=row.pk, **values):
        raise DatabaseError(f"There is no such row of {row._meta.label}.")


@functools.cache
def _columns_of(model: type[models.Model], names: tuple[str, ...]) -> CompiledUpdate:
    def build(given: Placeholders) -> Any:
        values = {name: given.value_of(model._meta.get_field(name)) for name in names}
        return model._base_manager.filter(pk=Placeholder("row", cast(Any, model._meta.pk))), values

    return CompiledUpdate(build)
