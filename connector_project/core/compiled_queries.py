"""Queries whose SQL is built once for each process: building it takes several times the CPU of running it.

Only for the hottest paths. A query is written as a QuerySet with placeholders for what varies:

    _OF_CALL = CompiledSelect(lambda given: Call.objects.filter(session_id=given.integer("session")))
    calls = _OF_CALL.fetch(session=5)

The function that builds it runs once for each database and length of lists; it must not depend on anything else.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connection, models
from django.db.backends.utils import CursorWrapper
from django.db.models import signals
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query import ModelIterable, get_related_populators
from django.db.models.query_utils import DeferredAttribute
from django.db.models.sql import UpdateQuery
from django.db.transaction import TransactionManagementError

from connector_project.core.prepared_statements import Given, Statement

Row = TypeVar("Row")
# With these an instance keeps what its `__dict__` has.
_PLAIN_ATTRIBUTES = (DeferredAttribute, ForeignKeyDeferredAttribute)
Item = tuple[str, int]  # the name of a list, and which value of it


class Placeholder(models.Expression):
    """Stands for a value, or for one of a list, that comes when the query runs."""

    def __init__(self, name: str | Item, output_field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]

    def bound(self, values: Mapping[str, Any]) -> Any:
        """Return the value as the database adapter takes it."""
        value = values[self.name] if isinstance(self.name, str) else values[self.name[0]][self.name[1]]
        return self.output_field.get_db_prep_value(value, connection)


class _Column(Placeholder):
    def bound(self, values: Mapping[str, Any]) -> Any:
        return self.output_field.get_db_prep_save(values[str(self.name)], connection)


class _Moment(Placeholder):
    def __init__(self, name: str, shift: timedelta = timedelta(0)) -> None:
        super().__init__(name, models.DateTimeField())
        self.shift = shift

    def __add__(self, other: Any) -> Any:
        return _Moment(str(self.name), self.shift + other)

    def __sub__(self, other: Any) -> Any:
        return _Moment(str(self.name), self.shift - other)

    def bound(self, values: Mapping[str, Any]) -> Any:
        return self.output_field.get_db_prep_value(values[str(self.name)] + self.shift, connection)


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

    def moment(self, name: str) -> Any:
        """Return the placeholder of a moment; fixed durations may be added to it, and subtracted."""
        return _Moment(name)

    def day(self, name: str) -> Any:
        return Placeholder(name, models.DateField())

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


@dataclass(frozen=True)
class _Statement:
    sql: str
    params: Sequence[Any]
    is_kept: bool  # not one for each length of a list: a session keeps what it has prepared

    def execute(self, cursor: CursorWrapper, values: Mapping[str, Any]) -> None:
        bound = {place: one.bound(values) for place, one in self._placeholders}
        self._prepared.execute(cursor, bound, is_kept=self.is_kept)

    @functools.cached_property
    def _placeholders(self) -> list[tuple[int, Placeholder]]:
        return [(place, one) for place, one in enumerate(self.params) if isinstance(one, Placeholder)]

    @functools.cached_property
    def _prepared(self) -> Statement:
        places = (Given(place) if isinstance(one, Placeholder) else one for place, one in enumerate(self.params))
        return Statement(self.sql, list(places))


class _Compiled:
    """Keeps the statements of one query, by database and the lengths of those of its values that are lists."""

    def __init__(self, build: Any, *, lists: Sequence[str] = ()) -> None:
        self._build, self._lists = build, lists
        self._kept: dict[Any, Any] = {}

    def _statement(self, values: Mapping[str, Any], compile_it: Callable[[Placeholders], Any]) -> Any:
        sizes = {name: len(values[name]) for name in self._lists}
        key = (connection.vendor, *sizes.values())
        if (found := self._kept.get(key)) is None:
            # Threads of one process may compile it at the same time: the last one is kept.
            found = self._kept[key] = compile_it(Placeholders(sizes))
        return found


@dataclass(frozen=True)
class SelectStatement(_Statement):
    converters: Mapping[int, tuple[Sequence[Callable[..., Any]], Any]]
    read: Callable[[Sequence[Any]], Any]
    is_locking: bool

    def rows(self, values: Mapping[str, Any]) -> list[Any]:
        if self.is_locking and not connection.in_atomic_block:
            raise TransactionManagementError("A row can only be locked inside of a transaction.")
        with connection.cursor() as cursor:
            self.execute(cursor, values)
            found = cursor.fetchall()
        return [self.read(row) for row in self._converted(found)] if found else []

    def _converted(self, found: Sequence[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        for stored in found:
            row = list(stored)
            for position, (converters, expression) in self.converters.items():
                for convert in converters:
                    row[position] = convert(row[position], expression, connection)
            yield row


class CompiledSelect(_Compiled, Generic[Row]):
    """A SELECT: of model instances with `select_related`, or of tuples by `values_list`."""

    def __init__(
        self, build: "Callable[[Placeholders], models.QuerySet[Any, Row]]", *, lists: Sequence[str] = ()
    ) -> None:
        super().__init__(build, lists=lists)

    def fetch(self, **values: Any) -> list[Row]:
        """Run the query. Raises TransactionManagementError for a lock outside of `atomic()`."""
        statement: SelectStatement = self._statement(values, self._compile)
        return statement.rows(values)

    def first(self, **values: Any) -> Row | None:
        return next(iter(self.fetch(**values)), None)

    def get(self, **values: Any) -> Row:
        """Return the only row. Raises ObjectDoesNotExist."""
        if found := self.fetch(**values):
            return found[0]
        raise ObjectDoesNotExist

    def _compile(self, given: Placeholders) -> SelectStatement:
        rows = self._build(given)
        compiler = rows.query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        columns = [column for column, _sql, _alias in compiler.select[: compiler.col_count]]
        return SelectStatement(
            sql=sql,
            params=params,
            is_kept=given.are_short,
            converters=compiler.get_converters(columns),
            read=model_reader(compiler) if rows._iterable_class is ModelIterable else tuple,
            is_locking=rows.query.select_for_update,
        )


def model_reader(compiler: Any) -> Callable[[Sequence[Any]], Any]:
    """Return what makes an instance of a row, as `ModelIterable` does."""
    kind, alias = compiler.klass_info["model"], connection.alias
    fields = compiler.klass_info["select_fields"]
    start, end = fields[0], fields[-1] + 1
    make = _maker(kind, [column.target.attname for column, _sql, _alias in compiler.select[start:end]], alias)
    # The types are of a newer Django.
    populators = get_related_populators(compiler.klass_info, compiler.select, alias)  # type: ignore[call-arg]
    related = [_related_reader(populator, alias) for populator in populators]
    annotations = compiler.annotation_col_map or {}

    def read(row: Sequence[Any]) -> Any:
        made = make(row[start:end])
        for populate in related:
            populate(row, made)
        for name, position in annotations.items():
            setattr(made, name, row[position])
        return made

    return read


def _related_reader(populator: Any, alias: str) -> Callable[[Sequence[Any], Any], None]:
    """Return what a `RelatedPopulator` does with its own related ones."""
    make = _maker(populator.model_cls, populator.init_list, alias)
    start, end, reorder = populator.cols_start, populator.cols_end, populator.reorder_for_init
    inner = [_related_reader(one, alias) for one in populator.related_populators]

    def populate(row: Sequence[Any], parent: Any) -> None:
        values = row[start:end] if reorder is None else reorder(row)
        made = None if values[populator.pk_idx] is None else make(values)
        for further in inner:
            further(row, made)
        populator.local_setter(parent, made)
        if made is not None:
            populator.remote_setter(made, parent)

    return populate


def _maker(kind: type[models.Model], names: Sequence[str], alias: str) -> Callable[[Sequence[Any]], Any]:
    """Return what makes an instance of the values of its columns.

    Columns that are not among them are deferred. All that `Model.__init__` adds to setting attributes is what a
    subclass, a signal or a field with a descriptor of its own may want.
    """
    is_plain = (
        (kind.__init__, kind.from_db.__func__) == (models.Model.__init__, models.Model.from_db.__func__)  # type: ignore[attr-defined]
        and not any(signal.has_listeners(kind) for signal in (signals.pre_init, signals.post_init))
        and all(type(kind.__dict__.get(name)) in _PLAIN_ATTRIBUTES for name in names)
    )
    if not is_plain:
        return functools.partial(kind.from_db, alias, names)

    def make(values: Sequence[Any]) -> Any:
        made = kind.__new__(kind)
        made._state = state = ModelState()
        state.adding, state.db = False, alias
        made.__dict__.update(zip(names, values, strict=True))
        return made

    return make


class CompiledExists(_Compiled):
    """Tells by one statement which of several queries find a row; `build` returns them."""

    def fetch(self, **values: Any) -> tuple[bool, ...]:
        statement: _Statement = self._statement(values, self._compile)
        with connection.cursor() as cursor:
            statement.execute(cursor, values)
            return tuple(map(bool, cursor.fetchone()))

    def _compile(self, given: Placeholders) -> _Statement:
        compiled = [rows.query.exists().get_compiler(connection=connection).as_sql() for rows in self._build(given)]
        sql = ", ".join(f"EXISTS ({one})" for one, _params in compiled)
        params = [param for _sql, params in compiled for param in params]
        return _Statement(f"SELECT {sql}", params, is_kept=given.are_short)


class CompiledUpdate(_Compiled):
    """An UPDATE without joins: `build` returns a QuerySet, and the new values by the names of fields."""

    def run(self, **values: Any) -> int:
        """Run the update and return the number of rows it found."""
        statement: _Statement = self._statement(values, self._compile)
        with connection.cursor() as cursor:
            statement.execute(cursor, values)
            return int(cursor.rowcount)

    def _compile(self, given: Placeholders) -> _Statement:
        rows, changes = self._build(given)
        query: Any = rows.order_by().query.chain(UpdateQuery)
        query.add_update_values(dict(changes))
        sql, params = query.get_compiler(connection=connection).as_sql()
        return _Statement(sql, params, is_kept=given.are_short)


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
        self._run(self._of(rows).plain, rows)

    def insert_new(self, rows: Sequence[models.Model]) -> int:
        """Insert the rows whose unique columns no other one has, and return their number.

        They get their primary keys if all of them were inserted.
        """
        return self._run(self._of(rows).if_new, rows)

    def statement(self, rows: Sequence[models.Model]) -> tuple[Statement, list[Any]]:
        """Return the statement, which returns the primary keys, and its values in order; for a part of another one."""
        return self._of(rows).plain, self._values(rows)

    def _of(self, rows: Sequence[models.Model]) -> _Insert:
        found: _Insert = self._statement({"rows": rows}, self._compile)
        return found

    def _run(self, statement: Statement, rows: Sequence[models.Model]) -> int:
        with connection.cursor() as cursor:
            statement.execute(cursor, dict(enumerate(self._values(rows))), is_kept=len(rows) == 1)
            keys = cursor.fetchall()
        if len(keys) == len(rows):
            for row, (key,) in zip(rows, keys, strict=True):
                row.pk, row._state.adding, row._state.db = key, False, connection.alias
        return len(keys)

    def _values(self, rows: Sequence[models.Model]) -> list[Any]:
        fields = self._fields()
        values = ((field, field.pre_save(row, add=True)) for row in rows for field in fields)
        return [field.get_db_prep_save(value, connection) for field, value in values]

    def _fields(self) -> list[Any]:
        return [field for field in self._model._meta.local_concrete_fields if not field.primary_key]

    def _compile(self, given: Placeholders) -> _Insert:
        name, fields = connection.ops.quote_name, self._fields()
        one = f"({', '.join(['%s'] * len(fields))})"
        columns = ", ".join(name(field.column) for field in fields)
        meta: Any = self._model._meta
        rows = ", ".join([one] * given.sizes["rows"])
        insert = f"INSERT INTO {name(meta.db_table)} ({columns}) VALUES {rows}"  # noqa: S608 -- names of our model
        returning = f"RETURNING {name(meta.pk.column)}"
        values = [Given(place) for place in range(len(fields) * given.sizes["rows"])]
        return _Insert(
            plain=Statement(f"{insert} {returning}", values),
            if_new=Statement(f"{insert} ON CONFLICT DO NOTHING {returning}", values),
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
        return model._base_manager.filter(pk=Placeholder("row", model._meta.pk)), values

    return CompiledUpdate(build)
