"""An UPDATE that returns the rows it changed, compiled as those of `core.compiled_queries`: one statement, not two."""

from typing import Any, Generic, TypeVar

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql import UpdateQuery

from connector_project.core.compiled_queries import CompiledSelect, QueryStatement, SelectStatement
from connector_project.core.placeholders import Placeholders
from connector_project.core.row_readers import model_reader

Row = TypeVar("Row", bound=models.Model)


class CompiledReturning(CompiledSelect[Row], Generic[Row]):
    """An UPDATE without joins: `build` returns a QuerySet, and the new values by the names of fields."""

    def _compile(self, given: Placeholders, database: BaseDatabaseWrapper) -> SelectStatement:
        built: Any = self._build(given)
        rows, changes = built
        query: Any = rows.order_by().query.chain(UpdateQuery)
        query.add_update_values(dict(changes))
        update, params = query.get_compiler(connection=database).as_sql()
        compiler = rows.model._base_manager.all().query.get_compiler(connection=database)
        compiler.as_sql()
        columns = [column for column, _sql, _alias in compiler.select[: compiler.col_count]]
        returned = ", ".join(database.ops.quote_name(column.target.column) for column in columns)
        return SelectStatement(
            query=QueryStatement.create(f"{update} RETURNING {returned}", params, is_kept=given.are_short),
            converters=compiler.get_converters(columns),
            read=model_reader(compiler),
            is_locking=False,
        )
